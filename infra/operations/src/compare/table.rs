//! What `compare` prints for people.

use rendezvous_evidence::{Interval, Metric, Report, Verdict};

use super::{Compared, labels::advice};
use crate::output::{instant, table as aligned};

/// The tables.
pub(super) fn table(compared: &Compared) -> String {
    let Compared { endpoint, models: [first, second], report, .. } = compared;
    let Report { requests, paired, with_outcome, coverage, .. } = report;
    let mut lines = vec![
        format!("{endpoint}: {first} against {second}\n"),
        format!(
            "{requests} requests, {paired} with a value of both models, {with_outcome} of them with an outcome \
             (coverage {:.1} %)",
            coverage * 100.0
        ),
    ];
    if report.corrected > 0 {
        let corrected = report.corrected;
        lines.push(format!("{corrected} outcomes were corrected later; the first one counts"));
    }
    if report.unusable > 0 {
        let unusable = report.unusable;
        lines.push(format!("{unusable} requests have a value or an outcome outside [0, 1]"));
    }
    let mut text = lines.join("\n") + "\n";
    let sections = [
        metrics(compared),
        times(compared),
        agreement(compared),
        quantiles(compared),
        auc(compared),
    ];
    for section in sections.iter().chain([&segments(compared), &labelled(compared)]) {
        if !section.is_empty() {
            text = text + "\n" + section;
        }
    }
    text
}

fn head(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn number(of: Option<f64>) -> String {
    of.map_or_else(|| "-".to_owned(), |of| format!("{of:.4}"))
}

fn between<V>(interval: &Interval<V>) -> String {
    format!("[{:.4}, {:.4}]", interval.low, interval.high)
}

/// The metrics, which may be looked at at any time.
fn metrics(compared: &Compared) -> String {
    let Compared { models: [first, second], report, .. } = compared;
    let share = report.difference.values().next().map_or(0.0, |d| d.interval.confidence.share());
    let title = format!("{}% interval", share * 100.0);
    let (first, second) = (first.as_str(), second.as_str());
    let columns =
        ["metric", first, second, "difference", &title, "better", "since", "after requests"];
    let mut lines = vec![head(&columns)];
    for (metric, difference) in &report.difference {
        let of = |figures: &rendezvous_evidence::report::ModelFigures| match metric {
            Metric::Brier => number(figures.brier),
            Metric::LogLoss => number(figures.log_loss),
            Metric::Failed => number(figures.failed),
            Metric::Late => number(figures.late),
            Metric::Disagreement => String::new(),
        };
        let better = match difference.verdict {
            Some(Verdict::First) => first,
            Some(Verdict::Second) => second,
            Some(Verdict::Undecided) => "undecided",
            Some(Verdict::TooFewOutcomes) => "too few outcomes",
            None => "",
        };
        let said = difference.first_said;
        lines.push(vec![
            metric.to_string(),
            of(&report.first),
            of(&report.second),
            format!("{:.4}", difference.interval.estimate),
            between(&difference.interval),
            better.to_owned(),
            said.map(|said| instant(said.at_us)).unwrap_or_default(),
            said.map(|said| said.requests.to_string()).unwrap_or_default(),
        ]);
    }
    if lines.len() == 1 {
        return "No request has a score or a failure of both models.\n".to_owned();
    }
    aligned(&lines, &[1, 2, 3, 7])
}

fn times(compared: &Compared) -> String {
    let Compared { models: [first, second], report, .. } = compared;
    let mut lines = vec![head(&["time to score, ms", first.as_str(), second.as_str()])];
    for name in ["p50", "p95", "p99"] {
        let of = |figures: &rendezvous_evidence::report::ModelFigures| {
            figures.after_ms.get(name).map_or_else(String::new, |interval| {
                format!("{:.1} [{:.1}, {:.1}]", interval.estimate, interval.low, interval.high)
            })
        };
        lines.push(vec![name.to_owned(), of(&report.first), of(&report.second)]);
    }
    if lines.iter().skip(1).all(|line| line[1].is_empty()) {
        String::new()
    } else {
        aligned(&lines, &[])
    }
}

fn agreement(compared: &Compared) -> String {
    let Some(agreement) = &compared.report.agreement else { return String::new() };
    format!(
        "Agreement: {:.1} % on the same side of {}, mean absolute difference {:.4}, rank correlation {}\n",
        agreement.same_side * 100.0,
        agreement.threshold,
        agreement.mean_absolute_difference,
        number(agreement.rank_correlation)
    )
}

fn quantiles(compared: &Compared) -> String {
    let Compared { models: [first, second], report, .. } = compared;
    let columns = ["quantile", first.as_str(), second.as_str(), "same side, %"];
    let mut lines = vec![head(&columns)];
    for pair in &report.quantiles {
        lines.push(vec![
            format!("{:.0} %", pair.share * 100.0),
            format!("{:.4}", pair.first),
            format!("{:.4}", pair.second),
            format!("{:.1}", pair.same_side * 100.0),
        ]);
    }
    if lines.len() == 1 { String::new() } else { aligned(&lines, &[0, 1, 2, 3]) }
}

fn auc(compared: &Compared) -> String {
    let Some(auc) = &compared.report.auc else { return String::new() };
    format!(
        "AUC: {:.4} and {:.4}, difference {:.4} {}; for one look at a number of requests chosen beforehand \
         ({})\n",
        auc.first.estimate,
        auc.second.estimate,
        auc.difference.estimate,
        between(&auc.difference),
        auc.requests
    )
}

fn segments(compared: &Compared) -> String {
    let segments = &compared.report.segments;
    if segments.iter().all(|segment| segment.segment.is_none()) {
        return String::new();
    }
    let mut lines =
        vec![head(&["segment", "requests", "Brier difference", "interval for one look"])];
    for segment in segments {
        let brier = segment.brier.as_ref();
        lines.push(vec![
            segment.segment.clone().unwrap_or_else(|| "(others)".to_owned()),
            segment.requests.to_string(),
            number(brier.map(|brier| brier.estimate)),
            brier.map(between).unwrap_or_default(),
        ]);
    }
    aligned(&lines, &[1, 2])
}

fn labelled(compared: &Compared) -> String {
    let file = compared.sample.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
    match (&compared.labelled, compared.drawn) {
        (Some(interval), _) => format!(
            "By the labels of {file}: Brier difference {:.4} {}, for one look\n",
            interval.estimate,
            between(interval)
        ),
        (None, Some(drawn)) => {
            format!("{drawn} requests to label are in {file}. {}.\n", advice(&compared.endpoint))
        }
        (None, None) => String::new(),
    }
}
