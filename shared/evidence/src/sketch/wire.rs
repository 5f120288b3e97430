//! What a sketch is as bytes: the values of each level in order, each as its distance from the one before
//! it, so that a value takes one to four bytes.

use rendezvous_core::Invalid;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{MAX_LEVELS, SIZES, Sketch, room};

#[derive(Serialize, Deserialize)]
struct Wire {
    size: u16,
    coins: u64,
    least: f64,
    greatest: f64,
    begun: u64,
    kept_odd: u64,
    variance: f64,
    levels: Vec<Vec<u32>>,
}

impl Serialize for Sketch {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Wire::from(self.clone()).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Sketch {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Wire::deserialize(from)?.try_into().map_err(de::Error::custom)
    }
}

impl From<Sketch> for Wire {
    fn from(sketch: Sketch) -> Self {
        let Sketch { size, coins, least, greatest, begun, kept_odd, variance, .. } = sketch;
        let levels = sketch.levels.into_iter().map(distances).collect();
        Self { size, coins, least, greatest, begun, kept_odd, variance, levels }
    }
}

impl TryFrom<Wire> for Sketch {
    type Error = Invalid;

    fn try_from(wire: Wire) -> Result<Self, Invalid> {
        let Wire { size, coins, least, greatest, begun, kept_odd, variance, levels } = wire;
        let depth = levels.len();
        if !SIZES.contains(&size) || depth == 0 || depth > MAX_LEVELS {
            return Err(Invalid::new("a sketch of an unknown size"));
        }
        let kept = levels.iter().map(Vec::len).sum();
        let room = room(size, depth, 0);
        if kept > room {
            return Err(Invalid::new("a sketch of more values than its size allows"));
        }
        let weights =
            levels.iter().enumerate().map(|(level, values)| (values.len() as u64) << level);
        let count = weights.sum();
        let levels: Vec<Vec<f32>> = levels.iter().map(|of| values(of)).collect::<Result<_, _>>()?;
        let ordered = count == 0 || least <= greatest;
        if !(variance >= 0.0 && variance.is_finite() && ordered) {
            return Err(Invalid::new("a sketch whose figures are no numbers"));
        }
        let (least, greatest) =
            if count == 0 { (f64::INFINITY, f64::NEG_INFINITY) } else { (least, greatest) };
        Ok(Self {
            size,
            coins,
            count,
            least,
            greatest,
            levels,
            kept,
            room,
            begun,
            kept_odd,
            variance,
        })
    }
}

fn distances(values: Vec<f32>) -> Vec<u32> {
    let mut keys: Vec<u32> = values.into_iter().map(key).collect();
    keys.sort_unstable();
    let mut before = 0;
    for key in &mut keys {
        *key -= std::mem::replace(&mut before, *key);
    }
    keys
}

fn values(distances: &[u32]) -> Result<Vec<f32>, Invalid> {
    let mut key = 0_u32;
    let value = |distance: &u32| {
        key = key.checked_add(*distance)?;
        Some(value(key)).filter(|value| !value.is_nan())
    };
    let values: Option<_> = distances.iter().map(value).collect();
    values.ok_or_else(|| Invalid::new("a sketch with a value that is no number"))
}

const SIGN: u32 = 1 << 31;

/// A number that is in the order of the values.
fn key(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

fn value(key: u32) -> f32 {
    f32::from_bits(if key & SIGN == 0 { !key } else { key & !SIGN })
}
