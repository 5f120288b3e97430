//! Lines of metrics of a burst of invocations, joined: CloudWatch charges for each byte of a log.

use std::{collections::BTreeMap, time::Duration};

use rendezvous_core::Timestamp;
use serde_json::{Map, Value, json};

/// In a burst, lines are printed once in so long.
const PRINTED_EVERY: Duration = Duration::from_secs(5);

/// The most values of a metric in a line: "The metric value ... array ... must not have more than 100 members."
pub(crate) const MAX_VALUES: usize = 100;

/// The most lines that are held, each with dimensions or properties of its own.
const MAX_HELD: usize = 100;

/// Holds the lines of a burst. A line that comes after a pause is not held.
#[derive(Debug)]
pub(crate) struct Bursts {
    /// By all that is no value.
    held: BTreeMap<String, Joined>,
    printed: Option<Timestamp>,
}

/// Lines that differ in their values and times only.
#[derive(Debug)]
struct Joined {
    /// One of them, without its values.
    head: Map<String, Value>,
    /// The values of each metric, and how often each occurred.
    values: BTreeMap<String, Vec<(f64, u64)>>,
    /// When the last of them was written, in milliseconds since the epoch.
    time: Value,
}

impl Bursts {
    pub(crate) const fn new() -> Self {
        Self { held: BTreeMap::new(), printed: None }
    }

    /// Takes a line and returns what is to be printed: nothing when lines were printed less than 5 s
    /// ago, else this line and all that are held.
    pub(crate) fn add(&mut self, line: &[u8], at: Timestamp) -> Vec<u8> {
        let Some((key, joined)) = Joined::read(line) else { return line.to_vec() };
        let mut printed = Vec::new();
        match self.held.get_mut(&key) {
            Some(held) if held.takes(&joined) => held.join(joined),
            _ => {
                if let Some(full) = self.held.insert(key, joined) {
                    full.write(&mut printed);
                }
            }
        }
        // A clock that was set back must not hold lines for longer.
        let pause = self.printed.is_none_or(|last| at < last || at.since(last) >= PRINTED_EVERY);
        if pause || self.held.len() > MAX_HELD {
            self.printed = Some(at);
            printed.extend(self.flush());
        }
        printed
    }

    /// All lines that are held.
    pub(crate) fn flush(&mut self) -> Vec<u8> {
        let mut printed = Vec::new();
        for joined in std::mem::take(&mut self.held).into_values() {
            joined.write(&mut printed);
        }
        printed
    }
}

impl Joined {
    /// A line, and all of it that is no value; none if it is no line of metrics.
    fn read(line: &[u8]) -> Option<(String, Self)> {
        let mut head: Map<String, Value> = serde_json::from_slice(line).ok()?;
        let time = head.get_mut("_aws")?.get_mut("Timestamp").map(Value::take)?;
        let sets = head.get("_aws")?.get("CloudWatchMetrics")?.as_array()?.iter();
        let metrics = sets.filter_map(|set| set.get("Metrics")?.as_array()).flatten();
        let names: Vec<String> =
            metrics.filter_map(|metric| Some(metric.get("Name")?.as_str()?.to_owned())).collect();
        let mut values = BTreeMap::new();
        for name in names {
            if let Some(value) = head.remove(&name) {
                values.insert(name, observations(&value)?);
            }
        }
        let key = Value::Object(head.clone()).to_string();
        Some((key, Self { head, values, time }))
    }

    /// Whether all values of `other` fit in.
    fn takes(&self, other: &Self) -> bool {
        other.values.iter().all(|(name, values)| {
            let known = self.values.get(name).map_or(&[][..], Vec::as_slice);
            let more = values.iter().filter(|(value, _)| position(known, *value).is_none());
            known.len() + more.count() <= MAX_VALUES
        })
    }

    fn join(&mut self, other: Self) {
        for (name, values) in other.values {
            let known = self.values.entry(name).or_default();
            for (value, count) in values {
                match position(known, value) {
                    Some(i) => known[i].1 += count,
                    None => known.push((value, count)),
                }
            }
        }
        self.time = other.time;
    }

    fn write(mut self, to: &mut Vec<u8>) {
        if let Some(Value::Object(meta)) = self.head.get_mut("_aws") {
            meta.insert("Timestamp".to_owned(), self.time);
        }
        for (name, values) in self.values {
            let value = if let [(value, 1)] = values[..] {
                json!(value)
            } else {
                let (values, counts): (Vec<f64>, Vec<u64>) = values.into_iter().unzip();
                json!({ "Values": values, "Counts": counts })
            };
            self.head.insert(name, value);
        }
        to.extend(Value::Object(self.head).to_string().as_bytes());
        to.push(b'\n');
    }
}

fn position(known: &[(f64, u64)], value: f64) -> Option<usize> {
    known.iter().position(|(known, _)| known.total_cmp(&value).is_eq())
}

/// The values of a metric in a line: a number, or values with how often each occurred.
fn observations(value: &Value) -> Option<Vec<(f64, u64)>> {
    if let Some(number) = value.as_f64() {
        return Some(vec![(number, 1)]);
    }
    let list = |name| value.get(name).and_then(Value::as_array);
    let values = list("Values")?.iter().filter_map(Value::as_f64);
    let counts = list("Counts")?.iter().filter_map(Value::as_u64);
    Some(values.zip(counts).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    fn line(model: &str, ms: u64, scored: impl Into<Value>) -> Vec<u8> {
        let line = json!({
            "_aws": {
                "Timestamp": ms,
                "CloudWatchMetrics": [{
                    "Namespace": "n", "Dimensions": [["Model"]], "Metrics": [{ "Name": "Scored" }]
                }]
            },
            "Model": model,
            "Scored": scored.into(),
        });
        format!("{line}\n").into_bytes()
    }

    fn lines(printed: &[u8]) -> Vec<Value> {
        let text = str::from_utf8(printed).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn after_a_pause_a_line_is_printed_at_once() {
        // One request in ten minutes: the alarm on a silent model must see each.
        let mut bursts = Bursts::new();
        for request in 0..3_u64 {
            let at = START + Duration::from_secs(600 * request);
            let printed = lines(&bursts.add(&line("a@1", request, json!(1)), at));
            assert_eq!(printed.len(), 1);
            assert_eq!(printed[0]["Scored"], 1.0);
        }
        assert_eq!(bursts.flush(), b"");
    }

    #[test]
    fn the_lines_of_a_burst_are_joined_and_no_value_is_lost() {
        let mut bursts = Bursts::new();
        let at = |ms| START + Duration::from_millis(ms);
        let first = lines(&bursts.add(&line("a@1", 0, json!(7)), at(0)));
        assert_eq!((first.len(), &first[0]["Scored"]), (1, &json!(7.0)));
        let burst = [("a@1", json!(1)), ("a@1", json!(2)), ("b@1", json!(5)), ("a@1", json!(1))];
        for (i, (model, scored)) in burst.into_iter().enumerate() {
            let ms = 1_000 + i as u64;
            assert_eq!(bursts.add(&line(model, ms, scored), at(ms)), b"");
        }
        let more = json!({ "Values": [2, 3], "Counts": [4, 1] });
        let printed = lines(&bursts.add(&line("a@1", 5_000, more), at(5_000)));
        let [a, b] = &printed[..] else { panic!("{printed:?}") };
        assert_eq!(a["Scored"], json!({ "Values": [1.0, 2.0, 3.0], "Counts": [2, 5, 1] }));
        assert_eq!((&a["Model"], &a["_aws"]["Timestamp"]), (&json!("a@1"), &json!(5_000)));
        assert_eq!((&b["Model"], &b["Scored"]), (&json!("b@1"), &json!(5.0)));
        assert_eq!(a["_aws"]["CloudWatchMetrics"], first[0]["_aws"]["CloudWatchMetrics"]);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut bursts = Bursts::new();
        bursts.add(&line("a@1", 0, json!(0)), START);
        let mut printed = Vec::new();
        for value in 0..250 {
            printed.extend(bursts.add(&line("a@1", 1, json!(value)), START));
        }
        let lines = lines(&printed);
        assert_eq!(lines.len(), 2, "one for each 100 values");
        assert!(lines.iter().all(|line| line["Scored"]["Values"].as_array().unwrap().len() == 100));
        let printed = (0..=MAX_HELD).map(|model| line(&model.to_string(), 1, json!(1)));
        let printed: Vec<u8> = printed.flat_map(|line| bursts.add(&line, START)).collect();
        assert_eq!(self::lines(&printed).len(), MAX_HELD + 1);
    }

    #[test]
    fn a_clock_that_is_set_back_holds_no_line_and_what_is_no_line_of_metrics_is_printed() {
        let mut bursts = Bursts::new();
        bursts.add(&line("a@1", 0, json!(1)), START + Duration::from_hours(1));
        assert_eq!(lines(&bursts.add(&line("a@1", 0, json!(1)), START)).len(), 1);
        assert_eq!(bursts.add(b"no line\n", START), b"no line\n");
    }
}
