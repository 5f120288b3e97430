//! One model's answer to one request, or its failure.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    json::Json,
    limits::{MAX_DEPTH, MAX_FAILURE_CHARS, MAX_SCORE_BYTES},
    names::ModelId,
};

/// One model's answer to one request, or its failure.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Score {
    pub model: ModelId,
    pub started: Timestamp,
    pub finished: Timestamp,
    pub result: Result<Json, Failure>,
}

/// Why a model gave no score.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failure {
    pub kind: FailureKind,
    /// For the team that runs the model. Never a part of the payload.
    pub message: String,
}

impl Failure {
    /// A failure whose message is cut to [`MAX_FAILURE_CHARS`].
    pub fn new(kind: FailureKind, message: impl fmt::Display) -> Self {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(text, "{message}");
        if let Some((end, _)) = text.char_indices().nth(MAX_FAILURE_CHARS) {
            text.truncate(end);
        }
        Self { kind, message: text }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The model said so, or crashed.
    Failed,
    /// The model took longer than its card allows.
    TimedOut,
    /// The request's deadline had passed before the model began.
    Expired,
    /// The payload does not fit the model, or its score does not fit the contract.
    Invalid,
}

impl FailureKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Failed, Self::TimedOut, Self::Expired, Self::Invalid];

    /// The word that stands for it in JSON and in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Expired => "expired",
            Self::Invalid => "invalid",
        }
    }
}

/// A model's output as its result: too large or too deep a score is a failure, and so is `null`, which in
/// a message reads as no score at all.
pub fn checked_score(score: Json) -> Result<Json, Failure> {
    if score.as_str() == "null" {
        return Err(Failure::new(FailureKind::Invalid, "null is no score"));
    }
    let bytes = score.as_str().len();
    if bytes > MAX_SCORE_BYTES {
        return Err(Failure::new(
            FailureKind::Invalid,
            format_args!("a score of {bytes} bytes; at most {MAX_SCORE_BYTES} are allowed"),
        ));
    }
    if score.is_too_deep() {
        let what = format_args!("a score nested deeper than {MAX_DEPTH} levels");
        return Err(Failure::new(FailureKind::Invalid, what));
    }
    Ok(score)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: usize) -> Json {
        Json::parse(&format!("\"{}\"", "s".repeat(bytes - 2))).unwrap()
    }

    #[test]
    fn a_score_is_at_most_16_kib_and_not_null() {
        let largest = text(16 * 1024);
        assert_eq!(checked_score(largest.clone()), Ok(largest));
        let invalid = |score| {
            let Failure { kind, message } = checked_score(score).unwrap_err();
            assert_eq!(kind, FailureKind::Invalid);
            message
        };
        let too_large = "a score of 16385 bytes; at most 16384 are allowed";
        assert_eq!(invalid(text(16 * 1024 + 1)), too_large);
        assert_eq!(invalid(Json::parse("null").unwrap()), "null is no score");
    }

    #[test]
    fn a_score_in_a_message_is_not_nested_deeper_than_other_json() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let read = |levels| checked_score(serde_json::from_str(&nested(levels)).unwrap());
        assert_eq!(read(64).unwrap().as_str(), nested(64));
        assert_eq!(read(65).unwrap_err().message, "a score nested deeper than 64 levels");
    }

    #[test]
    fn a_failures_message_is_cut_to_500_characters() {
        let failure = |message: &str| Failure::new(FailureKind::Failed, message).message;
        assert_eq!(failure(&"ä".repeat(500)), "ä".repeat(500));
        assert_eq!(failure(&"ä".repeat(501)), "ä".repeat(500));
    }

    #[test]
    fn a_kind_of_failure_is_one_word_everywhere() {
        use FailureKind::{Expired, Failed, Invalid, TimedOut};
        for kind in [Failed, TimedOut, Expired, Invalid] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
