//! Endpoint configurations from a folder of JSON files, published as they are saved.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use rendezvous_core::{Configuration, EndpointName, Provenance, ports::EndpointTable};

use crate::{folder::JsonFolder, say::shown};

/// The author of versions that are published from files.
const AUTHOR: &str = "rendezvous-local";

/// A folder of `{endpoint}.json` files.
pub(crate) struct Endpoints {
    folder: JsonFolder,
    /// The last configuration of each endpoint that was published from here.
    published: HashMap<EndpointName, Configuration>,
}

/// What became of a file.
pub(crate) enum EndpointChange {
    Published {
        endpoint: EndpointName,
        version: u64,
    },
    /// The file changes nothing; why.
    Skipped {
        file: String,
        why: String,
    },
    Deleted {
        file: String,
    },
}

impl Endpoints {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { folder: JsonFolder::new(path), published: HashMap::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Publishes what was saved since the last call, and tells what was deleted.
    pub(crate) async fn changes(
        &mut self,
        table: &impl EndpointTable,
    ) -> io::Result<Vec<EndpointChange>> {
        let differing = self.folder.differing()?;
        let deleted = differing.deleted.iter();
        let mut changes: Vec<_> =
            deleted.map(|file| EndpointChange::Deleted { file: JsonFolder::name(file) }).collect();
        for file in differing.saved {
            let name = JsonFolder::name(&file);
            match self.publish(&file, table).await {
                Ok(Some((endpoint, version))) => {
                    changes.push(EndpointChange::Published { endpoint, version });
                }
                Ok(None) => {}
                Err(why) => changes.push(EndpointChange::Skipped { file: name, why }),
            }
        }
        Ok(changes)
    }

    /// Publishes a file's configuration and returns its version, unless it is current already.
    async fn publish(
        &mut self,
        file: &Path,
        table: &impl EndpointTable,
    ) -> Result<Option<(EndpointName, u64)>, String> {
        let stem = file.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        let endpoint: EndpointName = stem
            .parse()
            .map_err(|error| format!("the file must be named after its endpoint: {error}"))?;
        let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
        let configuration = Configuration::parse(&text).map_err(|error| error.to_string())?;
        if self.published.get(&endpoint) == Some(&configuration) {
            return Ok(None);
        }
        let starts = !self.published.contains_key(&endpoint);
        let current = table.current(&endpoint).await.map_err(|error| error.to_string())?;
        if let Some(version) = current {
            let kept =
                table.version(&endpoint, version).await.map_err(|error| error.to_string())?;
            if kept.is_some_and(|kept| kept.configuration == configuration) {
                self.published.insert(endpoint, configuration);
                return Ok(None);
            }
        }
        if starts && let Some(version) = newer(table, &endpoint, &configuration).await? {
            self.published.insert(endpoint.clone(), configuration);
            return Err(format!(
                "version {version} of {endpoint} was published after this file; save the file with a \
                 change to replace it"
            ));
        }
        let provenance = Provenance::new(AUTHOR, shown(file));
        let provenance = provenance.map_err(|invalid| invalid.to_string())?;
        let version = table.publish(&endpoint, configuration.clone(), provenance, current).await;
        let version = version.map_err(|error| error.to_string())?;
        self.published.insert(endpoint.clone(), configuration);
        Ok(Some((endpoint, version)))
    }
}

/// The current version, when somebody else has published it after a server published this very
/// configuration.
async fn newer(
    table: &impl EndpointTable,
    endpoint: &EndpointName,
    configuration: &Configuration,
) -> Result<Option<u64>, String> {
    let history = table.history(endpoint).await.map_err(|error| error.to_string())?;
    let is_ours = |by: &Provenance| by.author() == AUTHOR;
    let ours = history.iter().rfind(|each| each.provenance.as_ref().is_some_and(is_ours));
    let (Some(ours), Some(last)) = (ours, history.last()) else { return Ok(None) };
    let kept = table.version(endpoint, ours.version).await.map_err(|error| error.to_string())?;
    let is_same = kept.is_some_and(|kept| kept.configuration == *configuration);
    Ok((is_same && last.version > ours.version).then_some(last.version))
}

#[cfg(test)]
mod tests {
    use rendezvous_core::memory::MemoryEndpoints;

    use super::*;

    const GOOD: &str = r#"{"schedule":{"choices":[{"model":"a@1"}],"deadline_ms":100}}"#;

    #[tokio::test]
    async fn a_saved_file_is_published_and_a_broken_one_is_skipped_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("e.json");
        let table = MemoryEndpoints::default();
        let mut endpoints = Endpoints::new(dir.path().to_owned());
        fs::write(&file, GOOD).unwrap();
        let changes = endpoints.changes(&table).await.unwrap();
        assert!(matches!(&changes[..], [EndpointChange::Published { version: 1, .. }]));

        fs::write(&file, GOOD.replace("100", "2000")).unwrap();
        let changes = endpoints.changes(&table).await.unwrap();
        assert!(matches!(&changes[..], [EndpointChange::Published { version: 2, .. }]));

        fs::write(&file, GOOD.replace("a@1", "nobody at all")).unwrap();
        let changes = endpoints.changes(&table).await.unwrap();
        let [EndpointChange::Skipped { why, .. }] = &changes[..] else { panic!("it was taken") };
        assert!(why.contains("name@version") && why.contains("line 1"), "{why}");
        let name = "e".parse().unwrap();
        assert_eq!(table.current(&name).await.unwrap(), Some(2), "the last good version stays");

        fs::write(&file, GOOD.replace("100", "2000") + "\n").unwrap();
        assert!(endpoints.changes(&table).await.unwrap().is_empty(), "nothing new, no new version");

        fs::remove_file(&file).unwrap();
        let changes = endpoints.changes(&table).await.unwrap();
        assert!(matches!(&changes[..], [EndpointChange::Deleted { file }] if file == "e.json"));
        assert_eq!(table.current(&name).await.unwrap(), Some(2));
    }

    #[tokio::test]
    async fn a_version_that_was_published_otherwise_outlives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("e.json");
        let (table, name) = (MemoryEndpoints::default(), "e".parse().unwrap());
        fs::write(&file, GOOD).unwrap();
        Endpoints::new(dir.path().to_owned()).changes(&table).await.unwrap();
        let promoted = Configuration::parse(&GOOD.replace("a@1", "b@1")).unwrap();
        let by = Provenance::new("alice", "b@1 is better").unwrap();
        table.publish(&name, promoted, by, Some(1)).await.unwrap();

        let mut endpoints = Endpoints::new(dir.path().to_owned());
        let changes = endpoints.changes(&table).await.unwrap();
        let [EndpointChange::Skipped { why, .. }] = &changes[..] else { panic!("it was taken") };
        assert!(why.starts_with("version 2 of e was published after this file"), "{why}");
        assert_eq!(table.current(&name).await.unwrap(), Some(2));

        fs::write(&file, GOOD.replace("100", "200")).unwrap();
        let changes = endpoints.changes(&table).await.unwrap();
        assert!(matches!(&changes[..], [EndpointChange::Published { version: 3, .. }]));
    }

    #[tokio::test]
    async fn a_file_that_is_not_named_after_an_endpoint_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("My notes.json"), GOOD).unwrap();
        let mut endpoints = Endpoints::new(dir.path().to_owned());
        let changes = endpoints.changes(&MemoryEndpoints::default()).await.unwrap();
        let [EndpointChange::Skipped { file, why }] = &changes[..] else { panic!("it was taken") };
        assert!(file == "My notes.json" && why.contains("named after its endpoint"), "{why}");
    }
}
