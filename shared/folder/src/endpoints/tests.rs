use rendezvous_core::conformance::{endpoints as conformance, samples};
use tempfile::TempDir;

use super::*;

fn table() -> (TempDir, FolderEndpoints) {
    let directory = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(directory.path()).unwrap();
    (directory, FolderEndpoints::new(&folder))
}

fn name(text: &str) -> EndpointName {
    text.parse().unwrap()
}

async fn publish_as(
    table: &FolderEndpoints,
    author: &str,
    expected: Option<u64>,
) -> Result<u64, PublishError> {
    let provenance = Provenance::new(author, "a test").unwrap();
    table.publish(&name("sample"), samples::endpoint().configuration, provenance, expected).await
}

async fn publish(table: &FolderEndpoints, expected: Option<u64>) -> Result<u64, PublishError> {
    publish_as(table, "ann", expected).await
}

/// A table whose endpoint `sample` has versions 1 to `count`.
async fn with_versions(count: u64) -> (TempDir, FolderEndpoints, Versions) {
    let (directory, table) = table();
    for version in 1..=count {
        let expected = (version > 1).then_some(version - 1);
        assert_eq!(publish(&table, expected).await, Ok(version));
    }
    let versions = table.versions(&name("sample"));
    (directory, table, versions)
}

fn version_file(replaced: Option<u64>) -> VersionFile {
    VersionFile {
        configuration: samples::endpoint().configuration,
        provenance: Provenance::new("crashed", "").unwrap(),
        published_us: now(),
        replaced,
    }
}

fn pointer(versions: &Versions) -> String {
    fs::read_to_string(versions.pointer()).unwrap()
}

async fn history(table: &FolderEndpoints) -> Vec<(u64, Option<u64>)> {
    let history = table.history(&name("sample")).await.unwrap();
    history.iter().map(|publication| (publication.version, publication.replaced)).collect()
}

#[tokio::test]
async fn it_keeps_the_rules_of_the_endpoints_table() {
    let (_directory, table) = table();
    conformance(&table).await;
}

#[tokio::test]
async fn it_stays_over_restarts_byte_for_byte() {
    let (directory, table) = table();
    let text = r#"{"schedule":{"choices":[{"model":"a@1"}],"deadline_ms":100,
                   "fallback":{"p":0.220 ,"p":1e2}}}"#;
    let configuration = Configuration::parse(text).unwrap();
    let provenance = Provenance::new("ann", "why\nnot \u{1f600}").unwrap();
    let name = name("sample");
    table.publish(&name, configuration.clone(), provenance.clone(), None).await.unwrap();
    let reopened = FolderEndpoints::new(&DataFolder::open(directory.path()).unwrap());
    let endpoint = reopened.version(&name, 1).await.unwrap().unwrap();
    assert_eq!(endpoint.configuration, configuration);
    assert_eq!(reopened.history(&name).await.unwrap()[0].provenance, Some(provenance));
    assert_eq!(reopened.list().await.unwrap(), [name]);
}

#[tokio::test]
async fn the_layout_is_as_documented() {
    let (directory, _table, _) = with_versions(2).await;
    let folder = directory.path().join("endpoints/sample");
    assert_eq!(fs::read_to_string(folder.join("current")).unwrap(), "2\n");
    let file = fs::read_to_string(folder.join("2.json")).unwrap();
    let file: serde_json::Value = serde_json::from_str(&file).unwrap();
    assert_eq!(file["configuration"]["schedule"]["choices"][0]["model"], "a@1");
    assert_eq!(file["provenance"], serde_json::json!({ "author": "ann", "message": "a test" }));
    assert!(file["published_us"].is_i64());
    assert_eq!(file["replaced"], 1);
    let mut names = files::names(&folder).unwrap();
    names.sort_unstable();
    assert_eq!(names, ["1.json", "2.json", "current"]);
    let names = files::names(&directory.path().join("endpoints")).unwrap();
    assert_eq!(names, ["sample"], "nothing unfinished stays");
}

#[tokio::test]
async fn a_crash_before_a_version_has_its_name_leaves_no_version() {
    for count in [0, 2] {
        let (_directory, table, versions) = with_versions(count).await;
        fs::create_dir_all(&versions.folder).unwrap();
        let half = r#"{"configuration":{"sched"#;
        fs::write(versions.root.join(".unfinished-abc"), half).unwrap();
        let current = (count > 0).then_some(count);
        assert_eq!(table.current(&name("sample")).await, Ok(current));
        assert_eq!(table.list().await.unwrap().len(), usize::from(count > 0));
        assert_eq!(history(&table).await.len() as u64, count);
        assert_eq!(publish(&table, current).await, Ok(count + 1), "it blocks nobody");
    }
}

#[tokio::test]
async fn a_crash_before_the_pointer_is_replaced_leaves_a_published_version() {
    for count in [0, 2] {
        let (_directory, table, versions) = with_versions(count).await;
        let former = (count > 0).then_some(count);
        let stored = versions.create(count + 1, &version_file(former)).unwrap();
        assert_eq!(stored, Stored::New);
        let current = Some(count + 1);
        assert_eq!(table.current(&name("sample")).await, Ok(current));
        assert_eq!(table.list().await.unwrap(), [name("sample")]);
        assert_eq!(history(&table).await.last(), Some(&(count + 1, former)));
        let conflict = PublishError::Conflict { expected: former, current };
        assert_eq!(publish(&table, former).await, Err(conflict));
        assert_eq!(publish(&table, current).await, Ok(count + 2), "it blocks nobody");
        assert_eq!(pointer(&versions), format!("{}\n", count + 2));
    }
}

#[tokio::test]
async fn a_pointer_that_a_slow_publisher_sets_back_decides_nothing() {
    let (_directory, table, versions) = with_versions(4).await;
    for behind in [1, 3] {
        versions.point_to(behind).unwrap();
        assert_eq!(table.current(&name("sample")).await, Ok(Some(4)));
        assert_eq!(history(&table).await.len(), 4);
        let conflict = PublishError::Conflict { expected: Some(behind), current: Some(4) };
        assert_eq!(publish(&table, Some(behind)).await, Err(conflict));
    }
    assert_eq!(publish(&table, Some(4)).await, Ok(5));
    fs::remove_file(versions.pointer()).unwrap();
    assert_eq!(table.current(&name("sample")).await, Ok(Some(5)), "nor does one that is missing");
    fs::remove_file(versions.file(1)).unwrap();
    assert_eq!(table.current(&name("sample")).await, Ok(Some(5)), "the highest, also after a gap");
}

#[tokio::test]
async fn one_who_is_overtaken_after_the_check_gets_a_conflict_and_overwrites_nothing() {
    let (_directory, _table, versions) = with_versions(1).await;
    let mine = version_file(Some(1));
    let rival = VersionFile { provenance: Provenance::new("rival", "").unwrap(), ..mine };
    assert_eq!(versions.create(2, &rival).unwrap(), Stored::New);
    assert_eq!(versions.create(2, &version_file(Some(1))).unwrap(), Stored::Already);
    assert_eq!(versions.read(2).unwrap().unwrap().provenance.author(), "rival");
}

#[tokio::test]
async fn of_many_that_publish_at_once_one_wins_each_version() {
    let (_directory, table) = table();
    let racing: Vec<_> = (0..8)
        .map(|i| {
            let table = table.clone();
            tokio::spawn(async move {
                let author = format!("author {i}");
                let mut won = Vec::new();
                while won.len() < 5 {
                    let expected = table.current(&name("sample")).await.unwrap();
                    match publish_as(&table, &author, expected).await {
                        Ok(version) => won.push((version, author.clone())),
                        Err(PublishError::Conflict { current, .. }) => assert!(current > expected),
                        Err(other) => panic!("{other}"),
                    }
                }
                won
            })
        })
        .collect();
    let mut won = Vec::new();
    for one in racing {
        won.extend(one.await.unwrap());
    }
    won.sort_unstable();
    let history = table.history(&name("sample")).await.unwrap();
    let kept = history.into_iter().map(|publication| {
        assert_eq!(publication.replaced.unwrap_or(0), publication.version - 1);
        (publication.version, publication.provenance.unwrap().author().to_owned())
    });
    assert_eq!(won, kept.collect::<Vec<_>>(), "each version is that of the one who was told so");
    assert_eq!(won.len(), 40);
}

#[tokio::test]
async fn a_version_that_cannot_be_read_is_named_and_disturbs_nothing_else() {
    let (_directory, table, versions) = with_versions(2).await;
    let path = versions.file(1);
    for bad in ["", "{\"configuration\":", "{}"] {
        fs::write(&path, bad).unwrap();
        let read = table.version(&name("sample"), 1).await.map(|_| ());
        let listed = table.history(&name("sample")).await.map(|_| ());
        for error in [read.unwrap_err(), listed.unwrap_err()] {
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        }
    }
    assert!(table.version(&name("sample"), 2).await.unwrap().is_some());
    assert_eq!(table.list().await.unwrap(), [name("sample")]);
    assert_eq!(publish(&table, Some(2)).await, Ok(3));
}

#[tokio::test]
async fn a_pointer_that_cannot_be_read_is_named_with_what_to_do() {
    let (_directory, table, versions) = with_versions(2).await;
    let path = versions.pointer();
    for bad in [&b""[..], b"two\n", b"-1\n", b"02\n", b"99999999999999999999\n", b"\xff", b"7\n"] {
        fs::write(&path, bad).unwrap();
        let current = table.current(&name("sample")).await.map(|_| ()).unwrap_err();
        let published = publish(&table, Some(2)).await.unwrap_err();
        assert!(matches!(published, PublishError::Unavailable(_)), "{published:?}");
        for error in [current.to_string(), published.to_string()] {
            assert!(error.contains(path.to_str().unwrap()), "{error}");
            assert!(error.contains("delete it"), "{error}");
        }
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = table.current(&name("sample")).await.unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()), "{error}");
    fs::remove_dir(&path).unwrap();
    assert_eq!(publish(&table, Some(2)).await, Ok(3), "the advice works");
    assert_eq!(pointer(&versions), "3\n");
}

#[tokio::test]
async fn other_files_are_ignored() {
    let (_directory, table, versions) = with_versions(1).await;
    for stray in ["02.json", "+2.json", "0.json", "2.json~", "notes.json", ".2.json.swp"] {
        fs::write(versions.folder.join(stray), "x").unwrap();
    }
    fs::remove_file(versions.pointer()).unwrap();
    fs::write(versions.root.join("README"), "x").unwrap();
    fs::write(versions.root.join("a-file"), "x").unwrap();
    for stray in ["Not-An-Endpoint", "without-versions"] {
        fs::create_dir(versions.root.join(stray)).unwrap();
        fs::write(versions.root.join(stray).join("notes.json"), "x").unwrap();
    }
    fs::copy(versions.file(1), versions.root.join("Not-An-Endpoint/1.json")).unwrap();
    assert_eq!(table.list().await.unwrap(), [name("sample")]);
    assert_eq!(table.current(&name("sample")).await, Ok(Some(1)));
    assert_eq!(history(&table).await, [(1, None)]);
    assert_eq!(publish(&table, Some(1)).await, Ok(2));
}
