//! Why a request was answered as it was, step by step, in words.

use std::time::Duration;

use rendezvous_archive::{Decided, Joined, Scored};
use rendezvous_core::{
    Choice, Configuration, EndpointName, Kind, ModelId, Reason, Schedule, Timestamp,
};
use serde::Serialize;

use super::{Configurations, past::Past, past::Why};

/// Why a request was answered as it was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// In the order of time.
    pub steps: Vec<Step>,
    /// Whether the schedule decides alike when the decision is computed again.
    pub same: bool,
    /// Why it does not.
    pub why: Option<Why>,
}

/// What happened at an instant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// From the request's receipt, in milliseconds.
    pub after_ms: f64,
    pub what: What,
    /// A sentence without a full stop.
    pub text: String,
}

/// What a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Received,
    Opened,
    Score,
    Failure,
    Decided,
}

/// Explains the decision of a request; `None` where it has none.
pub fn explain(
    endpoint: &EndpointName,
    configurations: &Configurations,
    request: &Joined,
) -> Option<Explanation> {
    let decision = request.decision.as_ref()?;
    let why = Past::new(endpoint.clone(), configurations).differs(request, decision);
    let configuration = configurations.get(&decision.config);
    let told = Told { request, decision, configuration };
    let mut steps = vec![told.received()];
    steps.extend(told.opened());
    steps.extend(request.scores.iter().map(|score| told.scored(score)));
    // What happens at one instant stays in the order of the rules: a choice opens, a score comes.
    steps.sort_by(|a, b| a.after_ms.total_cmp(&b.after_ms));
    let decided = told.decided();
    let place = steps.iter().position(|step| step.after_ms > decided.after_ms);
    // The deadline may be decided for before it is reached.
    steps.insert(place.unwrap_or(steps.len()), decided);
    Some(Explanation { steps, same: why.is_none(), why })
}

struct Told<'a> {
    request: &'a Joined,
    decision: &'a Decided,
    configuration: Option<&'a Configuration>,
}

impl Told<'_> {
    fn schedule(&self) -> Option<&Schedule> {
        Some(self.configuration?.schedule(&self.decision.arm))
    }

    fn choices(&self) -> &[Choice] {
        self.schedule().map_or(&[], Schedule::choices)
    }

    fn step(&self, at: Timestamp, what: What, text: String) -> Step {
        Step { after_ms: ms(at.since(self.decision.received)), what, text }
    }

    fn received(&self) -> Step {
        let Decided { config, arm, received, deadline, .. } = self.decision;
        let allowed = deadline.since(*received).as_millis();
        let who: Vec<String> = self.choices().iter().map(choice).collect();
        let who = match self.configuration {
            Some(_) => who.join(", "),
            None => "this version is not known any more".to_owned(),
        };
        let text = format!(
            "the request is received under version {config}, arm {arm}: {who}; the deadline is at {allowed} ms"
        );
        self.step(*received, What::Received, text)
    }

    /// The choices whose time came before the decision.
    fn opened(&self) -> impl Iterator<Item = Step> {
        let Decided { received, decided, .. } = self.decision;
        let later = self.choices().iter().filter(|choice| !choice.after.is_zero());
        later.filter(|choice| *received + choice.after <= *decided).map(|choice| {
            let text = format!("{} may answer from now on", choice.model);
            self.step(*received + choice.after, What::Opened, text)
        })
    }

    fn scored(&self, score: &Scored) -> Step {
        let Scored { model, arrived, .. } = score;
        let at = arrived.since(self.decision.received);
        let place = self.choices().iter().find(|choice| choice.model == *model);
        let seen = self.decision.seen.contains(model);
        let then = match place {
            None => "it observes, and cannot answer",
            Some(_) if !seen => "the decision did not wait for it; it is archived only",
            Some(_) if score.failure.is_some() => "the choices after it need not wait for it",
            Some(choice) if choice.after > at => "its time has not come yet",
            Some(_) => "it may answer",
        };
        let (what, text) = match (score.failure, score.value) {
            (Some(kind), _) => {
                (What::Failure, format!("{model} fails ({}): {then}", kind.as_str()))
            }
            (None, Some(value)) => {
                (What::Score, format!("the score of {model} arrives, {value:.4}: {then}"))
            }
            (None, None) => (What::Score, format!("the score of {model} arrives: {then}")),
        };
        self.step(*arrived, what, text)
    }

    fn decided(&self) -> Step {
        let Decided { kind, reason, model, decided, .. } = self.decision;
        let who = match (model, kind) {
            (Some(model), _) => format!("{model} answers"),
            (None, Kind::Fallback) => "the fallback answers".to_owned(),
            (None, _) => "nobody answers, and there is no fallback".to_owned(),
        };
        let why = match reason {
            Reason::Preferred => "it is the first choice, and its score is there".to_owned(),
            Reason::Opened => {
                let after =
                    self.choices().iter().find(|choice| Some(&choice.model) == model.as_ref());
                let after = after.map_or(0, |choice| choice.after.as_millis());
                format!("its time, {after} ms, has come, and {}", self.before())
            }
            Reason::Survivor => format!("before its time, because {}", self.before()),
            Reason::Exhausted => "every choice has failed".to_owned(),
            Reason::Deadline => format!("the deadline is reached, and {}", self.before()),
            Reason::Unavailable => {
                "a dependency did not let ingress ask or hear; no schedule made this decision"
                    .to_owned()
            }
        };
        self.step(*decided, What::Decided, format!("{who}: {why}"))
    }

    /// What is known of the choices before the one that answers.
    fn before(&self) -> String {
        let Decided { model, seen, presumed, .. } = self.decision;
        let before =
            self.choices().iter().take_while(|choice| Some(&choice.model) != model.as_ref());
        let state = |id: &ModelId| {
            let failure = self.request.score_of(id).and_then(|score| score.failure);
            match failure {
                Some(kind) if seen.contains(id) => format!("{id} has failed ({})", kind.as_str()),
                _ if presumed.contains(id) => format!("{id} is presumed silent"),
                _ if seen.contains(id) => format!("{id} may not answer yet"),
                _ => format!("{id} has sent nothing"),
            }
        };
        let states: Vec<String> = before.map(|choice| state(&choice.model)).collect();
        if states.is_empty() { "no choice comes before it".to_owned() } else { states.join(", ") }
    }
}

fn choice(choice: &Choice) -> String {
    let Choice { model, after } = choice;
    if after.is_zero() {
        format!("{model} may answer at once")
    } else {
        format!("{model} from {} ms on", after.as_millis())
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
