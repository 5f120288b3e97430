//! What drift is measured against: the commands `baseline set` and `baseline show`.

use std::time::Duration;

use chrono::NaiveDate;
use clap::Args;
use rendezvous_archive::scan::Progress;
use rendezvous_core::{
    EndpointName, Timestamp, now,
    ports::{ArchiveFiles, EndpointTable, WindowTable},
};
use rendezvous_evidence::window::{FeatureWindow, Features, Window};
use rendezvous_monitor::{
    baselines::{self, Baseline, FIRST_DAYS, Period},
    freeze,
};
use serde::Serialize;

use crate::{
    endpoints::find,
    failure::Failure,
    output::{Output, instant, table as aligned},
    past,
};

#[derive(Args, Clone, Debug)]
pub struct BaselineOptions {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The first day, UTC, e.g. 2026-11-01.
    #[arg(long, value_name = "DATE")]
    pub from: NaiveDate,
    /// The day after the last one.
    #[arg(long, value_name = "DATE")]
    pub to: NaiveDate,
    /// The baseline's name; by default its days.
    #[arg(long)]
    pub name: Option<String>,
}

impl BaselineOptions {
    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("{}_{}", self.from, self.to))
    }

    fn period(&self) -> Result<Period, Failure> {
        let start = |day: NaiveDate| {
            let midnight = day.and_time(chrono::NaiveTime::MIN).and_utc();
            Timestamp::from_micros(midnight.timestamp_micros())
        };
        let period = Period { from: start(self.from), to: start(self.to) };
        if period.from >= period.to {
            return Err(Failure::Usage("--from must be before --to".to_owned()));
        }
        if period.to > now() {
            return Err(Failure::Usage(format!(
                "{} is not over: a baseline never changes",
                instant(period.to - Duration::from_hours(24))
            )));
        }
        Ok(period)
    }
}

/// A baseline for people and programs.
#[derive(Debug, Serialize)]
struct Shown {
    endpoint: EndpointName,
    baseline: String,
    from_us: Timestamp,
    to_us: Timestamp,
    models: Vec<ShownModel>,
    features: Vec<ShownFeature>,
}

#[derive(Debug, Serialize)]
struct ShownModel {
    model: String,
    scored: u64,
    failed: u64,
    /// Of the values, at 10, 50 and 90 %.
    quantiles: Option<[f64; 3]>,
}

#[derive(Debug, Serialize)]
struct ShownFeature {
    feature: String,
    numbers: u64,
    texts: u64,
    missing: u64,
    quantiles: Option<[f64; 3]>,
}

/// A baseline that was made, and whether it must be kept.
#[derive(Debug)]
pub struct Made {
    endpoint: EndpointName,
    baseline: Baseline,
    is_kept: bool,
    pub output: Output,
}

impl Made {
    pub fn name(&self) -> &str {
        &self.baseline.name
    }

    /// Keeps it, if it is not kept.
    pub async fn keep(&self, windows: &impl WindowTable) -> Result<(), Failure> {
        if !self.is_kept {
            freeze::freeze(windows, &self.endpoint, &self.baseline).await?;
        }
        Ok(())
    }
}

/// Finds the baseline of this name, or computes it from the archive.
pub async fn make(
    files: &impl ArchiveFiles,
    windows: &impl WindowTable,
    endpoints: &impl EndpointTable,
    options: &BaselineOptions,
    progress: impl FnMut(Progress),
) -> Result<Made, Failure> {
    let (endpoint, name, period) = (&options.endpoint, options.name(), options.period()?);
    if name == FIRST_DAYS {
        return Err(Failure::Usage(format!("{FIRST_DAYS} is the name of the first seven days")));
    }
    let configurations = past::configurations(endpoints, endpoint).await?;
    let known = baselines::named(windows, endpoint, &name).await?;
    let is_kept = known.is_some();
    let baseline = match known {
        Some(known) if known.period == period => known,
        Some(known) => {
            return Err(Failure::Refused(format!(
                "the baseline {name} is there, of {} to {}, and never changes; pass another --name",
                instant(known.period.from),
                instant(known.period.to)
            )));
        }
        None => {
            freeze::of_archive(files, &name, endpoint, &configurations, period, progress).await?
        }
    };
    if baseline.hours.values().all(|hour| hour.models.is_empty()) {
        return Err(Failure::Refused(format!(
            "the archive has no score of requests to {endpoint} from {} to {}",
            options.from, options.to
        )));
    }
    let output = Output::of(&shown(endpoint, &baseline), table)?;
    Ok(Made { endpoint: endpoint.clone(), baseline, is_kept, output })
}

/// Shows a baseline, by default that of the current version.
pub async fn show(
    windows: &impl WindowTable,
    endpoints: &impl EndpointTable,
    endpoint: &EndpointName,
    name: Option<&str>,
) -> Result<Output, Failure> {
    let current = find(endpoints, endpoint, None).await?;
    let named = name.or(current.configuration.baseline()).unwrap_or(FIRST_DAYS);
    let found = baselines::named(windows, endpoint, named).await?;
    let baseline = found.ok_or_else(|| {
        Failure::Failed(if named == FIRST_DAYS {
            format!(
                "{endpoint} has no baseline: its first seven days are not over; rendezvousctl baseline set \
                 {endpoint} makes one of the archive"
            )
        } else {
            format!("{endpoint} has no baseline {named}: nothing is measured against it")
        })
    })?;
    Output::of(&shown(endpoint, &baseline), table)
}

fn shown(endpoint: &EndpointName, baseline: &Baseline) -> Shown {
    let models: std::collections::BTreeSet<_> =
        baseline.hours.values().flat_map(|hour| hour.models.keys()).collect();
    let model = |id| {
        let window: Window = baseline.model(id)?;
        Some(ShownModel {
            model: id.to_string(),
            scored: window.scored(),
            failed: window.failures(),
            quantiles: quantiles(|q| window.values().quantile(q)),
        })
    };
    let features = baseline.features();
    let feature = |(pointer, window): (&str, &FeatureWindow)| ShownFeature {
        feature: pointer.to_owned(),
        numbers: window.numbers().count(),
        texts: window.texts().total(),
        missing: window.missing(),
        quantiles: quantiles(|q| window.numbers().quantile(q)),
    };
    Shown {
        endpoint: endpoint.clone(),
        baseline: baseline.name.clone(),
        from_us: baseline.period.from,
        to_us: baseline.period.to,
        models: models.into_iter().filter_map(model).collect(),
        features: features.iter().flat_map(Features::iter).map(feature).collect(),
    }
}

fn quantiles(quantile: impl Fn(f64) -> Option<f64>) -> Option<[f64; 3]> {
    Some([quantile(0.1)?, quantile(0.5)?, quantile(0.9)?])
}

fn table(shown: &Shown) -> String {
    let Shown { endpoint, baseline, from_us, to_us, models, features } = shown;
    let cells = |of: [&str; 3]| of.map(str::to_owned).to_vec();
    let quantiles = |of: Option<[f64; 3]>| {
        of.map_or_else(|| cells([""; 3]), |of| of.map(|value| format!("{value:.4}")).to_vec())
    };
    let head = |of: [&str; 3]| [cells(of), cells(["10 %", "50 %", "90 %"])].concat();
    let mut rows = vec![head(["model", "scored", "failed"])];
    rows.extend(models.iter().map(|of| {
        let counts = vec![of.model.clone(), of.scored.to_string(), of.failed.to_string()];
        [counts, quantiles(of.quantiles)].concat()
    }));
    let mut text = format!(
        "{endpoint}, baseline {baseline}: {} to {}\n\n{}",
        instant(*from_us),
        instant(*to_us),
        aligned(&rows, &[1, 2, 3, 4, 5])
    );
    if !features.is_empty() {
        let columns = ["feature", "numbers", "texts", "missing"].map(str::to_owned).to_vec();
        let mut rows = vec![[columns, cells(["10 %", "50 %", "90 %"])].concat()];
        rows.extend(features.iter().map(|of| {
            let counts = [of.numbers, of.texts, of.missing].map(|count| count.to_string());
            [vec![of.feature.clone()], counts.to_vec(), quantiles(of.quantiles)].concat()
        }));
        text = text + "\n" + &aligned(&rows, &[1, 2, 3, 4, 5, 6]);
    }
    text
}
