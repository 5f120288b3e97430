//! A ledger write as the expressions of one `UpdateItem`.

use std::{collections::HashMap, fmt::Write as _};

use rendezvous_core::{
    ModelId, Write,
    mailbox::Opening,
    write::{Assignment, Requirement},
};
use serde_dynamo::AttributeValue;

use super::{Attributes, ledger as item};

/// The expressions of one `UpdateItem`, with the names and values that they refer to.
#[derive(Debug, Default)]
pub struct Update {
    pub set: String,
    pub condition: String,
    pub names: HashMap<String, String>,
    pub values: Attributes,
}

impl Update {
    /// The update of `write`, which is not an opening, to an item that may expire at `expires_at`.
    pub fn of(write: &Write, expires_at: i64) -> Self {
        let mut update = Self::default();
        for (i, requirement) in write.require.iter().enumerate() {
            update.require(write, requirement, i);
        }
        let replaces = write.set.contains(&Assignment::Envelope);
        if replaces || !write.require.contains(&Requirement::Mailbox) {
            let envelope = item::ENVELOPE.value(&write.envelope);
            let expires = item::EXPIRES_AT.value(&expires_at);
            update.assign("e", item::ENVELOPE.name, envelope, replaces);
            update.assign("x", item::EXPIRES_AT.name, expires, replaces);
        }
        let mut filed: Vec<&ModelId> = Vec::new();
        for (i, assignment) in write.set.iter().enumerate() {
            match assignment {
                Assignment::Envelope => {}
                Assignment::Opening(opening) => update.open(opening),
                Assignment::Accepted => {
                    update.assign("a", item::ACCEPTED.name, item::ACCEPTED.value(&true), true);
                }
                // The first of a model counts; DynamoDB refuses to set one attribute twice.
                Assignment::Result(score) if filed.contains(&&score.model) => {}
                Assignment::Result(score) => {
                    filed.push(&score.model);
                    let name = item::entry_name(&score.model);
                    update.assign(&format!("m{i}"), &name, item::entry(score), false);
                }
                Assignment::Decision(decision) => {
                    update.assign("d", item::DECISION.name, item::DECISION.value(decision), true);
                }
            }
        }
        update
    }

    fn open(&mut self, opening: &Opening) {
        for (i, (name, value)) in item::opening(opening).into_iter().enumerate() {
            self.assign(&format!("p{i}"), &name, value, true);
        }
    }

    /// Sets an attribute, or with `replace` false only where it is absent.
    fn assign(&mut self, short: &str, name: &str, value: AttributeValue, replace: bool) {
        self.set.push_str(if self.set.is_empty() { "SET " } else { ", " });
        self.names.insert(format!("#{short}"), name.to_owned());
        self.values.insert(format!(":{short}"), value);
        // Writing to a string cannot fail.
        let _ = if replace {
            write!(self.set, "#{short} = :{short}")
        } else {
            write!(self.set, "#{short} = if_not_exists(#{short}, :{short})")
        };
    }

    fn require(&mut self, write: &Write, requirement: &Requirement, i: usize) {
        let short = format!("q{i}");
        let mut named = |name: &str| {
            self.names.insert(format!("#{short}"), name.to_owned());
        };
        let (condition, value) = match requirement {
            Requirement::NoMailbox => {
                named(item::ID.name);
                (format!("attribute_not_exists(#{short})"), None)
            }
            Requirement::Mailbox => {
                named(item::ID.name);
                (format!("attribute_exists(#{short})"), None)
            }
            Requirement::NoDecision => {
                named(item::DECISION.name);
                (format!("attribute_not_exists(#{short})"), None)
            }
            Requirement::NoResult(model) => {
                named(&item::entry_name(model));
                (format!("attribute_not_exists(#{short})"), None)
            }
            Requirement::NoScore(model) => {
                named(&item::entry_name(model));
                self.names.insert("#score".to_owned(), item::SCORE.name.to_owned());
                (format!("attribute_not_exists(#{short}.#score)"), None)
            }
            Requirement::OpenedAt(None) => {
                named(item::OPENED.name);
                (format!("attribute_not_exists(#{short})"), None)
            }
            Requirement::OpenedAt(Some(instant)) => {
                named(item::OPENED.name);
                (format!("#{short} = :{short}"), Some(item::OPENED.value(instant)))
            }
            Requirement::SameTimes => {
                named(item::OPENED.name);
                let condition = format!("(attribute_not_exists(#{short}) OR #{short} = :{short})");
                (condition, Some(item::OPENED.value(&write.envelope.received)))
            }
            Requirement::NotAccepted => {
                named(item::ACCEPTED.name);
                let condition = format!("(attribute_not_exists(#{short}) OR #{short} = :{short})");
                (condition, Some(item::ACCEPTED.value(&false)))
            }
        };
        if !self.condition.is_empty() {
            self.condition.push_str(" AND ");
        }
        self.condition.push_str(&condition);
        if let Some(value) = value {
            self.values.insert(format!(":{short}"), value);
        }
    }
}
