//! The schedule that invokes the monitor every minute, as `EventBridge` does: at least once, and not again
//! when the function fails.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use rendezvous_core::{
    Minute,
    clock::sleep_until,
    now,
    ports::{EndpointTable, WindowTable},
};
use tokio::{sync::watch, time::timeout};

use crate::{
    Conditions,
    fault::Fault,
    fleet::{Fleet, Instance},
    functions::MonitorOf,
    step::Step,
};

/// The function's time-out.
const FUNCTION_TIMEOUT: Duration = Duration::from_mins(1);

/// Invokes the monitor at the beginning of each minute until `stop` is true.
pub(crate) async fn schedule<E: EndpointTable, W: WindowTable>(
    fleet: Arc<Fleet<MonitorOf<E, W>>>,
    conditions: Conditions,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let minute = Minute::of(now()).plus(1);
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            () = sleep_until(minute.start()) => {}
        }
        let mut hasher = DefaultHasher::new();
        minute.hash(&mut hasher);
        let subject = hasher.finish();
        let twice = conditions.weather.as_ref().is_some_and(|weather| {
            weather.occasion(Step::Minute, subject).meets(Fault::Redelivery)
        });
        for _ in 0..=usize::from(twice) {
            conditions.trace(&fleet.actor, || format!("is invoked: minute {minute}"));
            let run = |instance: Arc<Instance<MonitorOf<E, W>>>| async move {
                Box::pin(instance.function.minute()).await;
            };
            match timeout(FUNCTION_TIMEOUT, fleet.invoke(Step::Minute, subject, run)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(error, "the monitor has crashed"),
                Err(_) => tracing::warn!("the monitor has timed out"),
            }
        }
    }
}
