//! What-if against what happens: two runs of the whole system in virtual time, of one seed, that differ
//! in the deadline. The second is predicted from the archive of the first.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use futures_util::future::join_all;
use rendezvous_archive::{
    Decided, Joined,
    join::{Wanted, join},
};
use rendezvous_core::{Arm, Configuration, Failure, FailureKind, Json, Kind, RequestId, random};
use rendezvous_evidence::whatif::{Conditions, Configurations, FilingTime, Report, Side, WhatIf};
use rendezvous_model::{Model, Profile};
use rendezvous_sim::Size;
use rendezvous_tests::{MARGIN_MS, World, endpoint};
use tokio::time::sleep;

/// How long a model takes at least and at most, in milliseconds.
const MODELS: [(&str, u64, u64); 3] = [("a@1", 5, 700), ("b@1", 5, 300), ("c@1", 5, 60)];

fn configuration(deadline_ms: u64) -> Configuration {
    let text = format!(
        r#"{{ "schedule": {{
                "choices": [ {{ "model": "a@1" }},
                             {{ "model": "b@1", "after_ms": 60 }},
                             {{ "model": "c@1", "after_ms": 130 }} ],
                "deadline_ms": {deadline_ms},
                "fallback": {{ "p": 0.22 }} }},
            "value": "/p" }}"#
    );
    Configuration::parse(&text).unwrap()
}

/// A model whose delay and result follow from its name and the number in the payload.
struct Drawn {
    profile: Profile,
    delays: std::ops::RangeInclusive<u64>,
}

impl Model for Drawn {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, Failure>> {
        let seed = payloads.iter().map(|json| json.as_str().parse::<u64>().unwrap()).sum::<u64>();
        let name = u64::from(self.profile.id.as_str().as_bytes()[0]);
        let mut random = fastrand::Rng::with_seed(seed << 8 | name);
        sleep(Duration::from_millis(random.u64(self.delays.clone()))).await;
        let result = match random.u8(..10) {
            0 => Err(Failure::new(FailureKind::Failed, "drawn")),
            _ => Ok(Json::parse("{\"p\":0.5}").unwrap()),
        };
        vec![result; payloads.len()]
    }
}

/// The load of a run.
#[derive(Clone, Copy)]
struct Load {
    requests: u64,
    /// From one request to the next, in milliseconds.
    apart_ms: u64,
    /// Whether the models score requests whose deadline has passed.
    scores_expired: bool,
}

/// Plays a run and returns what its archive holds.
async fn play(deadline_ms: u64, load: Load) -> BTreeMap<RequestId, Joined> {
    let _seed = random::seed(7);
    let text = serde_json::to_string(&configuration(deadline_ms)).unwrap();
    let world = World::with(&text, Size::default()).await;
    for (id, least, most) in MODELS {
        let profile = Profile {
            id: id.parse().unwrap(),
            endpoints: HashSet::from([endpoint()]),
            timeout: Duration::from_secs(5),
            scores_expired: load.scores_expired,
        };
        world.system.add_model(Drawn { profile, delays: least..=most });
    }
    let world = &world;
    let ask = |number: u64| async move {
        sleep(Duration::from_millis(number * load.apart_ms)).await;
        assert_eq!(world.ask(&number.to_string()).await.status, 200);
    };
    join_all((0..load.requests).map(ask)).await;
    world.drain().await;
    let joined = join(&*world.system.archive, &Wanted::all(endpoint()), |_| {}).await.unwrap();
    let mut requests = BTreeMap::new();
    let each = |request: Joined| {
        requests.insert(request.id, request);
        Ok(())
    };
    joined.each(each).unwrap();
    requests
}

/// What would have come of these requests under another deadline.
fn predict(requests: &[&Joined], deadline_ms: u64, filing: Duration, real_ms: u64) -> Report {
    let schedule = configuration(deadline_ms).schedule(&Arm::main()).clone();
    let margin = Duration::from_secs_f64(MARGIN_MS / 1e3);
    let configurations = Configurations::from([(1, configuration(real_ms))]);
    let conditions = Conditions { filing, margin };
    let mut whatif = WhatIf::new(&endpoint(), schedule, Vec::new(), conditions, &configurations);
    for request in requests {
        whatif.push(request);
    }
    whatif.report()
}

fn filing(requests: &BTreeMap<RequestId, Joined>) -> Duration {
    let mut filing = FilingTime::default();
    for request in requests.values() {
        filing.push(request);
    }
    filing.median()
}

/// Who answers, of what kind, and after how many milliseconds.
fn real(decision: &Decided) -> (String, Kind, f64) {
    let model = decision.model.as_ref().map(ToString::to_string).unwrap_or_default();
    let elapsed = decision.decided.since(decision.received);
    (model, decision.kind, elapsed.as_secs_f64() * 1e3)
}

/// The same of a report about one request.
fn predicted(report: &Report) -> (String, Kind, f64) {
    let side = &report.whatif;
    let model = side.models.keys().next().cloned().unwrap_or_default();
    let kind = *side.kinds.iter().find(|(_, count)| **count == 1).unwrap().0;
    (model, kind, side.elapsed_ms.p50)
}

/// Which predictions are wrong, and the report about all.
async fn wrong(from_ms: u64, to_ms: u64, load: Load) -> (Vec<String>, Report) {
    let (first, second) = (play(from_ms, load).await, play(to_ms, load).await);
    assert_eq!(first.len() as u64, load.requests);
    assert!(first.keys().eq(second.keys()), "both runs have the same requests");
    let filing = filing(&first);
    let mut wrong = Vec::new();
    for (id, request) in &first {
        let predicted = predicted(&predict(&[request], to_ms, filing, from_ms));
        let real = real(second[id].decision.as_ref().unwrap());
        // Timers have milliseconds, quantiles three digits.
        let is_close = (predicted.2 - real.2).abs() <= 1.5;
        if (&predicted.0, predicted.1) != (&real.0, real.1) || !is_close {
            wrong.push(format!("{id}: predicted {predicted:?}, was {real:?}"));
        }
    }
    let all: Vec<&Joined> = first.values().collect();
    let report = predict(&all, to_ms, filing, from_ms);
    assert_eq!(report.recomputed.same, load.requests, "{:?}", report.recomputed);
    assert!(report.changed > load.requests / 40, "the deadline matters: {}", report.changed);
    for kind in [Kind::Champion, Kind::StandIn, Kind::Fallback] {
        let happens = |side: &Side| side.kinds[&kind] > 0;
        assert!(happens(&report.real) || happens(&report.whatif), "{kind:?} never happens");
    }
    (wrong, report)
}

/// A request every 40 ms, for models of which one takes up to 700 ms: queues are usual.
const DENSE: Load = Load { requests: 600, apart_ms: 40, scores_expired: true };

#[tokio::test(start_paused = true)]
async fn a_shorter_deadline_is_predicted_request_by_request() {
    let (wrong, report) = wrong(400, 150, DENSE).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(report.changed_range.at_least, report.changed_range.at_most);
}

#[tokio::test(start_paused = true)]
async fn a_longer_deadline_is_predicted_where_models_score_late_requests_too() {
    let (wrong, _) = wrong(150, 400, DENSE).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_shorter_deadline_is_predicted_where_models_shed_late_requests_if_there_are_no_queues() {
    let load = Load { requests: 200, apart_ms: 1_000, scores_expired: false };
    let (wrong, _) = wrong(400, 150, load).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Equality cannot hold here: a model that sheds late requests has a shorter queue under a shorter
/// deadline, and so scores others sooner. No archive knows how much.
#[tokio::test(start_paused = true)]
async fn where_models_shed_late_requests_of_a_queue_the_prediction_errs_on_the_slow_side() {
    let load = Load { scores_expired: false, ..DENSE };
    let (wrong, report) = wrong(400, 150, load).await;
    let second = play(150, load).await;
    let fallbacks = second.values().filter_map(|request| request.decision.as_ref());
    let fallbacks = fallbacks.filter(|decision| decision.kind == Kind::Fallback).count();
    let really = fallbacks as f64 / load.requests as f64;
    let predicted = report.whatif.fallback_rate.unwrap();
    println!("{} wrong, fallbacks {predicted} predicted, {really} real", wrong.len());
    assert!(!wrong.is_empty() && wrong.len() < 120, "{} of 600 are wrong", wrong.len());
    assert!((predicted - really).abs() < 0.03, "fallbacks: {predicted} predicted, {really} real");
}
