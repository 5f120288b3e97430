//! Configurations of a data folder, from the command line: published, compared, promoted, rolled
//! back.

use std::{fs, path::PathBuf, process::Command};

use rendezvous_core::{
    Configuration, EndpointName, Provenance, Timestamp, memory::MemoryEndpoints,
};
use rendezvous_folder::{DataFolder, ModelUp};
use rendezvousctl::{
    change::{Change, plan},
    endpoints::find,
    failure::Failure,
};
use serde_json::Value;

const CONFIGURATION: &str = r#"{
    "schedule": {
        "choices": [ { "model": "logistic@1" }, { "model": "prior@1", "after_ms": 60 } ],
        "deadline_ms": 200
    },
    "observers": [ { "model": "gbt@1", "role": "challenger" },
                   { "model": "mlp@1", "role": "canary", "share": 0.5 } ]
}"#;

/// A data folder with the endpoint `e`, whose server has three models up.
struct World {
    directory: tempfile::TempDir,
}

/// What a command printed, and its exit code.
struct Done {
    code: i32,
    out: String,
    err: String,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let world = Self { directory };
        let folder = DataFolder::open(&world.data()).unwrap();
        let endpoint: EndpointName = "e".parse().unwrap();
        let models = ["logistic@1", "prior@1", "gbt@1"];
        let model_up = ModelUp { since: Timestamp::from_micros(1), endpoints: [endpoint].into() };
        let up = models.map(|model| (model.parse().unwrap(), model_up.clone()));
        folder.set_models_up(&up.into()).unwrap();
        fs::write(world.file(), CONFIGURATION).unwrap();
        assert_eq!(world.run(&["apply", &world.file(), "-m", "begin", "--yes"]).code, 0);
        world
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn file(&self) -> String {
        self.directory.path().join("e.json").to_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &[&str]) -> Done {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rendezvousctl"));
        command.env_clear().env("USER", "alice").arg("--data").arg(self.data());
        let output = command.args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done {
            code: output.status.code().unwrap(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let Done { code, out, err } = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(code, 0, "{err}");
        serde_json::from_str(&out).unwrap()
    }
}

#[test]
fn a_file_is_published_with_who_when_and_why() {
    let world = World::new();
    let history = world.json(&["history", "e"]);
    assert_eq!(history[0]["author"], "alice");
    assert_eq!(history[0]["message"], "begin");
    assert_eq!(history[0]["replaced"], Value::Null);
    let again = world.run(&["apply", &world.file(), "-m", "again", "--yes"]);
    assert_eq!((again.code, again.out.as_str()), (0, "e, instead of version 1: nothing changes\n"));
    let endpoints = world.json(&["endpoints"]);
    assert_eq!(endpoints[0]["config"], 1);
    assert_eq!(endpoints[0]["champion"], "logistic@1");
    let shown = world.json(&["show", "e"]);
    let expected: Value = serde_json::from_str(CONFIGURATION).unwrap();
    assert_eq!(shown["configuration"], expected);
}

#[test]
fn a_model_is_promoted_and_rolled_back_by_one_command_each() {
    let world = World::new();
    let dry = world.run(&["promote", "e", "gbt@1", "-m", "better", "--dry-run"]);
    let words = "gbt@1 becomes champion of main; logistic@1 becomes its first stand-in, which may \
                 answer from 60 ms on\n";
    assert!(dry.out.contains(words), "{}", dry.out);
    assert!(dry.out.contains("nothing was published"), "{}", dry.out);
    assert!(dry.err.contains("warning: mlp@1 is not up"), "{}", dry.err);
    assert_eq!(world.json(&["endpoints"])[0]["config"], 1);

    let unasked = world.run(&["promote", "e", "gbt@1", "-m", "better"]);
    assert_eq!(unasked.code, 2, "{}", unasked.err);
    assert!(unasked.err.contains("pass --yes"), "{}", unasked.err);

    let promoted = world.json(&["promote", "e", "gbt@1", "-m", "better", "--yes"]);
    assert_eq!((&promoted[0]["published"], &promoted[0]["to"]), (&true.into(), &2.into()));
    assert_eq!(world.json(&["endpoints"])[0]["champion"], "gbt@1");
    let back = world.run(&["rollback", "e", "-m", "worse", "--yes"]);
    assert_eq!(back.code, 0, "{}", back.err);
    assert_eq!(world.json(&["endpoints"])[0]["config"], 3);
    let difference = world.json(&["diff", "e", "1"]);
    assert_eq!(difference["changes"], Value::Array(Vec::new()), "it is version 1 again");
    let history = world.run(&["history", "e"]).out;
    assert!(history.starts_with("version 3 (current)"), "{history}");
    assert!(history.contains("\"better\"") && history.contains(words), "{history}");
}

#[test]
fn an_arm_says_how_many_keys_move_and_a_rollback_does_not_skip_its_steps() {
    let world = World::new();
    let promoted =
        world.json(&["promote", "e", "gbt@1", "--steps", "5%,25%", "-m", "try", "--yes"]);
    assert_eq!(promoted[0]["moves"][0]["from"], "main");
    assert_eq!(promoted[0]["moves"][0]["to"], "gbt");
    assert_eq!(promoted[0]["moves"][0]["share"], 0.05);

    let mut shown = world.json(&["show", "e"])["configuration"].take();
    shown["arms"][0]["step"] = 1.into();
    fs::write(world.file(), shown.to_string()).unwrap();
    let grown = world.run(&["apply", &world.file(), "-m", "grow", "--yes"]);
    assert!(grown.out.contains("arm gbt grows from 5 % to 25 %"), "{}", grown.out);
    assert!(grown.out.contains("20 % of the keys move from main to gbt"), "{}", grown.out);

    assert_eq!(world.run(&["rollback", "e", "1", "-m", "stop", "--yes"]).code, 0);
    let refused = world.run(&["rollback", "e", "3", "-m", "go on", "--yes"]);
    assert_eq!(refused.code, 3);
    assert!(refused.err.contains("--rebase"), "{}", refused.err);
    let rebased = world.run(&["rollback", "e", "3", "--rebase", "-m", "go on", "--yes"]);
    assert!(rebased.out.contains("arm gbt begins with 5 %"), "{}", rebased.out);
}

#[test]
fn an_arm_becomes_main_by_hand() {
    let world = World::new();
    let refused = world.run(&["promote", "e", "gbt@1", "--finish", "-m", "now", "--yes"]);
    assert_eq!(refused.code, 3, "{}", refused.err);
    assert!(
        refused.err.contains("no arm has gbt@1 as its champion: there is no arm"),
        "{}",
        refused.err
    );
    let guard = "hold_minutes=10,fallback_rate=1%";
    let steps =
        ["promote", "e", "gbt@1", "--steps", "5%,100%", "--guard", guard, "-m", "try", "--yes"];
    assert_eq!(world.run(&steps).code, 0);
    let finish = ["promote", "e", "gbt@1", "--finish", "-m", "it has shown enough", "--yes"];
    let done = world.run(&finish);
    assert_eq!(done.code, 0, "{}", done.err);
    let shown = world.json(&["show", "e"]);
    assert_eq!(shown["configuration"]["schedule"]["choices"][0]["model"], "gbt@1");
    assert!(shown["configuration"]["arms"].is_null(), "{shown}");
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    let world = World::new();
    for (arguments, code, words) in [
        (vec!["promote", "e", "mlp@1"], 3, "mlp@1 is not up"),
        (vec!["promote", "e", "new@1"], 3, "make it an observer first"),
        (vec!["promote", "e", "logistic@1"], 3, "is the champion already"),
        (vec!["promote", "e", "gbt@1", "--share", "5"], 2, "from 0% to 100%"),
        (vec!["promote", "f", "gbt@1"], 1, "there is no endpoint f; there is e"),
        (vec!["retire", "e", "new@1"], 3, "neither on a schedule nor an observer"),
        (vec!["rollback", "e"], 3, "no version of e before"),
        (vec!["rollback", "e", "9"], 1, "e has no version 9; the current one is 1"),
        (vec!["promote", "No", "gbt@1"], 2, "a-z"),
    ] {
        let done = world.run(&[&arguments[..], &["-m", "x", "--yes"]].concat());
        assert_eq!(done.code, code, "{arguments:?}: {}", done.err);
        assert!(done.err.contains(words), "{arguments:?}: {}", done.err);
    }
    let both = world.run(&["--stack", "s", "endpoints"]);
    assert_eq!(both.code, 2, "{}", both.err);
    let retired = world.run(&["retire", "e", "prior@1", "-m", "old", "--yes"]);
    assert_eq!(retired.code, 0, "{}", retired.err);
    let refused = world.run(&["retire", "e", "logistic@1", "-m", "old", "--yes"]);
    assert!(refused.err.contains("only choice of arm main"), "{}", refused.err);
}

#[test]
fn the_folder_of_no_local_system_is_refused_and_not_created() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nothing");
    let mut command = Command::new(env!("CARGO_BIN_EXE_rendezvousctl"));
    let output = command.arg("--data").arg(&path).arg("endpoints").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!path.exists());
}

#[tokio::test]
async fn of_two_operators_one_wins_and_the_other_sees_what_changed() {
    let table = MemoryEndpoints::default();
    let endpoint: EndpointName = "e".parse().unwrap();
    let by = |author: &str| Provenance::new(author, "because").unwrap();
    let configuration = Configuration::parse(CONFIGURATION).unwrap();
    let first = plan(&table, &endpoint, Change::Apply(configuration)).await.unwrap();
    assert_eq!(first.publish(&table, by("alice")).await.unwrap(), 1);

    let one = plan(&table, &endpoint, Change::Promote("gbt@1".parse().unwrap())).await.unwrap();
    let other = plan(&table, &endpoint, Change::Retire("mlp@1".parse().unwrap())).await.unwrap();
    assert_eq!(one.publish(&table, by("alice")).await.unwrap(), 2);
    let refused = other.publish(&table, by("bob")).await.unwrap_err();
    assert_eq!(refused.code(), 4);
    let Failure::Conflict(what) = refused else { panic!("it is a conflict") };
    assert!(what.contains("version 2 was published meanwhile by alice"), "{what}");
    assert!(what.contains("gbt@1 becomes champion of main"), "{what}");
    let current = find(&table, &endpoint, None).await.unwrap();
    assert_eq!(current.configuration, one.configuration);
}
