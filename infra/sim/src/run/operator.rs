//! Who publishes configurations, and the outages.

use std::{sync::Arc, time::Duration};

use rendezvous_core::{
    Configuration, Endpoint, EndpointName, Provenance,
    memory::{MemoryEndpoints, MemoryStream, Trouble},
    ports::{Archive, ArchiveFiles, EndpointTable},
};
use tokio::time::sleep;

use super::{IDS, World, part};
use crate::{
    System,
    fault::Fault,
    step::Dependency,
    weather::{Outage, Weather, pick},
};

/// The one endpoint of a run.
const ENDPOINT: &str = "e";

/// A key of clients that is pinned to the other arm, where there is one. By the shares it belongs to
/// `main`.
pub(super) const PINNED: &str = "tenant-4";

/// From when to when things go wrong.
const SPAN: Duration = Duration::from_secs(9);

/// Its name.
pub(super) fn endpoint() -> Option<EndpointName> {
    ENDPOINT.parse().ok()
}

impl Weather {
    /// The n-th configuration: other schedules, now and then with an arm and with an observer of a
    /// part of the requests.
    fn configuration(&self, number: u32) -> String {
        let draw = |detail: u8| self.draw(("configuration", number, detail));
        let schedule = self.schedule(number, 0);
        let share = if draw(20) < 0.3 { ",\"share\":0.5" } else { "" };
        let arms = if draw(21) < 0.8 {
            let (other, step) = (self.schedule(number, 10), pick(draw(22), 2));
            // Without a condition the arm steps, and becomes main; with this one it is removed.
            let guard = match draw(23) {
                ..0.2 => "",
                ..0.6 => ",\"guard\":{\"hold_minutes\":1}",
                _ => ",\"guard\":{\"hold_minutes\":1,\"p99_ms\":1}",
            };
            format!(
                "\"arms\":[{{\"name\":\"other\",\"schedule\":{other},\"steps\":[0.2,0.5],\
                 \"step\":{step}{guard}}}],\"pins\":[{{\"key\":\"{PINNED}\",\"arm\":\"other\"}}],"
            )
        } else {
            String::new()
        };
        format!(
            "{{\"schedule\":{schedule},{arms}\"observers\":[{{\"model\":\"{}\",\
             \"role\":\"challenger\"{share}}}],\"value\":\"/p\"}}",
            IDS[3],
        )
    }

    /// A schedule of the n-th configuration: other choices, other times, now and then without a
    /// fallback.
    fn schedule(&self, number: u32, arm: u8) -> String {
        let draw = |detail: u8| self.draw(("configuration", number, arm + detail));
        let first = pick(draw(0), 3);
        let choices: Vec<String> = (0..3)
            .map(|place| {
                let after = [0.0, 100.0 * draw(1), 200.0 * draw(2)][place];
                let model = IDS[(first + place) % 3];
                format!("{{\"model\":\"{model}\",\"after_ms\":{after:.0}}}")
            })
            .collect();
        let deadline = 250.0 + 600.0 * draw(3);
        let fallback = if draw(4) < 0.8 { ",\"fallback\":{\"p\":0.22}" } else { "" };
        let silent_after = if draw(5) < 0.5 { 5 } else { 20 };
        format!(
            "{{\"choices\":[{}],\"deadline_ms\":{deadline:.0}{fallback},\
             \"silent_after\":{silent_after}}}",
            choices.join(","),
        )
    }
}

/// Publishes the n-th configuration.
pub(super) async fn publish(world: &World, number: u32) {
    if let Some(endpoint) = publish_in(&world.system.endpoints, &world.weather, number).await {
        world.witness.published(&endpoint);
    }
}

/// Publishes the n-th configuration in a table.
pub(super) async fn publish_in(
    table: &MemoryEndpoints,
    weather: &Weather,
    number: u32,
) -> Option<Arc<Endpoint>> {
    let name = endpoint()?;
    let configuration = Configuration::parse(&weather.configuration(number)).ok()?;
    let provenance = Provenance::new("operator", "").ok()?;
    let current = table.current(&name).await.ok()?;
    let version = table.publish(&name, configuration, provenance, current).await.ok()?;
    weather.published(version);
    table.version(&name, version).await.ok()?
}

/// New configurations are published while requests are on their way.
pub(super) async fn publications(world: &World) {
    let share = world.plan.shares.of(Fault::Publication);
    for number in 1..5 {
        let draw = |detail: u8| world.draw(("publication", number, detail));
        sleep(part(SPAN / 4, draw(0))).await;
        if draw(1) < share {
            publish(world, number).await;
        }
    }
}

/// Each dependency may have an outage.
pub(super) async fn outages(world: &World) {
    let perhaps = async |dependency: Dependency| {
        let draw = |detail: u8| world.draw(("outage", dependency.name(), detail));
        if draw(0) >= world.plan.shares.of(Fault::Outage) {
            return;
        }
        sleep(part(SPAN, draw(1))).await;
        outage(world, dependency, draw(2), draw(3)).await;
    };
    futures_util::future::join_all(Dependency::ALL.iter().map(|each| perhaps(*each))).await;
}

/// An outage that begins now. Two draws say of which kind and how long it is.
pub(super) async fn outage(world: &World, dependency: Dependency, kind: f64, length: f64) {
    let Outage { trouble, length } = Outage::of(kind, length);
    world.weather.set_trouble(dependency, trouble);
    sleep(length).await;
    world.weather.set_trouble(dependency, Trouble::None);
}

/// The streams retain so many records of each shard.
pub(super) fn retain<A: Archive + ArchiveFiles>(system: &System<A>, records: usize) {
    let System { input, scores, ledger, outcomes, .. } = system;
    input.retain(records);
    scores.retain(records);
    ledger.changes.retain(records);
    outcomes.changes.retain(records);
}

/// Each stream gets so many shards, or some more; changes of tables come by one at the beginning.
pub(super) fn spread<A: Archive + ArchiveFiles>(system: &System<A>, shards: usize) {
    fn split<T>(stream: &MemoryStream<T>, shards: usize) {
        while stream.open_shards().len() < shards {
            for number in stream.open_shards() {
                stream.split(number);
            }
        }
    }
    let System { input, scores, ledger, outcomes, .. } = system;
    split(input, shards);
    split(scores, shards);
    split(&ledger.changes, shards);
    split(&outcomes.changes, shards);
}

/// Shards are split and merged.
pub(super) async fn reshards(world: &World) {
    let share = world.plan.shares.of(Fault::Reshard);
    let System { input, scores, ledger, outcomes, .. } = &world.system;
    for round in 0..4_u32 {
        let draw = |detail: u8| world.draw(("reshard", round, detail));
        sleep(part(SPAN / 4, draw(0))).await;
        if draw(1) >= share {
            continue;
        }
        match draw(2) {
            ..0.3 => reshard(input, draw(3)),
            ..0.6 => reshard(scores, draw(3)),
            ..0.8 => reshard(&ledger.changes, draw(3)),
            _ => reshard(&outcomes.changes, draw(3)),
        }
    }
}

/// Merges two shards of a stream, or splits one.
fn reshard<T>(stream: &MemoryStream<T>, draw: f64) {
    let open = stream.open_shards();
    let number = open[pick(draw, open.len())];
    let _ = (open.len() > 2 && stream.merge(number)) || stream.split(number);
}
