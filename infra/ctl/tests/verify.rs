//! What a run finds of systems that work, and of systems of which a part does not.

use std::time::Duration;

use http::Method;
use rendezvous_archive::RequestRow;
use rendezvous_core::memory::Trouble;
use rendezvous_tests::{
    Does::{self, Fail, Hang, Score},
    World, rows,
};
use rendezvousctl::verify::{
    Limits, MARK, Unusable, Verified,
    api::{Api, Call, Reply},
    payload::Payloads,
    report::Status,
    verify,
};

/// The HTTP interface of a system in virtual time, and its archive.
struct Simulated(World);

impl Api for Simulated {
    async fn call(&self, call: Call<'_>) -> Result<Reply, String> {
        let Call { method, path, headers, body } = call;
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let reply = self.0.call(method, path, headers, body).await;
        let timing = reply.headers.get("server-timing").map(|value| value.to_str().unwrap());
        Ok(Reply {
            status: u16::try_from(reply.status).unwrap(),
            body: reply.body,
            server_timing: timing.unwrap_or_default().to_owned(),
            took: Duration::from_secs_f64(reply.took_ms / 1e3),
        })
    }
}

/// A system of which a@1, b@1, c@1 and d@1 do this.
async fn system(models: [Option<Does>; 4]) -> Simulated {
    let world = World::new().await;
    for (id, does) in ["a@1", "b@1", "c@1", "d@1"].into_iter().zip(models) {
        if let Some(does) = does {
            world.model(id, does);
        }
    }
    Simulated(world)
}

async fn verified(system: &Simulated) -> Verified {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("payload");
    std::fs::write(&file, "{ \"a\" : 1.0 }").unwrap();
    let mut payloads = Payloads::default();
    payloads.add(file.to_str().unwrap()).unwrap();
    let limits = Limits { first_answer: Duration::from_secs(20), archive: Duration::from_mins(2) };
    verify(system, &*system.0.system.archive, &payloads, limits).await.unwrap()
}

/// The steps that are not well.
fn wrong(verified: &Verified) -> Vec<(&str, Status)> {
    let steps = verified.report.steps.iter().filter(|step| step.status != Status::Ok);
    steps.map(|step| (step.step.as_str(), step.status)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_system_that_works_is_well_and_its_requests_are_marked() {
    let system = system([Some(Score(10)); 4]).await;
    let verified = verified(&system).await;
    assert_eq!(wrong(&verified), [], "{}", verified.report);
    let steps: Vec<&str> = verified.report.steps.iter().map(|step| &*step.step).collect();
    let expected = [
        "health",
        "endpoints",
        "ask later",
        "ask",
        "read",
        "repeat",
        "outcome",
        "archive",
        "model a@1",
        "model b@1",
        "model c@1",
        "model d@1",
    ];
    assert_eq!(steps, expected);
    assert_eq!(verified.reported.len(), 1);
    let parts: Vec<&str> = verified.report.latencies.iter().map(|part| &*part.part).collect();
    for part in ["open and send", "received to decided", "d@1: received to begun", "d@1: scoring"] {
        assert!(parts.contains(&part), "{parts:?}");
    }
    let requests: Vec<RequestRow<'_>> = rows(&system.0.system.archive.files());
    assert_eq!(requests.len(), 2);
    for row in requests {
        assert!(row.key.as_str().starts_with(MARK), "{}", row.key);
        assert_eq!(row.payload, "{ \"a\" : 1.0 }");
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_not_there_fails_alone() {
    let system = system([Some(Score(10)), Some(Score(10)), None, Some(Fail(10))]).await;
    let verified = verified(&system).await;
    let expected = [("model c@1", Status::Failed), ("model d@1", Status::Failed)];
    assert_eq!(wrong(&verified), expected, "{}", verified.report);
    let advice = verified.report.steps.iter().find(|step| step.step == "model c@1").unwrap();
    assert!(advice.advice.as_ref().unwrap().contains("mapping"), "{advice:?}");
}

#[tokio::test(start_paused = true)]
async fn when_no_model_answers_in_time_what_needs_an_answer_is_skipped() {
    let system = system([Some(Hang), Some(Hang), Some(Hang), Some(Hang)]).await;
    let verified = verified(&system).await;
    let wrong = wrong(&verified);
    for step in [
        ("ask later", Status::Failed),
        ("ask", Status::Failed),
        ("read", Status::Skipped),
        ("repeat", Status::Skipped),
        ("outcome", Status::Skipped),
        ("model a@1", Status::Failed),
    ] {
        assert!(wrong.contains(&step), "{}", verified.report);
    }
    assert!(!wrong.contains(&("archive", Status::Failed)), "{}", verified.report);
}

#[tokio::test(start_paused = true)]
async fn an_archive_that_cannot_be_written_is_found() {
    let system = system([Some(Score(10)); 4]).await;
    system.0.system.archive.outage.set(Trouble::Down);
    let verified = verified(&system).await;
    let wrong = wrong(&verified);
    assert!(wrong.contains(&("archive", Status::Failed)), "{}", verified.report);
    assert!(!wrong.iter().any(|(step, _)| *step == "ask"), "{}", verified.report);
}

#[tokio::test(start_paused = true)]
async fn without_a_payload_nothing_is_asked() {
    let system = system([Some(Score(10)); 4]).await;
    let archive = system.0.system.archive.clone();
    let limits = Limits { first_answer: Duration::from_secs(5), archive: Duration::from_secs(5) };
    let unusable = verify(&system, &*archive, &Payloads::default(), limits).await;
    let Err(Unusable::NoPayload(endpoints)) = unusable else { panic!("{unusable:?}") };
    assert_eq!(endpoints, ["e".parse().unwrap()]);
}
