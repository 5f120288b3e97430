//! What holds between processes: each test starts this program again, as [`child`].

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{
    io::{BufRead, BufReader, Read, stdin},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
};

use rendezvous_core::{
    EndpointName, Provenance,
    conformance::samples,
    ports::{EndpointTable, PublishError, Secrets},
};
use rendezvous_folder::{DataFolder, FolderEndpoints, FolderError, FolderSecrets};

const FOLDER: &str = "RENDEZVOUS_TEST_FOLDER";
const TASK: &str = "RENDEZVOUS_TEST_TASK";

/// What a child process does: it runs only when one of the other tests starts it. It answers on
/// standard error, line by line, because the test harness writes to standard output.
#[tokio::test]
#[ignore = "started by the other tests"]
async fn child() {
    let (Ok(folder), Ok(task)) = (std::env::var(FOLDER), std::env::var(TASK)) else { return };
    let folder = Path::new(&folder);
    match task.as_str() {
        "serve" => {
            let _folder = DataFolder::serve(folder).unwrap();
            eprintln!("serves");
            stdin().read_to_end(&mut Vec::new()).unwrap();
        }
        "secret" => {
            let secrets = FolderSecrets::new(&DataFolder::open(folder).unwrap());
            eprintln!("{:?}", secrets.idempotency().await.unwrap().secret.owner("ann"));
        }
        author => {
            let table = FolderEndpoints::new(&DataFolder::open(folder).unwrap());
            for _ in 0..PUBLICATIONS {
                eprintln!("{}", publish(&table, author).await);
            }
        }
    }
}

/// How many versions a child publishes.
const PUBLICATIONS: usize = 30;

fn start(folder: &Path, task: &str) -> (Child, BufReader<ChildStderr>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(TASK, task)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap());
    (child, lines)
}

/// The next line of a child.
fn line(lines: &mut BufReader<ChildStderr>) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

fn sample() -> EndpointName {
    "sample".parse().unwrap()
}

/// Publishes one version, after as many conflicts as it takes.
async fn publish(table: &FolderEndpoints, author: &str) -> u64 {
    let configuration = samples::endpoint().configuration;
    let provenance = Provenance::new(author, "").unwrap();
    loop {
        let expected = table.current(&sample()).await.unwrap();
        let published =
            table.publish(&sample(), configuration.clone(), provenance.clone(), expected).await;
        match published {
            Ok(version) => return version,
            Err(PublishError::Conflict { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

/// The authors of versions 1, 2, …: all of them can be read, and there is no gap.
async fn authors(table: &FolderEndpoints) -> Vec<String> {
    let history = table.history(&sample()).await.unwrap();
    for (i, publication) in (1..).zip(&history) {
        assert_eq!((publication.version, publication.replaced.unwrap_or(0)), (i, i - 1));
        assert!(table.version(&sample(), i).await.unwrap().is_some());
    }
    assert_eq!(table.current(&sample()).await, Ok(history.last().map(|last| last.version)));
    history.into_iter().map(|p| p.provenance.unwrap().author().to_owned()).collect()
}

#[tokio::test]
async fn processes_that_publish_at_once_win_each_version_once() {
    let directory = tempfile::tempdir().unwrap();
    let writers = ["ann", "bob"].map(|author| (author, start(directory.path(), author)));
    let mut told = Vec::new();
    for (author, (mut child, lines)) in writers {
        for line in lines.lines() {
            told.push((line.unwrap().parse::<usize>().unwrap(), author.to_owned()));
        }
        assert!(child.wait().unwrap().success());
    }
    told.sort_unstable();
    let table = FolderEndpoints::new(&DataFolder::open(directory.path()).unwrap());
    let kept: Vec<_> = (1..).zip(authors(&table).await).collect();
    assert_eq!(told, kept, "each version is that of the one who was told so");
    assert_eq!(kept.len(), 2 * PUBLICATIONS);
}

#[tokio::test]
async fn a_publisher_that_is_killed_at_any_point_leaves_a_table_that_works() {
    let directory = tempfile::tempdir().unwrap();
    let table = FolderEndpoints::new(&DataFolder::open(directory.path()).unwrap());
    for round in 0..12 {
        let before = authors(&table).await.len();
        let (mut child, mut lines) = start(directory.path(), "killed");
        let mut told = before;
        for _ in 0..=round {
            told = line(&mut lines).parse().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        // A last line without its end was cut off by the kill.
        let rest: Vec<_> = rest.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
        told = rest.last().map_or(told, |line| line.trim_end().parse().unwrap());
        let after = authors(&table).await.len();
        assert!(after == told || after == told + 1, "{after} versions, told of {told}");
        assert_eq!(usize::try_from(publish(&table, "heir").await), Ok(after + 1));
    }
}

#[tokio::test]
async fn processes_agree_on_the_secret() {
    let directory = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..4).map(|_| start(directory.path(), "secret")).collect();
    let mut secrets = Vec::new();
    for (mut child, mut lines) in children {
        secrets.push(line(&mut lines));
        assert!(child.wait().unwrap().success());
    }
    assert!(secrets[0].starts_with('['), "{secrets:?}");
    assert!(secrets.iter().all(|secret| *secret == secrets[0]), "{secrets:?}");
}

#[test]
fn a_lock_ends_with_its_process() {
    let directory = tempfile::tempdir().unwrap();
    let (mut child, mut lines) = start(directory.path(), "serve");
    assert_eq!(line(&mut lines), "serves");
    let refused = DataFolder::serve(directory.path()).unwrap_err();
    assert!(matches!(refused, FolderError::InUse { .. }), "{refused}");
    child.kill().unwrap();
    child.wait().unwrap();
    DataFolder::serve(directory.path()).expect("a process that was killed has no lock");
}
