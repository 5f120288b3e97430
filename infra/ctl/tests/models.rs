//! What `models` says of the models of a system, and of what is wrong with them.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use rendezvous_core::{Artifact, Failure, Json, now};
use rendezvous_model::{Model, Profile};
use rendezvous_tests::{Does, World, endpoint, model};
use rendezvousctl::{
    models::{ModelsOptions, models},
    output::Output,
    up::{self, Function, Up},
};
use serde_json::{Value, json};

/// A model whose artefact changes.
struct Changing {
    profile: Profile,
    artifact: Arc<Mutex<Artifact>>,
}

impl Model for Changing {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn artifact(&self) -> Option<Artifact> {
        Some(self.artifact.lock().unwrap().clone())
    }

    async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, Failure>> {
        payloads.iter().cloned().map(Ok).collect()
    }
}

fn artifact(digit: &str) -> Artifact {
    format!("sha256:{}", digit.repeat(64)).parse().unwrap()
}

/// `a@1` to `d@1` are configured: the file of `a@1` is replaced after three of five requests, `b@1`
/// fails, and the others send nothing.
async fn system() -> World {
    let world = World::new().await;
    let artifact_of_a = Arc::new(Mutex::new(artifact("a")));
    let profile = Profile {
        id: model("a@1"),
        endpoints: HashSet::from([endpoint()]),
        timeout: Duration::from_secs(5),
        scores_expired: false,
    };
    world.system.add_model(Changing { profile, artifact: artifact_of_a.clone() });
    world.model("b@1", Does::Fail(1));
    for n in 0..5 {
        if n == 3 {
            *artifact_of_a.lock().unwrap() = artifact("b");
        }
        world.ask("{\"p\":1}").await;
    }
    world.drain().await;
    world
}

fn up(models: &[&str]) -> Up {
    let known =
        || up::Model { since: Some(now() - Duration::from_hours(3)), ..up::Model::default() };
    models.iter().map(|id| (model(id), known())).collect()
}

async fn listed(world: &World, up: Result<Up, String>) -> Output {
    let (files, table) = (&*world.system.archive, &*world.system.endpoints);
    let options = ModelsOptions { endpoint: None, from: None, to: None };
    models(files, table, &up, &options).await.unwrap()
}

fn row<'a>(output: &'a Output, model: &str) -> &'a Value {
    let rows = output.json["models"].as_array().unwrap();
    rows.iter().find(|row| row["model"] == model).unwrap()
}

fn warnings(output: &Output) -> Vec<&str> {
    output.json["warnings"].as_array().unwrap().iter().map(|each| each.as_str().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn each_model_has_its_role_its_counts_and_its_artefacts() {
    let world = system().await;
    let output = listed(&world, Ok(up(&["a@1", "b@1", "c@1", "d@1", "new@1"]))).await;
    let a = row(&output, "a@1");
    assert_eq!((&a["roles"], &a["up"]), (&json!(["champion"]), &json!(true)));
    assert_eq!((&a["scored"], &a["failed"]), (&json!(5), &json!(0)));
    let used = |artifact: &Value| (artifact["artifact"].clone(), artifact["count"].clone());
    let artifacts: Vec<_> = a["artifacts"].as_array().unwrap().iter().map(used).collect();
    let expected = [(artifact("a"), 3), (artifact("b"), 2)];
    assert_eq!(artifacts, expected.map(|(artifact, count)| (json!(artifact), json!(count))));
    let b = row(&output, "b@1");
    assert_eq!((&b["scored"], &b["failed"], &b["artifacts"]), (&json!(0), &json!(5), &json!([])));
    assert_eq!(row(&output, "d@1")["roles"], json!(["challenger"]));
    assert_eq!(row(&output, "new@1")["roles"], json!([]));
    assert!(output.text.contains("sha256:aaaaaaaaaaaa…, sha256:bbbbbbbbbbbb…"), "{}", output.text);
    assert!(output.text.contains("not configured"), "{}", output.text);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_said_with_what_to_do() {
    let world = system().await;
    let output = listed(&world, Ok(up(&["a@1", "b@1", "d@1"]))).await;
    let warnings = warnings(&output);
    assert_eq!(warnings.len(), 3, "{warnings:#?}");
    let changed = "e: a@1 scored from sha256:aaaaaaaaaaaa… until ";
    assert!(warnings[0].starts_with(changed) && warnings[0].contains("another version"));
    let absent = "e: c@1 is not up: it will not answer; put its card into the folder of models";
    assert!(warnings[1].starts_with(absent), "{}", warnings[1]);
    let silent = "e: d@1 has sent neither score nor failure since ";
    assert!(warnings[2].starts_with(silent) && warnings[2].contains("while "), "{}", warnings[2]);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_has_just_come_up_is_not_silent_and_an_earlier_artefact_is_no_change() {
    let world = system().await;
    let mut models = up(&["a@1", "b@1", "c@1", "d@1"]);
    for id in ["c@1", "d@1"] {
        models.get_mut(&model(id)).unwrap().since = Some(now());
    }
    let found = listed(&world, Ok(models)).await;
    assert_eq!(warnings(&found).len(), 1, "{}", found.text);
    tokio::time::sleep(Duration::from_hours(2)).await;
    world.ask("{\"p\":1}").await;
    world.drain().await;
    let found = listed(&world, Ok(up(&["a@1", "b@1"]))).await;
    assert!(!found.text.contains("scored from"), "{}", found.text);
    assert_eq!(row(&found, "a@1")["scored"], 1, "only the last hour counts");
}

#[tokio::test(start_paused = true)]
async fn a_disabled_mapping_and_an_unknown_state_are_told() {
    let world = system().await;
    let mut models = up(&["a@1", "b@1", "c@1", "d@1"]);
    models.get_mut(&model("c@1")).unwrap().function = Some(Function {
        name: "s-c-1".to_owned(),
        package: "c2hh".to_owned(),
        modified: None,
        mapping: "Disabled".to_owned(),
        mapping_id: "1-2".to_owned(),
        last_batch: String::new(),
    });
    let output = listed(&world, Ok(models)).await;
    let advice = "its event source mapping is Disabled: aws lambda update-event-source-mapping --uuid 1-2 --enabled";
    assert!(warnings(&output).iter().any(|each| each.ends_with(advice)), "{}", output.text);
    assert!(output.text.contains("s-c-1") && output.text.contains("c2hh"), "{}", output.text);
    let output = listed(&world, Err("no server serves this folder".to_owned())).await;
    assert!(warnings(&output)[0].ends_with("no server serves this folder"));
    assert!(output.text.contains("not known"), "{}", output.text);
}
