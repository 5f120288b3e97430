//! The tombstones of the archive as the decoy knows them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rendezvous_archive::tombstones::Tombstones;
use rendezvous_core::{Timestamp, Unavailable, now, ports::ArchiveFiles};

/// For how long the tombstones are used without reading them again.
const AGE: Duration = Duration::from_mins(1);

/// The tombstones, read at most once a minute.
#[derive(Debug, Default)]
pub(crate) struct Erased {
    known: Mutex<Option<(Timestamp, Arc<Tombstones>)>>,
}

impl Erased {
    /// The tombstones. While they cannot be read again those of before are not enough: an erased
    /// request could be archived anew.
    pub(crate) async fn tombstones(
        &self,
        archive: &impl ArchiveFiles,
    ) -> Result<Arc<Tombstones>, Unavailable> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let asked = now();
        let former = match known {
            Some((read, tombstones)) if asked.since(read) < AGE => return Ok(tombstones),
            Some((_, tombstones)) => tombstones,
            None => Arc::default(),
        };
        let tombstones = Arc::new(former.refresh(archive).await?);
        let known = Some((asked, tombstones.clone()));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(tombstones)
    }
}
