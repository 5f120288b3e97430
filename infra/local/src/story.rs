//! The story that the console shows during the demonstration: the champion dies and comes back, a
//! challenger proves better and is promoted step by step, a bad one goes back.

use std::{sync::Arc, time::Duration};

use rendezvous_core::{
    Arm, EndpointName, ModelId, Provenance, Share,
    ports::{ArchiveFiles, EndpointTable},
    promotion,
};
use rendezvous_evidence::Confidence;
use rendezvous_local_system::Local;
use rendezvous_operations::{
    change::{Change, plan},
    compare::{CompareOptions, Figures, compared},
    endpoints::find,
    failure::Failure,
    past::Range,
};
use tokio::{
    runtime::Handle,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};

use crate::{
    options::known,
    say::{Error, say, warn},
};

/// Who publishes.
const AUTHOR: &str = "demo";

/// Which model is promoted, and which one goes back, in the flights example.
const BETTER: &str = "gbt@1";
const WORSE: &str = "mlp@1";

/// How long the bad model takes for a request.
const SLOW: Duration = Duration::from_millis(150);

/// The chapters, each at its part of the whole length.
const CHAPTERS: [(f64, Chapter); 7] = [
    (0.10, Chapter::Dies),
    (0.25, Chapter::Returns),
    (0.40, Chapter::Ramps),
    (0.50, Chapter::Steps),
    (0.60, Chapter::Wins),
    (0.75, Chapter::Disappoints),
    (0.88, Chapter::GoesBack),
];

#[derive(Clone, Copy, Debug)]
enum Chapter {
    Dies,
    Returns,
    Ramps,
    Steps,
    Wins,
    Disappoints,
    GoesBack,
}

/// What happens to an endpoint of a system.
pub(crate) struct Story {
    pub(crate) system: Arc<Local>,
    pub(crate) endpoint: EndpointName,
    pub(crate) champion: ModelId,
}

impl Story {
    /// Tells the story in this time. A chapter that is not possible is told and left out.
    pub(crate) async fn tell(self, length: Duration) {
        let start = Instant::now();
        for (part, chapter) in CHAPTERS {
            sleep_until(start + length.mul_f64(part)).await;
            match self.chapter(chapter).await {
                // The report at the end fails if standard output is closed.
                Ok(told) => drop(say(format_args!("  {told}"))),
                Err(error) => warn(format_args!("warning: {chapter:?}: {error}")),
            }
        }
    }

    async fn chapter(&self, chapter: Chapter) -> Result<String, Error> {
        let champion = &self.champion;
        let (better, worse): (ModelId, ModelId) = (BETTER.parse()?, WORSE.parse()?);
        match chapter {
            Chapter::Dies => {
                known(&self.system, champion)?.kill(true);
                Ok(format!("{champion} is killed: its stand-in answers"))
            }
            Chapter::Returns => {
                known(&self.system, champion)?.kill(false);
                Ok(format!("{champion} is back"))
            }
            Chapter::Ramps => {
                let message = self.evidence(&better).await?;
                let steps = [0.1, 0.5, 1.0].into_iter().filter_map(Share::new).collect();
                let (model, arm, guard) = (better, Some("gbt".parse()?), None);
                self.publish(Change::PromoteInArm { model, arm, steps, guard }, message).await
            }
            Chapter::Steps => {
                let (table, arm): (_, Arm) = (&*self.system.endpoints, "gbt".parse()?);
                let current = find(table, &self.endpoint, None).await.map_err(told)?;
                let changed = promotion::step(&current.configuration, &arm)?;
                self.publish(Change::Apply(changed), "as good with a tenth".to_owned()).await
            }
            Chapter::Wins => {
                let message = self.evidence(&better).await?;
                self.publish(Change::Promote(better), message).await
            }
            Chapter::Disappoints => {
                known(&self.system, &worse)?.slow(SLOW);
                let message = format!("{worse} looks good offline");
                self.publish(Change::Promote(worse), message).await
            }
            Chapter::GoesBack => {
                let message = format!("{worse} takes {} ms: back", SLOW.as_millis());
                let change = Change::RollBack { version: None, rebase: false };
                self.publish(change, message).await
            }
        }
    }

    async fn publish(&self, change: Change, message: String) -> Result<String, Error> {
        let table = &*self.system.endpoints;
        let planned = plan(table, &self.endpoint, change).await.map_err(told)?;
        let by = Provenance::new(AUTHOR, message)?;
        let version = planned.publish(table, by).await.map_err(told)?;
        Ok(format!("version {version}: {}", planned.difference.changes.join("; ")))
    }

    /// What the archive says of a model and the champion.
    async fn evidence(&self, model: &ModelId) -> Result<String, Error> {
        let (system, handle) = (self.system.clone(), Handle::current());
        let options = CompareOptions {
            range: Range { endpoint: self.endpoint.clone(), from: None, to: None },
            first: model.clone(),
            second: self.champion.clone(),
            by: None,
            figures: Figures {
                confidence: Confidence::DEFAULT,
                threshold: 0.5,
                minimum_coverage: 0.5,
            },
            require: None,
            label: None,
            sample: None,
        };
        // Not on the threads that serve the clients.
        let evidence = spawn_blocking(move || {
            handle.block_on(evidence(&*system.archive, &*system.endpoints, &options))
        });
        evidence.await?.map_err(told)
    }
}

async fn evidence(
    archive: &impl ArchiveFiles,
    endpoints: &impl EndpointTable,
    options: &CompareOptions,
) -> Result<String, Failure> {
    let compared = compared(archive, endpoints, options, |_| ()).await?;
    let json = serde_json::to_value(&compared).unwrap_or_default();
    let brier = &json["difference"]["brier"];
    let number = |name: &str| brier[name].as_f64().unwrap_or_default();
    Ok(format!(
        "{} against {}: Brier {:.4} [{:.4}, {:.4}] at 99 %, {} requests with an outcome",
        options.first,
        options.second,
        number("estimate"),
        number("low"),
        number("high"),
        brier["requests"]
    ))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn told(failure: Failure) -> Error {
    failure.to_string().into()
}
