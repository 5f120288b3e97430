//! The configuration of an endpoint: data, not code.

use std::{fmt::Write, time::Duration};

use serde::{Deserialize, Serialize};
use serde_path_to_error::Segment;

use crate::{
    arms::{self, ArmPlan, Pin},
    error::Invalid,
    limits::{
        MAX_BASELINE_CHARS, MAX_FEATURES, MAX_MODELS, MAX_OBSERVERS, MAX_OUTCOME_HORIZON_DAYS,
        OUTCOME_HORIZON_DAYS,
    },
    mistakes::Mistakes,
    mutation::{Mutation, mutated},
    names::{Arm, EndpointName, Key, ModelId},
    schedule::Schedule,
    share::Share,
    tensors::Tensors,
};

/// What people write about an endpoint: which models may answer, which only observe, and where the
/// value of a score is. Every rule holds; [`Configuration::new`] checks a [`Draft`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Draft", into = "Draft")]
pub struct Configuration {
    draft: Draft,
    models: Vec<ModelId>,
}

/// The fields of a configuration, not checked together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// The schedule of the arm `main`.
    pub schedule: Schedule,
    /// The other arms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arms: Vec<ArmPlan>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<Pin>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observers: Vec<Observer>,
    /// Where in a score the number is that models are compared by (RFC 6901).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where in a reported outcome the truth is that this number predicts (RFC 6901).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// How many days after a request its outcome is known as a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome_horizon_days: Option<u32>,
    /// Where in a payload the fields are whose distributions are watched (RFC 6901).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// The name of the baseline that drift is measured against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// What payloads and scores are as tensors of the Open Inference Protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensors: Option<Tensors>,
}

/// A model that scores requests and can never answer one: it is on no schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observer {
    pub model: ModelId,
    pub role: Role,
    /// The part of the requests that it is expected to score.
    #[serde(default = "all", skip_serializing_if = "is_all")]
    pub share: Share,
}

fn all() -> Share {
    Share::ALL
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_all(share: &Share) -> bool {
    *share == Share::ALL
}

impl Observer {
    /// An observer of all requests.
    pub fn new(model: ModelId, role: Role) -> Self {
        Self { model, role, share: Share::ALL }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May become the champion.
    Challenger,
    /// Stays as it is, so that a change in its scores is a change in the requests.
    Canary,
}

impl Draft {
    /// A draft with this schedule and nothing else.
    pub fn new(schedule: Schedule) -> Self {
        Self {
            schedule,
            arms: Vec::new(),
            pins: Vec::new(),
            observers: Vec::new(),
            value: None,
            outcome: None,
            outcome_horizon_days: None,
            features: Vec::new(),
            baseline: None,
            tensors: None,
        }
    }

    /// The schedules of all arms, `main` first.
    pub fn schedules(&self) -> impl Iterator<Item = (&Arm, &Schedule)> {
        let others = self.arms.iter().map(|arm| (&arm.name, &arm.schedule));
        [(arms::main_arm(), &self.schedule)].into_iter().chain(others)
    }

    /// Whether a schedule lists the model.
    pub fn may_answer(&self, model: &ModelId) -> bool {
        self.schedules().any(|(_, schedule)| schedule.lists(model))
    }

    fn check_observers(&self, mistakes: &mut Mistakes) {
        let observers = &self.observers;
        if observers.len() > MAX_OBSERVERS {
            mistakes.add(
                "/observers",
                format_args!(
                    "lists {} models; at most {MAX_OBSERVERS} are allowed",
                    observers.len()
                ),
            );
        }
        for (i, Observer { model, share, .. }) in observers.iter().enumerate() {
            if let Some((arm, _)) = self.schedules().find(|(_, schedule)| schedule.lists(model)) {
                mistakes.add(
                    format_args!("/observers/{i}/model"),
                    format_args!("{model} is both an observer and a choice of arm {arm}"),
                );
            }
            if observers[..i].iter().any(|earlier| earlier.model == *model) {
                mistakes.add(
                    format_args!("/observers/{i}/model"),
                    format_args!("{model} is listed twice"),
                );
            }
            if *share == Share::NONE {
                mistakes.add(
                    format_args!("/observers/{i}/share"),
                    "is 0; an observer of no request must not be listed",
                );
            }
        }
    }

    fn check_pointers(&self, mistakes: &mut Mistakes) {
        let features = &self.features;
        if features.len() > MAX_FEATURES {
            let what =
                format_args!("lists {} fields; at most {MAX_FEATURES} are allowed", features.len());
            mistakes.add("/features", what);
        }
        for (i, feature) in features.iter().enumerate() {
            if features[..i].contains(feature) {
                mistakes
                    .add(format_args!("/features/{i}"), format_args!("lists {feature:?} again"));
            }
        }
        let fields = [("/value", &self.value), ("/outcome", &self.outcome)];
        let fields =
            fields.into_iter().filter_map(|(field, at)| Some((field.to_owned(), at.as_ref()?)));
        let features = features.iter().enumerate().map(|(i, at)| (format!("/features/{i}"), at));
        for (field, pointer) in fields.chain(features) {
            if !pointer.is_empty() && !pointer.starts_with('/') {
                let what =
                    format_args!("{pointer:?} is not a JSON pointer: it must begin with '/'");
                mistakes.add(field, what);
            }
        }
    }

    fn check_outcomes_and_baseline(&self, mistakes: &mut Mistakes) {
        if let Some(days) = self.outcome_horizon_days
            && !(1..=MAX_OUTCOME_HORIZON_DAYS).contains(&days)
        {
            let what = format_args!("is {days}; it must be 1 to {MAX_OUTCOME_HORIZON_DAYS}");
            mistakes.add("/outcome_horizon_days", what);
        }
        if let Some(name) = &self.baseline {
            let allowed =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
            if name.is_empty() || name.len() > MAX_BASELINE_CHARS || !name.chars().all(allowed) {
                let what = format_args!(
                    "{name:?} must have 1 to {MAX_BASELINE_CHARS} of the characters a to z, 0 to 9, - and _"
                );
                mistakes.add("/baseline", what);
            }
        }
    }

    /// Every model once: choices of `main`, of the other arms, observers.
    fn models(&self) -> Vec<ModelId> {
        let mut models: Vec<ModelId> = Vec::new();
        let choices = self.schedules().flat_map(|(_, schedule)| schedule.choices());
        let choices = choices.map(|choice| &choice.model);
        for model in choices.chain(self.observers.iter().map(|observer| &observer.model)) {
            if !models.contains(model) {
                models.push(model.clone());
            }
        }
        models
    }
}

impl Configuration {
    /// A configuration whose every rule holds, or everything that is wrong with it.
    pub fn new(draft: Draft) -> Result<Self, Invalid> {
        let mut mistakes = Mistakes::default();
        arms::check(&draft.arms, &draft.pins, &mut mistakes);
        draft.check_observers(&mut mistakes);
        let models = draft.models();
        if models.len() > MAX_MODELS {
            let what = format!("{} models are listed; at most {MAX_MODELS} may be", models.len());
            mistakes.add("", what);
        }
        draft.check_pointers(&mut mistakes);
        draft.check_outcomes_and_baseline(&mut mistakes);
        if let Some(tensors) = &draft.tensors {
            tensors.check(&mut mistakes);
        }
        mistakes.check().map(|()| Self { draft, models })
    }

    /// Reads what a person has written and refuses unknown fields. (`Deserialize`, which reads stored
    /// configurations, ignores them: a newer version may have written them.)
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let mut unknown = None;
        let mut json = serde_json::Deserializer::from_str(text);
        let mut track = serde_path_to_error::Track::new();
        let reader = serde_path_to_error::Deserializer::new(&mut json, &mut track);
        let configuration = serde_ignored::deserialize(reader, |path| {
            // A '?' stands for a field that may be absent.
            let path = path.to_string().replace("?.", "").replace('.', "/");
            unknown.get_or_insert_with(|| format!("/{path}: unknown field"));
        });
        let configuration = configuration
            .and_then(|configuration| json.end().map(|()| configuration))
            .map_err(|error| placed(&track.path(), &error.to_string()));
        match (configuration, unknown) {
            (configuration, None) => configuration,
            (Ok(_), Some(mistake)) => Err(Invalid::new(mistake)),
            // A field that is misspelt is also one that is missing.
            (Err(other), Some(mistake)) => Err(Invalid::new(format!("{mistake}; {other}"))),
        }
    }

    /// The fields, to write or to change them.
    pub fn into_draft(self) -> Draft {
        self.draft
    }

    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// The arm of requests to `endpoint` with this key.
    pub fn assign(&self, endpoint: &EndpointName, key: &Key) -> Arm {
        arms::assign(&self.draft.arms, &self.draft.pins, endpoint, key)
    }

    /// The observers that are not expected to score requests to `endpoint` with this key.
    pub fn skips(&self, endpoint: &EndpointName, key: &Key) -> Vec<ModelId> {
        let shared = self.draft.observers.iter().filter(|observer| observer.share < Share::ALL);
        let skipped = shared.filter(|Observer { model, share, .. }| {
            Share::position(endpoint, &["observer", model.as_str()], key) >= *share
        });
        skipped.map(|observer| observer.model.clone()).collect()
    }

    /// The schedule of `arm`. An arm that this version does not name has the schedule of `main`.
    pub fn schedule(&self, arm: &Arm) -> &Schedule {
        let plan = self.draft.arms.iter().find(|plan| plan.name == *arm);
        let plan = plan.filter(|_| !mutated(Mutation::DecideByMain));
        plan.map_or(&self.draft.schedule, |plan| &plan.schedule)
    }

    /// The arms, `main` first, with their schedules.
    pub fn arms(&self) -> impl Iterator<Item = (&Arm, &Schedule)> {
        self.draft.schedules()
    }

    /// The part of the keys that another arm has under the configuration `to`, pinned keys apart:
    /// from, to, and how many.
    pub fn movements(&self, to: &Self) -> Vec<(Arm, Arm, Share)> {
        arms::movements(&self.draft.arms, &to.draft.arms)
    }

    pub fn observers(&self) -> &[Observer] {
        &self.draft.observers
    }

    /// Where in a score the number is that models are compared by (RFC 6901).
    pub fn value(&self) -> Option<&str> {
        self.draft.value.as_deref()
    }

    /// Where in a reported outcome the truth is that this number predicts (RFC 6901): a number, or
    /// true and false for 1 and 0.
    pub fn outcome(&self) -> Option<&str> {
        self.draft.outcome.as_deref()
    }

    /// How long after a request its outcome is known as a rule.
    pub fn outcome_horizon(&self) -> Duration {
        let days = self.draft.outcome_horizon_days.unwrap_or(OUTCOME_HORIZON_DAYS);
        Duration::from_hours(u64::from(days) * 24)
    }

    /// The name of the baseline that drift is measured against.
    pub fn baseline(&self) -> Option<&str> {
        self.draft.baseline.as_deref()
    }

    /// Where in a payload the fields are whose distributions are watched (RFC 6901).
    pub fn features(&self) -> &[String] {
        &self.draft.features
    }

    /// What payloads and scores are as tensors of the Open Inference Protocol.
    pub fn tensors(&self) -> Option<&Tensors> {
        self.draft.tensors.as_ref()
    }

    /// Every model, once: those that may answer, in any arm, come first. Each is expected to score
    /// every request, but those that the request's envelope says to skip.
    pub fn models(&self) -> impl Iterator<Item = &ModelId> {
        self.models.iter()
    }
}

/// A mistake that was found at a path. It may itself be a list of mistakes, each with its pointer below that
/// path.
fn placed(path: &serde_path_to_error::Path, mistake: &str) -> Invalid {
    let mut pointer = String::new();
    for segment in path {
        // Writing to a string cannot fail.
        let _ = match segment {
            Segment::Seq { index } => write!(pointer, "/{index}"),
            Segment::Map { key } => write!(pointer, "/{key}"),
            _ => Ok(()),
        };
    }
    Invalid::new(if pointer.is_empty() {
        mistake.to_owned()
    } else if mistake.starts_with('/') {
        pointer.clone() + &mistake.replace("; /", &format!("; {pointer}/"))
    } else {
        format!("{pointer}: {mistake}")
    })
}

impl TryFrom<Draft> for Configuration {
    type Error = Invalid;

    fn try_from(draft: Draft) -> Result<Self, Invalid> {
        Self::new(draft)
    }
}

impl From<Configuration> for Draft {
    fn from(configuration: Configuration) -> Self {
        configuration.draft
    }
}

#[cfg(test)]
mod tests;
