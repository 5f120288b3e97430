//! What a command prints: a table for people, JSON for programs.

use std::fmt::Write;

use rendezvous_core::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;

/// The result of a command in both forms.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    pub text: String,
    pub json: Value,
}

impl Output {
    /// A report as JSON, and as the text that `text` makes of it.
    pub fn of<R: Serialize>(report: &R, text: impl FnOnce(&R) -> String) -> Result<Self, Failure> {
        let json =
            serde_json::to_value(report).map_err(|error| Failure::Failed(error.to_string()))?;
        Ok(Self { text: text(report), json })
    }
}

/// Lines of cells as aligned columns; the first line is the head. The columns in `numbers` are
/// aligned to the right.
pub fn table(lines: &[Vec<String>], numbers: &[usize]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            // Writing to a string cannot fail.
            let _ = if numbers.contains(&column) {
                write!(row, "{cell:>width$}  ")
            } else {
                write!(row, "{cell:<width$}  ")
            };
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// An instant for people: `2026-11-26 14:40:16 UTC`.
pub fn instant(at: Timestamp) -> String {
    let time = chrono::DateTime::from_timestamp_micros(at.as_micros()).unwrap_or_default();
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
