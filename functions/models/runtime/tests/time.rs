//! The function ends before its own time-out, whatever the model and the stream do.

use std::time::Duration;

use crate::common::{Bench, profile};
use rendezvous_core::{Failure, Json, clock, memory::Trouble, now};
use rendezvous_model::{Model, Profile, time::DEFAULT_FUNCTION_TIMEOUT};
use tokio::time::{Instant, sleep};

/// Panics after so long on a batch of several payloads; hangs on a single one.
struct PanicsThenHangs {
    profile: Profile,
    panics_after: Duration,
}

impl Model for PanicsThenHangs {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn largest_batch(&self) -> usize {
        100
    }

    async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, Failure>> {
        if payloads.len() == 1 {
            std::future::pending::<()>().await;
        }
        sleep(self.panics_after).await;
        panic!("on purpose")
    }
}

fn bench(timeout: Duration, panics_after: Duration) -> Bench<PanicsThenHangs> {
    Bench::new(PanicsThenHangs { profile: profile(timeout), panics_after })
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_panic_and_the_time_outs_after_it_are_sent_before_the_function_ends() {
    for trouble in [Trouble::None, Trouble::Throttled] {
        clock::simulate(now());
        let bench = bench(24 * SECOND, 20 * SECOND);
        bench.scores.outage.set(trouble);
        let start = Instant::now();
        let again = bench.handle(&["1", "2"]).await;
        let took = start.elapsed();
        assert!(took < DEFAULT_FUNCTION_TIMEOUT, "{trouble:?}: {took:?}");
        assert_eq!(bench.report().timed_out, 2);
        if trouble == Trouble::None {
            let message = "no score within 4000 ms, which were left of the function's time-out";
            assert_eq!(bench.sent().await, [message; 2]);
        } else {
            assert_eq!(again.as_deref(), Some("0"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_that_leaves_time_gives_each_payload_the_models_own_time_out() {
    let bench = bench(3 * SECOND, 2 * SECOND);
    assert_eq!(bench.handle(&["1", "2"]).await, None);
    assert_eq!(bench.sent().await, ["no score within 3000 ms"; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_may_hang_for_longer_than_its_function_runs_times_out_earlier() {
    clock::simulate(now());
    let bench = bench(29 * SECOND, SECOND);
    bench.scores.outage.set(Trouble::Throttled);
    let start = Instant::now();
    assert_eq!(bench.handle(&["1"]).await.as_deref(), Some("0"));
    assert!(start.elapsed() < DEFAULT_FUNCTION_TIMEOUT, "{:?}", start.elapsed());
}

#[test]
fn a_time_out_that_does_not_fit_the_functions_is_refused_with_what_to_do() {
    let refused = |model: Duration, function: Duration| {
        bench(model, SECOND).function.with_timeout(function).err().unwrap().to_string()
    };
    assert_eq!(
        refused(29 * SECOND, 30 * SECOND),
        "the time-out of model m@1 is 29000 ms, but its function ends after 30 s, the last 6 s of \
         which are for sending scores: set timeout_ms in the model card to 24000 or less, or the \
         function's time-out to 35 s or more"
    );
    assert!(
        refused(Duration::from_millis(50), 5 * SECOND)
            .ends_with("for sending scores: set the function's time-out to 7 s or more")
    );
    assert!(bench(24 * SECOND, SECOND).function.with_timeout(30 * SECOND).is_ok());
}
