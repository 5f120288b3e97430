//! A trace for people: short names for ids, times from the start, no payloads.

use std::{collections::HashMap, fmt::Write};

/// Gives each id the short name `r1`, `r2` and so on, in the order in which they appear.
#[derive(Debug, Default)]
pub struct Names {
    numbers: HashMap<String, usize>,
    /// The time of the first line, in microseconds.
    start: Option<i64>,
}

/// The longest line, in characters. What does not fit is the detail of an answer.
const LONGEST: usize = 200;

/// The length of a UUID as a text.
const UUID: usize = 36;

impl Names {
    /// A line of a trace with short names, the time from the first line, and a bounded length.
    pub fn line(&mut self, line: &str) -> String {
        let time = line.split_once("us ").and_then(|(time, rest)| Some((time.parse().ok()?, rest)));
        let (time, rest): (i64, &str) = time.unwrap_or((0, line));
        let ms = (time - *self.start.get_or_insert(time)) as f64 / 1e3;
        let text = self.shorten(rest);
        let cut = text.char_indices().nth(LONGEST).map_or(text.len(), |(end, _)| end);
        let dots = if cut < text.len() { "…" } else { "" };
        format!("{ms:>12.3} ms  {}{dots}", &text[..cut])
    }

    /// A line with short names.
    pub fn shorten(&mut self, line: &str) -> String {
        let mut short = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(next) = rest.chars().next() {
            if let Some(id) = rest.get(..UUID).filter(|text| is_uuid(text)) {
                let count = self.numbers.len() + 1;
                let number = *self.numbers.entry(id.to_owned()).or_insert(count);
                // Writing to a string cannot fail.
                let _ = write!(short, "r{number}");
                rest = &rest[UUID..];
            } else {
                short.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
        short
    }
}

fn is_uuid(text: &str) -> bool {
    text.bytes().enumerate().all(|(index, byte)| match index {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}
