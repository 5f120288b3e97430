//! Which replay of an endpoint through a model may run: one at a time, from whichever machine.

use rendezvous_core::{
    Timestamp, now,
    ports::{Archive, ArchiveFiles, Erase, Stored},
};
use serde::{Deserialize, Serialize};

use crate::{failure::Failure, files, output::instant, replay::position::Of};

/// The folder of the claims in the archive, which is no table's.
const FOLDER: &str = "replaying/";

/// A file of the archive that says which replay is under way. It is there from the replay's first run until the
/// replay is complete, so that no other takes its place while it is interrupted: an interrupted replay and another
/// one that begins anew would both send the same requests.
pub(super) struct Claim {
    name: String,
}

/// What the file holds.
#[derive(Debug, Deserialize, Serialize)]
struct Held {
    /// The position whose replay it is.
    id: String,
    since_us: Timestamp,
}

impl Claim {
    /// Claims the replay for the position `id`. Where another position has it, fails; to `restart`, takes it over.
    pub(super) async fn take(
        archive: &(impl Archive + ArchiveFiles + Erase),
        of: &Of,
        id: &str,
        restart: bool,
    ) -> Result<Self, Failure> {
        let Of { endpoint, model, .. } = of;
        let folder = format!("{FOLDER}{endpoint}/");
        let name = format!("{folder}{model}.json");
        if restart {
            archive.erase(&name).await?;
        }
        let wrong = |error: serde_json::Error| Failure::Failed(format!("{name}: {error}"));
        let held = Held { id: id.to_owned(), since_us: now() };
        let body = serde_json::to_vec(&held).map_err(wrong)?;
        if archive.put(&name, body.into()).await? == Stored::New {
            return Ok(Self { name });
        }
        let listed = archive.list(&folder).await?;
        let Some(file) = listed.iter().find(|file| file.name == name) else {
            let detail = format!("another replay of {endpoint} through {model} has just ended");
            return Err(Failure::Refused(format!("{detail}: run again")));
        };
        let held: Held =
            serde_json::from_slice(&files::read(archive, file).await?).map_err(wrong)?;
        if held.id == id {
            return Ok(Self { name });
        }
        Err(Failure::Refused(format!(
            "another replay of {endpoint} through {model} was begun at {} and is not complete: end it with its own \
             position file, or take its place with --restart when it does not run any more",
            instant(held.since_us)
        )))
    }

    /// Ends the claim of a replay that is complete.
    pub(super) async fn release(self, archive: &impl Erase) -> Result<(), Failure> {
        archive.erase(&self.name).await?;
        Ok(())
    }
}
