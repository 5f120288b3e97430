//! An endpoint and its versioned configuration: data, not code.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

pub use crate::schedule::MAX_DEADLINE;
use crate::{
    clock::{Timestamp, now},
    names::{EndpointName, ModelId},
    ports::{EndpointTable, Invalid, Unavailable},
    schedule::Schedule,
};

/// The most observers of one endpoint. Theirs and the choices' scores fit one ledger item of
/// 400 KB, at 16 KiB each.
pub const MAX_OBSERVERS: usize = 12;

/// What people write about an endpoint: who may answer, who looks on, and what matters in a score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ConfigurationFields", into = "ConfigurationFields")]
pub struct Configuration {
    pub schedule: Schedule,
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

    /// Reads what people have written: a field that nobody knows is a slip of the pen. (Reading what has
    /// been stored, by `Deserialize`, leaves such a field alone: a newer version may have written it.)
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

    pub fn observers(&self) -> &[Observer] {
        &self.observers
    }

    /// Where in a score the number stands that models are compared by (RFC 6901).
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// Where in a reported outcome the truth stands that this number predicts (RFC 6901): a number,
    /// or true and false for 1 and 0.
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

/// One version of an endpoint's configuration; it never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub name: EndpointName,
    pub version: u64,
    pub configuration: Configuration,
}

/// How long a pointer to the current version may be used without asking again.
pub const POINTER_AGE: Duration = Duration::from_secs(1);

/// The longest that a refresh of a known pointer may take; a request is waiting behind it.
const REFRESH_PATIENCE: Duration = Duration::from_millis(100);

/// How long any other read may take.
const READ_PATIENCE: Duration = Duration::from_secs(2);

/// How many versions are kept. Far more than are in flight; old ones are read again when needed.
const VERSIONS_KEPT: usize = 1_000;

/// The endpoints as a function sees them: versions are kept for ever, pointers for
/// [`POINTER_AGE`].
pub struct Endpoints<T> {
    table: Arc<T>,
    current: Mutex<HashMap<EndpointName, Current>>,
    versions: Mutex<HashMap<(EndpointName, u64), Arc<Endpoint>>>,
}

#[derive(Clone)]
struct Current {
    endpoint: Arc<Endpoint>,
    /// When the pointer to it was last read, or tried to be.
    asked: Timestamp,
}

impl<T: EndpointTable> Endpoints<T> {
    pub fn new(table: Arc<T>) -> Self {
        Self { table, current: Mutex::default(), versions: Mutex::default() }
    }

    /// The current version. A pointer older than [`POINTER_AGE`] is refreshed before use, and used
    /// stale only while the table cannot be read; that is then tried again once a second.
    pub async fn current(&self, name: &EndpointName) -> Result<Option<Arc<Endpoint>>, Unavailable> {
        let known = lock(&self.current).get(name).cloned();
        let patience = match &known {
            Some(known) if now().since(known.asked) < POINTER_AGE => {
                return Ok(Some(known.endpoint.clone()));
            }
            // Most of the time that the request has is not ours to wait.
            Some(known) => {
                (known.endpoint.configuration.schedule.deadline() / 4).min(REFRESH_PATIENCE)
            }
            None => READ_PATIENCE,
        };
        let endpoint = match (in_time(patience, self.read_current(name)).await, known) {
            (Ok(endpoint), _) => endpoint,
            (Err(cause), Some(known)) => {
                tracing::warn!(endpoint = %name, %cause, "the last known version is used");
                Some(known.endpoint)
            }
            (Err(cause), None) => return Err(cause),
        };
        let mut current = lock(&self.current);
        match &endpoint {
            Some(endpoint) => {
                let endpoint = endpoint.clone();
                current.insert(name.clone(), Current { endpoint, asked: now() });
            }
            None => drop(current.remove(name)),
        }
        Ok(endpoint)
    }

    async fn read_current(
        &self,
        name: &EndpointName,
    ) -> Result<Option<Arc<Endpoint>>, Unavailable> {
        match self.table.current(name).await? {
            Some(version) => self.version(name, version).await,
            None => Ok(None),
        }
    }

    /// One version, from the table only the first time.
    pub async fn version(
        &self,
        name: &EndpointName,
        version: u64,
    ) -> Result<Option<Arc<Endpoint>>, Unavailable> {
        let key = (name.clone(), version);
        if let Some(endpoint) = lock(&self.versions).get(&key) {
            return Ok(Some(endpoint.clone()));
        }
        let endpoint = in_time(READ_PATIENCE, self.table.version(name, version)).await?;
        if let Some(endpoint) = &endpoint {
            let mut versions = lock(&self.versions);
            if versions.len() >= VERSIONS_KEPT {
                versions.clear();
            }
            versions.insert(key, endpoint.clone());
        }
        Ok(endpoint)
    }
}

async fn in_time<T>(
    patience: Duration,
    read: impl Future<Output = Result<T, Unavailable>>,
) -> Result<T, Unavailable> {
    let slow = || Unavailable::Down("endpoints table (no answer in time)".into());
    timeout(patience, read).await.map_err(|_| slow())?
}

/// What a panicking holder left behind is whole: every section under these locks is one insertion.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
}
