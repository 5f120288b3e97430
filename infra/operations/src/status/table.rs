//! What `status` prints for people.

use rendezvous_core::decision::Kind;
use rendezvous_monitor::alarms::KeptAlarm;

use super::{ArmStatus, EndpointStatus, ModelStatus, Status, day::DayStatus, figures::Times};
use crate::output::{instant, table as aligned};

/// How many reasons are shown; JSON has all.
const REASONS: usize = 3;

/// The tables of each endpoint, and the warnings below them.
pub(super) fn table(found: &Status) -> String {
    let mut parts = vec![format!("Windows from {}\n", found.time())];
    parts.extend(found.endpoints.iter().map(of_endpoint));
    let warnings = found.warnings.iter().map(|warning| format!("warning: {warning}"));
    parts.extend(lines(warnings));
    parts.join("\n")
}

fn of_endpoint(found: &EndpointStatus) -> String {
    let mut text = format!("{}, version {}\n\n", found.endpoint, found.config);
    let head = [
        "arm", "keys", "step", "requests", "a minute", "champion", "stand-in", "fallback", "none",
        "late", "p50 ms", "p99 ms", "reasons",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(found.arms.iter().map(of_arm));
    text += &aligned(&rows, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    let head = ["model", "role", "scored", "failed", "p50 ms", "p99 ms", "median", "failures"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(found.models.iter().map(of_model));
    text = text + "\n" + &aligned(&rows, &[2, 3, 4, 5, 6]);
    let verdicts = found.arms.iter().filter_map(|arm| Some((arm, arm.verdict.as_ref()?)));
    let verdicts = verdicts.map(|(arm, verdict)| {
        format!("verdict on {}, {}: {}", arm.arm, instant(verdict.minute_us), verdict.because)
    });
    let day = found.day.as_ref().map(DayStatus::table);
    let below = [day, lines(verdicts), lines(found.alarms.iter().map(of_alarm))];
    below.into_iter().flatten().fold(text, |text, lines| text + "\n" + &lines)
}

/// `ALARM drift of gbt@2 over 24 hours, since …: figures`, what it means and what to do.
fn of_alarm(alarm: &KeptAlarm) -> String {
    let KeptAlarm { alarm: name, subject, over, figures, meaning, first, .. } = alarm;
    let subject = if subject.is_empty() { String::new() } else { format!(" of {subject}") };
    let over = over.map_or_else(String::new, |over| format!(" over {}", over.as_str()));
    let begun = instant(alarm.begun_us);
    match alarm.ended_us {
        Some(ended) => {
            let ended = instant(ended);
            format!("past alarm {name}{subject}{over}, {begun} to {ended}: {figures}")
        }
        None => {
            format!("ALARM {name}{subject}{over}, since {begun}: {figures}\n  {meaning}\n  {first}")
        }
    }
}

/// A line for each text; `None` without texts.
fn lines(texts: impl Iterator<Item = String>) -> Option<String> {
    let texts: Vec<String> = texts.collect();
    (!texts.is_empty()).then(|| texts.join("\n") + "\n")
}

fn of_arm(arm: &ArmStatus) -> Vec<String> {
    let figures = &arm.figures;
    let reasons = figures.reasons.iter().take(REASONS);
    let reasons: Vec<String> =
        reasons.map(|each| format!("{} {}", each.reason, each.count)).collect();
    let (p50, p99) = times(figures.elapsed_ms);
    let kind = |kind| figures.kind(kind).to_string();
    vec![
        arm.arm.to_string(),
        arm.share.map_or_else(|| "not configured".to_owned(), percent),
        arm.step.map(|[step, of]| format!("{step} of {of}")).unwrap_or_default(),
        figures.requests.to_string(),
        format!("{:.1}", figures.per_minute),
        kind(Kind::Champion),
        kind(Kind::StandIn),
        kind(Kind::Fallback),
        kind(Kind::None),
        figures.late.to_string(),
        p50,
        p99,
        reasons.join(", "),
    ]
}

fn of_model(model: &ModelStatus) -> Vec<String> {
    let figures = &model.figures;
    let roles =
        if model.roles.is_empty() { "not configured".to_owned() } else { model.roles.join(", ") };
    let (p50, p99) = times(figures.elapsed_ms);
    let failures = figures.failed.iter().map(|(kind, count)| format!("{kind} {count}"));
    vec![
        model.model.to_string(),
        roles,
        if model.silent { "silent".to_owned() } else { figures.scored.to_string() },
        figures.failures().to_string(),
        p50,
        p99,
        figures.median.map(|median| format!("{median:.4}")).unwrap_or_default(),
        failures.collect::<Vec<_>>().join(", "),
    ]
}

fn times(times: Option<Times>) -> (String, String) {
    times
        .map(|Times { p50, p99, .. }| (format!("{p50:.1}"), format!("{p99:.1}")))
        .unwrap_or_default()
}

/// A share has four decimal places.
fn percent(fraction: f64) -> String {
    format!("{} %", (fraction * 10_000.0).round() / 100.0)
}
