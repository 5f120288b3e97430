use std::{sync::Arc, time::Duration};

use rendezvous_core::{
    limits::MAX_PAYLOAD_BYTES,
    memory::{Journal, MemoryLedger, Position},
};
use rendezvous_ingress::Settings;
use tokio::runtime::Handle;

use crate::{Conditions, mapping::Mapping};

/// The size of a system, and what is to happen in it.
#[derive(Clone, Debug)]
pub struct Size {
    /// Shards of each stream.
    pub shards: usize,
    /// How many mailboxes the ledger keeps.
    pub mailboxes: usize,
    pub settings: Settings,
    /// The decoy's mappings. Their batches become the files of the archive.
    pub decoy: Mapping,
    /// The mapping of the monitor; without one there is no monitor.
    pub monitor: Option<Mapping>,
    /// How long the monitor keeps windows of minutes.
    pub keep_windows: Duration,
    /// The runtimes of the models' functions and of rendezvous, in turns; without any, that of the caller.
    pub compute: Vec<Handle>,
    /// The runtime on which the decoy and the monitor run; without one, that of the caller.
    pub archiving: Option<Handle>,
    /// What goes wrong by chance, and who watches.
    pub conditions: Conditions,
    /// What is handed all that must outlive the process.
    pub journal: Option<Arc<Journal>>,
}

impl Default for Size {
    fn default() -> Self {
        // Large batches make few files and take less time for each record, and most of the memory. Most requests are
        // decided within the batch in which they appear, and cost the monitor nothing.
        let large = Mapping {
            batch_size: 1_000,
            maximum_batching_window: Duration::from_secs(1),
            // What a former process left, or what a full disk held up, is archived however old it is.
            maximum_record_age: Duration::MAX,
            maximum_retry_attempts: u32::MAX,
            starting_position: Position::TrimHorizon,
            ..Mapping::default()
        };
        Self {
            shards: 2,
            mailboxes: 4_096,
            settings: Settings {
                margin: Duration::from_millis(5),
                max_payload_bytes: MAX_PAYLOAD_BYTES,
                inline_payload_bytes: 256 * 1024,
                ledger_retention: MemoryLedger::RETENTION,
                in_flight: 2_000,
            },
            decoy: large.clone(),
            monitor: Some(large),
            keep_windows: Duration::from_hours(24 * 35),
            compute: Vec::new(),
            archiving: None,
            conditions: Conditions::default(),
            journal: None,
        }
    }
}
