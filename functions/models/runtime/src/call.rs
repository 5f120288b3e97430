//! One call of the model, whatever the model does.

use std::panic::AssertUnwindSafe;

use futures_util::{FutureExt, future::join_all};
use rendezvous_core::{Failure, FailureKind, Json, score::checked_score};
use tokio::time::timeout;

use crate::{
    Model,
    time::{Limit, Limits},
};

/// Exactly one result for each payload, before the limits end.
pub(crate) async fn results<M: Model>(
    model: &M,
    payloads: &[Json],
    limits: Limits,
) -> Vec<Result<Json, Failure>> {
    let count = payloads.len();
    match call(model, payloads, limits).await {
        Ok(results) => results,
        Err(failure) if count == 1 || failure.kind == FailureKind::TimedOut => {
            vec![Err(failure); count]
        }
        // One payload may have failed the call for all: score each alone, so that only that one
        // fails.
        Err(_) => {
            let alone = payloads.iter().map(|payload| async {
                call(model, std::slice::from_ref(payload), limits).await?.swap_remove(0)
            });
            join_all(alone).await
        }
    }
}

/// Calls the model, which may panic or hang.
async fn call<M: Model>(
    model: &M,
    payloads: &[Json],
    limits: Limits,
) -> Result<Vec<Result<Json, Failure>>, Failure> {
    let count = payloads.len();
    let (limit, limited_by) = limits.next();
    // Nothing that the call changes is used after a panic, but what the model itself keeps.
    let score = AssertUnwindSafe(async { model.score(payloads).await }).catch_unwind();
    match timeout(limit, score).await {
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
            let rest = match limited_by {
                Limit::Model => "",
                Limit::Invocation => ", which were left of the function's time-out",
            };
            let what = format_args!("no score within {} ms{rest}", limit.as_millis());
            Err(Failure::new(FailureKind::TimedOut, what))
        }
    }
}
