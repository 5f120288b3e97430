//! The analysts' views and saved queries, as the template declares them: on a small archive that holds every kind of accident,
//! and with
//!
//!     cargo test --workspace --test analytics -- --ignored
//!
//! on the archive of a whole year of flights, as the demonstration writes it. The figures are compared in Python, see
//! `tests/analytics`.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{fs, path::Path};

use clap::Parser;
use rendezvous_local::{
    demo::{DemoOptions, demo},
    tables::{BY_MODEL, over},
};
use rendezvous_tests::tools::{Python, root, run};

#[derive(Parser)]
struct Demo {
    #[command(flatten)]
    options: DemoOptions,
}

#[tokio::test]
async fn every_saved_query_answers_right() {
    let python = Python::new("analytics", "tests/analytics/requirements.txt");
    println!("the queries on a small archive");
    queries_answer_right(&python, None);

    println!("the query that the demonstration prints");
    models_are_compared_on_the_same_requests(&python).await;
}

#[tokio::test]
#[ignore = "plays a year of flights and asks its archive, some minutes"]
async fn every_saved_query_answers_right_about_a_year() {
    let python = Python::new("analytics", "tests/analytics/requirements.txt");
    let data = root().join("target/data-of-the-year");
    if data.exists() {
        fs::remove_dir_all(&data).unwrap();
    }
    let arguments = ["demo", "--year", "--data", data.to_str().unwrap()];
    demo(Demo::parse_from(arguments).options).await.unwrap();
    queries_answer_right(&python, Some(&data.join("archive")));
    fs::remove_dir_all(&data).unwrap();
}

async fn models_are_compared_on_the_same_requests(python: &Python) {
    let data = root().join("target/data-of-the-demo");
    if data.exists() {
        fs::remove_dir_all(&data).unwrap();
    }
    // The champion is killed and does not come back: some requests have no score of it.
    let mut arguments = vec!["demo", "--data", data.to_str().unwrap()];
    arguments.extend(["--count", "200", "--rate", "400", "--kill", "logistic@1@0.3..60"]);
    demo(Demo::parse_from(arguments).options).await.unwrap();
    let query = over(&data.join("archive"), BY_MODEL);
    let script = "import duckdb, sys\n\
        compared = {count for _, count, _ in duckdb.sql(sys.argv[1]).fetchall()}\n\
        assert len(compared) == 1 and 0 < compared.pop() < 200, duckdb.sql(sys.argv[1])";
    run(python.command("python").args(["-c", script, &query]));
    fs::remove_dir_all(&data).unwrap();
}

/// How many flights the sample holds: lines of `sample.ndjson.zst`.
const FLIGHTS: &str = "168388";

fn queries_answer_right(python: &Python, year: Option<&Path>) {
    let mut tests = python.command("python");
    tests.current_dir(root()).args(["-m", "unittest", "discover", "--start-directory"]);
    tests.arg("tests/analytics");
    if let Some(archive) = year {
        tests.env("ARCHIVE", archive).env("FLIGHTS", FLIGHTS);
    }
    run(&mut tests);
}
