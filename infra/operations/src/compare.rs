//! The command `compare`: two models on the same requests.

mod labels;
mod pairs;
mod table;

use std::path::PathBuf;

use clap::Args;
use rendezvous_archive::scan::Progress;
use rendezvous_core::{
    Arm, EndpointName, ModelId,
    ports::{ArchiveFiles, EndpointTable},
};
use rendezvous_evidence::{Confidence, FixedN, Interval, Report, Requirement, Settings};
use serde::Serialize;

use self::pairs::Differing;
use crate::{
    endpoints::find,
    failure::Failure,
    output::Output,
    past::{self, Range},
    progress::Bar,
};

#[derive(Args, Clone, Debug)]
pub struct CompareOptions {
    #[command(flatten)]
    pub range: Range,
    /// The model that is judged. A difference is its figure less that of the other: below zero it is
    /// better.
    #[arg(value_name = "A")]
    pub first: ModelId,
    /// The model that it is compared with.
    #[arg(value_name = "B")]
    pub second: ModelId,
    /// Where in the payload the segment of a request is, a JSON pointer, e.g. /carrier.
    #[arg(long, value_name = "POINTER", value_parser = pointer)]
    pub by: Option<String>,
    #[command(flatten)]
    pub figures: Figures,
    /// Refuse (exit code 3) unless these conditions hold, e.g. brier<=-0.001@99%, requests>=10000.
    #[arg(long, value_name = "EVIDENCE", value_parser = requirement)]
    pub require: Option<Requirement>,
    /// Draw about so many requests to label, more of those on which the models differ, and store them
    /// in the file of --sample.
    #[arg(long, value_name = "N", requires = "sample")]
    pub label: Option<u32>,
    /// The file of a sample: written with --label; without, the labels that were reported for its
    /// requests since are weighed.
    #[arg(long, value_name = "FILE")]
    pub sample: Option<PathBuf>,
}

/// How figures are computed.
#[derive(Args, Clone, Debug)]
pub struct Figures {
    /// The confidence of every interval, each on its own.
    #[arg(long, value_name = "SHARE", default_value = "99%", value_parser = confidence)]
    pub confidence: Confidence,
    /// A value at or above it is on the upper side: models disagree when their values are on two sides.
    #[arg(long, value_name = "VALUE", default_value_t = 0.5)]
    pub threshold: f64,
    /// The share of requests with an outcome below which there is no verdict.
    #[arg(long, value_name = "SHARE", default_value = "50%", value_parser = share)]
    pub minimum_coverage: f64,
}

impl Figures {
    fn settings(&self) -> Settings {
        let Self { confidence, threshold, minimum_coverage } = *self;
        Settings { confidence, threshold, minimum_coverage, ..Settings::default() }
    }
}

/// What `compare` found.
#[derive(Debug, Serialize)]
pub struct Compared {
    endpoint: EndpointName,
    models: [ModelId; 2],
    #[serde(flatten)]
    report: Report,
    /// The requests on which the values differ most, the greatest difference first.
    differing: Vec<Differing>,
    /// The difference of the Brier scores by the labels of a sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    labelled: Option<Interval<FixedN>>,
    /// How many requests were drawn to be labelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    drawn: Option<usize>,
    /// The sample's file, for people.
    #[serde(skip)]
    sample: Option<PathBuf>,
}

/// Compares two models.
pub async fn compare(
    files: &impl ArchiveFiles,
    endpoints: &impl EndpointTable,
    options: &CompareOptions,
) -> Result<Output, Failure> {
    let compared = compared(files, endpoints, options, Bar::shows()).await?;
    if let Some(requirement) = &options.require {
        check(requirement, &compared.report)?;
    }
    Output::of(&compared, table::table)
}

/// The same as a value, without what is required of it.
pub async fn compared(
    files: &impl ArchiveFiles,
    endpoints: &impl EndpointTable,
    options: &CompareOptions,
    progress: impl FnMut(Progress),
) -> Result<Compared, Failure> {
    let CompareOptions { range, first, second, by, figures, .. } = options;
    let models = [first.clone(), second.clone()];
    let configurations = past::configurations(endpoints, &range.endpoint).await?;
    let requests = past::requests(files, range, by.clone(), progress).await?;
    for model in &models {
        past::require_known(&configurations, &requests, &range.endpoint, model)?;
    }
    let pairs = pairs::Pairs { requests: &requests, configurations: &configurations, models };
    let report = pairs.compare(figures.settings())?;
    let (labelled, drawn) = match (&options.sample, options.label) {
        (Some(file), Some(wanted)) => (None, Some(labels::draw(&pairs, wanted, file)?)),
        (Some(file), None) => (Some(labels::weigh(&pairs, file, figures.confidence)?), None),
        (None, _) => (None, None),
    };
    let (endpoint, sample) = (range.endpoint.clone(), options.sample.clone());
    let differing = pairs.differing()?;
    Ok(Compared { endpoint, models: pairs.models, report, differing, labelled, drawn, sample })
}

/// Fails unless the evidence for a promotion of `model` over the champion of `main` meets the requirement.
pub async fn require(
    files: &impl ArchiveFiles,
    endpoints: &impl EndpointTable,
    range: &Range,
    model: &ModelId,
    requirement: &Requirement,
) -> Result<(), Failure> {
    let current = find(endpoints, &range.endpoint, None).await?;
    let champion = current.configuration.schedule(&Arm::main()).champion().clone();
    let configurations = past::configurations(endpoints, &range.endpoint).await?;
    let requests = past::requests(files, range, None, Bar::shows()).await?;
    let models = [model.clone(), champion];
    let pairs = pairs::Pairs { requests: &requests, configurations: &configurations, models };
    check(requirement, &pairs.compare(Settings::default())?)
}

fn check(requirement: &Requirement, report: &Report) -> Result<(), Failure> {
    requirement.check(report).map_err(|unmet| {
        let unmet: Vec<String> = unmet.iter().map(|unmet| format!("  {unmet}")).collect();
        Failure::Refused(format!("the evidence is not there:\n{}", unmet.join("\n")))
    })
}

pub fn requirement(text: &str) -> Result<Requirement, String> {
    Requirement::parse(text).map_err(|unreadable| unreadable.to_string())
}

fn pointer(text: &str) -> Result<String, String> {
    if text.starts_with('/') {
        return Ok(text.to_owned());
    }
    Err("a JSON pointer begins with '/'".to_owned())
}

/// `99%` or `0.99`, as a part of one.
pub fn share(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    let number = number.trim().parse::<f64>().ok().map(|number| number / scale);
    number
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "is no share such as 5%, from 0% to 100%".to_owned())
}

fn confidence(text: &str) -> Result<Confidence, String> {
    let confidence = Confidence::new(share(text)?);
    confidence.ok_or_else(|| "must be more than 0% and less than 100%".to_owned())
}
