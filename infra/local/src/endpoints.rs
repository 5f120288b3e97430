//! Endpoint configurations from a folder of JSON files, published as they are saved.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rendezvous_core::{Configuration, EndpointName, Provenance, ports::EndpointTable};
use tokio::time::sleep;

use crate::options::Error;

/// How often the folder is looked at.
const INTERVAL: Duration = Duration::from_millis(250);

/// A folder of `{endpoint}.json` files.
pub(crate) struct Folder {
    path: PathBuf,
    /// What each file looked like when it was last read.
    seen: HashMap<PathBuf, (SystemTime, u64)>,
    /// The last version of each endpoint that was published from here.
    published: HashMap<EndpointName, Configuration>,
}

/// What became of a file that has been saved.
pub(crate) enum Change {
    Published { endpoint: EndpointName, version: u64 },
    Refused { file: PathBuf, why: String },
}

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, seen: HashMap::new(), published: HashMap::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Publishes every file; at the start each must be good.
    pub(crate) async fn load(&mut self, table: &impl EndpointTable) -> Result<(), Error> {
        let changes = self.changes(table).await;
        let changes = changes.map_err(|error| format!("{}: {error}", self.path.display()))?;
        for change in changes {
            if let Change::Refused { file, why } = change {
                return Err(format!("{}: {why}", file.display()).into());
            }
        }
        if self.published.is_empty() {
            return Err(format!("{}: no endpoint (*.json) here", self.path.display()).into());
        }
        Ok(())
    }

    /// Publishes what is saved from now on, for ever, and tells of each change.
    pub(crate) async fn watch(&mut self, table: &impl EndpointTable, tell: impl Fn(Change)) {
        loop {
            sleep(INTERVAL).await;
            match self.changes(table).await {
                Ok(changes) => changes.into_iter().for_each(&tell),
                Err(error) => {
                    tracing::warn!(folder = %self.path.display(), %error, "cannot be read");
                }
            }
        }
    }

    async fn changes(&mut self, table: &impl EndpointTable) -> io::Result<Vec<Change>> {
        let mut changes = Vec::new();
        let mut files: Vec<PathBuf> =
            fs::read_dir(&self.path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        files.retain(|file| file.extension() == Some(OsStr::new("json")));
        files.sort();
        for file in files {
            // A file may be gone or half written; then its next look will differ.
            let Ok(metadata) = fs::metadata(&file) else { continue };
            let look = (metadata.modified()?, metadata.len());
            if self.seen.insert(file.clone(), look) == Some(look) {
                continue;
            }
            match self.publish(&file, table).await {
                Ok(Some(change)) => changes.push(change),
                Ok(None) => {}
                Err(why) => changes.push(Change::Refused { file, why }),
            }
        }
        Ok(changes)
    }

    async fn publish(
        &mut self,
        file: &Path,
        table: &impl EndpointTable,
    ) -> Result<Option<Change>, String> {
        let stem = file.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        let endpoint: EndpointName = stem
            .parse()
            .map_err(|error| format!("the file is named after its endpoint: {error}"))?;
        let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
        let configuration = Configuration::parse(&text).map_err(|error| error.to_string())?;
        if self.published.get(&endpoint) == Some(&configuration) {
            return Ok(None);
        }
        let current = table.current(&endpoint).await.map_err(|error| error.to_string())?;
        if let Some(version) = current {
            let kept =
                table.version(&endpoint, version).await.map_err(|error| error.to_string())?;
            if kept.is_some_and(|kept| kept.configuration == configuration) {
                self.published.insert(endpoint, configuration);
                return Ok(None);
            }
        }
        let provenance = Provenance::new("rendezvous-local", file.display().to_string());
        let provenance = provenance.map_err(|invalid| invalid.to_string())?;
        let version = table.publish(&endpoint, configuration.clone(), provenance, current).await;
        let version = version.map_err(|error| error.to_string())?;
        self.published.insert(endpoint.clone(), configuration);
        Ok(Some(Change::Published { endpoint, version }))
    }
}

#[cfg(test)]
mod tests {
    use rendezvous_core::memory::MemoryEndpoints;

    use super::*;

    const GOOD: &str = r#"{"schedule":{"choices":[{"model":"a@1"}],"deadline_ms":100}}"#;

    #[tokio::test]
    async fn a_saved_file_is_published_and_a_broken_one_is_refused_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("e.json");
        let table = MemoryEndpoints::default();
        let mut folder = Folder::new(dir.path().to_owned());
        fs::write(&file, GOOD).unwrap();
        folder.load(&table).await.unwrap();

        fs::write(&file, GOOD.replace("100", "2000")).unwrap();
        let changes = folder.changes(&table).await.unwrap();
        assert!(matches!(&changes[..], [Change::Published { version: 2, .. }]));

        fs::write(&file, GOOD.replace("a@1", "nobody at all")).unwrap();
        let changes = folder.changes(&table).await.unwrap();
        let [Change::Refused { why, .. }] = &changes[..] else { panic!("it was not refused") };
        assert!(why.contains("name@version") && why.contains("line 1"), "{why}");
        let name = "e".parse().unwrap();
        assert_eq!(table.current(&name).await.unwrap(), Some(2), "the last good version stays");

        fs::write(&file, GOOD.replace("100", "2000") + "\n").unwrap();
        assert!(folder.changes(&table).await.unwrap().is_empty(), "nothing new, no new version");
    }

    #[tokio::test]
    async fn a_broken_file_at_the_start_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("e.json"), "{").unwrap();
        let mut folder = Folder::new(dir.path().to_owned());
        let error = folder.load(&MemoryEndpoints::default()).await.unwrap_err().to_string();
        assert!(error.contains("e.json") && error.contains("EOF"), "{error}");
    }
}
