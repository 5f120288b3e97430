//! The system as its template deploys it on an emulator of AWS, called by HTTP.
//!
//! It is one test with many steps, because the deployment takes most of the time.

#![allow(clippy::unwrap_used, clippy::large_futures, reason = "this is test code")]

mod again;
mod archive;
mod console;
mod interface;
mod judged;
mod maintenance;
mod ports;
mod promotion;

use std::{fs, time::Duration};

use aws_sdk_kinesis::primitives::Blob;
use futures_util::future::join_all;
use rendezvous_aws::{Aws, DynamoLedger};
use rendezvous_core::{
    Json, Mailbox, ModelId, RequestId, RequestMessage, Timestamp, conformance,
    ports::{Consistency, Ledger},
};
use rendezvous_tests::tools::root;
use rendezvous_tests_aws::{Flight, MARGIN_MS, Reply, Stack, flights, metric};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// How many requests are sent at the same time.
const CLIENTS: usize = 4;

#[tokio::test]
async fn the_deployed_system_keeps_its_promises() {
    let stack = Stack::deploy().await;
    let aws = stack.ports();
    let system = System::new(stack, &aws);
    // The configuration's first version is the one that the requests below are decided under.
    system.configure(&["logistic@1", "timetable@1", "prior@1"]);
    everything_is_verified(&system);
    ports::every_port_conforms(&system.stack, &aws).await;
    interface::ingress_has_a_generated_secret(&system);
    interface::an_unknown_endpoint_is_not_found(&system).await;
    interface::every_route_reaches_ingress(&system).await;
    interface::the_endpoint_is_listed_and_head_is_answered_where_get_is(&system).await;
    interface::a_payload_above_the_stack_s_limit_is_refused(&system).await;
    let mut asked = requests_are_answered_by_the_champion(&system).await;
    interface::a_large_payload_is_answered_by_the_champion(&system, &mut asked).await;
    a_dead_champions_stand_in_answers_in_time(&system, &mut asked).await;
    without_any_model_the_fallback_answers_at_the_deadline(&system, &mut asked).await;
    a_repeat_with_the_same_key_gets_the_same_answer(&system, &mut asked).await;
    a_configuration_change_takes_effect_without_a_deploy(&system, &mut asked).await;
    an_unreadable_record_passes_by_and_is_kept(&system, &mut asked).await;
    no_model_is_invoked_for_the_request_of_another_endpoint(&system, &mut asked).await;
    what_was_told_is_what_the_ledger_holds(&system, &asked).await;
    archive::every_request_is_in_the_archive_byte_for_byte(&system, &asked).await;
    archive::decisions_scores_and_outcomes_are_in_the_archive(&system, &asked).await;
    promotion::every_answer_around_a_promotion_is_right_under_one_version_and_arm(&system, &aws)
        .await;
    promotion::the_archive_of_the_stack_is_evidence(&system).await;
    console::every_view_of_the_console_is_answered(&system, &asked).await;
    logs_are_json_that_counts_calls_and_quotes_no_payload(&system, &asked);
    again::requests_are_replayed_and_a_batch_is_redriven(&system, &aws, asked.len()).await;
    maintenance::files_are_merged_and_a_request_is_erased(&system, &aws, &asked).await;
    judged::a_day_is_judged_by_its_outcomes(&system, &aws, &asked).await;
}

struct System {
    stack: Stack,
    ledger: DynamoLedger,
    flights: Vec<Flight>,
    /// How long each choice is preferred to the next one; `DEPLOYED_AFTER_MS`, 4,000 by default.
    after_ms: usize,
    /// Of a request. Longer than the last choice waits.
    deadline: Duration,
}

/// A payload, whether its flight arrived late, and the answer to its request.
struct Asked {
    payload: String,
    late: bool,
    reply: Reply,
}

const MODELS: [&str; 5] = ["logistic@1", "timetable@1", "prior@1", "gbt@1", "mlp@1"];

const REQUESTS: &str = "/v1/endpoints/flight-delay/requests";

impl System {
    fn new(stack: Stack, aws: &Aws) -> Self {
        let after_ms = std::env::var("DEPLOYED_AFTER_MS").map_or(4_000, |ms| ms.parse().unwrap());
        let deadline = Duration::from_millis(2 * after_ms as u64) + Duration::from_secs(7);
        Self { stack, ledger: aws.ledger().unwrap(), flights: flights(), after_ms, deadline }
    }

    /// Publishes a schedule of these models. Its times are long, because an emulator is slow on a
    /// busy machine.
    fn configure(&self, models: &[&str]) -> String {
        let choices: Vec<Value> = models
            .iter()
            .enumerate()
            .map(|(i, model)| json!({ "model": model, "after_ms": self.after_ms * i }))
            .collect();
        let observers: Vec<Value> = MODELS
            .iter()
            .filter(|model| !models.contains(model))
            .map(|model| json!({ "model": model, "role": "challenger" }))
            .collect();
        let deadline_ms = self.deadline.as_millis();
        let schedule = json!({ "choices": choices, "deadline_ms": deadline_ms, "fallback": { "delay_probability": 0.274 } });
        let configuration =
            json!({ "schedule": schedule, "observers": observers, "value": "/delay_probability" });
        let file = root().join("target/flight-delay.json");
        fs::write(&file, configuration.to_string()).unwrap();
        self.stack.apply(&file)
    }

    async fn ask(&self, flight: usize, headers: &[(&str, &str)]) -> Asked {
        let Flight { payload, late } = &self.flights[flight];
        let reply = self.stack.client().await.post(REQUESTS, headers, payload).await;
        Asked { payload: payload.clone(), late: *late, reply }
    }
}

/// The first command after a deployment.
fn everything_is_verified(system: &System) {
    println!("rendezvousctl verify");
    let (report, succeeded) = system.stack.verify(&["--archive-within", "120"]);
    println!("{report}");
    assert!(succeeded, "see the table above");
    // Functions, the archive's tables and the models of the endpoint are all looked at.
    for step in ["health", "ask later", "ask", "read", "repeat", "outcome", "archive", "mapping"]
        .into_iter()
        .chain(["model gbt@1", "clean up"])
    {
        let done = |line: &str| line.starts_with(step) && line.contains(" ok ");
        assert!(report.lines().any(done), "{step} is not in the table");
    }
}

async fn requests_are_answered_by_the_champion(system: &System) -> Vec<Asked> {
    println!("200 requests");
    let mut asked = Vec::new();
    // The first one starts the functions.
    asked.push(system.ask(0, &[]).await);
    for first in (1..=200).step_by(CLIENTS) {
        let wave = (first..first + CLIENTS).map(|flight| system.ask(flight, &[]));
        asked.extend(join_all(wave).await);
    }
    for Asked { reply, .. } in &asked {
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.text("model"), "logistic@1", "{reply:?}");
        assert_eq!(reply.text("reason"), "preferred");
    }
    report_times(system, &asked[1..]).await;
    asked
}

/// Prints how long the requests took, and how much of that was waiting for the streams.
async fn report_times(system: &System, asked: &[Asked]) {
    let ms = |from: Timestamp, to: Timestamp| to.since(from).as_secs_f64() * 1_000.0;
    let mut totals = Vec::new();
    let (mut to_model, mut scoring, mut to_decision) = (0.0, 0.0, 0.0);
    for Asked { reply, .. } in asked {
        let Mailbox { envelope, scores, decision, .. } = mailbox(system, reply).await;
        let decision = decision.unwrap();
        let score =
            scores.iter().find(|score| Some(&score.model) == decision.model.as_ref()).unwrap();
        totals.push(reply.took.as_secs_f64() * 1_000.0);
        to_model += ms(envelope.received, score.started);
        scoring += ms(score.started, score.finished);
        to_decision += ms(score.finished, decision.decided);
    }
    totals.sort_by(f64::total_cmp);
    let total: f64 = totals.iter().sum();
    let percentile = |p: usize| totals[(totals.len() - 1) * p / 100];
    println!(
        "a request, {CLIENTS} at a time, HTTP in to HTTP out: p50 {:.0} ms, p99 {:.0} ms; of the time {:.0} % \
         between ingress and model and {:.0} % between model and rendezvous (puts and the polling of \
         the streams), {:.1} % in the model, {:.0} % before and after",
        percentile(50),
        percentile(99),
        to_model / total * 100.0,
        to_decision / total * 100.0,
        scoring / total * 100.0,
        (total - to_model - scoring - to_decision) / total * 100.0
    );
}

async fn a_dead_champions_stand_in_answers_in_time(system: &System, asked: &mut Vec<Asked>) {
    println!("the champion's mapping is disabled, then enabled");
    system.stack.switch("Logistic", false);
    let dead = system.ask(201, &[]).await;
    assert_eq!(dead.reply.text("model"), "timetable@1", "{:?}", dead.reply);
    assert_eq!(dead.reply.text("reason"), "opened");
    assert!(dead.reply.took < system.deadline);
    system.stack.switch("Logistic", true);
    let alive = system.ask(202, &[]).await;
    assert_eq!(alive.reply.text("model"), "logistic@1", "{:?}", alive.reply);
    asked.extend([dead, alive]);
}

fn switch_all(system: &System, on: bool) {
    for model in ["Prior", "Timetable", "Logistic", "Gbt", "Mlp"] {
        system.stack.switch(model, on);
    }
}

async fn without_any_model_the_fallback_answers_at_the_deadline(
    system: &System,
    asked: &mut Vec<Asked>,
) {
    println!("the mappings of all models are disabled, then enabled");
    switch_all(system, false);
    let alone = system.ask(203, &[("rendezvous-deadline-ms", "1500")]).await;
    let reply = &alone.reply;
    assert_eq!((reply.status, reply.text("kind")), (200, "fallback"), "{reply:?}");
    assert_eq!(reply.text("reason"), "deadline");
    assert_eq!(reply.body["score"], json!({ "delay_probability": 0.274 }));
    assert!(reply.took >= Duration::from_millis(1_500 - MARGIN_MS), "{reply:?}");
    switch_all(system, true);
    asked.push(alone);
}

async fn a_repeat_with_the_same_key_gets_the_same_answer(system: &System, asked: &mut Vec<Asked>) {
    let key = [("idempotency-key", "once")];
    let first = system.ask(204, &key).await;
    let repeat = system.ask(204, &key).await;
    assert_eq!(first.reply.status, 200, "{:?}", first.reply);
    assert_eq!(first.reply.body, repeat.reply.body);
    let other = system.ask(205, &key).await;
    assert_eq!(other.reply.status, 409, "{:?}", other.reply);
    asked.push(first);
}

async fn a_configuration_change_takes_effect_without_a_deploy(
    system: &System,
    asked: &mut Vec<Asked>,
) {
    println!("the challenger is promoted");
    let printed = system.configure(&["gbt@1", "logistic@1", "prior@1"]);
    assert!(printed.contains("gbt@1 becomes champion of main"), "{printed}");
    assert!(printed.ends_with("flight-delay: version 2 is current\n"), "{printed}");
    let printed = system.configure(&["gbt@1", "logistic@1", "prior@1"]);
    assert_eq!(printed, "flight-delay, instead of version 2: nothing changes\n");
    // Ingress may use a pointer for one second.
    sleep(Duration::from_secs(2)).await;
    let promoted = system.ask(206, &[]).await;
    assert_eq!(promoted.reply.text("model"), "gbt@1", "{:?}", promoted.reply);
    assert_eq!(promoted.reply.body["config"], 2);
    asked.push(promoted);
}

async fn an_unreadable_record_passes_by_and_is_kept(system: &System, asked: &mut Vec<Asked>) {
    println!("an unreadable record on each stream");
    let kinesis = system.stack.kinesis();
    for stream in ["InputStream", "ScoresStream"] {
        let put = kinesis.put_record().stream_name(system.stack.output(stream));
        put.partition_key("k").data(Blob::new(*b"\xffno JSON")).send().await.unwrap();
    }
    for flight in 207..211 {
        let after = system.ask(flight, &[]).await;
        assert_eq!(after.reply.text("model"), "gbt@1", "{:?}", after.reply);
        asked.push(after);
    }
    for source in ["input", "scores"] {
        let prefix = format!("quarantine/{source}/");
        eventually(&prefix, async || !system.stack.archived(&prefix).is_empty()).await;
    }
}

async fn no_model_is_invoked_for_the_request_of_another_endpoint(
    system: &System,
    asked: &mut Vec<Asked>,
) {
    println!("a request of another endpoint");
    let archived = || system.stack.archived("requests/").len();
    let (before, files) = (invocations(system).await, archived());
    let endpoint = conformance::samples::endpoint();
    let envelope = conformance::samples::envelope(&endpoint);
    let payload = Json::parse(&system.flights[211].payload).unwrap();
    let data = RequestMessage::write(&envelope, &payload).unwrap();
    let put = system.stack.kinesis().put_record().stream_name(system.stack.output("InputStream"));
    put.partition_key("k").data(Blob::new(data)).send().await.unwrap();
    eventually("the request in the archive", async || archived() > files).await;
    assert_eq!(invocations(system).await, before, "of {MODELS:?}");
    // A request of their own endpoint does change the counts.
    asked.push(system.ask(211, &[]).await);
    let once_more: Vec<usize> = before.iter().map(|count| count + 1).collect();
    assert_eq!(invocations(system).await, once_more, "of {MODELS:?}");
}

/// How often each model's function has been invoked, once it no longer changes.
async fn invocations(system: &System) -> Vec<usize> {
    let mut counts = Vec::new();
    eventually("the models at rest", async || {
        let before = std::mem::replace(&mut counts, system.stack.invocations(&MODELS));
        before == counts
    })
    .await;
    counts
}

async fn what_was_told_is_what_the_ledger_holds(system: &System, asked: &[Asked]) {
    println!("{} answers against the ledger", asked.len());
    let mut settled = 0;
    for Asked { reply, .. } in asked {
        let decision = mailbox(system, reply).await.decision;
        if reply.body["settled"] == Value::Bool(true) {
            let decision = decision.unwrap();
            settled += 1;
            assert_eq!(reply.text("kind"), decision.kind.as_str());
            assert_eq!(reply.text("reason"), decision.reason.as_str());
            assert_eq!(reply.body["model"].as_str(), decision.model.as_ref().map(ModelId::as_str));
            let score: Value =
                serde_json::from_str(decision.score.as_ref().unwrap().as_str()).unwrap();
            assert_eq!(reply.body["score"], score);
        }
        let read = format!("{REQUESTS}/{}", reply.text("request"));
        let later = system.stack.client().await.get(&read).await;
        assert_eq!(later.body["score"], reply.body["score"]);
    }
    assert_eq!(settled, asked.len(), "some answers were not settled");
}

fn logs_are_json_that_counts_calls_and_quotes_no_payload(system: &System, asked: &[Asked]) {
    let (mut answers, mut reads, mut writes) = (0.0, 0.0, 0.0);
    for function in ["IngressFunction", "RendezvousFunction", "DecoyFunction"] {
        // It prints the metrics that it holds.
        system.stack.end(function);
        for line in system.stack.logs(function) {
            assert!(!line.contains("\"weather\""), "a payload is in the log: {line}");
            // Lines that Lambda writes.
            if ["START ", "END ", "REPORT ", "INIT_"].iter().any(|word| line.starts_with(word)) {
                continue;
            }
            let Ok(line) = serde_json::from_str::<Value>(&line) else {
                panic!("{function} logs a line that is not JSON: {line}");
            };
            if line.get("level").is_some() {
                assert!(line["span"]["requestId"].is_string(), "no id: {line}");
            }
            let sum = |name: &str| metric(&line[name]);
            answers += sum("Answers");
            reads += sum("LedgerReads") + sum("RendezvousLedgerReads");
            writes += sum("LedgerWrites") + sum("RendezvousLedgerWrites");
        }
    }
    assert!(answers >= asked.len() as f64, "{answers} answers are counted of {}", asked.len());
    println!(
        "a request: {:.1} reads and {:.1} writes of the ledger",
        reads / answers,
        writes / answers
    );
}

async fn mailbox(system: &System, reply: &Reply) -> Mailbox {
    let id: RequestId = reply.text("request").parse().unwrap();
    system.ledger.read(id, Consistency::Strong).await.unwrap().unwrap()
}

/// Waits until `so` holds, for at most a minute.
async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !so().await {
        assert!(start.elapsed() < Duration::from_mins(1), "not within a minute: {what}");
        sleep(Duration::from_millis(500)).await;
    }
}
