//! The counters of the system in the text format of Prometheus, version 0.0.4, for `GET /metrics`.

use std::{
    fmt::{Display, Write},
    time::Duration,
};

use rendezvous_core::{EndpointName, decision::Kind};
use rendezvous_sim::{ModelTotals, Totals};

/// The content type of the format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The counters as text. They begin with 0 when the process starts.
pub(crate) fn text(totals: &Totals) -> String {
    let mut text = Text(String::new());
    ingress(&mut text, totals);
    rendezvous(&mut text, totals);
    models(&mut text, totals);
    decoy(&mut text, totals);
    monitor(&mut text, totals);
    text.0
}

fn ingress(text: &mut Text, Totals { ingress, .. }: &Totals) {
    let answers = Kind::ALL.map(|kind| {
        let count = ingress.answers.get(kind.as_str()).copied().unwrap_or(0);
        (format!("{{kind=\"{}\"}}", kind.as_str()), count)
    });
    text.family(
        "ingress_answers_total",
        "counter",
        "Calls that were answered with a decision, by its kind.",
        answers,
    );
    let late = "Answers that left more than 5 ms after their deadline.";
    text.counter("ingress_late_total", late, ingress.late);
    let unsettled = "Answers whose commit was not confirmed.";
    text.counter("ingress_unsettled_total", unsettled, ingress.unsettled);
    let repeats = "Answers to repeats of an idempotency key.";
    text.counter("ingress_repeats_total", repeats, ingress.repeats);
    let refused = "Calls that were refused with a status of 400 to 499.";
    text.counter("ingress_refused_total", refused, ingress.refused);
    let unanswered = "Calls that ended with a status of 500 or more.";
    text.counter("ingress_unanswered_total", unanswered, ingress.unanswered);
}

fn rendezvous(text: &mut Text, Totals { rendezvous, .. }: &Totals) {
    let scores = "Scores and failures that rendezvous has read.";
    text.counter("rendezvous_scores_total", scores, rendezvous.scores);
    let unreadable = "Records of the stream scores that cannot be read.";
    text.counter("rendezvous_unreadable_total", unreadable, rendezvous.unreadable);
    let expired = "Scores that came more than a minute after the deadline and were not filed.";
    text.counter("rendezvous_expired_total", expired, rendezvous.expired);
    let settled = "Requests that were settled by rendezvous, or by ingress meanwhile.";
    text.counter("rendezvous_settled_total", settled, rendezvous.settled);
    let again = "Scores that could not be filed and are handed over again.";
    text.counter("rendezvous_again_total", again, rendezvous.again);
    let lag = "How far behind the stream scores rendezvous was at most.";
    text.seconds("rendezvous_longest_lag_seconds", lag, rendezvous.longest_lag);
}

fn models(text: &mut Text, Totals { models, .. }: &Totals) {
    let mut family = |name, kind, help, of: fn(&ModelTotals) -> f64| {
        // A model's id needs no escapes.
        let samples = models.iter().map(|(id, model)| (format!("{{model=\"{id}\"}}"), of(model)));
        text.family(name, kind, help, samples);
    };
    let scored = "Requests that the model scored.";
    family("model_scored_total", "counter", scored, |model| model.scored as f64);
    let failed = "Failures of the model of every kind but expired.";
    family("model_failed_total", "counter", failed, |model| model.failed as f64);
    let expired = "Requests that reached the model after their deadline.";
    family("model_expired_total", "counter", expired, |model| model.expired as f64);
    let unsent = "Scores and failures of the model that were not sent.";
    family("model_unsent_total", "counter", unsent, |model| model.unsent as f64);
    let lag = "How far behind the stream input the model was at most.";
    family("model_longest_lag_seconds", "gauge", lag, |model| model.longest_lag.as_secs_f64());
    let failing = "1 if the model scored none of the requests of its last batch, else 0.";
    family("model_failing", "gauge", failing, |model| f64::from(u8::from(model.failing)));
}

fn decoy(text: &mut Text, Totals { decoy, .. }: &Totals) {
    text.counter("decoy_rows_total", "Rows that were archived.", decoy.rows);
    let quarantined = "Records that cannot be read and are kept in quarantine.";
    text.counter("decoy_quarantined_total", quarantined, decoy.quarantined);
    text.counter(
        "decoy_files_total",
        "Files that were archived, quarantine included.",
        decoy.files,
    );
    text.counter("decoy_bytes_total", "Bytes of the files that were archived.", decoy.bytes);
    let lag = "How far behind its sources the decoy was at most.";
    text.seconds("decoy_longest_lag_seconds", lag, decoy.longest_lag);
}

fn monitor(text: &mut Text, Totals { monitor, .. }: &Totals) {
    let listed = "Requests that were listed because a batch left them without a decision.";
    text.counter("monitor_listed_total", listed, monitor.listed);
    let settled = "Overdue requests that the monitor decided.";
    text.counter("monitor_settled_total", settled, monitor.settled);
    text.counter("monitor_windows_total", "Partial windows that were written.", monitor.windows);
    let published = "Versions of configurations that the monitor published.";
    text.counter("monitor_published_total", published, monitor.published);
    // Names of endpoints and alarms need no escapes.
    let alarms = |(endpoint, alarm): &(EndpointName, String)| {
        format!("{{endpoint=\"{endpoint}\",alarm=\"{alarm}\"}}")
    };
    let active = monitor.alarms.iter().map(|(key, (active, _))| (alarms(key), *active));
    let help = "Alarms of an endpoint that are active.";
    text.family("alarms_active", "gauge", help, active);
    let begun = monitor.alarms.iter().map(|(key, (_, begun))| (alarms(key), *begun));
    let help = "Alarms of an endpoint that have begun.";
    text.family("alarms_total", "counter", help, begun);
    let latest = "How long after its deadline an overdue request was decided at most.";
    text.seconds("monitor_latest_seconds", latest, monitor.latest);
}

struct Text(String);

impl Text {
    /// A metric with its samples: labels and value of each.
    fn family<V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, V)>,
    ) {
        let name = format!("rendezvous_{name}");
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help, [(String::new(), value)]);
    }

    fn seconds(&mut self, name: &str, help: &str, value: Duration) {
        self.family(name, "gauge", help, [(String::new(), value.as_secs_f64())]);
    }
}
