//! The card of a model that is a function: how it is started, and for which endpoints.

use std::{collections::BTreeMap, path::Path, time::Duration};

use rendezvous_core::{EndpointName, Invalid, ModelId};
use serde::Deserialize;
use serde_json::Value;

use super::{logs::Log, process::Program};

/// A checked card with `"engine": "function"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FunctionCard {
    /// Where the schema is, for editors.
    #[serde(default, rename = "$schema")]
    _schema: Option<String>,
    pub(crate) model: ModelId,
    /// One sentence for people.
    #[expect(dead_code, reason = "for people")]
    about: String,
    /// Always `function`.
    #[expect(dead_code, reason = "it has led here")]
    engine: String,
    pub(crate) endpoints: std::collections::BTreeSet<EndpointName>,
    /// The program and its arguments; it runs in the card's folder.
    command: Vec<String>,
    /// Variables beside those that Lambda and the template set.
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// The function's time-out.
    #[serde(default = "default_timeout")]
    timeout_seconds: u16,
    /// A process that uses more is ended.
    #[serde(default = "default_memory")]
    memory_mb: u32,
    /// The most requests of an event.
    #[serde(default = "default_batch")]
    batch_size: usize,
    /// A payload that the model accepts, for people to try.
    #[serde(default)]
    pub(crate) sample: Option<Value>,
    /// Where the model comes from, for people.
    #[serde(default)]
    #[expect(dead_code, reason = "for people")]
    provenance: Value,
}

fn default_timeout() -> u16 {
    30
}

fn default_memory() -> u32 {
    1769
}

fn default_batch() -> usize {
    100
}

/// The longest time-out and the most memory of a function on Lambda, and the largest batch.
const MAX_TIMEOUT: u16 = 900;
const MAX_MEMORY: u32 = 10_240;
const MAX_BATCH: usize = 10_000;

impl FunctionCard {
    /// Reads and checks a card. Errors begin with the JSON pointer of the mistake.
    pub(crate) fn parse(text: &str) -> Result<Self, Invalid> {
        let card: Self = rendezvous_model::card::read(text)?;
        let wrong = |what: String| Err(Invalid::new(what));
        if card.endpoints.is_empty() {
            return wrong("/endpoints: must name at least one endpoint".to_owned());
        }
        if card.command.is_empty() {
            return wrong("/command: must name a program".to_owned());
        }
        if !(1..=MAX_TIMEOUT).contains(&card.timeout_seconds) {
            return wrong(format!("/timeout_seconds: must be 1 to {MAX_TIMEOUT}"));
        }
        if !(128..=MAX_MEMORY).contains(&card.memory_mb) {
            return wrong(format!("/memory_mb: must be 128 to {MAX_MEMORY}"));
        }
        if !(1..=MAX_BATCH).contains(&card.batch_size) {
            return wrong(format!("/batch_size: must be 1 to {MAX_BATCH}"));
        }
        Ok(card)
    }

    pub(crate) fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// How to start the function, with the variables that Lambda and the template of the models set.
    pub(super) fn program(&self, folder: &Path, log: &Path, stack: &Stack<'_>) -> Program {
        let Self { model, timeout_seconds, memory_mb, .. } = self;
        let own = self.environment.iter().map(|(name, value)| (name.clone(), value.clone()));
        let set = [
            ("STACK", stack.name.to_owned()),
            ("SCORES_STREAM", stack.scores.to_owned()),
            ("MODEL", model.to_string()),
            ("FUNCTION_TIMEOUT_SECONDS", timeout_seconds.to_string()),
            ("LOG_LEVEL", "info".to_owned()),
            ("AWS_LAMBDA_FUNCTION_NAME", model.to_string()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory_mb.to_string()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{model}")),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "local".to_owned()),
            ("LAMBDA_TASK_ROOT", folder.display().to_string()),
            ("AWS_REGION", "local".to_owned()),
            ("AWS_DEFAULT_REGION", "local".to_owned()),
            // The function's name, so that it is known who has put a record.
            ("AWS_ACCESS_KEY_ID", model.to_string()),
            ("AWS_SECRET_ACCESS_KEY", "none".to_owned()),
            ("AWS_ENDPOINT_URL_KINESIS", stack.kinesis.to_owned()),
            ("PAYLOAD_STORE", stack.payloads.to_owned()),
            // What it prints is in its log at once.
            ("PYTHONUNBUFFERED", "1".to_owned()),
        ];
        Program {
            name: model.to_string(),
            command: self.command.clone(),
            folder: folder.to_owned(),
            environment: own.chain(set.map(|(name, value)| (name.to_owned(), value))).collect(),
            timeout: Duration::from_secs((*timeout_seconds).into()),
            memory_mb: *memory_mb,
            log: Log::new(log.to_owned()),
        }
    }
}

/// What a function is told of the system.
pub(super) struct Stack<'a> {
    pub(super) name: &'a str,
    /// The name of the stream of scores.
    pub(super) scores: &'a str,
    /// The address of the API of Kinesis.
    pub(super) kinesis: &'a str,
    /// What the URLs of large payloads begin with.
    pub(super) payloads: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = r#"{
        "model": "rule@1", "about": "A rule.", "engine": "function", "endpoints": ["e"],
        "command": ["python3", "-m", "awslambdaric", "handler.handle"], "memory_mb": 256
    }"#;

    #[test]
    fn a_card_that_cannot_work_is_refused_with_the_place_of_the_mistake() {
        for (from, to, message) in [
            ("rule@1", "rule", "/model: "),
            ("[\"e\"]", "[]", "/endpoints: must name at least one endpoint"),
            ("[\"e\"]", "[\"E E\"]", "/endpoints/0: "),
            ("256\n    }", "256 } {}", "trailing characters"),
            ("256", "64", "/memory_mb: must be 128 to 10240"),
            ("256", "256, \"timeout_seconds\": 0", "/timeout_seconds: must be 1 to 900"),
            ("256", "256, \"batch_size\": 0", "/batch_size: must be 1 to 10000"),
            ("command", "comand", "/comand: unknown field"),
            (
                "\"python3\", \"-m\", \"awslambdaric\", \"handler.handle\"",
                "",
                "/command: must name a program",
            ),
        ] {
            assert!(CARD.contains(from));
            let error = FunctionCard::parse(&CARD.replace(from, to)).expect_err(to).to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn a_function_is_told_what_lambda_and_the_template_tell_it() {
        let card = FunctionCard::parse(CARD).unwrap();
        let (kinesis, payloads) = ("http://127.0.0.1:1", "file:///data");
        let stack = Stack { name: "local", scores: "scores", kinesis, payloads };
        let program = card.program(Path::new("/cards"), Path::new("/log"), &stack);
        let value = |name: &str| {
            let set = program.environment.iter().find(|(set, _)| set == name);
            set.map(|(_, value)| value.as_str())
        };
        assert_eq!(value("MODEL"), Some("rule@1"));
        assert_eq!(value("SCORES_STREAM"), Some("scores"));
        assert_eq!(value("FUNCTION_TIMEOUT_SECONDS"), Some("30"));
        assert_eq!(value("AWS_ENDPOINT_URL_KINESIS"), Some(kinesis));
        assert_eq!(value("PAYLOAD_STORE"), Some(payloads));
    }
}
