use std::sync::Arc;

use rendezvous_core::{
    Envelope, Mailbox, ModelId, RequestId, Timestamp, Unavailable, Write, Written,
    clock::{sleep_until, with_clock_ahead},
    now,
    ports::{Consistency, Ledger, Watch},
    write::Assignment,
};
use tokio::time::sleep;

use super::{Begin, Link, past::STALEST, subject};
use crate::{actor::Role, fault::Fault, step::Step};

/// The step of the protocol that a write is.
fn step(write: &Write, role: Role) -> Step {
    let sets = |what: fn(&Assignment) -> bool| write.set.iter().any(what);
    if sets(|each| matches!(each, Assignment::Envelope)) {
        Step::Open
    } else if sets(|each| matches!(each, Assignment::Accepted)) {
        Step::Accept
    } else if !sets(|each| matches!(each, Assignment::Decision(_))) {
        Step::File
    } else {
        match role {
            Role::Ingress => Step::IngressSettle,
            Role::Monitor => Step::MonitorSettle,
            _ => Step::RendezvousSettle,
        }
    }
}

/// The step of the protocol that a read of a mailbox is.
fn look(role: Role) -> Step {
    if role == Role::Monitor { Step::MonitorLook } else { Step::Look }
}

/// A write in short: of which request, what it sets, and how often its models have failed.
fn shown(write: &Write) -> String {
    let set = write.set.iter().map(|assignment| match assignment {
        Assignment::Envelope => format!("received {}", write.envelope.received),
        Assignment::Opening(_) => "opened".to_owned(),
        Assignment::Accepted => "accepted".to_owned(),
        Assignment::Result(score) => {
            let failed = score.result.as_ref().err().map_or("", |_| " failed");
            format!("{}{failed}", score.model)
        }
        Assignment::Decision(decision) => {
            let model = decision.model.as_ref().map_or("nobody", ModelId::as_str);
            let (kind, reason) = (decision.kind.as_str(), decision.reason.as_str());
            format!("decision {kind} {reason} {model}, presumed {:?}", decision.presumed)
        }
    });
    format!("{} {}", write.envelope.id, set.collect::<Vec<_>>().join(", "))
}

impl<P: Ledger> Ledger for Link<P> {
    async fn read(
        &self,
        id: RequestId,
        consistency: Consistency,
    ) -> Result<Option<Mailbox>, Unavailable> {
        if self.is_plain() {
            return self.port.read(id, consistency).await;
        }
        let step = look(self.actor.role());
        let occasion = self.weather().map(|weather| weather.occasion(step, subject(id)));
        let stale = occasion.filter(|occasion| {
            consistency == Consistency::Eventual && occasion.meets(Fault::Stale)
        });
        let lag = stale.map(|occasion| STALEST.mul_f64(occasion.draw(Fault::Stale, 1)));
        let make = || {
            let (port, past, witness) =
                (self.port.clone(), self.past.clone(), self.conditions.witness.clone());
            async move {
                let mailbox = port.read(id, consistency).await?;
                if let (Some(witness), Some(mailbox)) = (&witness, &mailbox) {
                    witness.sees(mailbox);
                }
                Ok(match lag {
                    Some(lag) => past.at(id, true_time() - lag, mailbox),
                    None => mailbox,
                })
            }
        };
        let name = || format!("ledger.read {id} {consistency:?}");
        self.call(occasion, name, make, |unavailable| unavailable).await
    }

    async fn write(&self, write: &Write) -> Result<Written, Unavailable> {
        if self.is_plain() {
            return self.port.write(write).await;
        }
        let step = step(write, self.actor.role());
        let id = write.envelope.id;
        let occasion = self.weather().map(|weather| weather.occasion(step, subject(id)));
        if let Some(weather) = self.weather() {
            weather.handles(write.envelope.config, step);
        }
        if let Some(witness) = &self.conditions.witness {
            witness.proposes(&self.actor, write);
        }
        let make = || {
            let (port, past) = (self.port.clone(), self.past.clone());
            let (witness, write) = (self.conditions.witness.clone(), write.clone());
            async move {
                let written = port.write(&write).await?;
                if let Written::Applied(mailbox) = &written {
                    past.note(mailbox, true_time());
                }
                if let Some(witness) = &witness {
                    witness.wrote(&write, &written);
                }
                Ok(written)
            }
        };
        let name = || format!("ledger.write {}: {}", step.name(), shown(write));
        self.call(occasion, name, make, |unavailable| unavailable).await
    }

    fn watch(&self, envelope: &Arc<Envelope>) -> impl Watch + '_ {
        let watch = self.port.watch(envelope);
        LinkWatch { link: self, id: envelope.id, watch, shown: None, hidden: None }
    }
}

/// The time of the services, which is right.
fn true_time() -> Timestamp {
    with_clock_ahead(0, now)
}

/// A watch of a link.
struct LinkWatch<'a, P, W> {
    link: &'a Link<P>,
    id: RequestId,
    watch: W,
    /// What was last returned.
    shown: Option<Mailbox>,
    /// What a stale read does not show yet.
    hidden: Option<Mailbox>,
}

impl<P: Ledger, W: Watch> LinkWatch<'_, P, W> {
    async fn under_weather(&mut self, until: Timestamp) -> Result<Option<Mailbox>, Unavailable> {
        let Some(weather) = self.link.weather() else { return self.watch.changed(until).await };
        let occasion = weather.occasion(Step::Watch, subject(self.id));
        let actor = self.link.actor.clone();
        let begin = Begin::of(&actor, occasion);
        self.link.reach(occasion).await?;
        if self.hidden.is_none() {
            match self.watch.changed(until).await? {
                None => return Ok(None),
                changed => self.hidden = changed,
            }
            if occasion.meets(Fault::Stale) {
                self.link.say(Fault::Stale);
                let lag = STALEST.mul_f64(occasion.draw(Fault::Stale, 1));
                if until.since(now()) <= lag {
                    sleep_until(until).await;
                    return Ok(self.shown.clone());
                }
                sleep(lag).await;
            }
        }
        self.shown = self.hidden.take();
        self.link.leave(occasion).await;
        begin.end();
        Ok(self.shown.clone())
    }
}

impl<P: Ledger, W: Watch> Watch for LinkWatch<'_, P, W> {
    async fn changed(&mut self, until: Timestamp) -> Result<Option<Mailbox>, Unavailable> {
        if self.link.is_plain() {
            return self.watch.changed(until).await;
        }
        let id = self.id;
        let name = || format!("ledger.watch {id} until {until}");
        self.link.conditions.trace(&self.link.actor, name);
        let result = self.under_weather(until).await;
        if let (Some(witness), Ok(Some(mailbox))) = (&self.link.conditions.witness, &result) {
            witness.sees(mailbox);
        }
        self.link.conditions.trace(&self.link.actor, || format!("{} returned {result:?}", name()));
        result
    }
}
