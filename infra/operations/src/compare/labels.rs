//! Requests to label where the models differ: drawn, stored, and weighed once they are labelled.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Write,
    path::Path,
};

use rendezvous_core::{EndpointName, ModelId, RequestId, now};
use rendezvous_evidence::{Confidence, Design, FixedN, Interval, Sample, loss::brier};
use serde::{Deserialize, Serialize};

use super::pairs::Pairs;
use crate::failure::Failure;

/// The file of a sample.
#[derive(Debug, Serialize, Deserialize)]
struct SampleFile {
    models: [ModelId; 2],
    #[serde(flatten)]
    sample: Sample,
}

/// Draws about `wanted` requests and stores them in a new file; returns how many they are.
pub(super) fn draw(pairs: &Pairs<'_>, wanted: u32, file: &Path) -> Result<usize, Failure> {
    let seed = now().as_micros().unsigned_abs();
    let mut design = Design::new(seed, wanted);
    pairs.values(|_, [first, second]| design.push(first, second))?;
    let mut drawn = Vec::new();
    pairs.values(|joined, [first, second]| drawn.extend(design.draw(joined.id, first, second)))?;
    let stored = SampleFile { models: pairs.models.clone(), sample: design.sample(drawn) };
    let failed =
        |error: &dyn std::fmt::Display| Failure::Failed(format!("{}: {error}", file.display()));
    let text = serde_json::to_vec_pretty(&stored).map_err(|error| failed(&error))?;
    // A sample that is replaced after labels are known would be biased.
    let created = File::create_new(file).and_then(|mut file| file.write_all(&text));
    created.map_err(|error| failed(&error))?;
    Ok(stored.sample.drawn.len())
}

/// The difference of the Brier scores over all requests that the sample was drawn from, by its labels.
pub(super) fn weigh(
    pairs: &Pairs<'_>,
    file: &Path,
    confidence: Confidence,
) -> Result<Interval<FixedN>, Failure> {
    let usage = |what: String| Failure::Usage(format!("{}: {what}", file.display()));
    let text = fs::read(file).map_err(|error| usage(error.to_string()))?;
    let stored: SampleFile =
        serde_json::from_slice(&text).map_err(|error| usage(format!("is no sample: {error}")))?;
    if stored.models != pairs.models {
        let [first, second] = &stored.models;
        return Err(usage(format!("is a sample for {first} and {second}")));
    }
    let mut labels: HashMap<RequestId, f64> = HashMap::new();
    pairs.requests.each(|joined| {
        if let Some(label) = joined.outcome.as_ref().and_then(|outcome| outcome.last) {
            labels.insert(joined.id, label);
        }
        Ok(())
    })?;
    let label = |request| labels.get(&request).copied();
    let weighed = stored.sample.difference(brier, label, confidence);
    weighed.map_err(|why| Failure::Refused(format!("{why}; report their outcomes first")))
}

/// How a label is reported.
pub(super) fn advice(endpoint: &EndpointName) -> String {
    format!("PUT /v1/endpoints/{endpoint}/requests/ID/outcome reports the label of request ID")
}
