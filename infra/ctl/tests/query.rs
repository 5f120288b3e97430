//! The saved queries on a data folder, from the command line.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rendezvous_folder::DataFolder;
use rendezvous_tests::tools::{Python, root, run};
use serde_json::Value;

/// What a command printed, and its exit code.
struct Done {
    code: i32,
    out: String,
    err: String,
}

/// Runs `rendezvousctl query` on a data folder, with this cache and these variables.
fn query(data: &Path, cache: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Done {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rendezvousctl"));
    command.env("XDG_CACHE_HOME", cache).envs(variables.iter().copied());
    let output = command.arg("--data").arg(data).arg("query").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// A data folder in which nothing has arrived, and an empty cache beside it.
fn empty() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let (data, cache) = (directory.path().join("data"), directory.path().join("cache"));
    DataFolder::open(&data).unwrap();
    (directory, data, cache)
}

#[test]
fn what_needs_no_answer_needs_no_python() {
    let (_directory, data, cache) = empty();
    let done = |arguments: &[&str]| query(&data, &cache, &[("PATH", "")], arguments);
    let listed = done(&[]);
    assert_eq!(listed.code, 0, "{}", listed.err);
    assert!(listed.out.contains("leaderboard       Which model is best?"), "{}", listed.out);
    let listed: Value = serde_json::from_str(&done(&["--json"]).out).unwrap();
    assert_eq!(listed[0]["name"], "leaderboard");
    assert_eq!(listed[0]["settings"]["period_length"], "10");

    let unknown = done(&["leader"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("there is leaderboard, agreement, "), "{}", unknown.err);
    let wrong = done(&["leaderboard", "--set", "first_day=now"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("first_day: \"now\" is no day"), "{}", wrong.err);
    let empty = done(&["leaderboard"]);
    assert_eq!(empty.code, 1);
    assert!(empty.err.contains("the archive is empty"), "{}", empty.err);
    assert!(!cache.exists());
}

/// A folder whose archive is not empty, though what is in it is no Parquet.
fn spoilt(data: &Path) {
    let hour = data.join("archive/scores/date=2025-01-30/hour=00");
    fs::create_dir_all(&hour).unwrap();
    fs::write(hour.join("0.parquet"), "no Parquet").unwrap();
}

#[test]
fn without_python_or_a_package_index_it_says_what_to_do_and_leaves_nothing() {
    let (_directory, data, cache) = empty();
    spoilt(&data);
    let missing = query(&data, &cache, &[("PATH", "")], &["leaderboard"]);
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("needs Python 3.11 or newer"), "{}", missing.err);

    // Nobody listens there.
    let offline = [("PIP_INDEX_URL", "http://127.0.0.1:1/"), ("PIP_NO_CACHE_DIR", "1")];
    let offline = query(&data, &cache, &offline, &["leaderboard"]);
    assert_eq!(offline.code, 1);
    assert!(offline.err.contains("DuckDB could not be installed: "), "{}", offline.err);
    assert!(offline.err.contains("PIP_INDEX_URL"), "{}", offline.err);
    assert_eq!(fs::read_dir(cache.join("rendezvousctl")).unwrap().count(), 0);
}

/// Writes the small archive of the queries' tests, and prints what its queries answer there, in the
/// way of those tests.
const EXPECTED: &str = r#"
import json, pathlib, sys
sys.path.insert(0, "tests/analytics")
import archive, queries
folder = pathlib.Path(sys.argv[1])
archive.write(folder)
template = queries.load()
connection = queries.connect(folder, template)
plain = lambda value: f"{value:%Y-%m-%d %H:%M:%S.%f}"[:-3]
answers = []
for name, changed in json.loads(sys.argv[2]):
    changed = {key: int(value) if value.isdecimal() else value for key, value in changed.items()}
    answers.append(queries.run(connection, queries.translate(template.queries[name], **changed)))
json.dump(answers, sys.stdout, default=plain)
"#;

#[test]
fn the_figures_are_those_of_the_queries_tests() {
    let directory = tempfile::tempdir().unwrap();
    // A name that means something else in SQL and to a glob.
    let data = directory.path().join("it's [a]*");
    let archive = DataFolder::open(&data).unwrap().archive();
    let all = serde_json::json!({ "first_day": "2025-01-30", "last_day": "2025-03-02" });
    let mut by_month = all.clone();
    by_month["period_length"] = "7".into();
    let asked =
        [("leaderboard", by_month.clone()), ("who-answered", all), ("calibration", by_month)];

    let python = Python::new("analytics", "tests/analytics/requirements.txt");
    let mut script = python.command("python");
    script.current_dir(root()).args(["-c", EXPECTED]).arg(directory.path().join("archive"));
    let expected = run(script.arg(serde_json::to_string(&asked).unwrap()));
    let expected: Vec<Vec<Value>> = serde_json::from_str(&expected).unwrap();
    fs::remove_dir_all(&archive).unwrap();
    fs::rename(directory.path().join("archive"), &archive).unwrap();

    // Kept from one run of the tests to the next.
    let cache = root().join("target/cache-of-queries");
    let ask = |name: &str, settings: &Value, more: &[&str]| {
        let settings = settings.as_object().unwrap().iter();
        let settings: Vec<String> = settings
            .map(|(name, value)| format!("--set={name}={}", value.as_str().unwrap()))
            .collect();
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let done = query(&data, &cache, &[], &[&[name], &settings[..], more].concat());
        assert_eq!(done.code, 0, "{}", done.err);
        done
    };
    for ((name, settings), expected) in asked.iter().zip(&expected) {
        let found: Vec<Value> =
            serde_json::from_str(&ask(name, settings, &["--json"]).out).unwrap();
        assert!(found.len() > 3, "{name}: {found:?}");
        assert_eq!(found.len(), expected.len(), "{name}");
        found.iter().zip(expected).for_each(|(found, expected)| assert_same(found, expected));
    }
    let shown = ask("leaderboard", &asked[0].1, &[]);
    assert!(shown.out.starts_with("period   model "), "{}", shown.out);
    assert!(shown.err.contains(&format!("{} rows, in ", expected[0].len())), "{}", shown.err);
    assert!(!shown.err.contains("making a Python environment"), "it is there: {}", shown.err);
    let none = query(&data, &cache, &[], &["leaderboard", "--set", "endpoint=none"]);
    assert!(none.err.contains("asked with endpoint = 'none', first_day = "), "{}", none.err);
}

/// Sums are added up in an order of DuckDB's threads.
fn assert_same(found: &Value, expected: &Value) {
    let (found, expected) = (found.as_object().unwrap(), expected.as_object().unwrap());
    assert!(found.keys().eq(expected.keys()), "{found:?}");
    for (name, value) in found {
        let same = match (value.as_f64(), expected[name].as_f64()) {
            (Some(one), Some(other)) => (one - other).abs() <= 1e-9 * one.abs().max(1.0),
            _ => *value == expected[name],
        };
        assert!(same, "{name}: {value} is not {}", expected[name]);
    }
}
