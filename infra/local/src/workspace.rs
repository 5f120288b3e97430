//! The folders of cards and of endpoint configurations, and the system that they configure: what is
//! saved there takes effect, and what cannot work is reported.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::{self, Display},
    io,
    path::PathBuf,
    sync::Arc,
};

use rendezvous_core::{Endpoint, ModelId, Timestamp, Unavailable, now, ports::EndpointTable};
use rendezvous_folder::{ModelUp, ModelsUp};

use crate::{
    cards::{AnyCard, CardChange, Cards, Loaded, sample},
    endpoints::{EndpointChange, Endpoints},
    say::shown,
};

/// Something to tell, as a line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// What was asked for was done.
    Done(String),
    /// Something is ignored or will not work.
    Warning(String),
}

impl Told {
    pub(crate) fn is_warning(&self) -> bool {
        matches!(self, Self::Warning(_))
    }
}

impl Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(line) => f.write_str(line),
            Self::Warning(line) => write!(f, "warning: {line}"),
        }
    }
}

/// The two folders.
pub(crate) struct Workspace {
    cards: Cards,
    endpoints: Endpoints,
    /// Since when each model is up.
    since: BTreeMap<ModelId, Timestamp>,
    /// What has been warned of and is still so.
    warned: HashSet<String>,
}

impl Workspace {
    pub(crate) fn new(models: PathBuf, endpoints: PathBuf) -> Self {
        let (cards, endpoints) = (Cards::new(models), Endpoints::new(endpoints));
        Self { cards, endpoints, since: BTreeMap::new(), warned: HashSet::new() }
    }

    pub(crate) fn cards(&self) -> &Cards {
        &self.cards
    }

    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Puts into effect what was saved since the last call, and returns what there is to tell.
    pub(crate) async fn look(
        &mut self,
        table: &impl EndpointTable,
        bring_up: impl Fn(Loaded),
    ) -> io::Result<Vec<Told>> {
        let mut told = Vec::new();
        let mut published = HashSet::new();
        for change in self.cards.changes().await? {
            told.push(match change {
                CardChange::Loaded(model, loaded) => {
                    bring_up(loaded);
                    self.since.insert(model.clone(), now());
                    Told::Done(format!("{model} is up"))
                }
                CardChange::Skipped { file, why } => {
                    Told::Warning(format!("{file} is skipped: {why}"))
                }
                CardChange::Deleted { file, model: Some(model) } => Told::Warning(format!(
                    "{file} is deleted: {model} stays up until the server ends"
                )),
                CardChange::Deleted { file, model: None } => {
                    Told::Done(format!("{file} is deleted"))
                }
            });
        }
        for change in self.endpoints.changes(table).await? {
            told.push(match change {
                EndpointChange::Published { endpoint, version } => {
                    let line = format!("{endpoint} is now at version {version}");
                    published.insert(endpoint);
                    Told::Done(line)
                }
                EndpointChange::Skipped { file, why } => Told::Warning(format!(
                    "{file} is skipped, the last good version of its endpoint stays: {why}"
                )),
                EndpointChange::Deleted { file } => Told::Warning(format!(
                    "{file} is deleted: the last version of its endpoint stays current"
                )),
            });
        }
        if told.is_empty() {
            return Ok(told);
        }
        match current(table).await {
            Ok(all) => {
                let mut still = HashSet::new();
                for endpoint in all {
                    for warning in warnings(&endpoint, self.cards.up()) {
                        if published.contains(&endpoint.name) || !self.warned.contains(&warning) {
                            told.push(Told::Warning(warning.clone()));
                        }
                        still.insert(warning);
                    }
                }
                self.warned = still;
            }
            Err(error) => told.push(Told::Warning(error.to_string())),
        }
        Ok(told)
    }

    /// The models that are up.
    pub(crate) fn models_up(&self) -> ModelsUp {
        let model_up = |(model, card): (&ModelId, &AnyCard)| {
            let endpoints = card.endpoints().into_iter().collect();
            Some((model.clone(), ModelUp { since: *self.since.get(model)?, endpoints }))
        };
        self.cards.up().iter().filter_map(model_up).collect()
    }

    /// A payload that the models of this endpoint accept.
    pub(crate) fn sample(&self, endpoint: &Endpoint) -> String {
        let models = endpoint.configuration.models();
        let cards: Vec<&AnyCard> = models.filter_map(|model| self.cards.up().get(model)).collect();
        sample(cards.iter().copied())
    }

    /// Where the folders are, for people.
    pub(crate) fn places(&self) -> String {
        let (cards, endpoints) = (self.cards.path(), self.endpoints.path());
        format!("models from {}, endpoints from {}", shown(cards), shown(endpoints))
    }
}

/// The current version of every endpoint, by name.
pub(crate) async fn current(table: &impl EndpointTable) -> Result<Vec<Arc<Endpoint>>, Unavailable> {
    let mut all = Vec::new();
    for name in table.list().await? {
        if let Some(version) = table.current(&name).await? {
            all.extend(table.version(&name, version).await?);
        }
    }
    Ok(all)
}

/// What will not work of an endpoint with these models.
fn warnings(endpoint: &Endpoint, up: &BTreeMap<ModelId, AnyCard>) -> Vec<String> {
    let warning = |model: &ModelId| {
        let name = &endpoint.name;
        match up.get(model) {
            None => Some(format!("{model} of {name} is not up: it will not answer")),
            Some(card) if !card.endpoints().contains(name) => Some(format!(
                "the card of {model} does not name {name}: {model} does not receive its requests"
            )),
            Some(_) => None,
        }
    };
    endpoint.configuration.models().filter_map(warning).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rendezvous_core::memory::MemoryEndpoints;

    use super::*;

    struct World {
        folder: tempfile::TempDir,
        table: MemoryEndpoints,
        workspace: Workspace,
    }

    fn world() -> World {
        let folder = tempfile::tempdir().unwrap();
        let (models, endpoints) = (folder.path().join("models"), folder.path().join("endpoints"));
        fs::create_dir(&models).unwrap();
        fs::create_dir(&endpoints).unwrap();
        let workspace = Workspace::new(models, endpoints);
        World { folder, table: MemoryEndpoints::default(), workspace }
    }

    impl World {
        fn card(&self, model: &str, endpoint: &str) {
            let (flights, models) = (crate::flights::folder(), self.folder.path().join("models"));
            let text = fs::read_to_string(flights.join("prior.json")).unwrap();
            let text = text.replace("prior@1", model).replace("flight-delay", endpoint);
            fs::copy(flights.join("prior.onnx"), models.join("prior.onnx")).unwrap();
            fs::write(models.join(format!("{model}.json")), text).unwrap();
        }

        fn endpoint(&self, name: &str, model: &str, deadline: u32) {
            let text = format!(
                r#"{{"schedule":{{"choices":[{{"model":"{model}"}}],"deadline_ms":{deadline}}}}}"#
            );
            let file = self.folder.path().join("endpoints").join(name);
            fs::write(file.with_extension("json"), text).unwrap();
        }

        async fn look(&mut self) -> Vec<String> {
            let told = self.workspace.look(&self.table, |_| {}).await.unwrap();
            told.iter().map(ToString::to_string).collect()
        }
    }

    #[tokio::test]
    async fn a_listed_model_that_is_not_up_is_told_at_each_save_until_it_is() {
        let mut world = world();
        world.card("a@1", "e");
        world.endpoint("e", "b@1", 100);
        let warning = "warning: b@1 of e is not up: it will not answer".to_owned();
        let first = ["a@1 is up", "e is now at version 1", &warning];
        assert_eq!(world.look().await, first);
        assert!(world.look().await.is_empty(), "nothing was saved");
        world.endpoint("e", "b@1", 2_000);
        assert_eq!(world.look().await, ["e is now at version 2", &warning]);
        world.card("b@1", "e");
        assert_eq!(world.look().await, ["b@1 is up"]);
    }

    #[tokio::test]
    async fn a_card_that_does_not_name_the_endpoint_is_told() {
        let mut world = world();
        world.card("a@1", "another");
        world.endpoint("e", "a@1", 100);
        let told = world.look().await;
        assert_eq!(
            told[2],
            "warning: the card of a@1 does not name e: a@1 does not receive its requests"
        );
    }

    #[tokio::test]
    async fn a_deleted_file_is_told_and_an_endpoint_that_is_added_comes_up() {
        let mut world = world();
        world.card("a@1", "e");
        world.endpoint("e", "a@1", 100);
        world.look().await;
        fs::remove_file(world.folder.path().join("endpoints/e.json")).unwrap();
        world.endpoint("f", "a@1", 100);
        let told = world.look().await;
        assert!(told[0].starts_with("warning: e.json is deleted"), "{told:?}");
        assert_eq!(told[1], "f is now at version 1");
        assert!(told[2].contains("does not name f"), "{told:?}");
    }

    #[tokio::test]
    async fn the_sample_is_a_payload_of_the_endpoints_own_models() {
        let mut world = world();
        let flights = crate::flights::folder();
        let models = world.folder.path().join("models");
        for file in ["logistic.json", "logistic.onnx"] {
            fs::copy(flights.join(file), models.join(file)).unwrap();
        }
        world.endpoint("flight-delay", "logistic@1", 100);
        world.look().await;
        let endpoints = current(&world.table).await.unwrap();
        let sample = world.workspace.sample(&endpoints[0]);
        assert!(sample.starts_with('{') && sample.contains("\"carrier\":\"9E\""), "{sample}");
    }
}
