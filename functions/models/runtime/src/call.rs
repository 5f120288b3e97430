//! One call of the model, whatever the model does.

use std::sync::Arc;

use futures_util::future::join_all;
use rendezvous_core::{Failure, FailureKind, Json, score::checked_score};
use tokio::time::timeout;

use crate::{
    Model,
    time::{Limit, Limits},
};

/// Exactly one result for each payload, before the limits end.
pub(crate) async fn results<M: Model>(
    model: &Arc<M>,
    payloads: Vec<Json>,
    limits: Limits,
) -> Vec<Result<Json, Failure>> {
    let count = payloads.len();
    match call(model.clone(), payloads.clone(), limits).await {
        Ok(results) => results,
        Err(failure) if count == 1 || failure.kind == FailureKind::TimedOut => {
            vec![Err(failure); count]
        }
        // One payload may have failed the call for all: score each alone, so that only that one
        // fails.
        Err(_) => {
            let alone = payloads.into_iter().map(|payload| async {
                call(model.clone(), vec![payload], limits).await?.swap_remove(0)
            });
            join_all(alone).await
        }
    }
}

/// Calls the model in a task of its own, which may panic or hang.
async fn call<M: Model>(
    model: Arc<M>,
    payloads: Vec<Json>,
    limits: Limits,
) -> Result<Vec<Result<Json, Failure>>, Failure> {
    let count = payloads.len();
    let (limit, limited_by) = limits.next();
    let mut task = tokio::spawn(async move { model.score(&payloads).await });
    match timeout(limit, &mut task).await {
        Ok(Ok(results)) if results.len() == count => {
            Ok(results.into_iter().map(|result| result.and_then(checked_score)).collect())
        }
        Ok(Ok(results)) => Err(Failure::new(
            FailureKind::Failed,
            format_args!("the model returned {} results for {count} payloads", results.len()),
        )),
        // The panic's text may quote the payload. It is in the function's log only.
        Ok(Err(_)) => Err(Failure::new(FailureKind::Failed, "the model panicked")),
        Err(_) => {
            task.abort();
            let rest = match limited_by {
                Limit::Model => "",
                Limit::Invocation => ", which were left of the function's time-out",
            };
            let what = format_args!("no score within {} ms{rest}", limit.as_millis());
            Err(Failure::new(FailureKind::TimedOut, what))
        }
    }
}
