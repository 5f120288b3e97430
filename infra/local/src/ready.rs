//! Whether the system can do its work, for `GET /ready`.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use rendezvous_core::{
    RequestId, Unavailable,
    error::within,
    ports::{
        Archive, ArchiveFiles, Consistency, EndpointTable, Ledger, Payloads, Secrets, WindowTable,
    },
};
use rendezvous_folder::{DataFolder, FolderArchive};
use rendezvous_local_system::Local;
use rendezvous_sim::System;

use crate::workspace::current;

/// A function that returns [`not_ready`] of this system on its data folder.
pub(crate) fn readiness(
    system: &Arc<Local>,
    data: &DataFolder,
) -> impl Fn() -> BoxFuture<'static, Vec<String>> + Send + Sync + 'static {
    let (system, archive) = (system.clone(), FolderArchive::new(data));
    move || {
        let (system, archive) = (system.clone(), archive.clone());
        Box::pin(async move {
            let stored = within("archive", LIMIT, archive.check()).await;
            not_ready(&system, stored).await
        })
    }
}

/// How long a part of the system may take.
const LIMIT: Duration = Duration::from_secs(1);

/// What does not work, a sentence each: nothing if the system is ready. `archive` is the result of
/// trying to store a file.
pub async fn not_ready<
    A: Archive + ArchiveFiles,
    E: EndpointTable,
    K: Secrets,
    W: WindowTable,
    L: Payloads,
>(
    system: &System<A, E, K, W, L>,
    archive: Result<(), Unavailable>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Err(error) = archive {
        wrong.push(error.to_string());
    }
    if let Some(Err(error)) = system.journal.as_ref().map(|journal| journal.check()) {
        wrong.push(error.to_string());
    }
    let read = system.ledger.read(RequestId::random(), Consistency::Strong);
    if let Err(error) = within("ledger", LIMIT, read).await {
        wrong.push(error.to_string());
    }
    match within("endpoints table", LIMIT, current(&*system.endpoints)).await {
        Err(error) => wrong.push(error.to_string()),
        Ok(endpoints) if endpoints.is_empty() => wrong.push("there is no endpoint".to_owned()),
        Ok(endpoints) => {
            let models = system.counters.totals().models;
            for endpoint in endpoints {
                let name = &endpoint.name;
                for model in endpoint.configuration.models() {
                    let why = match system.faults(model) {
                        None => "is not up",
                        Some(faults) if faults.is_killed() => "is stopped",
                        Some(_) if models.get(model).is_some_and(|model| model.failing) => {
                            "scored none of its last requests"
                        }
                        Some(_) => continue,
                    };
                    wrong.push(format!("{model} of {name} {why}"));
                }
            }
        }
    }
    wrong
}
