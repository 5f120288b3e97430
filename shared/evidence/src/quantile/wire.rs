//! What counted times are as bytes: each bucket with times, as its distance from the one before it and its
//! count.

use rendezvous_core::Invalid;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{LONGEST, TimeQuantiles, bucket_of};

#[derive(Serialize, Deserialize)]
struct Wire(Vec<(u32, u64)>);

impl Serialize for TimeQuantiles {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Wire::from(self.clone()).serialize(to)
    }
}

impl<'de> Deserialize<'de> for TimeQuantiles {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Wire::deserialize(from)?.try_into().map_err(de::Error::custom)
    }
}

impl From<TimeQuantiles> for Wire {
    fn from(times: TimeQuantiles) -> Self {
        let mut before = 0;
        let filled = (0_u32..).zip(times.buckets).filter(|(_, count)| *count > 0);
        let distance = |(bucket, count)| (bucket - std::mem::replace(&mut before, bucket), count);
        Self(filled.map(distance).collect())
    }
}

impl TryFrom<Wire> for TimeQuantiles {
    type Error = Invalid;

    fn try_from(Wire(filled): Wire) -> Result<Self, Invalid> {
        let last = bucket_of(std::time::Duration::from_secs_f64(LONGEST / 1e6));
        let mut times = Self::default();
        let mut bucket = 0_usize;
        for (distance, count) in filled {
            bucket = bucket.saturating_add(distance as usize);
            if bucket > last {
                return Err(Invalid::new("a time that is longer than the longest"));
            }
            times.buckets.resize(bucket + 1, 0);
            let sum = times.count.checked_add(count);
            times.count = sum.ok_or_else(|| Invalid::new("more times than can be counted"))?;
            times.buckets[bucket] += count;
        }
        Ok(times)
    }
}
