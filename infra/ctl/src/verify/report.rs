//! What a run has found: a table for a person, JSON for a program.

use std::{fmt, time::Duration};

use serde::{Serialize, Serializer};

use super::LEFT;
use crate::output::table;

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Ok,
    Failed,
    /// Not tried, because a step before it failed.
    Skipped,
}

/// One thing that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    pub step: String,
    /// The endpoint, the mapping, or nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    pub status: Status,
    pub detail: String,
    /// What to do about a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    #[serde(
        rename = "ms",
        serialize_with = "some_millis",
        skip_serializing_if = "Option::is_none"
    )]
    pub took: Option<Duration>,
}

/// A part of the time of a request.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    pub endpoint: String,
    pub part: String,
    #[serde(rename = "ms", serialize_with = "millis")]
    pub took: Duration,
}

/// All steps in their order, and where the time of a request went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub steps: Vec<Step>,
    pub latencies: Vec<Part>,
    /// How many requests were asked.
    pub requests: usize,
}

impl Step {
    fn new(step: &str, subject: &str, status: Status, detail: impl Into<String>) -> Self {
        let (step, subject, detail) = (step.to_owned(), subject.to_owned(), detail.into());
        Self { step, subject, status, detail, advice: None, took: None }
    }

    pub fn ok(step: &str, subject: &str, detail: impl Into<String>) -> Self {
        Self::new(step, subject, Status::Ok, detail)
    }

    pub fn failed(step: &str, subject: &str, detail: impl Into<String>) -> Self {
        Self::new(step, subject, Status::Failed, detail)
    }

    pub fn skipped(step: &str, subject: &str) -> Self {
        Self::new(step, subject, Status::Skipped, "a step before it failed")
    }

    #[must_use]
    pub fn took(self, took: Duration) -> Self {
        Self { took: Some(took), ..self }
    }

    #[must_use]
    pub fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }
}

impl Report {
    /// Adds a step; returns whether it is well.
    pub fn add(&mut self, step: Step) -> bool {
        let ok = step.status == Status::Ok;
        self.steps.push(step);
        ok
    }

    /// Adds a part of a request's time, where it is known.
    pub fn time(&mut self, endpoint: &str, part: impl Into<String>, took: Option<Duration>) {
        let (endpoint, part) = (endpoint.to_owned(), part.into());
        self.latencies.extend(took.map(|took| Part { endpoint, part, took }));
    }

    /// What stays behind.
    fn left(&self) -> Option<&'static str> {
        (self.requests > 0).then_some(LEFT)
    }

    /// Whether every step is well.
    pub fn ok(&self) -> bool {
        self.steps.iter().all(|step| step.status == Status::Ok)
    }

    /// What to do, and about which steps.
    fn advice(&self) -> Vec<(&str, Vec<String>)> {
        let mut advice: Vec<(&str, Vec<String>)> = Vec::new();
        for step in &self.steps {
            let Some(what) = step.advice.as_deref() else { continue };
            let name = [step.step.as_str(), step.subject.as_str()].join(" ").trim().to_owned();
            match advice.iter_mut().find(|(known, _)| *known == what) {
                Some((_, steps)) => steps.push(name),
                None => advice.push((what, vec![name])),
            }
        }
        advice
    }

    /// The report as JSON; `target` names the system.
    pub fn json(&self, target: &str) -> String {
        #[derive(Serialize)]
        struct Document<'a> {
            target: &'a str,
            ok: bool,
            steps: &'a [Step],
            latencies: &'a [Part],
            left: Option<&'static str>,
        }
        let Self { steps, latencies, .. } = self;
        let document = Document { target, ok: self.ok(), steps, latencies, left: self.left() };
        // Texts and numbers can be written as JSON.
        serde_json::to_string_pretty(&document).unwrap_or_default()
    }
}

/// The table.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![["step", "for", "result", "ms", "what"].map(str::to_owned).to_vec()];
        for step in &self.steps {
            let result = match step.status {
                Status::Ok => "ok",
                Status::Failed => "FAILED",
                Status::Skipped => "skipped",
            };
            let (name, subject) = (step.step.clone(), step.subject.clone());
            let detail = step.detail.clone();
            lines.push(vec![name, subject, result.to_owned(), shown(step.took), detail]);
        }
        f.write_str(&table(&lines, &[3]))?;
        if !self.latencies.is_empty() {
            writeln!(f)?;
            let mut lines = vec![["endpoint", "part", "ms"].map(str::to_owned).to_vec()];
            for Part { endpoint, part, took } in &self.latencies {
                lines.push(vec![endpoint.clone(), part.clone(), shown(Some(*took))]);
            }
            f.write_str(&table(&lines, &[2]))?;
        }
        let advice = self.advice();
        if !advice.is_empty() {
            writeln!(f, "\nWhat to do:")?;
            advice
                .iter()
                .try_for_each(|(what, steps)| writeln!(f, "- {}: {what}", steps.join(", ")))?;
        }
        let failed = self.steps.iter().filter(|step| step.status == Status::Failed).count();
        let skipped = self.steps.iter().filter(|step| step.status == Status::Skipped).count();
        let steps = self.steps.len();
        writeln!(f, "\n{steps} steps, {failed} failed, {skipped} skipped.")?;
        self.left().map_or(Ok(()), |left| writeln!(f, "Left behind: {left}."))
    }
}

fn shown(took: Option<Duration>) -> String {
    took.map(|took| format!("{:.1}", took.as_secs_f64() * 1e3)).unwrap_or_default()
}

/// Milliseconds to the microsecond.
fn millis<S: Serializer>(took: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64((took.as_secs_f64() * 1e6).round() / 1e3)
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the member")]
fn some_millis<S: Serializer>(took: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    match took {
        Some(took) => millis(took, to),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_well_only_when_every_step_is_and_says_what_to_do() {
        let mut report = Report::default();
        assert!(report.add(Step::ok("health", "", "runs").took(Duration::from_micros(1_300))));
        assert!(report.ok());
        assert!(!report.add(Step::failed("ask", "e", "fallback").advise("pass --payload")));
        report.add(Step::failed("ask later", "e", "fallback").advise("pass --payload"));
        report.add(Step::skipped("read", "e"));
        assert!(!report.ok());
        report.time("e", "send", Some(Duration::from_millis(2)));
        let table = report.to_string();
        assert!(table.contains("health          ok       1.3  runs\n"), "{table}");
        assert!(table.contains("- ask e, ask later e: pass --payload\n"), "{table}");
        assert!(!table.contains("Left behind"), "nothing was asked");
        assert!(table.contains("4 steps, 2 failed, 1 skipped.\n"), "{table}");
        let json: serde_json::Value = serde_json::from_str(&report.json("stack s")).unwrap();
        assert_eq!((&json["ok"], &json["target"]), (&false.into(), &"stack s".into()));
        assert_eq!(json["steps"][0]["ms"], 1.3);
        assert_eq!(json["steps"][3]["status"], "skipped");
        assert_eq!(json["latencies"][0]["ms"], 2.0);
    }
}
