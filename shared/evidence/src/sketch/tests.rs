use super::*;
use crate::bytes::{from_bytes, to_bytes};

/// The errors of the rank of a value, in units of the deviation that is counted, for many seeds.
fn errors(values: u32, of: f64) -> Vec<f64> {
    let mut random = fastrand::Rng::with_seed(5);
    let mut all: Vec<f64> = (0..values).map(f64::from).collect();
    let error = |seed: u64| {
        random.shuffle(&mut all);
        let mut sketch = Sketch::of_size(32, seed);
        for x in &all {
            sketch.push(*x);
        }
        let share = sketch.share_up_to(of).unwrap() - (of + 1.0) / f64::from(values);
        share * f64::from(values) / sketch.variance.sqrt()
    };
    (0..1_000).map(error).collect()
}

/// Were the coins always the same, or did pairs not keep opposite values, the errors would not be zero on
/// average, or larger.
#[test]
fn errors_are_zero_on_average_and_pairs_halve_their_variance() {
    for (values, of) in [(1_000, 333.0), (3_000, 1_234.0), (5_000, 4_321.0)] {
        let errors = errors(values, of);
        let n = errors.len() as f64;
        let mean = errors.iter().sum::<f64>() / n;
        let variance = errors.iter().map(|error| error * error).sum::<f64>() / n;
        assert!(mean.abs() < 0.1, "{values}, {of}: {mean}");
        // An error of 0 or 1 half of the time each; without pairs it would be twice as much.
        assert!((0.3..0.75).contains(&variance), "{values}, {of}: {variance}");
    }
}

#[test]
fn bytes_with_more_values_than_there_is_room_for_are_refused() {
    let mut sketch = Sketch::of_size(16, 1);
    sketch.levels[0] = (0_u16..17).map(f32::from).collect();
    (sketch.least, sketch.greatest) = (0.0, 16.0);
    assert!(from_bytes::<Sketch>(&to_bytes(&sketch).unwrap()).is_err());
    sketch.levels[0].pop();
    assert_eq!(from_bytes::<Sketch>(&to_bytes(&sketch).unwrap()).unwrap().count(), 16);
    sketch.variance = f64::NAN;
    assert!(from_bytes::<Sketch>(&to_bytes(&sketch).unwrap()).is_err());
}
