use std::fmt;

use rendezvous_core::{FailureKind, ModelId};
use serde::Serialize;

use crate::{ChoiceFailure, ChoiceFailureKind};

/// Why a choice gave no answer.
#[derive(Debug, Serialize)]
pub(super) struct Choice {
    model: ModelId,
    kind: ChoiceKind,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

/// A kind of failure, or `silent`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ChoiceKind {
    Failed(FailureKind),
    Silent(&'static str),
}

impl From<ChoiceFailure> for Choice {
    fn from(ChoiceFailure { model, kind, message }: ChoiceFailure) -> Self {
        let kind = match kind {
            ChoiceFailureKind::Failed(kind) => ChoiceKind::Failed(kind),
            ChoiceFailureKind::Silent => ChoiceKind::Silent("silent"),
        };
        Self { model, kind, message }
    }
}

impl fmt::Display for Choice {
    /// `gbt@2 failed: /hour is missing`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, kind, message } = self;
        match kind {
            ChoiceKind::Failed(kind) => write!(f, "{model} {}", kind.as_str())?,
            ChoiceKind::Silent(silent) => write!(f, "{model} {silent}")?,
        }
        if message.is_empty() { Ok(()) } else { write!(f, ": {message}") }
    }
}
