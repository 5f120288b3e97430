//! Models that are dead for a while.

use std::{str::FromStr, sync::Arc, time::Duration};

use rendezvous_core::ModelId;
use rendezvous_sim::faults::Faults;
use tokio::time::{Instant, sleep_until};

use crate::say::say;

/// A model that is dead for a while.
#[derive(Clone, Debug)]
pub(crate) struct Kill {
    pub(crate) model: ModelId,
    pub(crate) from: Duration,
    pub(crate) to: Duration,
}

impl FromStr for Kill {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "it must be MODEL@SECONDS..SECONDS, e.g. logistic@1@5..10".to_owned();
        let (model, span) = text.rsplit_once('@').ok_or_else(form)?;
        let (from, to) = span.split_once("..").ok_or_else(form)?;
        let seconds = |text: &str| {
            let seconds: f64 = text.parse().map_err(|_| form())?;
            Duration::try_from_secs_f64(seconds).map_err(|_| form())
        };
        let (from, to) = (seconds(from)?, seconds(to)?);
        if from >= to {
            return Err(format!("it ends before it begins: {span}"));
        }
        Ok(Self { model: model.parse().map_err(|error| format!("{error}"))?, from, to })
    }
}

/// Kills a model at its time, and brings it back.
pub(crate) async fn switch(kill: Kill, faults: Arc<Faults>, start: Instant) {
    // The report at the end fails if standard output is closed.
    let tell = |what| drop(say(format_args!("  {:12} {what}", kill.model.as_str())));
    sleep_until(start + kill.from).await;
    faults.kill(true);
    tell("is killed");
    sleep_until(start + kill.to).await;
    faults.kill(false);
    tell("is back");
}
