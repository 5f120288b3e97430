//! A trace for people: short names for ids, times from the start, no payloads.

use std::{collections::HashMap, fmt::Write};

/// Gives each id the short name `r1`, `r2` and so on, in the order in which they appear.
#[derive(Debug, Default)]
pub struct Names(HashMap<String, usize>);

/// The length of a UUID as a text.
const UUID: usize = 36;

impl Names {
    /// A line with short names.
    pub fn shorten(&mut self, line: &str) -> String {
        let mut short = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(next) = rest.chars().next() {
            if let Some(id) = rest.get(..UUID).filter(|text| is_uuid(text)) {
                let count = self.0.len() + 1;
                let number = *self.0.entry(id.to_owned()).or_insert(count);
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
