//! How often confidence sequences err, and how many requests they need: simulated streams of two
//! models on the same requests.
//!
//! The figures of the crate's claims, at full size (2,000 streams each of 50,000 requests, some
//! minutes):
//!
//!     cargo test --release -p rendezvous-evidence --test evidence streams -- --ignored --nocapture

use fastrand::Rng;
use rendezvous_evidence::{Confidence, MeanSequence, loss::brier};

/// Two models' values for a request, and its outcome.
type Request = (f64, f64, f64);

/// Draws the requests of one stream, in order.
trait Stream: FnMut(&mut Rng) -> Request {}
impl<F: FnMut(&mut Rng) -> Request> Stream for F {}

/// After how many requests, looked at after every 100, the interval of the Brier difference first
/// excludes zero.
fn first_claim(mut stream: impl Stream, random: &mut Rng, requests: u32) -> Option<u32> {
    let mut sequence = MeanSequence::of_differences(1.0);
    (1..=requests).find(|n| {
        let (first, second, outcome) = stream(random);
        sequence.push(brier(first, outcome) - brier(second, outcome));
        n % 100 == 0 && sequence.excludes_zero(Confidence::DEFAULT)
    })
}

/// The first claims of many streams.
fn claims<S: Stream>(stream: impl Fn() -> S, streams: u32, requests: u32) -> Vec<Option<u32>> {
    let mut random = Rng::with_seed(2_021);
    (0..streams).map(|_| first_claim(stream(), &mut random, requests)).collect()
}

fn outcome(probability: f64, random: &mut Rng) -> f64 {
    f64::from(u8::from(random.f64() < probability))
}

fn normal(random: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.f64()).cos()
}

/// Both models err in the same way, independently: neither is better, and the difference of their
/// losses is symmetric.
fn symmetric() -> impl Stream {
    |random| {
        // Beta(2, 5): the second of six uniform numbers.
        let mut uniform: [f64; 6] = std::array::from_fn(|_| random.f64());
        uniform.sort_unstable_by(f64::total_cmp);
        let truth = uniform[1];
        let mut model = || (truth + 0.15 * normal(random)).clamp(0.0, 1.0);
        (model(), model(), outcome(truth, random))
    }
}

/// The first errs by 0.1 on every request, the second by 0.5 on every 25th and not on others: equal
/// mean squares, and a difference of losses that is far from symmetric.
fn skewed() -> impl Stream {
    |random| {
        let truth = 0.1 + 0.4 * random.f64();
        let first = truth + if random.bool() { 0.1 } else { -0.1 };
        let second = truth + if random.f64() < 0.04 { 0.5 } else { 0.0 };
        (first, second, outcome(truth, random))
    }
}

/// A value that forgets the part `1 - memory` of itself at each request, normal over the long run.
fn remembering(memory: f64) -> impl FnMut(&mut Rng) -> f64 {
    let mut state = None;
    move |random| {
        let fresh = normal(random);
        let next =
            state.map_or(fresh, |last: f64| memory * last + (1.0 - memory * memory).sqrt() * fresh);
        state = Some(next);
        next
    }
}

/// Requests resemble the ones before (`memory` 0.95, e.g. the delays of one bad day), and the
/// models' errors resemble their own errors before.
fn autocorrelated(memory_of_errors: f64) -> impl Stream {
    let mut truth = remembering(0.95);
    let mut first = remembering(memory_of_errors);
    let mut second = remembering(memory_of_errors);
    move |random| {
        let truth = 1.0 / (1.0 + (1.0 - truth(random)).exp());
        let value = |error: f64| (truth + 0.15 * error).clamp(0.0, 1.0);
        (value(first(random)), value(second(random)), outcome(truth, random))
    }
}

/// The second is better by 0.005: the models' errors have the variances 0.01 and 0.005, or are
/// larger by what `noise` says.
fn different(noise: f64) -> impl Stream {
    move |random| {
        let truth = 0.35 + 0.3 * random.f64();
        // Two-point errors: within [0, 1] without clamping, so that the difference is exact.
        let mut error =
            |variance: f64| if random.bool() { variance.sqrt() } else { -variance.sqrt() };
        let (first, second) = (truth + error(noise + 0.005), truth + error(noise));
        (first, second, outcome(truth, random))
    }
}

/// The share of streams that claim a difference.
fn share_of_claims(claims: &[Option<u32>]) -> f64 {
    claims.iter().flatten().count() as f64 / claims.len() as f64
}

/// The number of requests within which 90 % of the streams claim the difference.
fn requests_for_nine_of_ten(claims: &[Option<u32>]) -> u32 {
    let mut requests: Vec<u32> = claims.iter().map(|claim| claim.unwrap_or(u32::MAX)).collect();
    requests.sort_unstable();
    requests[claims.len() * 9 / 10 - 1]
}

fn equal_models_are_rarely_told_apart(streams: u32, requests: u32) {
    let shares = [
        ("symmetric", share_of_claims(&claims(symmetric, streams, requests))),
        ("skewed", share_of_claims(&claims(skewed, streams, requests))),
        ("autocorrelated", share_of_claims(&claims(|| autocorrelated(0.5), streams, requests))),
    ];
    for (name, share) in shares {
        println!("{name}: {:.2} % of {streams} streams claim a difference", 100.0 * share);
        assert!(share <= 0.01, "{name}: {share}");
    }
}

/// What it takes depends on how far the models' values are apart, here 0.12 and 0.16 (root mean
/// square), which is far for two models of the same requests.
fn a_difference_of_0_005_is_found(streams: u32) {
    for noise in [0.005, 0.01] {
        let requests = requests_for_nine_of_ten(&claims(|| different(noise), streams, 50_000));
        println!("values {:.2} apart: found within {requests} requests in 90 %", apart(noise));
        assert!(requests <= 50_000, "{noise}: {requests}");
    }
}

/// The root mean square of the difference of the two values of [`different`].
fn apart(noise: f64) -> f64 {
    (2.0 * noise + 0.005).sqrt()
}

#[test]
fn equal_models_are_rarely_told_apart_small() {
    equal_models_are_rarely_told_apart(200, 5_000);
}

#[test]
fn a_difference_of_0_005_is_found_small() {
    a_difference_of_0_005_is_found(50);
}

#[test]
#[ignore = "300 million requests: see the head of this file"]
fn equal_models_are_rarely_told_apart_full() {
    equal_models_are_rarely_told_apart(2_000, 50_000);
}

#[test]
#[ignore = "100 million requests: see the head of this file"]
fn a_difference_of_0_005_is_found_full() {
    a_difference_of_0_005_is_found(2_000);
}

/// Prints; asserts nothing.
#[test]
#[ignore = "a table for people: see the head of this file"]
fn how_many_requests_a_difference_of_0_005_takes() {
    for noise in [0.0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.06] {
        let requests = requests_for_nine_of_ten(&claims(|| different(noise), 1_000, 400_000));
        println!("values {:.2} apart: found within {requests} requests in 90 %", apart(noise));
    }
}

/// Prints; asserts nothing. Where errors persist, one model is better at length, and the average of
/// the conditional means, which the interval covers, is not zero: it is right to say so.
#[test]
#[ignore = "a table for people: see the head of this file"]
fn models_whose_errors_persist() {
    for memory in [0.0, 0.5, 0.8, 0.9, 0.95, 0.99] {
        let share = share_of_claims(&claims(|| autocorrelated(memory), 2_000, 50_000));
        println!("errors with memory {memory}: {:.2} % claim a difference", 100.0 * share);
    }
}
