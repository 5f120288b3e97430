//! The schedules that invoke the monitor every minute and every day, as `EventBridge` does: at least once, and not again
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
    ports::{Archive, ArchiveFiles, EndpointTable, WindowTable},
};
use tokio::{sync::watch, time::timeout};

use crate::{
    Conditions, Link,
    fault::Fault,
    fleet::{Fleet, Instance},
    functions::MonitorOf,
    step::Step,
};

/// The function's time-out.
const FUNCTION_TIMEOUT: Duration = Duration::from_mins(1);

/// The time-out that the function has on AWS; a minute's run ends by itself before the next one.
const DAY_TIMEOUT: Duration = Duration::from_mins(15);

/// At which minute of the day its run is, as in the template: 01:20 UTC.
const DAY_AT: i64 = 80;

/// Invokes the monitor at the beginning of each minute until `stop` is true, and for the day in the first
/// minute, since a local system is not always up, and at [`DAY_AT`].
pub(crate) async fn schedule<A, E, W>(
    fleet: Arc<Fleet<MonitorOf<E, W>>>,
    archive: Arc<Link<A>>,
    conditions: Conditions,
    mut stop: watch::Receiver<bool>,
) where
    A: Archive + ArchiveFiles,
    E: EndpointTable,
    W: WindowTable,
{
    let mut first = true;
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
        let of_day = minute.start().as_micros().div_euclid(60_000_000).rem_euclid(24 * 60);
        if std::mem::take(&mut first) || of_day == DAY_AT {
            conditions.trace(&fleet.actor, || format!("is invoked: day, {minute}"));
            let archive = archive.clone();
            let run = |instance: Arc<Instance<MonitorOf<E, W>>>| async move {
                Box::pin(instance.function.day(&*archive)).await;
            };
            match timeout(DAY_TIMEOUT, fleet.invoke(Step::Minute, !subject, run)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(error, "the monitor has crashed"),
                Err(_) => tracing::warn!("the monitor has timed out"),
            }
        }
    }
}
