//! How far the ranks of a sketch are off, in any order and grouping of merges.
//!
//! The table of the module's documentation, measured (some seconds):
//!
//!     cargo test --release --workspace --test evidence sketch -- --ignored --nocapture

use fastrand::Rng;
use rendezvous_evidence::{
    Confidence,
    bytes::{from_bytes, to_bytes},
    sketch::{SIZE, Sketch},
};

/// What values are like: skewed, all different, and some that occur very often.
fn draw(random: &mut Rng) -> f64 {
    match random.u8(0..10) {
        0 => 0.0,
        1 => 0.25,
        _ => random.f64().powi(3) - 0.1,
    }
}

/// The greatest difference of the share of values up to `x` over all `x` that occur.
fn worst(sketch: &Sketch, values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let (steps, n) = (sketch.steps(), values.len() as f64);
    let mut worst = 0.0_f64;
    for (i, x) in values.iter().enumerate() {
        // Of equal values the last says how many there are up to it. As kept, values are rounded.
        #[expect(clippy::cast_possible_truncation, reason = "as values are kept")]
        let is_last = values.get(i + 1).is_none_or(|next| *next as f32 > *x as f32);
        if is_last {
            #[expect(clippy::cast_possible_truncation, reason = "as values are kept")]
            let rounded = f64::from(*x as f32).max(*x);
            worst = worst.max((steps.share_up_to(rounded) - (i + 1) as f64 / n).abs());
        }
    }
    worst
}

/// Merges sketches of `each` values in a random order and grouping.
fn merged(random: &mut Rng, size: u16, total: usize, each: usize) -> (Sketch, Vec<f64>) {
    let values: Vec<f64> = (0..total).map(|_| draw(random)).collect();
    let mut sketches: Vec<Sketch> = values
        .chunks(each)
        .map(|chunk| {
            let mut sketch = Sketch::of_size(size, random.u64(..));
            for x in chunk {
                sketch.push(*x);
            }
            sketch
        })
        .collect();
    while sketches.len() > 1 {
        let other = sketches.swap_remove(random.usize(..sketches.len()));
        let at = random.usize(..sketches.len());
        sketches[at].merge(&other);
    }
    (sketches.remove(0), values)
}

#[test]
fn any_order_and_grouping_of_merges_stays_within_the_bound_and_counts_exactly() {
    let mut random = Rng::with_seed(17);
    for _ in 0..60 {
        let (total, each) = (random.usize(1..40_000), random.usize(1..3_000));
        let (sketch, mut values) = merged(&mut random, SIZE, total, each);
        let off = worst(&sketch, &mut values);
        assert!(off <= sketch.rank_error(Confidence::DEFAULT), "{total} by {each}: {off}");
        assert_eq!(sketch.count(), total as u64);
        assert_eq!(sketch.least(), values.first().copied());
        assert_eq!(sketch.greatest(), values.last().copied());
        let read: Sketch = from_bytes(&to_bytes(&sketch).unwrap()).unwrap();
        assert_eq!(read.steps(), sketch.steps());
        assert_eq!(to_bytes(&read), to_bytes(&sketch));
    }
}

/// Were the coins always the same, the errors of all compactions would add up.
#[test]
fn values_that_always_grow_are_within_the_bound() {
    let mut sketch = Sketch::new(1);
    let mut values: Vec<f64> = (0..300_000).map(f64::from).collect();
    for x in &values {
        sketch.push(*x);
    }
    let (off, bound) = (worst(&sketch, &mut values), sketch.rank_error(Confidence::DEFAULT));
    assert!(off <= bound && bound < 0.015, "{off} {bound}");
    let median = sketch.quantile(0.5).unwrap();
    assert!((median / 150_000.0 - 1.0).abs() < 2.0 * bound, "{median}");
    assert_eq!((sketch.quantile(0.0), sketch.quantile(1.0)), (Some(0.0), Some(299_999.0)));
}

#[test]
fn few_values_are_kept_exactly() {
    let mut sketch = Sketch::new(1);
    assert_eq!((sketch.quantile(0.5), sketch.share_up_to(1.0), sketch.least()), (None, None, None));
    for x in [3.0, -0.0, f64::NAN, f64::INFINITY, 1.0, f64::NEG_INFINITY, 0.1] {
        sketch.push(x);
    }
    assert_eq!(sketch.count(), 6, "NaN is not counted");
    assert_eq!(sketch.share_up_to(0.0), Some(2.0 / 6.0));
    assert_eq!(sketch.share_up_to(0.1), Some(0.5), "what is asked for is rounded as well");
    assert_eq!(sketch.quantile(0.0), Some(f64::NEG_INFINITY));
    assert_eq!(sketch.quantile(0.5), Some(f64::from(0.1_f32)));
    assert_eq!(sketch.quantile(1.0), Some(f64::INFINITY));
    assert!(sketch.rank_error(Confidence::DEFAULT) == 0.0);
}

#[test]
fn a_seed_repeats_the_sketch() {
    let of = |seed| {
        let mut sketch = Sketch::new(seed);
        (0..10_000).for_each(|i| sketch.push(f64::from(i * 7_919 % 10_007)));
        to_bytes(&sketch).unwrap()
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn malformed_bytes_are_an_error_and_never_a_panic() {
    let mut random = Rng::with_seed(3);
    let (sketch, _) = merged(&mut random, SIZE, 20_000, 600);
    let bytes = to_bytes(&sketch).unwrap();
    assert!(from_bytes::<Sketch>(&[]).is_err());
    for end in 0..bytes.len() {
        assert!(from_bytes::<Sketch>(&bytes[..end]).is_err(), "cut after {end} bytes");
    }
    assert!(from_bytes::<Sketch>(&[&bytes[..], &[0]].concat()).is_err());
    let mut read = 0;
    for _ in 0..5_000 {
        let mut wrong = bytes.clone();
        for _ in 0..random.usize(1..5) {
            let at = random.usize(..wrong.len());
            wrong[at] = random.u8(..);
        }
        // What can be read can be used.
        if let Ok(mut other) = from_bytes::<Sketch>(&wrong) {
            other.merge(&sketch);
            (0..2_000).for_each(|_| other.push(random.f64()));
            other.quantile(0.5);
            read += 1;
        }
    }
    assert!(read > 0);
}

#[test]
#[ignore = "prints the table of the documentation"]
fn table() {
    println!("//! | size | values | merged | bytes | proven bound | measured |");
    println!("//! | ---: | ---: | --- | ---: | ---: | ---: |");
    for size in [64, 128, 256, 400] {
        for (total, each) in [(600, 600), (36_000, 600), (864_000, 600), (864_000, 864_000)] {
            let mut random = Rng::with_seed(5);
            let (mut bytes, mut bound, mut measured) = (0, 0.0_f64, 0.0_f64);
            for _ in 0..20 {
                let (sketch, mut values) = merged(&mut random, size, total, each);
                bytes = bytes.max(to_bytes(&sketch).unwrap().len());
                bound = bound.max(sketch.rank_error(Confidence::DEFAULT));
                measured = measured.max(worst(&sketch, &mut values));
            }
            let merged = if total > each { "yes" } else { "no" };
            let (bound, measured) = (bound * 100.0, measured * 100.0);
            println!(
                "//! | {size} | {total} | {merged} | {bytes} | {bound:.2} % | {measured:.2} % |"
            );
        }
    }
}
