//! A model as a Lambda function.

use std::time::Duration;

use metrique::{unit::Millisecond, unit_of_work::metrics};
use rendezvous_aws::{Aws, batch::StreamBatch, lambda, metrics::Millis};

use crate::{Model, ModelFunction, Scored};

/// Serves `model` on the stream `input`, until Lambda ends the process. Reads the environment
/// variables `STACK`, `SCORES_STREAM`, and `MODEL`, the id under which it has been deployed and is
/// watched: it must be the model's own.
pub async fn run<M: Model>(aws: &Aws, model: M) -> Result<(), lambda::Error> {
    let stack = aws.environment().required("STACK")?;
    let scores = aws.stream("SCORES_STREAM")?;
    let id = model.profile().id.to_string();
    let deployed = aws.environment().required("MODEL")?;
    if deployed != id {
        return Err(format!("deployed as {deployed}, but the model is {id}").into());
    }
    let function = ModelFunction::new(model.into(), scores.into());
    lambda::run(async |StreamBatch(event)| {
        let (response, tally) = function.handle(event).await;
        Ok((response, line(stack, &id, tally)))
    })
    .await
}

#[metrics(rename_all = "PascalCase", emf::dimension_sets = [["Stack", "Model"]])]
struct Batch {
    stack: String,
    model: String,
    requests_read: usize,
    requests_unreadable: usize,
    scored: usize,
    failed: usize,
    timed_out: usize,
    invalid: usize,
    expired: usize,
    unsent: usize,
    score_time: Millis,
    #[metrics(unit = Millisecond)]
    lag: Duration,
}

/// The metrics of one batch.
fn line(stack: &str, model: &str, scored: Scored) -> Vec<u8> {
    let batch = Batch {
        stack: stack.to_owned(),
        model: model.to_owned(),
        requests_read: scored.requests,
        requests_unreadable: scored.unreadable,
        scored: scored.scored,
        failed: scored.failed,
        timed_out: scored.timed_out,
        invalid: scored.invalid,
        expired: scored.expired,
        unsent: scored.unsent,
        score_time: Millis(scored.times),
        lag: scored.lag,
    };
    rendezvous_aws::metrics::line(batch)
}
