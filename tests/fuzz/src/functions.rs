//! Batches through the functions that handle them: each ends with a response, and what the decoy stores can be
//! read.

use std::sync::Arc;

use rendezvous::Rendezvous;
use rendezvous_archive::{DecisionRow, OutcomeRow, ReplayRow, RequestRow, Row, ScoreRow, read};
use rendezvous_aws::batch::{Data, Event, ItemChange};
use rendezvous_core::{
    memory::{MemoryArchive, MemoryLedger, MemoryPayloads, MemoryTelemetry, MemoryWindows},
    ports::NoTelemetry,
};
use rendezvous_decoy::{Decoy, DecoyReport, Stream, Table};
use rendezvous_monitor::Monitor;

use crate::system::{endpoints, run};

/// The first byte says which function gets the event in the others.
pub(crate) fn functions(bytes: &[u8]) {
    let Some((first, event)) = bytes.split_first() else { return };
    let Ok(event) = serde_json::from_slice::<Event>(event) else { return };
    run(async {
        let Ok(unread) = event.records() else { return };
        match first % 8 {
            0 => archived(Decoys::Stream(Stream::Input), &event).await,
            1 => archived(Decoys::Stream(Stream::Scores), &event).await,
            2 => archived(Decoys::Table(Table::Ledger), &event).await,
            3 => archived(Decoys::Table(Table::Outcomes), &event).await,
            4 => {
                let ledger = Arc::new(MemoryLedger::with_capacity(1_024));
                let rendezvous = Rendezvous::new(endpoints().await, ledger, Arc::new(NoTelemetry));
                let _ = rendezvous.handle(unread.read()).await;
            }
            5 => {
                let _ = monitor().await.handle_scores(unread.read()).await;
            }
            6 => archived(Decoys::Stream(Stream::Replays), &event).await,
            _ => {
                let monitor = monitor().await;
                let _ = monitor.handle_ledger(unread.read()).await;
                monitor.minute().await;
            }
        }
    });
}

type MemoryMonitor =
    Monitor<rendezvous_core::memory::MemoryEndpoints, MemoryLedger, MemoryWindows, NoTelemetry>;

async fn monitor() -> MemoryMonitor {
    let keep = std::time::Duration::from_hours(24);
    let (ledger, windows) = (Arc::new(MemoryLedger::with_capacity(1_024)), Arc::default());
    Monitor::new(endpoints().await, ledger, windows, Arc::new(NoTelemetry), keep)
}

#[derive(Clone, Copy)]
enum Decoys {
    Stream(Stream),
    Table(Table),
}

async fn archived(source: Decoys, event: &Event) {
    let (archive, telemetry) = (Arc::new(MemoryArchive::default()), Arc::default());
    let payloads: Arc<MemoryPayloads> = Arc::default();
    let reports: Arc<MemoryTelemetry<DecoyReport>> = telemetry;
    let decoy = Decoy::new(archive.clone(), endpoints().await, payloads, reports.clone());
    let (records, response) = match source {
        Decoys::Stream(stream) => {
            let batch = event.batch::<Data<'_>>().unwrap();
            (batch.records().len(), decoy.handle_stream(stream, batch).await)
        }
        Decoys::Table(table) => {
            let batch = event.batch::<ItemChange<'_>>().unwrap();
            (batch.records().len(), decoy.handle_changes(table, batch).await)
        }
    };
    let report = reports.last().unwrap();
    assert!(report.rows + report.quarantined <= records, "{report:?}");
    if !response.batch_item_failures.is_empty() {
        return;
    }
    let rows = match source {
        Decoys::Stream(Stream::Input) => rows::<RequestRow<'_>>(&archive),
        Decoys::Stream(Stream::Scores) => rows::<ScoreRow<'_>>(&archive),
        Decoys::Stream(Stream::Replays) => rows::<ReplayRow<'_>>(&archive),
        Decoys::Table(Table::Ledger) => rows::<DecisionRow<'_>>(&archive),
        Decoys::Table(Table::Outcomes) => rows::<OutcomeRow<'_>>(&archive),
    };
    assert_eq!(rows, report.rows, "{report:?}");
}

/// How many rows the files of a table have.
fn rows<R: Row>(archive: &MemoryArchive) -> usize {
    let files = archive.files().into_iter();
    let parquet = files.filter(|(name, _)| name.ends_with(".parquet"));
    parquet.map(|(_, body)| read::<R>(body).unwrap().len()).sum()
}
