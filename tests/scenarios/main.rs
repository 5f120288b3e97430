//! The system as its users meet it, each scenario a sentence, all in virtual time.

#![allow(clippy::unwrap_used, reason = "this is test code")]

mod alarms;
mod answers;
mod archived;
mod arms;
mod asynchronous;
mod configuration;
mod cost;
mod days;
mod delivery;
mod dependencies;
mod envelope;
mod failures;
mod idempotency;
mod large;
mod overdue;
mod overload;
mod owners;
mod ramps;
mod repeatable;
mod silence;

use std::{sync::Arc, time::Duration};

use rendezvous_core::memory::{StoredRecord, Subscription};
use rendezvous_tests::{CONFIGURATION, Does, Told, World};
use tokio::time::sleep;

/// The usual configuration without its fallback.
fn without_fallback() -> String {
    CONFIGURATION.replace(",\n        \"fallback\": { \"p\": 0.22 }", "")
}

/// All four models, each as quick as told.
async fn world(a: Does, b: Does, c: Does, d: Does) -> (World, [Told; 4]) {
    let world = World::new().await;
    let models = [
        world.model("a@1", a),
        world.model("b@1", b),
        world.model("c@1", c),
        world.model("d@1", d),
    ];
    (world, models)
}

/// What has arrived on a subscription; ends it.
async fn taken(lanes: Vec<Subscription>) -> Vec<Arc<StoredRecord>> {
    let mut records = Vec::new();
    for lane in lanes {
        tokio::select! {
            batch = lane.next(1_000, usize::MAX, Duration::ZERO) => records.extend(batch),
            () = sleep(Duration::from_millis(1)) => {}
        }
    }
    records
}
