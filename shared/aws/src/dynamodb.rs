//! The ports on DynamoDB: one module, and one table, each.

pub(crate) mod endpoints;
pub(crate) mod ledger;
pub(crate) mod outcomes;

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use rendezvous_core::{Invalid, Timestamp};

type Item = HashMap<String, AttributeValue>;

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn number(number: &impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A JSON text of something that is made of JSON, so that it cannot fail.
fn json(value: &impl serde::Serialize) -> AttributeValue {
    AttributeValue::S(serde_json::to_string(value).unwrap_or_default())
}

fn get_text<'a>(item: &'a Item, name: &str) -> Result<&'a str, Invalid> {
    let found = item.get(name).and_then(|value| value.as_s().ok());
    found.map(String::as_str).ok_or_else(|| Invalid::new(format!("no text {name:?}")))
}

fn get_number<T: std::str::FromStr>(item: &Item, name: &str) -> Result<T, Invalid> {
    let found = item.get(name).and_then(|value| value.as_n().ok()).and_then(|n| n.parse().ok());
    found.ok_or_else(|| Invalid::new(format!("no number {name:?}")))
}

fn get_time(item: &Item, name: &str) -> Result<Timestamp, Invalid> {
    get_number(item, name).map(Timestamp::from_micros)
}

fn get_json<'a, T: serde::Deserialize<'a>>(item: &'a Item, name: &str) -> Result<T, Invalid> {
    serde_json::from_str(get_text(item, name)?)
        .map_err(|error| Invalid::new(format!("{name:?} cannot be read: {error}")))
}
