//! The system that `rendezvous-local` runs: that of `rendezvous-sim` on a data folder, with the models that it knows.
//!
//! It is a package of its own because the code of all functions is compiled for these ports: once here, and not again
//! for the tests of `rendezvous-local`.

use std::{ops::Range, sync::Arc};

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use rendezvous_core::{
    Minute, Unavailable,
    memory::MemoryWindows,
    ports::{Entry, EntryKey, WindowTable},
};
use rendezvous_folder::{
    DataFolder, FolderArchive, FolderEndpoints, FolderPayloads, FolderSecrets, FolderWindows,
};
use rendezvous_onnx::OnnxModel;
use rendezvous_remote::RemoteModel;
use rendezvous_sim::{Size, System, faults::Faults, mapping::Mapping};

/// The system on a data folder.
pub type Local = System<FolderArchive, FolderEndpoints, FolderSecrets, Windows, FolderPayloads>;

/// Starts the system on a data folder, without models.
pub fn start(data: &DataFolder, windows: Windows, size: &Size) -> Arc<Local> {
    let archive = FolderArchive::new(data).into();
    let endpoints = FolderEndpoints::new(data).into();
    let secrets = FolderSecrets::new(data).into();
    let payloads = FolderPayloads::new(data, size.settings.ledger_retention).into();
    Arc::new(Local::start_on(archive, endpoints, secrets, windows.into(), payloads, size))
}

/// Adds a model that is given by an ONNX file.
pub fn add_onnx(system: &Local, model: OnnxModel, mapping: &Mapping) -> Arc<Faults> {
    system.add_model_with(model, mapping)
}

/// Adds a model on another server.
pub fn add_remote(system: &Local, model: RemoteModel, mapping: &Mapping) -> Arc<Faults> {
    system.add_waiting_model(model, mapping)
}

/// Calls ingress.
pub async fn call(system: &Local, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
    system.call(event).await
}

/// The windows of the data folder; those of the year are in memory, since half a million runs of the monitor
/// read them.
#[derive(Debug)]
pub enum Windows {
    Folder(FolderWindows),
    Memory(MemoryWindows),
}

impl WindowTable for Windows {
    async fn put(&self, entries: Vec<Entry>) -> Result<(), Unavailable> {
        match self {
            Self::Folder(windows) => windows.put(entries).await,
            Self::Memory(windows) => windows.put(entries).await,
        }
    }

    async fn delete(&self, keys: Vec<EntryKey>) -> Result<(), Unavailable> {
        match self {
            Self::Folder(windows) => windows.delete(keys).await,
            Self::Memory(windows) => windows.delete(keys).await,
        }
    }

    async fn read(
        &self,
        series: &str,
        minutes: Range<Minute>,
        limit: usize,
    ) -> Result<Vec<Entry>, Unavailable> {
        match self {
            Self::Folder(windows) => windows.read(series, minutes, limit).await,
            Self::Memory(windows) => windows.read(series, minutes, limit).await,
        }
    }
}
