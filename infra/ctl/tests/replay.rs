//! What a replay leaves in the archive, and how it goes on after an interruption.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    fs,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use rendezvous_archive::{ReplayRow, RequestRow, ScoreRow};
use rendezvous_core::{
    Failure, Json, RequestId, Unavailable,
    memory::MemoryArchive,
    ports::{Archive, ArchiveFiles, Erase, Stored, StoredFile},
};
use rendezvous_evidence::Confidence;
use rendezvous_folder::{DataFolder, FolderArchive};
use rendezvous_model::{Model, Profile};
use rendezvous_tests::{Does, World, endpoint, model, rows};
use rendezvousctl::{
    compare::{CompareOptions, Figures, compare},
    past,
    replay::{ReplayOptions, local::Local, replay},
    whatif::{WhatIfOptions, whatif},
};
use tokio::time::Instant;

const REQUESTS: usize = 30;

/// A model whose score is the payload.
struct Echo(Profile);

/// How long it takes for a call of two requests.
const CALL: Duration = Duration::from_millis(140);

impl Model for Echo {
    fn profile(&self) -> &Profile {
        &self.0
    }

    fn largest_batch(&self) -> usize {
        2
    }

    async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, Failure>> {
        tokio::time::sleep(CALL).await;
        payloads.iter().map(|payload| Ok(payload.clone())).collect()
    }
}

/// A system that has answered requests, by `a@1`.
async fn system() -> World {
    let world = World::new().await;
    world.model("a@1", Does::Echo(1, ""));
    for n in 0..REQUESTS {
        world.ask(&format!("{{\"p\": 0.{n}0 ,\"n\":[ ]}}")).await;
    }
    world.drain().await;
    world
}

/// An archive whose next puts have these faults.
struct Faulty {
    files: Arc<MemoryArchive>,
    faults: Mutex<VecDeque<Fault>>,
}

#[derive(Clone, Copy)]
enum Fault {
    None,
    Refused,
    /// The file is stored, and nobody hears of it.
    AnswerLost,
}

impl Archive for Faulty {
    async fn put(&self, name: &str, body: Bytes) -> Result<Stored, Unavailable> {
        let fault = self.faults.lock().unwrap().pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::None => self.files.put(name, body).await,
            Fault::Refused => Err(Unavailable::down("archive", "on purpose")),
            Fault::AnswerLost => {
                self.files.put(name, body).await?;
                Err(Unavailable::down("archive", "on purpose"))
            }
        }
    }
}

/// Reads have no faults.
impl ArchiveFiles for Faulty {
    async fn folders(&self, folder: &str) -> Result<Vec<String>, Unavailable> {
        self.files.folders(folder).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<StoredFile>, Unavailable> {
        self.files.list(folder).await
    }

    async fn read(&self, name: &str, range: Range<u64>) -> Result<Bytes, Unavailable> {
        self.files.read(name, range).await
    }
}

fn options(rate: Option<u32>) -> ReplayOptions {
    ReplayOptions {
        range: past::Range { endpoint: endpoint(), from: None, to: None },
        model: model("new@1"),
        rate,
        models: None,
        position: None,
        restart: false,
    }
}

/// A run of a replay that stores seven scores in a file.
async fn run(
    world: &World,
    options: &ReplayOptions,
    position: &Path,
    faults: &[Fault],
) -> Result<String, String> {
    run_on(&*world.system.archive, world, options, position, faults).await
}

/// A run that reads and claims there, and stores in the archive of the world.
async fn run_on(
    from: &(impl Archive + ArchiveFiles + Erase),
    world: &World,
    options: &ReplayOptions,
    position: &Path,
    faults: &[Fault],
) -> Result<String, String> {
    let profile = Profile {
        id: model("new@1"),
        endpoints: HashSet::from([endpoint()]),
        timeout: Duration::from_secs(5),
        scores_expired: false,
    };
    let (files, table) = (world.system.archive.clone(), world.system.endpoints.clone());
    let faults = Mutex::new(faults.iter().copied().collect());
    let archive = Arc::new(Faulty { files, faults });
    let mut sink = Local::new(Echo(profile), Vec::new(), archive, table.clone(), 7);
    let output = replay(from, &*table, options, position, &mut sink).await;
    output.map(|output| output.text).map_err(|failure| failure.to_string())
}

fn replays(world: &World) -> Vec<ReplayRow<'static>> {
    rows(&world.system.archive.files())
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_replay_repeats_no_request_and_leaves_none_out() {
    let (world, folder) = (system().await, tempfile::tempdir().unwrap());
    let live: Vec<ScoreRow<'_>> = rows(&world.system.archive.files());
    let position = folder.path().join("replays/position.json");
    let options = options(None);
    let runs: [&[Fault]; 4] =
        [&[Fault::None, Fault::Refused], &[Fault::AnswerLost], &[Fault::AnswerLost], &[]];
    let mut said = Vec::new();
    for faults in runs {
        said.push(run(&world, &options, &position, faults).await);
        tokio::time::sleep(Duration::from_hours(1)).await;
    }
    let ended = said.iter().map(Result::is_ok).collect::<Vec<_>>();
    assert_eq!(ended, [false, false, false, true], "{said:?}");
    assert!(said[3].as_ref().unwrap().ends_with("; 30 in all"), "{said:?}");
    let requests: Vec<RequestRow<'_>> = rows(&world.system.archive.files());
    let payloads: BTreeMap<RequestId, &str> =
        requests.iter().map(|row| (row.request_id, &*row.payload)).collect();
    let replays = replays(&world);
    assert_eq!((replays.len(), payloads.len()), (REQUESTS, REQUESTS));
    let scores: BTreeMap<RequestId, &str> =
        replays.iter().map(|row| (row.request_id, row.score.as_ref().unwrap().as_str())).collect();
    assert_eq!(scores, payloads);
    for row in &replays {
        assert!(row.replayed_as != row.request_id && row.value.is_some() && row.config == 1);
    }
    assert_eq!(rows::<ScoreRow<'_>>(&world.system.archive.files()), live);
    // There is nothing left to do, until it is to begin again.
    assert!(run(&world, &options, &position, &[]).await.unwrap().contains(" 0 requests"));
    let again = ReplayOptions { restart: true, ..options.clone() };
    assert!(run(&world, &again, &position, &[]).await.unwrap().contains(" 30 requests"));
    let left = world.system.archive.files().into_iter().map(|(name, _)| name);
    assert_eq!(left.filter(|name| name.starts_with("replaying/")).count(), 0);
    let other = past::Range { to: Some(rendezvous_core::now()), ..options.range.clone() };
    let other = ReplayOptions { range: other, ..options };
    let refused = run(&world, &other, &position, &[]).await.unwrap_err();
    assert!(refused.contains("the position of another replay"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_replayed_model_is_compared_as_if_it_had_been_live() {
    let (world, folder) = (system().await, tempfile::tempdir().unwrap());
    let confidence = Confidence::DEFAULT;
    let options_of = || CompareOptions {
        range: past::Range { endpoint: endpoint(), from: None, to: None },
        first: model("new@1"),
        second: model("a@1"),
        by: None,
        figures: Figures { confidence, threshold: 0.5, minimum_coverage: 0.5 },
        require: None,
        label: None,
        sample: None,
    };
    let system = &world.system;
    let compared = compare(&*system.archive, &*system.endpoints, &options_of()).await;
    let unknown = compared.unwrap_err().to_string();
    assert!(unknown.contains("no replay is of it"), "{unknown}");
    let position = folder.path().join("position.json");
    let begun = Instant::now();
    run(&world, &options(Some(10)), &position, &[]).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(2_700), "{:?}", begun.elapsed());
    let compared = compare(&*system.archive, &*system.endpoints, &options_of()).await.unwrap();
    assert!(compared.text.contains("30 with a value of both models"), "{}", compared.text);
    assert!(compared.text.contains("Agreement: 100.0 %"), "{}", compared.text);
}

#[tokio::test(start_paused = true)]
async fn a_replay_keeps_others_of_its_model_away_until_it_is_complete() {
    let (world, folder) = (system().await, tempfile::tempdir().unwrap());
    let (mine, other) = (folder.path().join("mine.json"), folder.path().join("other.json"));
    let options = options(None);
    let refused = async |position: &Path| {
        let refused = run(&world, &options, position, &[]).await.unwrap_err();
        assert!(replays(&world).len() <= 14, "it has sent something");
        refused
    };
    // At the same time, from the same position and from another one.
    let (ran, (same, another)) =
        tokio::join!(run(&world, &options, &mine, &[Fault::None, Fault::Refused]), async {
            (refused(&mine).await, refused(&other).await)
        });
    assert!(ran.is_err(), "{ran:?}");
    assert!(same.contains("this replay is running"), "{same}");
    assert!(another.contains("is not complete"), "{another}");
    // Interrupted, it still keeps others away, and goes on.
    assert!(refused(&other).await.contains("is not complete"));
    assert!(run(&world, &options, &mine, &[]).await.unwrap().ends_with("; 30 in all"));
    assert_eq!(replays(&world).len(), REQUESTS);
    // A replay whose position is lost is begun again elsewhere.
    run(&world, &options, &mine, &[Fault::Refused]).await.unwrap();
    let again = ReplayOptions { restart: true, ..options.clone() };
    run(&world, &again, &mine, &[Fault::Refused]).await.unwrap_err();
    assert!(run(&world, &again, &other, &[]).await.unwrap().ends_with("; 30 in all"));
}

#[tokio::test(start_paused = true)]
async fn a_data_folder_keeps_others_away_as_well() {
    let (world, folder) = (system().await, tempfile::tempdir().unwrap());
    let data = DataFolder::open(&folder.path().join("data")).unwrap();
    let archive = FolderArchive::new(&data);
    for (name, body) in world.system.archive.files() {
        archive.put(&name, body).await.unwrap();
    }
    let (mine, other) = (folder.path().join("mine.json"), folder.path().join("other.json"));
    let run = async |position: &Path, faults: &[Fault]| {
        run_on(&archive, &world, &options(None), position, faults).await
    };
    run(&mine, &[Fault::None, Fault::Refused]).await.unwrap_err();
    let refused = run(&other, &[]).await.unwrap_err();
    assert!(refused.contains("is not complete"), "{refused}");
    // What was stored by the first run is in another archive, so that it is not known to be there.
    assert!(run(&mine, &[]).await.unwrap().contains("30 in all"));
    assert!(run(&other, &[]).await.unwrap().contains("30 in all"));
}

#[tokio::test(start_paused = true)]
async fn a_replayed_score_has_its_share_of_the_time_of_its_call() {
    let (world, folder) = (system().await, tempfile::tempdir().unwrap());
    run(&world, &options(None), &folder.path().join("position.json"), &[]).await.unwrap();
    for row in replays(&world) {
        assert_eq!(row.finished_us.since(row.started_us), CALL / 2);
    }
    // In 100 ms a call is not over.
    let schedule = folder.path().join("schedule.json");
    fs::write(&schedule, r#"{"choices":[{"model":"new@1"}],"deadline_ms":100}"#).unwrap();
    let range = past::Range { endpoint: endpoint(), from: None, to: None };
    let options = WhatIfOptions { range, schedule, sweep: None, margin_ms: Some(0) };
    let (files, table) = (&*world.system.archive, &*world.system.endpoints);
    let report = whatif(files, table, &options, Duration::ZERO).await.unwrap();
    assert_eq!(report.json["whatif"]["kinds"]["champion"], REQUESTS, "{}", report.json);
}
