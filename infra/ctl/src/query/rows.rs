//! What a query answers.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::output::{Output, table};

/// The longest cell of a table for people, in characters. JSON has all of it.
const LONGEST: usize = 60;

/// The rows of a result.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Rows {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Value>>,
}

impl Rows {
    /// A table, and an array with an object a row.
    pub fn output(&self) -> Output {
        let is_number = |column: &usize| {
            self.rows.iter().any(|row| row.get(*column).is_some_and(Value::is_number))
        };
        let numbers: Vec<usize> = (0..self.columns.len()).filter(is_number).collect();
        let mut lines = vec![self.columns.clone()];
        lines.extend(self.rows.iter().map(|row| row.iter().map(cell).collect()));
        let object = |row: &Vec<Value>| -> Map<String, Value> {
            self.columns.iter().cloned().zip(row.iter().cloned()).collect()
        };
        Output { text: table(&lines, &numbers), json: self.rows.iter().map(object).collect() }
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) if float != 0.0 && float.abs() < 1e-3 => format!("{float:.1e}"),
            Some(float) => format!("{float:.4}"),
            None => number.to_string(),
        },
        Value::String(text) => shown(text),
        other => shown(&other.to_string()),
    }
}

/// Text that a client may have sent, on one line and without anything that a terminal acts upon.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST).flat_map(visible).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

fn visible(character: char) -> impl Iterator<Item = char> {
    let escaped = character.is_control().then(|| character.escape_default());
    let itself = escaped.is_none().then_some(character);
    escaped.into_iter().flatten().chain(itself)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_is_for_people_and_json_is_whole() {
        let payload = format!("\u{1b}[31m{}", "x".repeat(100));
        let rows = Rows {
            columns: ["model", "n", "brier", "payload"].map(str::to_owned).to_vec(),
            rows: vec![
                vec![json!("a@1"), json!(12), json!(0.123_456), json!(payload)],
                vec![json!("b@1"), json!(3), json!(0.000_012), Value::Null],
            ],
        };
        let output = rows.output();
        let lines: Vec<&str> = output.text.lines().collect();
        assert_eq!(lines[0], "model   n   brier  payload");
        assert!(lines[1].starts_with("a@1    12  0.1235  \\u{1b}[31mxxx"), "{}", lines[1]);
        assert!(lines[1].ends_with("x…"));
        assert_eq!(lines[2], "b@1     3  1.2e-5");
        assert_eq!(output.json[0]["payload"], json!(payload));
        assert_eq!(
            output.json[1],
            json!({ "model": "b@1", "n": 3, "brier": 0.000_012, "payload": null })
        );
    }
}
