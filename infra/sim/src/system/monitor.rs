//! The monitor, its mapping and its schedule.

use std::{sync::Arc, time::Duration};

use rendezvous_core::ports::{Archive, EndpointTable, Secrets, WindowTable};
use rendezvous_monitor::Monitor;

use super::{System, lock};
use crate::{
    Link, Role,
    functions::{MonitorOfLedger, MonitorOfScores},
    mapping::Mapping,
    minutes,
};

/// How long windows of minutes are kept.
const KEPT: Duration = Duration::from_hours(24 * 35);

impl<A, E, K, W> System<A, E, K, W>
where
    A: Archive,
    E: EndpointTable,
    K: Secrets,
    W: WindowTable,
{
    pub(super) fn start_monitor(&self, mapping: &Mapping) {
        let (endpoints, ledger) = (self.endpoints.clone(), self.ledger.clone());
        let (windows, past) = (self.windows.clone(), self.past.clone());
        let (counters, conditions) = (self.counters.clone(), self.host.conditions.clone());
        let fleet = Arc::new(self.fleet(Role::Monitor, "monitor", move |actor| {
            Monitor::new(
                Link::new(endpoints.clone(), actor, &conditions),
                Link::with_past(ledger.clone(), actor, &conditions, &past),
                Link::new(windows.clone(), actor, &conditions),
                counters.clone(),
                KEPT,
            )
        }));
        self.map(&self.ledger.changes, mapping, MonitorOfLedger { fleet: fleet.clone() });
        self.map(&self.scores, mapping, MonitorOfScores { fleet: fleet.clone() });
        let (conditions, stop) = (self.host.conditions.clone(), self.host.stop.clone());
        lock(&self.tasks).spawn(minutes::schedule(fleet, conditions, stop));
    }
}
