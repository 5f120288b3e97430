//! What must be shown before a model is promoted: `brier<=-0.001@99%, requests>=10000,
//! failed<=0.1%`.
//!
//! Conditions are separated by commas; all must hold. Each is a figure, `<=` or `>=`, and a number,
//! which may be a percentage. A figure is a count (`requests`, `paired`), the share `coverage`, or
//! a metric: `brier`, `log_loss`, `failed`, `late` (the first model's less the second's) or
//! `disagreement`. A condition on a metric is about its anytime interval: the upper bound must
//! satisfy `<=`, the lower bound `>=`. Its confidence follows `@`; it is 99 % where none is stated.
//! Figures that hold for one look only, like `auc`, cannot be required: who asks again until they
//! suffice errs more often than stated.

use std::fmt;

use crate::{
    interval::{Anytime, Confidence, Interval},
    report::{Metric, Report},
};

/// Conditions on the report of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    pub conditions: Vec<Condition>,
}

/// One condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    pub figure: Figure,
    pub relation: Relation,
    pub limit: f64,
    /// Of the interval; counts have none.
    pub confidence: Confidence,
}

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    Requests,
    Paired,
    Coverage,
    Metric(Metric),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    AtMost,
    AtLeast,
}

impl Relation {
    fn symbol(self) -> &'static str {
        match self {
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
        }
    }
}

/// A requirement that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("character {position}, {word:?}: {expected}")]
pub struct Unreadable {
    /// Counted from 1.
    pub position: usize,
    pub word: String,
    /// What is allowed there.
    pub expected: &'static str,
}

/// A condition that does not hold, with the figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Unmet {
    pub condition: Condition,
    pub found: Found,
}

/// What the report says of a condition's figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    Number(f64),
    Interval(Interval<Anytime>),
    /// No request counts for it.
    Nothing,
    /// The coverage is below the minimum: there is no verdict.
    TooFewOutcomes {
        coverage: f64,
        minimum: f64,
    },
}

impl Requirement {
    /// Reads the conditions.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let mut position = 1;
        let mut conditions = Vec::new();
        for part in text.split(',') {
            conditions.push(condition(Word::trimmed(part, position))?);
            position += part.chars().count() + 1;
        }
        Ok(Self { conditions })
    }

    /// All conditions that do not hold.
    pub fn check(&self, report: &Report) -> Result<(), Vec<Unmet>> {
        let unmet = |&condition: &Condition| {
            let found = condition.found(report);
            (!condition.holds(&found)).then_some(Unmet { condition, found })
        };
        let unmet: Vec<_> = self.conditions.iter().filter_map(unmet).collect();
        if unmet.is_empty() { Ok(()) } else { Err(unmet) }
    }
}

impl Condition {
    fn found(&self, report: &Report) -> Found {
        let metric = match self.figure {
            Figure::Requests => return Found::Number(report.requests as f64),
            Figure::Paired => return Found::Number(report.paired as f64),
            Figure::Coverage => return Found::Number(report.coverage),
            Figure::Metric(metric) => metric,
        };
        let (coverage, minimum) = (report.coverage, report.minimum_coverage);
        if metric.needs_outcomes() && coverage < minimum {
            return Found::TooFewOutcomes { coverage, minimum };
        }
        let interval = report.difference.get(&metric).and_then(|found| found.at(self.confidence));
        interval.map_or(Found::Nothing, Found::Interval)
    }

    fn holds(&self, found: &Found) -> bool {
        match (found, self.relation) {
            (Found::Number(x), Relation::AtMost) => *x <= self.limit,
            (Found::Number(x), Relation::AtLeast) => *x >= self.limit,
            (Found::Interval(interval), Relation::AtMost) => interval.high <= self.limit,
            (Found::Interval(interval), Relation::AtLeast) => interval.low >= self.limit,
            (Found::Nothing | Found::TooFewOutcomes { .. }, _) => false,
        }
    }
}

/// A part of the text without the spaces around it, and where it starts.
#[derive(Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    /// In characters, from 1 on.
    position: usize,
}

impl<'a> Word<'a> {
    fn trimmed(text: &'a str, position: usize) -> Self {
        let trimmed = text.trim_start();
        let spaces = text.chars().count() - trimmed.chars().count();
        Self { text: trimmed.trim_end(), position: position + spaces }
    }

    /// What is before the first of these characters, and the rest; an empty rest without any.
    fn split_before(self, characters: &[char]) -> (Self, Self) {
        let end = self.text.find(characters).unwrap_or(self.text.len());
        let (before, rest) = self.text.split_at(end);
        let position = self.position + before.chars().count();
        (Self::trimmed(before, self.position), Self::trimmed(rest, position))
    }

    /// What follows `start`, if the word starts so.
    fn after(self, start: &str) -> Option<Self> {
        let rest = self.text.strip_prefix(start)?;
        Some(Self::trimmed(rest, self.position + start.chars().count()))
    }

    fn unreadable(self, expected: &'static str) -> Unreadable {
        Unreadable { position: self.position, word: self.text.to_owned(), expected }
    }
}

fn condition(text: Word<'_>) -> Result<Condition, Unreadable> {
    let (name, rest) = text.split_before(&['<', '>', '=']);
    let figure = figure(name)?;
    let (relation, rest) = [Relation::AtMost, Relation::AtLeast]
        .into_iter()
        .find_map(|relation| Some((relation, rest.after(relation.symbol())?)))
        .ok_or_else(|| rest.unreadable("expected `<=` or `>=`"))?;
    let (limit, stated) = rest.split_before(&['@']);
    let limit = number(limit.text).ok_or_else(|| {
        limit.unreadable("expected a number or a percentage, e.g. -0.001 or 0.1%")
    })?;
    let confidence = match stated.after("@") {
        Some(stated) => confidence(stated, figure)?,
        None => Confidence::DEFAULT,
    };
    Ok(Condition { figure, relation, limit, confidence })
}

fn figure(name: Word<'_>) -> Result<Figure, Unreadable> {
    let metric = |metric: &Metric| metric.name() == name.text;
    match name.text {
        "requests" => Ok(Figure::Requests),
        "paired" => Ok(Figure::Paired),
        "coverage" => Ok(Figure::Coverage),
        "auc" => Err(name.unreadable(
            "auc holds for one look at a number of requests chosen beforehand, so it cannot be \
             required; require brier or log_loss",
        )),
        _ => Metric::ALL.into_iter().find(metric).map(Figure::Metric).ok_or_else(|| {
            name.unreadable(
                "expected requests, paired, coverage, brier, log_loss, failed, late or disagreement",
            )
        }),
    }
}

fn confidence(stated: Word<'_>, figure: Figure) -> Result<Confidence, Unreadable> {
    if !matches!(figure, Figure::Metric(_)) {
        return Err(
            stated.unreadable("a count or a coverage is known exactly: it has no confidence")
        );
    }
    number(stated.text)
        .and_then(Confidence::new)
        .ok_or_else(|| stated.unreadable("expected a confidence above 0% and below 100%, e.g. 99%"))
}

/// A finite number; `0.1%` is 0.001.
fn number(text: &str) -> Option<f64> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim_end().parse::<f64>().ok()? / 100.0,
        None => text.parse().ok()?,
    };
    number.is_finite().then_some(number)
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requests => f.write_str("requests"),
            Self::Paired => f.write_str("paired"),
            Self::Coverage => f.write_str("coverage"),
            Self::Metric(metric) => metric.fmt(f),
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Condition { figure, relation, limit, confidence } = self.condition;
        write!(f, "{figure}: ")?;
        match self.found {
            Found::Number(x) => write!(f, "{}", short(x))?,
            Found::Interval(Interval { estimate, low, high, .. }) => write!(
                f,
                "estimate {}, {confidence} interval [{}, {}]",
                short(estimate),
                short(low),
                short(high),
            )?,
            Found::Nothing => f.write_str("no request counts for it")?,
            Found::TooFewOutcomes { coverage, minimum } => write!(
                f,
                "no verdict, since {} of the paired requests have an outcome, and {} are needed",
                short(coverage),
                short(minimum),
            )?,
        }
        write!(f, "; required {relation} {limit}")
    }
}

/// Rounded to six places after the point: more than any interval knows.
fn short(x: f64) -> f64 {
    (x * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use rendezvous_core::{RequestId, Timestamp};

    use super::*;
    use crate::comparison::{Comparison, ModelScore, Pair, Settings};

    /// The first model is right by 0.1 more than the second; it fails on every `failure`th request.
    fn report(requests: u32, failure: u32, labelled: bool) -> Report {
        let mut comparison = Comparison::new(Settings::default());
        for i in 0..requests {
            let outcome = f64::from(i % 2);
            let score = |value| ModelScore { value: Some(value), ..ModelScore::default() };
            let failed = i % failure == failure - 1;
            let first = if failed {
                ModelScore { failed, ..ModelScore::default() }
            } else {
                score((outcome - 0.3).abs())
            };
            comparison.push(&Pair {
                request: RequestId::random(),
                at: Timestamp::from_micros(i64::from(i)),
                first,
                second: score((outcome - 0.4).abs()),
                outcome: labelled.then_some(outcome),
                corrected: false,
                segment: None,
            });
        }
        comparison.report()
    }

    fn unmet(text: &str, report: &Report) -> Vec<String> {
        let unmet = Requirement::parse(text).unwrap().check(report).err().unwrap_or_default();
        unmet.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn conditions_hold_once_the_evidence_is_there() {
        let text = "brier<=-0.001@99%, requests>=10000, failed<=0.1%";
        assert_eq!(unmet(text, &report(12_000, 20_000, true)), [""; 0]);
        let early = report(1_000, 50, true);
        let Interval { low, high, .. } = early.difference[&Metric::Failed].interval;
        let interval = format!("[{}, {}]", short(low), short(high));
        assert_eq!(
            unmet(text, &early),
            [
                "requests: 1000; required >= 10000".to_owned(),
                format!("failed: estimate 0.02, 99% interval {interval}; required <= 0.001"),
            ]
        );
    }

    #[test]
    fn a_better_estimate_is_not_enough() {
        // The estimate is -0.07; after 30 requests its interval still contains zero.
        let report = report(30, 1_000, true);
        let [line] = &unmet("brier<=0", &report)[..] else { panic!("one condition") };
        assert!(line.starts_with("brier: estimate -0.07, 99% interval [-0."), "{line}");
        assert!(line.ends_with("required <= 0"), "{line}");
    }

    #[test]
    fn a_higher_confidence_takes_more_requests() {
        let report = report(150, 1_000, true);
        assert_eq!(unmet("brier<=0@90%", &report), [""; 0]);
        assert_eq!(unmet("brier<=0@99.9999%", &report).len(), 1);
    }

    #[test]
    fn a_lower_bound_is_about_the_other_end() {
        let report = report(12_000, 20_000, true);
        assert_eq!(unmet("brier>=-0.09", &report), [""; 0]);
        assert_eq!(unmet("brier>=-0.07", &report).len(), 1);
    }

    #[test]
    fn without_outcomes_there_is_no_verdict() {
        let report = report(100, 1_000, false);
        assert_eq!(
            unmet("brier<=1, coverage>=0", &report),
            ["brier: no verdict, since 0 of the paired requests have an outcome, and 0.5 are \
              needed; required <= 1"]
        );
        assert_eq!(
            unmet("late<=1", &Comparison::new(Settings::default()).report()),
            ["late: no request counts for it; required <= 1"]
        );
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_place() {
        for (text, position, word, expected) in [
            ("", 1, "", "expected requests, paired"),
            ("brier<=1,", 10, "", "expected requests, paired"),
            ("requests>=10, acu>=0.7", 15, "acu", "expected requests, paired"),
            ("requests>=10, auc>=0.7", 15, "auc", "cannot be required"),
            ("brier", 6, "", "expected `<=` or `>=`"),
            ("brier <1", 7, "<1", "expected `<=` or `>=`"),
            ("brier<= low", 9, "low", "expected a number"),
            ("brier<=NaN", 8, "NaN", "expected a number"),
            ("brier<=-1@99", 11, "99", "expected a confidence"),
            ("requests>=5@99%", 13, "99%", "it has no confidence"),
        ] {
            let error = Requirement::parse(text).unwrap_err();
            assert_eq!((error.position, &*error.word), (position, word), "{text}");
            assert!(error.expected.contains(expected), "{text}: {error}");
        }
    }
}
