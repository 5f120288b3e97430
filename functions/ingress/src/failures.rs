//! Why no model answered a request.

use rendezvous_core::{Decision, Endpoint, FailureKind, Kind, ModelId, Reason, Score};

/// Why one choice of the schedule gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChoiceFailure {
    pub model: ModelId,
    pub kind: ChoiceFailureKind,
    /// Empty when the model was silent.
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChoiceFailureKind {
    Failed(FailureKind),
    /// The model sent neither a score nor a failure before the decision.
    Silent,
}

/// Why each choice gave no answer. Empty when a model answered, and when none was asked.
pub(crate) fn failures(
    endpoint: &Endpoint,
    decision: &Decision,
    scores: &[Score],
) -> Vec<ChoiceFailure> {
    let by_a_model = matches!(decision.kind, Kind::Champion | Kind::StandIn);
    if by_a_model || decision.reason == Reason::Unavailable {
        return Vec::new();
    }
    let choices = endpoint.configuration.schedule(&decision.arm).choices();
    let failure = |model: &ModelId| {
        let found = scores.iter().find(|score| score.model == *model);
        let (kind, message) = match found.map(|score| &score.result) {
            Some(Err(failure)) => {
                (ChoiceFailureKind::Failed(failure.kind), failure.message.clone())
            }
            _ => (ChoiceFailureKind::Silent, String::new()),
        };
        ChoiceFailure { model: model.clone(), kind, message }
    };
    choices.iter().map(|choice| failure(&choice.model)).collect()
}
