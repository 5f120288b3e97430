//! Large payloads as files.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::PathBuf,
    time::Duration,
};

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rendezvous_core::{
    Sha256Digest, Unavailable,
    payloads::PAYLOAD_STORE,
    ports::{Erase, Payloads},
};

use crate::{
    data_folder::DataFolder,
    files::{at, blocking, delete, delete_folder, remove, replace},
};

/// What is not escaped in the path of a URL.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The payloads of a data folder, each for a limited time. A message in the log may refer to
/// one that a former server has stored.
#[derive(Clone, Debug)]
pub struct FolderPayloads {
    folder: DataFolder,
    url: String,
    retention: Duration,
}

impl FolderPayloads {
    /// The payloads of `folder`, each deleted after `retention`.
    pub fn new(folder: &DataFolder, retention: Duration) -> Self {
        let path = folder.root().to_string_lossy();
        let url = format!("file://{}", utf8_percent_encode(&path, PATH));
        Self { folder: folder.clone(), url, retention }
    }

    /// Deletes all payloads, while no message refers to any.
    pub async fn clear(&self) -> Result<(), Unavailable> {
        let path = self.folder.payloads();
        blocking(PAYLOAD_STORE, move || delete_folder(&path)).await
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.root().join(key)
    }
}

impl Payloads for FolderPayloads {
    fn url(&self) -> &str {
        &self.url
    }

    /// A message of a former server names the folder as it was called then. What is read is in this folder all the same.
    fn is_at(&self, url: &str, key: &str) -> bool {
        let path = url.strip_prefix("file:///").and_then(|path| path.strip_suffix(key));
        path.is_some_and(|folder| folder.ends_with('/'))
    }

    async fn put(&self, key: &str, body: Bytes, _: Sha256Digest) -> Result<(), Unavailable> {
        let (root, path) = (self.folder.payloads(), self.path(key));
        let written = path.clone();
        blocking(PAYLOAD_STORE, move || {
            let folder = path.parent().unwrap_or(&root);
            at(folder, fs::create_dir_all(folder))?;
            replace(&root, &path, &body)
        })
        .await?;
        let retention = self.retention;
        tokio::spawn(async move {
            tokio::time::sleep(retention).await;
            if let Err(error) = blocking(PAYLOAD_STORE, move || remove(&written)).await {
                tracing::warn!(%error, "a payload is not deleted before the server's next start");
            }
        });
        Ok(())
    }

    async fn get(&self, key: &str, at_most: u64) -> Result<Option<Bytes>, Unavailable> {
        let path = self.path(key);
        // Allocated here: an allocator may keep what another thread frees for the thread that has allocated it,
        // and there are many threads for blocking work.
        let mut bytes = Vec::with_capacity(usize::try_from(at_most).unwrap_or(0));
        blocking(PAYLOAD_STORE, move || {
            let file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                file => at(&path, file)?,
            };
            at(&path, file.take(at_most).read_to_end(&mut bytes))?;
            Ok(Some(bytes.into()))
        })
        .await
    }
}

impl Erase for FolderPayloads {
    async fn erase(&self, key: &str) -> Result<u64, Unavailable> {
        let path = self.path(key);
        blocking(PAYLOAD_STORE, move || delete(&path).map(u64::from)).await
    }
}

#[cfg(test)]
mod tests {
    use rendezvous_core::{Json, PayloadRef, conformance::samples, payloads};

    use super::*;

    #[tokio::test]
    async fn it_keeps_the_rules_of_payloads_and_keeps_them_for_a_new_server() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("my data");
        let folder = DataFolder::serve(&path).unwrap();
        let payloads = FolderPayloads::new(&folder, Duration::from_hours(1));
        rendezvous_core::conformance::payloads(&payloads).await;
        assert!(payloads.url().ends_with("/my%20data"), "{}", payloads.url());
        assert!(folder.payloads().exists());
        drop((folder, payloads));
        let folder = DataFolder::serve(&path).unwrap();
        assert!(folder.payloads().exists(), "a message of the log may refer to them");
        let payloads = FolderPayloads::new(&folder, Duration::ZERO);
        payloads.clear().await.unwrap();
        assert!(!folder.payloads().exists());
        payloads.clear().await.expect("nothing is there");
    }

    #[tokio::test]
    async fn a_payload_is_found_under_the_name_that_the_folder_had_before() {
        let directory = tempfile::tempdir().unwrap();
        let (before, after) = (directory.path().join("before"), directory.path().join("after"));
        let open =
            |path| FolderPayloads::new(&DataFolder::serve(path).unwrap(), Duration::from_hours(1));
        let envelope = samples::envelope(&samples::endpoint());
        let (endpoint, id) = (&envelope.endpoint, envelope.id);
        let payload = Json::parse("{}").unwrap();
        let store = open(&before);
        let digest = Sha256Digest::of("{}");
        let reference = payloads::store(&store, &envelope, &payload, digest).await.unwrap();
        drop(store);
        fs::rename(&before, &after).unwrap();
        let fetched = payloads::fetch(&open(&after), endpoint, id, &reference).await.unwrap();
        assert_eq!(fetched, payload);
        for url in ["file:///x", "file://payloads/sample", "s3://b/payloads/sample"] {
            let other = PayloadRef { url: format!("{url}/{id}"), ..reference.clone() };
            payloads::fetch(&open(&after), endpoint, id, &other).await.unwrap_err();
        }
        let linked = directory.path().join("linked");
        std::os::unix::fs::symlink(&after, &linked).unwrap();
        let url = open(&after).url().to_owned();
        assert_eq!(open(&linked).url(), url);
    }

    #[tokio::test(start_paused = true)]
    async fn a_payload_is_deleted_when_its_time_is_over() {
        let directory = tempfile::tempdir().unwrap();
        let folder = DataFolder::serve(directory.path()).unwrap();
        let payloads = FolderPayloads::new(&folder, Duration::from_hours(72));
        let body = Bytes::from_static(b"{}");
        payloads.put("payloads/e/1", body.clone(), Sha256Digest::of(&body)).await.unwrap();
        assert_eq!(payloads.get("payloads/e/1", 9).await.unwrap(), Some(body));
        tokio::time::sleep(Duration::from_hours(73)).await;
        while payloads.get("payloads/e/1", 9).await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    }
}
