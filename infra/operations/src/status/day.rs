//! The last day whose outcomes are known.

use rendezvous_core::{Endpoint, Minute, Timestamp, Unavailable, now, ports::WindowTable};
use rendezvous_evidence::{Anytime, Confidence, Interval, day::ModelDay};
use rendezvous_monitor::day::{BACK, day_of, kept};
use serde::Serialize;

use crate::output::{instant, table as aligned};

/// What is known of the day.
#[derive(Debug, Serialize)]
pub(super) struct DayStatus {
    /// When it began, UTC.
    day_us: Timestamp,
    computed_us: Timestamp,
    requests: u64,
    undecided: u64,
    with_outcome: u64,
    models: Vec<ModelOfDay>,
}

#[derive(Debug, Serialize)]
struct ModelOfDay {
    model: String,
    expected: u64,
    missing: u64,
    failed: u64,
    /// With a value and an outcome.
    outcomes: u64,
    predicted: Option<f64>,
    observed: Option<f64>,
    brier: Option<f64>,
    log_loss: Option<f64>,
    /// The Brier score less the champion's; none where less than 95 % of the requests have a value of both.
    brier_difference: Option<Interval<Anytime>>,
    /// From the lowest values to the highest.
    tenths: Vec<Tenth>,
}

#[derive(Debug, Serialize)]
struct Tenth {
    count: u64,
    predicted: f64,
    observed: f64,
}

/// Reads the last day that is computed.
pub(super) async fn last(
    windows: &impl WindowTable,
    endpoint: &Endpoint,
) -> Result<Option<DayStatus>, Unavailable> {
    let now = now();
    let back = endpoint.configuration.outcome_horizon() * BACK;
    let minutes = day_of(now - back)..Minute::of(now);
    let days = kept(windows, &endpoint.name, minutes).await?;
    Ok(days.into_iter().next_back().map(|(minute, kept)| DayStatus {
        day_us: minute.start(),
        computed_us: kept.computed,
        requests: kept.day.requests,
        undecided: kept.day.undecided,
        with_outcome: kept.day.with_outcome,
        models: kept.day.models.iter().map(|(model, of)| of_model(model.as_str(), of)).collect(),
    }))
}

fn of_model(model: &str, of: &ModelDay) -> ModelOfDay {
    let means = of.outcomes.means();
    let tenth = |tenth: &rendezvous_evidence::day::Tenth| {
        let (predicted, observed) = tenth.means()?;
        Some(Tenth { count: tenth.count, predicted, observed })
    };
    let brier = of.outcomes.loss().interval(Confidence::DEFAULT);
    let difference = of.against.and_then(|against| against.brier());
    ModelOfDay {
        model: model.to_owned(),
        expected: of.expected,
        missing: of.missing,
        failed: of.failed,
        outcomes: of.outcomes.count(),
        predicted: means.map(|(predicted, _)| predicted),
        observed: means.map(|(_, observed)| observed),
        brier: brier.map(|brier| brier.estimate),
        log_loss: of.log_loss(),
        brier_difference: difference.and_then(|of| of.interval(Confidence::DEFAULT)),
        tenths: of.tenths.iter().filter_map(tenth).collect(),
    }
}

impl DayStatus {
    /// For people.
    pub(super) fn table(&self) -> String {
        let number = |of: Option<f64>| of.map(|of| format!("{of:.4}")).unwrap_or_default();
        let head = [
            "model",
            "expected",
            "missing",
            "failed",
            "outcomes",
            "predicted",
            "observed",
            "Brier",
            "log loss",
            "Brier less the champion's",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(self.models.iter().map(|of| {
            let counts = [of.expected, of.missing, of.failed, of.outcomes];
            let figures = [of.predicted, of.observed, of.brier, of.log_loss];
            let difference = of.brier_difference.map(|difference| {
                let Interval { estimate, low, high, .. } = difference;
                format!("{estimate:.4} [{low:.4}, {high:.4}]")
            });
            let mut row = vec![of.model.clone()];
            row.extend(counts.map(|count| count.to_string()));
            row.extend(figures.map(number));
            row.push(difference.unwrap_or_default());
            row
        }));
        format!(
            "outcomes of {}: {} of {} requests, {} undecided\n\n{}",
            instant(self.day_us).get(..10).unwrap_or_default(),
            self.with_outcome,
            self.requests,
            self.undecided,
            aligned(&rows, &[1, 2, 3, 4, 5, 6, 7, 8])
        )
    }
}
