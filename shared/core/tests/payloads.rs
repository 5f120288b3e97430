//! The payloads in memory conform, and expire.

use std::time::Duration;

use rendezvous_core::{
    clock, conformance,
    memory::{MemoryPayloads, Trouble},
    now,
    ports::Payloads,
};

#[tokio::test(start_paused = true)]
async fn the_memory_payloads_conform_and_expire() {
    clock::simulate(now());
    let payloads = MemoryPayloads::with_retention(Duration::from_mins(1));
    conformance::payloads(&payloads).await;
    assert_eq!(payloads.keys().len(), 2);
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(payloads.keys().len(), 0);
    payloads.outage.set(Trouble::Down);
    let down = payloads.get("payloads/e/x", 1).await.unwrap_err();
    assert_eq!(down.dependency, "payload store");
}
