//! What `whatif` prints for people.

use std::{collections::BTreeSet, fmt::Write};

use rendezvous_evidence::whatif::{Report, Side};

/// The table.
pub(super) fn table(report: &Report) -> String {
    let mut text = Table(String::new());
    let Report { requests, changed, changed_range, real, whatif, .. } = report;
    text.line(&format!("{requests} decided requests"), "real", "what-if");
    for (kind, count) in &real.kinds {
        let other = whatif.kinds.get(kind).copied().unwrap_or_default();
        text.counts(&format!("  {}", kind.as_str()), *count, other);
    }
    let models: BTreeSet<&String> = real.models.keys().chain(whatif.models.keys()).collect();
    for model in models {
        let count = |side: &Side| side.models.get(model).copied().unwrap_or_default();
        text.counts(&format!("  won by {model}"), count(real), count(whatif));
    }
    let of = [&real.elapsed_ms, &whatif.elapsed_ms];
    let times =
        [("p50", of.map(|e| e.p50)), ("p95", of.map(|e| e.p95)), ("p99", of.map(|e| e.p99))];
    for (name, [real, whatif]) in times {
        text.line(&format!("  elapsed {name}, ms"), &format!("{real:.1}"), &format!("{whatif:.1}"));
    }
    let shown = |of: Option<f64>, digits: usize, factor: f64| {
        of.map_or_else(|| "-".to_owned(), |of| format!("{:.digits$}", of * factor))
    };
    let rates = [real, whatif].map(|side| shown(side.fallback_rate, 3, 100.0));
    text.line("  fallback rate, %", &rates[0], &rates[1]);
    let briers = [real, whatif].map(|side| shown(side.brier, 5, 1.0));
    text.line("  Brier", &briers[0], &briers[1]);
    text.counts("  answers with an outcome", real.brier_requests, whatif.brier_requests);

    text.empty();
    text.line("changed answers", "", &changed.to_string());
    text.counts("  at least, at most", changed_range.at_least, changed_range.at_most);
    for (what, count) in unobserved(report) {
        text.line(&format!("  not observed: {what}"), "", &count.to_string());
    }
    let recomputed = &report.recomputed;
    text.line("decisions recomputed alike", "", &recomputed.same.to_string());
    for (why, count) in &recomputed.why {
        let why = serde_json::to_value(why).unwrap_or_default();
        let why = format!("  not alike: {}", why.as_str().unwrap_or_default());
        text.line(&why, "", &count.to_string());
    }
    let counts = format!("{:.1}", report.filing_ms);
    text.line("a score counts after its arrival, ms", "", &counts);
    sweep(report, &mut text);
    text.0
}

/// What was not observed, in words, without what did not occur.
fn unobserved(report: &Report) -> Vec<(String, u64)> {
    let counts = serde_json::to_value(report.unobserved).unwrap_or_default();
    let counts = counts.as_object().into_iter().flatten();
    let named = counts.map(|(name, count)| (name.replace('_', " "), count.as_u64().unwrap_or(0)));
    named.filter(|(_, count)| *count > 0).collect()
}

fn sweep(report: &Report, text: &mut Table) {
    if report.sweep.is_empty() {
        return;
    }
    text.empty();
    let _ = writeln!(
        text.0,
        "{:>11} {:>9} {:>9} {:>9} {:>11} {:>9} {:>9}",
        "deadline ms", "p50 ms", "p95 ms", "p99 ms", "fallback %", "Brier", "changed"
    );
    for point in &report.sweep {
        let Side { elapsed_ms: elapsed, fallback_rate, brier, .. } = &point.whatif;
        let _ = writeln!(
            text.0,
            "{:>11} {:>9.1} {:>9.1} {:>9.1} {:>11.3} {:>9.5} {:>9}",
            point.deadline_ms,
            elapsed.p50,
            elapsed.p95,
            elapsed.p99,
            fallback_rate.unwrap_or(f64::NAN) * 100.0,
            brier.unwrap_or(f64::NAN),
            point.changed
        );
    }
}

/// Three columns. Writing to a string cannot fail.
struct Table(String);

impl Table {
    fn line(&mut self, what: &str, real: &str, whatif: &str) {
        let _ = writeln!(self.0, "{what:<40} {real:>14} {whatif:>14}");
    }

    fn counts(&mut self, what: &str, real: u64, whatif: u64) {
        self.line(what, &real.to_string(), &whatif.to_string());
    }

    fn empty(&mut self) {
        self.0.push('\n');
    }
}
