//! Tombstones: requests that are erased, and of which no row may be written while their records can still be delivered
//! again.
//!
//! `tombstones/{erasure}-{number}.json` is written once, and deleted when the streams no longer have the records. It names
//! each request by a digest, so that it says nothing to who does not know the id:
//!
//! ```json
//! { "v": 1, "requests": ["4f0c…"] }
//! ```

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use rendezvous_core::{EndpointName, RequestId, Sha256Digest, Unavailable, ports::ArchiveFiles};
use serde::{Deserialize, Serialize};

/// The folder of the tombstones.
pub const FOLDER: &str = "tombstones/";

/// The tombstones of an archive, as they were when they were last read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones {
    /// By the name of the file.
    files: BTreeMap<String, HashSet<Sha256Digest>>,
}

#[derive(Deserialize, Serialize)]
struct File {
    v: u8,
    requests: HashSet<Sha256Digest>,
}

impl Tombstones {
    /// Reads them again: one list, and the files that are new.
    pub async fn refresh(&self, archive: &impl ArchiveFiles) -> Result<Self, Unavailable> {
        let mut files = BTreeMap::new();
        for listed in archive.list(FOLDER).await? {
            let requests = match self.files.get(&listed.name) {
                Some(known) => known.clone(),
                None => read(&listed.name, &archive.read(&listed.name, 0..listed.bytes).await?)?,
            };
            files.insert(listed.name, requests);
        }
        Ok(Self { files })
    }

    /// Whether no row of this request may be written.
    pub fn hold(&self, endpoint: &EndpointName, request: RequestId) -> bool {
        if self.files.is_empty() {
            return false;
        }
        let digest = digest(endpoint, request);
        self.files.values().any(|requests| requests.contains(&digest))
    }
}

/// The file that is the tombstone of these requests.
pub fn write(endpoint: &EndpointName, requests: impl Iterator<Item = RequestId>) -> Bytes {
    let requests = requests.map(|request| digest(endpoint, request)).collect();
    // Texts can be written as JSON.
    serde_json::to_vec(&File { v: 1, requests }).unwrap_or_default().into()
}

/// A tombstone that cannot be read could be that of any request: nothing may be written until it can be.
fn read(name: &str, body: &[u8]) -> Result<HashSet<Sha256Digest>, Unavailable> {
    let wrong = |what: String| Unavailable::down("archive", format!("{name}: {what}"));
    match serde_json::from_slice(body) {
        Ok(File { v: 1, requests }) => Ok(requests),
        Ok(File { v, .. }) => Err(wrong(format!("version {v} is not known"))),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// An id cannot be guessed, so that its digest needs no secret.
fn digest(endpoint: &EndpointName, request: RequestId) -> Sha256Digest {
    Sha256Digest::of(format!("{endpoint}/{request}"))
}

#[cfg(test)]
mod tests {
    use rendezvous_core::{
        memory::MemoryArchive,
        ports::{Archive, Erase},
    };

    use super::*;

    #[tokio::test]
    async fn a_tombstone_holds_its_requests_of_its_endpoint_until_it_is_deleted() {
        let archive = MemoryArchive::default();
        let (endpoint, other) = ("e".parse().unwrap(), "f".parse().unwrap());
        let [one, two] = [RequestId::new("one"), RequestId::new("two")];
        let none = Tombstones::default().refresh(&archive).await.unwrap();
        assert!(!none.hold(&endpoint, one));
        let body = write(&endpoint, [one].into_iter());
        assert!(!std::str::from_utf8(&body).unwrap().contains(&one.to_string()));
        archive.put("tombstones/x-1.json", body).await.unwrap();
        assert!(!none.hold(&endpoint, one), "it is as it was read");
        let held = none.refresh(&archive).await.unwrap();
        assert!(held.hold(&endpoint, one));
        assert!(!held.hold(&endpoint, two) && !held.hold(&other, one));
        archive.erase("tombstones/x-1.json").await.unwrap();
        assert!(!held.refresh(&archive).await.unwrap().hold(&endpoint, one));
    }

    #[tokio::test]
    async fn a_tombstone_that_cannot_be_read_is_an_error() {
        let archive = MemoryArchive::default();
        archive
            .put("tombstones/x", Bytes::from_static(b"{\"v\":2,\"requests\":[]}"))
            .await
            .unwrap();
        let error = Tombstones::default().refresh(&archive).await.unwrap_err().to_string();
        assert!(error.contains("tombstones/x: version 2 is not known"), "{error}");
    }
}
