//! Arms whose share grows by itself, while an operator publishes, too.

use std::time::Duration;

use futures_util::{FutureExt, future::join};
use rendezvous_core::{
    Configuration, Minute, Provenance, clock::sleep_until, now, ports::EndpointTable, promotion,
};
use rendezvous_monitor::guards::AUTHOR;
use tokio::time::sleep;

use super::{World, clients, operator};
use crate::{
    fault::Fault,
    invariant::{Invariant, Violation},
    step::Dependency,
};

/// For how many minutes a run goes on: an arm is judged by windows that are three minutes old, and has two steps.
const MINUTES: u8 = 20;

/// How many clients go on asking, once a minute, so that there is something to judge each step by.
const CLIENTS: usize = 4;

/// The operator publishes, and an outage begins, at about the time at which the monitor publishes.
const AROUND: Duration = Duration::from_millis(40);

/// The numbers of the configurations of this part of a run.
const FIRST: u32 = 10;

/// Goes on until arms are judged, while clients ask now and then. At the beginning of each minute the operator may
/// publish, and the monitor may be without a dependency.
pub(super) async fn judged(world: &World) {
    for minute in 0..MINUTES {
        let draw = |detail: u8| world.draw(("ramps", minute, detail));
        let asking = clients::one_each(world, minute.into(), CLIENTS);
        join(asking, sleep_until(Minute::of(now()).plus(1).start())).await;
        sleep(AROUND.mul_f64(draw(0))).await;
        if minute >= 2 && draw(1) < 0.08 {
            operator::publish(world, FIRST + u32::from(minute)).await;
        }
        if draw(2) < world.plan.shares.of(Fault::Outage) {
            let dependency = match draw(3) {
                ..0.3 => Dependency::Endpoints,
                ..0.6 => Dependency::Ledger,
                _ => Dependency::Windows,
            };
            operator::outage(world, dependency, draw(4), draw(5)).await;
        }
    }
}

/// Checks the history of the endpoint.
pub(super) fn check(world: &World) {
    let table = &world.system.endpoints;
    let Some(name) = operator::endpoint() else { return };
    let history = table.history(&name).now_or_never().and_then(Result::ok).unwrap_or_default();
    let configuration = |version: u64| {
        let found = table.version(&name, version).now_or_never()?.ok()??;
        Some(found.configuration.clone())
    };
    for (publication, number) in history.iter().zip(1_u64..) {
        let before = number.checked_sub(1).filter(|before| *before > 0);
        if publication.version != number || publication.replaced != before {
            report(world, format!("{publication:?} is not the version behind {before:?}"));
        }
        let by = publication.provenance.as_ref().map(Provenance::author);
        if by != Some(AUTHOR) {
            continue;
        }
        let (from, to) = (before.and_then(configuration), configuration(number));
        let is_one_step = matches!((&from, &to), (Some(from), Some(to)) if is_one_step(from, to));
        if !is_one_step {
            report(world, format!("{publication:?} makes {to:?} of {from:?}"));
        }
    }
}

/// Whether one guarded arm is a step further, finished or removed, and nothing else differs.
fn is_one_step(from: &Configuration, to: &Configuration) -> bool {
    let guarded = from.draft().arms.iter().filter(|plan| plan.guard.is_some());
    guarded.map(|plan| &plan.name).any(|arm| {
        let changes = [
            promotion::step(from, arm),
            promotion::finish(from, arm),
            promotion::remove(from, arm),
        ];
        changes.into_iter().flatten().any(|changed| changed == *to)
    })
}

fn report(world: &World, what: String) {
    world.witness.report(Violation { invariant: Invariant::OneStep, request: None, what });
}
