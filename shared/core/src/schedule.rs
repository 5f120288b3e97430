//! Which models may answer a request, in order of preference, and from when.
//!
//! [`Schedule::decide`] is the heart of the system: a pure function of the clock and the mailbox.
//! Whoever holds a request calls it, and all come to the same verdict.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    decision::{Decision, Kind, Reason},
    error::Invalid,
    json::Json,
    limits::{MAX_CHOICES, MAX_DEADLINE, MAX_SCORE_BYTES, MAX_SILENT_AFTER},
    mailbox::Mailbox,
    mistakes::Mistakes,
    mutation::{Mutation, mutated},
    names::ModelId,
    score::checked_score,
};

/// One model that may answer, and how long after the request was received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    pub model: ModelId,
    /// From when on it may answer although a preferred choice is still expected.
    #[serde(
        rename = "after_ms",
        default,
        with = "millis",
        skip_serializing_if = "Duration::is_zero"
    )]
    pub after: Duration,
}

/// The choices in order of preference, the deadline, and the answer when no model has one. Valid once
/// built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ScheduleFields", into = "ScheduleFields")]
pub struct Schedule {
    choices: Vec<Choice>,
    deadline: Duration,
    fallback: Option<Json>,
    silent_after: u32,
}

/// After how many requests a model is presumed silent, where the schedule does not say.
const SILENT_AFTER: u32 = 20;

#[derive(Serialize, Deserialize)]
struct ScheduleFields {
    choices: Vec<Choice>,
    #[serde(rename = "deadline_ms", with = "millis")]
    deadline: Duration,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fallback: Option<Json>,
    #[serde(default = "silent_after", skip_serializing_if = "is_default")]
    silent_after: u32,
}

fn silent_after() -> u32 {
    SILENT_AFTER
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_default(silent_after: &u32) -> bool {
    *silent_after == SILENT_AFTER
}

/// What is to be done about a request now.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict<'a> {
    /// It is decided; this is it.
    Stands(&'a Decision),
    /// Commit this.
    Settle(Settlement<'a>),
    /// Nothing yet. Without a new score the verdict changes at this instant, and not before.
    WaitUntil(Timestamp),
}

/// An answer that is not committed yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement<'a> {
    pub kind: Kind,
    pub reason: Reason,
    /// The choice that won; none for the fallback.
    pub choice: Option<usize>,
    pub model: Option<&'a ModelId>,
    pub score: Option<&'a Json>,
}

impl Schedule {
    /// A schedule whose every rule holds, or everything that is wrong with it.
    pub fn new(
        choices: Vec<Choice>,
        deadline: Duration,
        fallback: Option<Json>,
    ) -> Result<Self, Invalid> {
        Self::checked(ScheduleFields { choices, deadline, fallback, silent_after: SILENT_AFTER })
    }

    fn checked(fields: ScheduleFields) -> Result<Self, Invalid> {
        let ScheduleFields { choices, deadline, fallback, silent_after } = fields;
        let mut mistakes = Mistakes::default();
        let (min, max) = (Duration::from_millis(1), MAX_DEADLINE);
        if deadline < min || deadline > max {
            mistakes.add(
                "/deadline_ms",
                format_args!("is {}; it must be 1 to {}", deadline.as_millis(), max.as_millis()),
            );
        }
        if choices.is_empty() || choices.len() > MAX_CHOICES {
            mistakes.add(
                "/choices",
                format_args!("lists {} models; it must list 1 to {MAX_CHOICES}", choices.len()),
            );
        }
        for (i, Choice { model, after }) in choices.iter().enumerate() {
            if choices[..i].iter().any(|earlier| earlier.model == *model) {
                let what = format_args!("{model} is listed twice");
                mistakes.add(format_args!("/choices/{i}/model"), what);
            }
            if *after >= deadline {
                mistakes.add(
                    format_args!("/choices/{i}/after_ms"),
                    format_args!(
                        "{model} opens after {} ms, but the deadline is {} ms; it could never \
                         answer in time",
                        after.as_millis(),
                        deadline.as_millis()
                    ),
                );
            }
        }
        if let Some(fallback) = &fallback
            && let Err(failure) = checked_score(fallback.clone())
        {
            let what = format_args!(
                "{} (as for a score, at most {MAX_SCORE_BYTES} bytes)",
                failure.message
            );
            mistakes.add("/fallback", what);
        }
        if silent_after > MAX_SILENT_AFTER {
            let what = format_args!("is {silent_after}; it must be 0 to {MAX_SILENT_AFTER}");
            mistakes.add("/silent_after", what);
        }
        mistakes.check().map(|()| Self { choices, deadline, fallback, silent_after })
    }

    /// The same schedule with other choices.
    pub fn with_choices(&self, choices: Vec<Choice>) -> Result<Self, Invalid> {
        Self::checked(ScheduleFields { choices, ..self.clone().into() })
    }

    /// Whether the model is one of the choices.
    pub fn lists(&self, model: &ModelId) -> bool {
        self.choices.iter().any(|choice| choice.model == *model)
    }

    /// In order of preference; there is at least one.
    pub fn choices(&self) -> &[Choice] {
        &self.choices
    }

    /// The first choice.
    pub fn champion(&self) -> &ModelId {
        &self.choices[0].model
    }

    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    pub fn fallback(&self) -> Option<&Json> {
        self.fallback.as_ref()
    }

    /// After how many requests without a message of its own a model is presumed silent; `None` if
    /// never.
    pub fn silent_after(&self) -> Option<usize> {
        usize::try_from(self.silent_after).ok().filter(|requests| *requests > 0)
    }

    /// What is to be done at `now` about a request that was received at `received` and must be
    /// answered by `deadline`.
    ///
    /// A choice is *open* when its time has come, when every choice before it has failed or is
    /// `presumed` silent, or at the deadline. The most preferred open choice with a score wins at once; when all have
    /// failed, or at the deadline, the fallback does.
    pub fn decide<'a>(
        &'a self,
        received: Timestamp,
        deadline: Timestamp,
        now: Timestamp,
        mailbox: &'a Mailbox,
        presumed: &[ModelId],
    ) -> Verdict<'a> {
        if let Some(decision) = &mailbox.decision {
            return Verdict::Stands(decision);
        }
        let elapsed = now.since(received);
        let closing = now >= deadline || mutated(Mutation::FallBackEarly);
        let (mut all_failed, mut all_out) = (true, true);
        let mut change = deadline;
        for (index, Choice { model, after }) in self.choices.iter().enumerate() {
            let due = *after <= elapsed || mutated(Mutation::OpenEarly);
            match mailbox.result_of(model) {
                Some(Err(_)) => continue,
                Some(Ok(score)) if due || all_out || closing => {
                    let (kind, reason) = match index {
                        0 => (Kind::Champion, Reason::Preferred),
                        _ if due => (Kind::StandIn, Reason::Opened),
                        _ if all_out => (Kind::StandIn, Reason::Survivor),
                        _ => (Kind::StandIn, Reason::Deadline),
                    };
                    return Verdict::Settle(Settlement {
                        kind,
                        reason,
                        choice: Some(index),
                        model: Some(model),
                        score: Some(score),
                    });
                }
                Some(Ok(_)) => change = change.min(received + *after),
                None => {}
            }
            all_failed = false;
            // Where a score waits for its time, some choice before it is not out.
            all_out &= presumed.contains(model);
        }
        if all_failed {
            Verdict::Settle(self.give_up(Reason::Exhausted))
        } else if closing {
            Verdict::Settle(self.give_up(Reason::Deadline))
        } else {
            Verdict::WaitUntil(change)
        }
    }

    /// The answer when no model gives one: the fallback, or nothing.
    pub fn give_up(&self, reason: Reason) -> Settlement<'_> {
        let kind = if self.fallback.is_some() { Kind::Fallback } else { Kind::None };
        Settlement { kind, reason, choice: None, model: None, score: self.fallback.as_ref() }
    }
}

impl TryFrom<ScheduleFields> for Schedule {
    type Error = Invalid;

    fn try_from(fields: ScheduleFields) -> Result<Self, Invalid> {
        Self::checked(fields)
    }
}

impl From<Schedule> for ScheduleFields {
    fn from(schedule: Schedule) -> Self {
        let Schedule { choices, deadline, fallback, silent_after } = schedule;
        Self { choices, deadline, fallback, silent_after }
    }
}

/// Whole milliseconds, as people write them.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
