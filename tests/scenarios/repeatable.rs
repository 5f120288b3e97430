//! Two runs with one seed leave the same trace.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use rendezvous_core::{
    Failure, FailureKind, Json, ScoreMessage,
    memory::{MemoryArchive, Position, StoredRecord, Trouble},
    random,
};
use rendezvous_model::{Model, Profile};
use rendezvous_sim::{
    Conditions, Size, Trace,
    fault::{Fault, Shares},
    mapping::Mapping,
    weather::Weather,
};
use rendezvous_tests::{CONFIGURATION, World, endpoint, model};
use tokio::{runtime::Builder, time::sleep};

use crate::taken;

const MODELS: [&str; 4] = ["a@1", "b@1", "c@1", "d@1"];
const CLIENTS: usize = 12;
const CALLS_OF_EACH: usize = 25;

/// A model that takes up to 300 ms, fails now and then, and sometimes hangs.
struct Moody(Profile);

impl Model for Moody {
    fn profile(&self) -> &Profile {
        &self.0
    }

    async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, Failure>> {
        let payload = payloads[0].as_str();
        let mood = random::fraction("mood", payload);
        sleep(Duration::from_millis(300).mul_f64(random::fraction("delay", payload))).await;
        let result = if mood < 0.03 {
            std::future::pending().await
        } else if mood < 0.1 {
            Err(Failure::new(FailureKind::Failed, "in a bad mood"))
        } else {
            Ok(Json::parse(&format!("{{\"p\": {mood}}}")).unwrap())
        };
        vec![result; payloads.len()]
    }
}

fn profile(id: &str) -> Profile {
    Profile {
        id: model(id),
        endpoints: HashSet::from([endpoint()]),
        timeout: Duration::from_millis(500),
        scores_expired: false,
    }
}

/// Asks, now and then twice with one key, or without waiting, and reports outcomes.
async fn client(world: &World, number: usize) {
    for call in 0..CALLS_OF_EACH {
        let payload = format!("{{\"client\": {number}, \"call\": {call}}}");
        sleep(Duration::from_millis(80).mul_f64(random::fraction("pause", &payload))).await;
        let key = format!("{number}-{call}");
        let reply = match call % 5 {
            0 => world.ask_with(&payload, &[("Prefer", "respond-async")]).await,
            1 => {
                let headers = [("Idempotency-Key", key.as_str())];
                let ask = || world.ask_with(&payload, &headers);
                tokio::join!(ask(), ask()).0
            }
            _ => world.ask(&payload).await,
        };
        // Ingress has died: API Gateway answers without a request id.
        if reply.status == 502 {
            continue;
        }
        let path = format!("/v1/endpoints/e/requests/{}/outcome", reply.id());
        world.call(Method::PUT, &path, &[], "true").await;
    }
}

/// Throttles the ledger and kills models, again and again.
async fn make_trouble(world: &World) {
    for round in 0..10 {
        let quiet = random::fraction("quiet", &round.to_string());
        sleep(Duration::from_millis(400).mul_f64(quiet)).await;
        world.system.ledger.outage.set(Trouble::Throttled);
        let faults = world.system.faults(&model(MODELS[round % 4])).unwrap();
        faults.kill(round % 2 == 0);
        sleep(Duration::from_millis(40)).await;
        world.system.ledger.outage.set(Trouble::None);
    }
    for id in MODELS {
        world.system.faults(&model(id)).unwrap().kill(false);
    }
}

/// The trace of a run, and every file of its archive.
fn run(seed: u64) -> (Vec<String>, Vec<(String, Bytes)>) {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _seed = random::seed(seed);
    runtime.block_on(async {
        let trace = Arc::new(Trace::default());
        let shares = Shares::usual()
            .with(Fault::DiesAfter, 0.02)
            .with(Fault::Redelivery, 0.05)
            .with(Fault::SentAgain, 0.02);
        let size = Size {
            decoy: Mapping { batch_size: 50, ..Size::default().decoy },
            conditions: Conditions {
                trace: Some(trace.clone()),
                weather: Some(Arc::new(Weather::new(shares))),
                witness: None,
            },
            ..Size::default()
        };
        let world = World::on(MemoryArchive::default(), CONFIGURATION, size).await;
        for id in MODELS {
            world.system.add_model(Moody(profile(id)));
        }
        world.system.actor("b@1").unwrap().set_clock_ahead(20_000);
        world.system.actor("rendezvous").unwrap().set_clock_ahead(-15_000);
        let clients = join_all((0..CLIENTS).map(|number| client(&world, number)));
        tokio::join!(clients, make_trouble(&world));
        world.drain().await;
        world.system.stop().await;
        (trace.lines(), world.system.archive.files())
    })
}

#[tokio::test(start_paused = true)]
async fn models_draw_for_themselves_and_have_their_own_clocks() {
    let _seed = random::seed(1);
    let world = World::new().await;
    for id in ["a@1", "b@1"] {
        world.system.add_model(Moody(profile(id)));
    }
    world.system.actor("b@1").unwrap().set_clock_ahead(20_000);
    let sent = world.system.scores.subscribe(Position::Latest, 1);
    world.ask("1").await;
    sleep(Duration::from_secs(1)).await;
    let records = taken(sent).await;
    let score = |record: &Arc<StoredRecord>| {
        (ScoreMessage::parse(&record.data).unwrap().score, record.arrived)
    };
    let mut scores: Vec<_> = records.iter().map(score).collect();
    scores.sort_by(|(one, _), (other, _)| one.model.cmp(&other.model));
    let [(a, a_arrived), (b, b_arrived)] = &scores[..] else { panic!("{scores:?}") };
    assert_ne!(a.result, b.result);
    let ahead = Duration::from_millis(20);
    assert_eq!(b.started, a.started + ahead);
    // The stream has a clock of its own.
    assert_eq!((a.finished, b.finished), (*a_arrived, *b_arrived + ahead));
}

#[test]
fn one_seed_gives_one_trace_and_another_seed_another() {
    let (first, files) = run(1);
    let (second, same_files) = run(1);
    for (number, (one, two)) in first.iter().zip(&second).enumerate() {
        assert_eq!(one, two, "line {number} of the trace");
    }
    assert_eq!(first.len(), second.len());
    assert!(files == same_files, "the archives differ");

    let (other, other_files) = run(2);
    assert_ne!(first, other);
    assert!(files != other_files);

    // Every fault has happened, and the trace has every port.
    for (what, at_least) in [
        (": Crashed: ", 20),
        ("! dies-after", 20),
        ("! sent-again", 20),
        (", attempt 2", 10),
        ("FailedFrom", 1),
        ("answers call", CLIENTS * CALLS_OF_EACH),
        ("ledger.write", 500),
        ("ledger.read", 50),
        ("ledger.watch", 500),
        ("decision: Some(Decision", 200),
        ("stream.put", 1_000),
        ("archive.put requests/", 5),
        ("archive.put scores/", 5),
        ("archive.put decisions/", 5),
        ("archive.put outcomes/", 5),
        ("outcomes.put", 200),
        ("endpoints.version", 5),
        ("secrets.idempotency", 50),
    ] {
        let count = first.iter().filter(|line| line.contains(what)).count();
        assert!(count >= at_least, "{what}: {count} times");
    }
}
