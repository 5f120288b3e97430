//! A comparison of two models, from requests to its report.

use std::time::Duration;

use rendezvous_core::{RequestId, Timestamp};
use rendezvous_evidence::{Comparison, Metric, ModelScore, Pair, Report, Settings, Verdict};

fn scored(value: f64) -> ModelScore {
    ModelScore {
        value: Some(value),
        after: Some(Duration::from_millis(20)),
        ..ModelScore::default()
    }
}

fn pair(first: ModelScore, second: ModelScore, outcome: Option<f64>) -> Pair<'static> {
    Pair {
        request: RequestId::random(),
        at: Timestamp::from_micros(0),
        first,
        second,
        outcome,
        corrected: false,
        segment: None,
    }
}

fn report<'a>(pairs: impl IntoIterator<Item = Pair<'a>>) -> Report {
    let mut comparison = Comparison::new(Settings::default());
    pairs.into_iter().for_each(|pair| comparison.push(&pair));
    comparison.report()
}

/// The first model errs by 0.2, the second by 0.4; both are late or failed now and then.
fn better_first(i: u32) -> Pair<'static> {
    let outcome = f64::from(i % 2);
    let (first, second) = ((outcome - 0.2).abs(), (outcome - 0.4).abs());
    Pair {
        at: Timestamp::from_micros(i.into()),
        ..pair(scored(first), scored(second), Some(outcome))
    }
}

#[test]
fn the_lower_loss_wins_and_the_report_says_since_when() {
    let report = report((0..1_000).map(better_first));
    let brier = &report.difference[&Metric::Brier];
    assert!((brier.interval.estimate + 0.12).abs() < 1e-9);
    assert_eq!(brier.verdict, Some(Verdict::First));
    let said = brier.first_said.unwrap();
    assert_eq!(said.verdict, Verdict::First);
    assert_eq!(said.at_us.as_micros() + 1, i64::try_from(said.requests).unwrap());
    // A look at exactly these requests says so, a look before them does not.
    let n = u32::try_from(said.requests).unwrap();
    for (requests, verdict) in [(n - 1, Verdict::Undecided), (n, Verdict::First)] {
        let look = self::report((0..requests).map(better_first));
        assert_eq!(look.difference[&Metric::Brier].verdict, Some(verdict));
    }
    assert!((report.first.brier.unwrap() - 0.04).abs() < 1e-9);
    assert!((report.second.brier.unwrap() - 0.16).abs() < 1e-9);
    assert!((report.first.log_loss.unwrap() + 0.8_f64.ln()).abs() < 1e-9);
    assert_eq!(report.auc.unwrap().requests, 1_000);
}

#[test]
fn models_swapped_change_the_sign_and_the_winner() {
    let swap = |pair: Pair<'static>| Pair { first: pair.second, second: pair.first, ..pair };
    let straight = report((0..1_000).map(better_first));
    let swapped = report((0..1_000).map(better_first).map(swap));
    for metric in [Metric::Brier, Metric::LogLoss] {
        let (a, b) = (straight.difference[&metric].interval, swapped.difference[&metric].interval);
        assert!((a.low + b.high).abs() < 1e-9 && (a.high + b.low).abs() < 1e-9);
        assert_eq!(swapped.difference[&metric].verdict, Some(Verdict::Second));
    }
}

#[test]
fn only_requests_with_both_values_and_an_outcome_have_a_loss() {
    let failed = ModelScore { failed: true, ..ModelScore::default() };
    let late = ModelScore { late: true, ..scored(0.9) };
    let unknown = ModelScore::default();
    let report = report([
        pair(scored(0.1), scored(0.9), Some(0.0)),
        pair(failed, scored(0.9), Some(1.0)),
        pair(scored(0.1), late, None),
        pair(scored(0.1), unknown, Some(1.0)),
        pair(scored(0.1), scored(1.5), Some(1.0)),
        Pair { corrected: true, ..pair(scored(0.1), scored(0.2), Some(1.0)) },
    ]);
    assert_eq!((report.requests, report.paired, report.with_outcome), (6, 4, 3));
    assert!((report.coverage - 0.75).abs() < 1e-9);
    assert_eq!((report.unusable, report.corrected), (1, 1));
    let counted = Metric::ALL.map(|metric| report.difference[&metric].requests);
    assert_eq!(counted, [2, 2, 5, 5, 4]);
    let estimate = |metric| report.difference[&metric].interval.estimate;
    assert!((estimate(Metric::Failed) - 0.2).abs() < 1e-9);
    assert!((estimate(Metric::Late) + 0.2).abs() < 1e-9);
    assert!((estimate(Metric::Disagreement) - 0.75).abs() < 1e-9);
    assert_eq!((report.first.failed, report.second.late), (Some(0.2), Some(0.2)));
}

#[test]
fn below_the_minimum_of_outcomes_there_is_no_verdict() {
    let sparse = |i: u32| {
        let pair = better_first(i);
        if i.is_multiple_of(3) { pair } else { Pair { outcome: None, ..pair } }
    };
    let report = report((0..3_000).map(sparse));
    let brier = &report.difference[&Metric::Brier];
    assert_eq!((brier.verdict, brier.first_said), (Some(Verdict::TooFewOutcomes), None));
    assert!(brier.interval.high < 0.0, "the figures are shown nevertheless");
    assert_eq!(report.difference[&Metric::Late].verdict, Some(Verdict::Undecided));
}

#[test]
fn segments_are_told_apart() {
    let segment = |i: u32| Pair { segment: Some(["a", "b"][(i % 2) as usize]), ..better_first(i) };
    let report = report((0..10).map(segment));
    let names: Vec<_> = report.segments.iter().map(|s| s.segment.as_deref()).collect();
    assert_eq!(names, [Some("a"), Some("b")]);
    assert!((report.segments[0].brier.unwrap().estimate + 0.12).abs() < 1e-9);
}

/// The names that programs read.
#[test]
fn the_report_serialises_under_its_names() {
    let json = serde_json::to_value(report((0..1_000).map(better_first))).unwrap();
    for pointer in [
        "/requests",
        "/paired",
        "/coverage",
        "/difference/brier/estimate",
        "/difference/log_loss/low",
        "/difference/failed/high",
        "/difference/late/confidence",
        "/difference/brier/first_said/at_us",
        "/agreement/same_side",
        "/agreement/rank_correlation",
        "/quantiles/0/first",
        "/first/after_ms/p99/estimate",
    ] {
        assert!(json.pointer(pointer).is_some_and(serde_json::Value::is_number), "{pointer}");
    }
    assert_eq!(json["difference"]["disagreement"]["anytime"], true);
    assert_eq!(json["difference"]["brier"]["verdict"], "first");
    assert_eq!(json["auc"]["difference"]["anytime"], false);
}

#[test]
fn an_empty_comparison_reports_nothing() {
    let report = report([]);
    assert!(report.difference.is_empty() && report.agreement.is_none() && report.auc.is_none());
    assert_eq!(report.coverage.to_bits(), 0);
}
