//! The models of a run: quick, slow, silent and lying.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use rendezvous_core::{
    EndpointName, Failure, FailureKind, Json,
    ports::{Archive, ArchiveFiles},
};
use rendezvous_model::{Model, Profile};
use tokio::time::sleep;

use super::{IDS, World, operator::endpoint, part};
use crate::{
    System,
    fault::Fault,
    step::Step,
    weather::{Weather, pick},
};

/// How long a call of a model may take.
const TIMEOUT: Duration = Duration::from_millis(700);

/// How long a model that is not slow takes at most, and how much longer a slow one.
const QUICK: Duration = Duration::from_millis(40);
const SLOW: Duration = Duration::from_millis(600);

/// How long a model's function crashes at each invocation.
const SILENCE: Duration = Duration::from_secs(9);

struct Moody {
    profile: Profile,
    weather: Arc<Weather>,
    largest_batch: usize,
}

/// Brings the models up.
pub(super) fn start<A: Archive + ArchiveFiles>(system: &System<A>, weather: &Arc<Weather>) {
    let endpoints: HashSet<EndpointName> = endpoint().into_iter().collect();
    for (number, id) in IDS.iter().enumerate() {
        let Ok(id) = id.parse() else { continue };
        let profile = Profile {
            id,
            endpoints: endpoints.clone(),
            timeout: TIMEOUT,
            // A challenger that is only compared.
            scores_expired: number == 3,
        };
        let largest_batch = [1, 8][number % 2];
        let weather = weather.clone();
        system.add_model(Moody { profile, weather, largest_batch });
    }
}

/// Lets each invocation of a model's function crash, or no longer.
pub(super) fn kill(world: &World, id: &str, killed: bool) {
    let faults = id.parse().ok().and_then(|id| world.system.faults(&id));
    if let Some(faults) = faults {
        faults.kill(killed);
    }
}

/// Models whose functions crash for a while.
pub(super) async fn silences(world: &World) {
    if !world.has(Fault::SilentModel) {
        return;
    }
    for round in 0..2_u32 {
        let draw = |detail: u8| world.draw(("silence", round, detail));
        sleep(part(2 * SILENCE, draw(0))).await;
        let Some(id) = IDS.get(pick(draw(1), 2 * IDS.len())) else { continue };
        kill(world, id, true);
        sleep(part(SILENCE, draw(2))).await;
        kill(world, id, false);
    }
}

impl Moody {
    fn score_one(&self, payload: &Json, attempt: u32) -> Result<Json, Failure> {
        let mut hasher = DefaultHasher::new();
        payload.as_str().hash(&mut hasher);
        let draw =
            |detail: u8| self.weather.draw((self.profile.id.as_str(), hasher.finish(), detail));
        if draw(1) < 0.03 {
            return Err(Failure::new(FailureKind::Failed, "as is its mood"));
        }
        // A score is another each time: an attempt that is not the first must change nothing.
        let p = (draw(2) * 1e4).round() / 1e4;
        let text = format!("{{\"p\":{p}, \"attempt\": {attempt}}}");
        Json::parse(&text).map_err(|error| Failure::new(FailureKind::Failed, error))
    }
}

impl Model for Moody {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn largest_batch(&self) -> usize {
        self.largest_batch
    }

    async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, Failure>> {
        let mut hasher = DefaultHasher::new();
        self.profile.id.as_str().hash(&mut hasher);
        for payload in payloads {
            payload.as_str().hash(&mut hasher);
        }
        let occasion = self.weather.occasion(Step::Score, hasher.finish());
        sleep(part(QUICK, occasion.draw(Fault::SlowModel, 1).powi(2))).await;
        if occasion.meets(Fault::SlowModel) {
            sleep(part(SLOW, occasion.draw(Fault::SlowModel, 2))).await;
        }
        if occasion.meets(Fault::SilentModel) {
            return std::future::pending().await;
        }
        let attempt = occasion.attempt();
        let mut results: Vec<_> =
            payloads.iter().map(|payload| self.score_one(payload, attempt)).collect();
        if occasion.meets(Fault::LyingModel) {
            let lie =
                |text: &str| Json::parse(text).map_err(|e| Failure::new(FailureKind::Failed, e));
            match occasion.draw(Fault::LyingModel, 1) {
                ..0.25 => drop(results.pop()),
                ..0.5 => results[0] = lie("null"),
                ..0.75 => results[0] = lie(&format!("\"{}\"", "x".repeat(17 * 1024))),
                _ => results.push(lie("1")),
            }
        }
        results
    }
}
