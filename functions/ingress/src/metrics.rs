//! The metrics of a call.

use std::{sync::Arc, time::Duration};

use metrique::{
    unit::{Millisecond, Percent},
    unit_of_work::metrics,
};
use rendezvous_aws::{
    Calls, CallsSince, DynamoLedger,
    metrics::{line as plain, line_with, print},
};
use rendezvous_core::{Kind, Reason, ports::Telemetry};
use rendezvous_ingress::IngressReport;

/// Prints a line of metrics for each call.
pub(crate) struct Metrics {
    stack: String,
    calls: CallsSince,
}

impl Metrics {
    pub(crate) fn new(stack: &str, ledger: Arc<DynamoLedger>) -> Self {
        Self { stack: stack.to_owned(), calls: CallsSince::new(ledger) }
    }
}

impl Telemetry<IngressReport> for Metrics {
    fn record(&self, report: &IngressReport) {
        print(&line(&self.stack, report.clone(), self.calls.take()));
    }
}

/// A call that was answered with a decision, for the first time.
#[metrics(rename_all = "PascalCase", emf::dimension_sets = [["Stack"], ["Stack", "Endpoint"]])]
struct FirstAnswer {
    stack: String,
    endpoint: String,
    arm: String,
    kind: &'static str,
    reason: &'static str,
    answers: u64,
    fallbacks: u64,
    /// Its deadline decided it.
    at_deadline: u64,
    late: u64,
    unsettled: u64,
    unanswered: u64,
    #[metrics(unit = Millisecond)]
    answer_time: Duration,
    #[metrics(unit = Percent)]
    deadline_share: f64,
    ledger_reads: u64,
    ledger_writes: u64,
}

/// Any other call.
#[metrics(rename_all = "PascalCase", emf::dimension_sets = [["Stack"]])]
struct OtherCall {
    stack: String,
    status: String,
    refused: u64,
    unanswered: u64,
    repeats: u64,
}

/// The line of one call, in which the ledger was called so often.
fn line(stack: &str, report: IngressReport, calls: Calls) -> Vec<u8> {
    let stack = stack.to_owned();
    let IngressReport { status, answered } = report;
    let unanswered = u64::from(status >= 500);
    let repeats = u64::from(answered.as_ref().is_some_and(|answered| answered.repeat));
    let Some(answered) = answered.filter(|answered| !answered.repeat) else {
        return plain(OtherCall {
            stack,
            status: status.to_string(),
            refused: u64::from((400..500).contains(&status)),
            unanswered,
            repeats,
        });
    };
    let answer = FirstAnswer {
        stack,
        answers: 1,
        fallbacks: u64::from(matches!(answered.kind, Kind::Fallback | Kind::None)),
        at_deadline: u64::from(answered.reason == Reason::Deadline),
        late: u64::from(answered.late()),
        unsettled: u64::from(!answered.settled),
        unanswered,
        answer_time: answered.took,
        deadline_share: answered.share() * 100.0,
        ledger_reads: calls.reads,
        ledger_writes: calls.writes,
        endpoint: answered.endpoint.to_string(),
        arm: answered.arm.to_string(),
        kind: answered.kind.as_str(),
        reason: answered.reason.as_str(),
    };
    let dimensions = [["Kind", "Reason"], ["Arm", "Kind"]];
    let dimensions = dimensions.map(|[one, other]| vec!["Stack", "Endpoint", one, other]);
    line_with(answer, "Answers", dimensions.into())
}

#[cfg(test)]
mod tests {
    use rendezvous_ingress::Answered;
    use serde_json::{Value, json};

    use super::*;

    fn parsed(report: IngressReport) -> Value {
        let calls = Calls { reads: 3, writes: 1 };
        let mut line: Value = serde_json::from_slice(&line("s", report, calls)).unwrap();
        assert!(line["_aws"]["Timestamp"].as_i64() > Some(0));
        line["_aws"]["Timestamp"].take();
        line
    }

    #[test]
    fn an_answer_is_counted_by_endpoint_and_by_kind_and_reason() {
        let answered = Answered {
            endpoint: "flight-delay".parse().unwrap(),
            arm: "gbt".parse().unwrap(),
            kind: Kind::Fallback,
            reason: Reason::Deadline,
            settled: false,
            repeat: false,
            took: Duration::from_millis(225),
            allowed: Duration::from_millis(200),
            margin: Duration::from_millis(20),
        };
        let line = parsed(IngressReport { status: 200, answered: Some(answered.clone()) });
        let counted = &line["_aws"]["CloudWatchMetrics"];
        assert_eq!(counted[0]["Dimensions"], json!([["Stack"], ["Stack", "Endpoint"]]));
        let dimensions =
            json!([["Stack", "Endpoint", "Kind", "Reason"], ["Stack", "Endpoint", "Arm", "Kind"]]);
        assert_eq!(counted[1]["Dimensions"], dimensions);
        assert_eq!(counted[1]["Metrics"], json!([{ "Name": "Answers", "Unit": "None" }]));
        let fields = [
            ("Stack", json!("s")),
            ("Endpoint", json!("flight-delay")),
            ("Arm", json!("gbt")),
            ("Kind", json!("fallback")),
            ("Reason", json!("deadline")),
            ("Answers", json!(1)),
            ("Fallbacks", json!(1)),
            ("AtDeadline", json!(1)),
            ("Late", json!(1)),
            ("Unsettled", json!(1)),
            ("AnswerTime", json!(225)),
            ("DeadlineShare", json!(125)),
            ("LedgerReads", json!(3)),
            ("LedgerWrites", json!(1)),
        ];
        for (name, value) in fields {
            assert_eq!(line[name].as_f64(), value.as_f64(), "{name}");
            assert_eq!(line[name].as_str(), value.as_str(), "{name}");
        }
        let repeat = Answered { repeat: true, ..answered };
        let line = parsed(IngressReport { status: 200, answered: Some(repeat) });
        assert_eq!((&line["Repeats"], &line["Answers"]), (&json!(1), &Value::Null));
    }

    #[test]
    fn any_other_call_counts_as_refused_or_unanswered_by_its_status() {
        for (status, refused, unanswered) in [(204, 0, 0), (404, 1, 0), (503, 0, 1)] {
            let line = parsed(IngressReport { status, answered: None });
            assert_eq!(
                (&line["Refused"], &line["Unanswered"]),
                (&refused.into(), &unanswered.into())
            );
            assert_eq!(line["Status"], status.to_string());
        }
    }
}
