//! The functions that nobody calls, with their mappings, and the monitor's schedule.

use std::sync::Arc;

use rendezvous::Rendezvous;
use rendezvous_core::{
    memory::Position,
    ports::{Archive, ArchiveFiles, EndpointTable, Payloads, Secrets, WindowTable},
};
use rendezvous_decoy::{Decoy, Stream, Table};
use rendezvous_monitor::Monitor;

use super::{Size, System, lock};
use crate::{
    Link, Role,
    functions::{
        DecoyOfStream, DecoyOfTable, MonitorOfInput, MonitorOfScores, MonitorOfTable,
        RendezvousHandler,
    },
    mapping::Mapping,
    minutes,
};

impl<A, E, K, W, L> System<A, E, K, W, L>
where
    A: Archive + ArchiveFiles,
    E: EndpointTable,
    K: Secrets,
    W: WindowTable,
    L: Payloads,
{
    pub(super) fn start_rendezvous(&self) {
        let (endpoints, ledger) = (self.endpoints.clone(), self.ledger.clone());
        let (counters, past) = (self.counters.clone(), self.past.clone());
        let conditions = self.host.conditions.clone();
        let fleet = self.fleet(Role::Rendezvous, "rendezvous", move |actor| {
            Rendezvous::new(
                Link::new(endpoints.clone(), actor, &conditions),
                Link::with_past(ledger.clone(), actor, &conditions, &past),
                counters.clone(),
            )
        });
        let mapping = Mapping { starting_position: Position::TrimHorizon, ..Mapping::default() };
        let (ledger, conditions) = (self.ledger.clone(), self.host.conditions.clone());
        let handler = RendezvousHandler { fleet, ledger, conditions };
        self.map(&self.scores, &mapping, handler, || self.runtime_in_turn());
    }

    pub(super) fn start_decoy(&self, mapping: &Mapping) {
        let (archive, endpoints) = (self.archive.clone(), self.endpoints.clone());
        let payloads = self.payloads.clone();
        let (counters, conditions) = (self.counters.clone(), self.host.conditions.clone());
        let fleet = Arc::new(self.fleet(Role::Decoy, "decoy", move |actor| {
            Decoy::new(
                Link::new(archive.clone(), actor, &conditions),
                Link::new(endpoints.clone(), actor, &conditions),
                Link::new(payloads.clone(), actor, &conditions),
                counters.clone(),
            )
        }));
        for (stream, source) in [(&self.input, Stream::Input), (&self.scores, Stream::Scores)] {
            self.map(stream, mapping, DecoyOfStream { fleet: fleet.clone(), source }, || None);
        }
        let of_ledger = Mapping { only_decided: true, ..mapping.clone() };
        let ledger = (&self.ledger.changes, Table::Ledger, &of_ledger);
        let outcomes = (&self.outcomes.changes, Table::Outcomes, mapping);
        for (changes, source, mapping) in [ledger, outcomes] {
            let (fleet, journal) = (fleet.clone(), self.journal.clone());
            self.map(changes, mapping, DecoyOfTable { fleet, source, journal }, || None);
        }
    }

    pub(super) fn start_monitor(&self, size: &Size) {
        let (Some(mapping), keep) = (&size.monitor, size.keep_windows) else { return };
        let (endpoints, ledger) = (self.endpoints.clone(), self.ledger.clone());
        let (windows, past) = (self.windows.clone(), self.past.clone());
        let (counters, conditions) = (self.counters.clone(), self.host.conditions.clone());
        let fleet = Arc::new(self.fleet(Role::Monitor, "monitor", move |actor| {
            Monitor::new(
                Link::new(endpoints.clone(), actor, &conditions),
                Link::with_past(ledger.clone(), actor, &conditions, &past),
                Link::new(windows.clone(), actor, &conditions),
                counters.clone(),
                keep,
            )
        }));
        let ledger = (&self.ledger.changes, Table::Ledger);
        let outcomes = (&self.outcomes.changes, Table::Outcomes);
        for (changes, source) in [ledger, outcomes] {
            self.map(changes, mapping, MonitorOfTable { fleet: fleet.clone(), source }, || None);
        }
        self.map(&self.scores, mapping, MonitorOfScores { fleet: fleet.clone() }, || None);
        self.map(&self.input, mapping, MonitorOfInput { fleet: fleet.clone() }, || None);
        let (conditions, stop) = (self.host.conditions.clone(), self.host.stop.clone());
        let archive = Link::new(self.archive.clone(), &fleet.actor, &conditions);
        lock(&self.tasks).spawn(minutes::schedule(fleet, archive, conditions, stop));
    }
}
