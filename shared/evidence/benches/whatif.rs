//! How fast archived requests are recomputed once they are read: one in force, one under another schedule.

#![expect(clippy::expect_used, reason = "a bench with wrong constants ends")]

use std::time::Duration;

use divan::{Bencher, counter::ItemsCount};
use rendezvous_archive::{Asked, Decided, Joined, Reported, Scored};
use rendezvous_core::{
    Arm, Configuration, EndpointName, Kind, ModelId, Reason, RequestId, Timestamp,
};
use rendezvous_evidence::whatif::{Conditions, Configurations, WhatIf};

fn main() {
    divan::main();
}

const MODELS: [&str; 5] = ["a@1", "b@1", "c@1", "d@1", "e@1"];

const CONFIGURATION: &str = r#"{
    "schedule": {
        "choices": [ { "model": "a@1" }, { "model": "b@1", "after_ms": 60 }, { "model": "c@1", "after_ms": 120 } ],
        "deadline_ms": 200, "fallback": { "p": 0.2 } },
    "observers": [ { "model": "d@1", "role": "challenger" }, { "model": "e@1", "role": "canary" } ],
    "value": "/p" }"#;

/// A request of which each model's score arrives within 300 ms.
fn request(number: u64, models: &[ModelId]) -> Joined {
    let mut random = fastrand::Rng::with_seed(number);
    let received = Timestamp::from_micros(1_763_794_344_000_000) + Duration::from_millis(number);
    let deadline = received + Duration::from_millis(200);
    let mut scores: Vec<Scored> = models
        .iter()
        .map(|model| Scored {
            model: model.clone(),
            arrived: received + Duration::from_micros(random.u64(2_000..300_000)),
            started: received,
            finished: received,
            value: Some(random.f64()),
            failure: None,
            replayed: false,
        })
        .collect();
    scores.sort_by_key(|score| score.arrived);
    Joined {
        id: RequestId::from_bytes(u128::from(number).to_be_bytes()),
        request: Some(Asked {
            config: 1,
            arm: Arm::main(),
            key: None,
            received,
            deadline,
            skip: Vec::new(),
            segment: None,
            arrived: received,
        }),
        decision: Some(Decided {
            config: 1,
            arm: Arm::main(),
            received,
            deadline,
            decided: deadline,
            kind: Kind::Fallback,
            reason: Reason::Deadline,
            model: None,
            seen: vec![models[3].clone()],
            presumed: Vec::new(),
            value: Some(0.2),
        }),
        outcome: Some(Reported { arrived: deadline, first: Some(1.0), last: Some(1.0) }),
        scores,
        retried: false,
    }
}

#[divan::bench]
fn requests(bencher: Bencher<'_, '_>) {
    let models = MODELS.map(|model| model.parse().expect("a model"));
    let requests: Vec<Joined> = (0..10_000).map(|number| request(number, &models)).collect();
    let configuration = Configuration::parse(CONFIGURATION).expect("a configuration");
    let configurations = Configurations::from([(1, configuration.clone())]);
    let endpoint: EndpointName = "e".parse().expect("a name");
    let schedule = configuration.schedule(&Arm::main()).clone();
    let conditions =
        Conditions { filing: Duration::from_millis(1), margin: Duration::from_millis(5) };
    let mut whatif = WhatIf::new(&endpoint, schedule, Vec::new(), conditions, &configurations);
    bencher.counter(ItemsCount::new(requests.len())).bench_local(|| {
        for request in &requests {
            whatif.push(request);
        }
    });
}
