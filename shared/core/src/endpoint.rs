//! An endpoint and its versioned configuration: data, not code.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    error::Invalid,
    limits::{MAX_AUTHOR_CHARS, MAX_MESSAGE_CHARS, MAX_OBSERVERS},
    names::{Arm, EndpointName, Key, ModelId},
    schedule::Schedule,
};

/// What people write about an endpoint: which models may answer, which only observe, and where the
/// value of a score is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ConfigurationFields", into = "ConfigurationFields")]
pub struct Configuration {
    schedule: Schedule,
    observers: Vec<Observer>,
    value: Option<String>,
    outcome: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct ConfigurationFields {
    schedule: Schedule,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    observers: Vec<Observer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
}

/// A model that scores every request and can never answer one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observer {
    pub model: ModelId,
    pub role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May become the champion.
    Challenger,
    /// Stays as it is, so that a change in its scores is a change in the requests.
    Canary,
}

impl Configuration {
    /// A configuration whose every rule holds, or what is wrong with it.
    pub fn new(
        schedule: Schedule,
        observers: Vec<Observer>,
        value: Option<String>,
        outcome: Option<String>,
    ) -> Result<Self, Invalid> {
        if observers.len() > MAX_OBSERVERS {
            return Err(Invalid::new(format!(
                "observers lists {} models; at most {MAX_OBSERVERS} are allowed",
                observers.len()
            )));
        }
        for (i, Observer { model, .. }) in observers.iter().enumerate() {
            if schedule.choices().iter().any(|choice| choice.model == *model) {
                return Err(Invalid::new(format!("{model} is both a choice and an observer")));
            }
            if observers[..i].iter().any(|earlier| earlier.model == *model) {
                return Err(Invalid::new(format!("observers lists {model} twice")));
            }
        }
        for (field, pointer) in [("value", &value), ("outcome", &outcome)] {
            if let Some(pointer) = pointer
                && !pointer.is_empty()
                && !pointer.starts_with('/')
            {
                return Err(Invalid::new(format!(
                    "{field} {pointer:?} is not a JSON pointer: it must begin with '/'"
                )));
            }
        }
        Ok(Self { schedule, observers, value, outcome })
    }

    /// Reads what a person has written and refuses unknown fields. (`Deserialize`, which reads stored
    /// configurations, ignores them: a newer version may have written them.)
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let mut unknown = None;
        let mut json = serde_json::Deserializer::from_str(text);
        let configuration = serde_ignored::deserialize(&mut json, |path| {
            unknown.get_or_insert_with(|| path.to_string());
        });
        let configuration = configuration
            .and_then(|configuration| json.end().map(|()| configuration))
            .map_err(|error| Invalid::new(error.to_string()))?;
        match unknown {
            None => Ok(configuration),
            Some(path) => Err(Invalid::new(format!("unknown field {path}"))),
        }
    }

    /// The arm of a request with this key that is received at `at`. So far there is `main` only.
    pub fn assign(&self, _key: &Key, _at: Timestamp) -> Arm {
        Arm::main()
    }

    /// The schedule of `arm`. An arm that this version does not name has the schedule of `main`.
    pub fn schedule(&self, _arm: &Arm) -> &Schedule {
        &self.schedule
    }

    /// The arms, `main` first, with their schedules.
    pub fn arms(&self) -> impl Iterator<Item = (Arm, &Schedule)> {
        std::iter::once((Arm::main(), &self.schedule))
    }

    pub fn observers(&self) -> &[Observer] {
        &self.observers
    }

    /// Where in a score the number is that models are compared by (RFC 6901).
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// Where in a reported outcome the truth is that this number predicts (RFC 6901): a number, or
    /// true and false for 1 and 0.
    pub fn outcome(&self) -> Option<&str> {
        self.outcome.as_deref()
    }

    /// Every model that is expected to score a request, choices first.
    pub fn models(&self) -> impl Iterator<Item = &ModelId> {
        let choices = self.schedule.choices().iter().map(|choice| &choice.model);
        choices.chain(self.observers.iter().map(|observer| &observer.model))
    }
}

impl TryFrom<ConfigurationFields> for Configuration {
    type Error = Invalid;

    fn try_from(fields: ConfigurationFields) -> Result<Self, Invalid> {
        Self::new(fields.schedule, fields.observers, fields.value, fields.outcome)
    }
}

impl From<Configuration> for ConfigurationFields {
    fn from(configuration: Configuration) -> Self {
        let Configuration { schedule, observers, value, outcome } = configuration;
        Self { schedule, observers, value, outcome }
    }
}

/// Who publishes a configuration, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    author: String,
    message: String,
}

impl Provenance {
    /// `author` has 1 to 200 characters, `message` at most 2,000.
    pub fn new(author: impl Into<String>, message: impl Into<String>) -> Result<Self, Invalid> {
        let (author, message) = (author.into(), message.into());
        if author.is_empty() || author.chars().count() > MAX_AUTHOR_CHARS {
            return Err(Invalid::new(format!("author must be 1 to {MAX_AUTHOR_CHARS} characters")));
        }
        if message.chars().count() > MAX_MESSAGE_CHARS {
            return Err(Invalid::new(format!(
                "message must be at most {MAX_MESSAGE_CHARS} characters"
            )));
        }
        Ok(Self { author, message })
    }

    pub fn author(&self) -> &str {
        &self.author
    }

    pub fn message(&self) -> &str {
        &self.message
    }
}

/// The record of one publication of an endpoint's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    pub version: u64,
    /// Absent for versions published before version 0.2.
    pub provenance: Option<Provenance>,
    pub published: Timestamp,
    /// The version that it replaced; none for the first.
    pub replaced: Option<u64>,
}

/// One version of an endpoint's configuration; it never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub name: EndpointName,
    pub version: u64,
    pub configuration: Configuration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_is_refused_where_people_write_and_ignored_where_it_is_stored() {
        let text = r#"{"schedule":{"choices":[{"model":"a@1","afterms":9}],"deadline_ms":100}}"#;
        let refused = Configuration::parse(text).unwrap_err().to_string();
        assert_eq!(refused, "unknown field schedule.choices.0.afterms");
        let stored: Configuration = serde_json::from_str(text).unwrap();
        assert_eq!(stored, Configuration::parse(&text.replace(",\"afterms\":9", "")).unwrap());
    }

    #[test]
    fn the_pointer_to_the_truth_is_kept_and_checked() {
        let example = include_str!("../../../infra/contract/examples/endpoint.json");
        let configuration = Configuration::parse(example).unwrap();
        assert_eq!(configuration.outcome(), Some("/late"));
        let written = serde_json::to_string(&configuration).unwrap();
        assert_eq!(Configuration::parse(&written).unwrap(), configuration);
        let error = Configuration::parse(&example.replace("/late", "late")).unwrap_err();
        assert!(error.to_string().contains("outcome \"late\" is not a JSON pointer"), "{error}");
    }

    #[test]
    fn a_configuration_has_its_arms_observers_and_models() {
        let example = include_str!("../../../infra/contract/examples/endpoint.json");
        let configuration = Configuration::parse(example).unwrap();
        let arms: Vec<(Arm, &Schedule)> = configuration.arms().collect();
        assert_eq!(arms, [(Arm::main(), configuration.schedule(&Arm::main()))]);
        let choices = arms[0].1.choices().iter().map(|choice| &choice.model);
        let observers = configuration.observers().iter().map(|observer| &observer.model);
        assert!(observers.clone().count() > 0);
        let all: Vec<&ModelId> = choices.chain(observers).collect();
        assert_eq!(configuration.models().collect::<Vec<_>>(), all);
    }

    #[test]
    fn an_author_has_1_to_200_characters_and_a_message_at_most_2000() {
        let provenance = Provenance::new("ä".repeat(200), "m".repeat(2_000)).unwrap();
        assert_eq!(provenance.author(), "ä".repeat(200));
        assert_eq!(provenance.message(), "m".repeat(2_000));
        for author in [String::new(), "a".repeat(201)] {
            let error = Provenance::new(author, "").unwrap_err();
            assert_eq!(error.to_string(), "author must be 1 to 200 characters");
        }
        let error = Provenance::new("a", "m".repeat(2_001)).unwrap_err();
        assert_eq!(error.to_string(), "message must be at most 2000 characters");
    }
}
