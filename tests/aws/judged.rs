//! The monitor's work of a day on the deployed system: how good the models were, by outcomes that are known by now.

use std::{collections::HashMap, time::Duration};

use rendezvous_archive::{DecisionRow, OutcomeRow, RequestRow, Row, ScoreRow, files::Hour, write};
use rendezvous_aws::{Aws, S3Archive};
use rendezvous_core::{
    Configuration, EndpointName, Json, Provenance, RequestId, Timestamp, clock, now,
    ports::{Archive, EndpointTable},
};
use rendezvous_monitor::day::day_of;
use serde_json::{Value, json};

use crate::{Asked, MODELS, System, again::rows};

const DAY: Duration = Duration::from_hours(24);

/// What happened is what happened to the flights that were asked about. The rows of these requests are in the archive once more
/// as those of another endpoint, two days ago, the last day that is due: nobody can wait here for outcomes that come a day later.
pub(crate) async fn a_day_is_judged_by_its_outcomes(system: &System, aws: &Aws, asked: &[Asked]) {
    println!("the monitor's work of a day");
    let name: EndpointName = "judged".parse().unwrap();
    let noon = day_of(now() - DAY * 2).start() + DAY / 2;
    publish(aws, &name, noon).await;
    // A request that was erased is no longer there.
    let late = asked
        .iter()
        .skip(1)
        .map(|asked| (asked.reply.text("request").parse().unwrap(), asked.late));
    let late: HashMap<RequestId, bool> = late.collect();
    let expected = archive(&aws.archive().unwrap(), &name, noon, &late).await;
    let day = run(system, &name).await;
    assert_eq!([&day["requests"], &day["with_outcome"]], [late.len(); 2], "{day}");
    for judged in day["models"].as_array().unwrap() {
        let losses = &expected[judged["model"].as_str().unwrap()];
        assert_eq!(judged["outcomes"], losses.len(), "{judged}");
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        let brier = judged["brier"].as_f64().unwrap();
        assert!((brier - mean).abs() < 1e-9, "{mean} by the archive: {judged}");
    }
    assert_eq!(day["models"].as_array().unwrap().len(), MODELS.len(), "{day}");
    println!("{}", system.stack.ctl(&["status", name.as_str()]).await);
    assert_eq!(run(system, &name).await, day, "a day is computed once");
}

/// The endpoint, as if it had been published then.
async fn publish(aws: &Aws, name: &EndpointName, then: Timestamp) {
    let schedule = json!({ "choices": [{ "model": MODELS[0] }], "deadline_ms": 15_000 });
    let observers = MODELS[1..].iter().map(|model| json!({ "model": model, "role": "challenger" }));
    let configuration = json!({
        "schedule": schedule, "observers": observers.collect::<Vec<_>>(),
        "value": "/delay_probability", "outcome": "/late", "outcome_horizon_days": 1,
    });
    let configuration = Configuration::parse(&configuration.to_string()).unwrap();
    let provenance = Provenance::new("a test", "a past day").unwrap();
    let ago = now().since(then);
    clock::simulate(then);
    let published = aws.endpoints().unwrap().publish(name, configuration, provenance, None).await;
    clock::simulate(now() + ago);
    assert_eq!(published.unwrap(), 1);
}

/// Archives the requests with these outcomes as those of the endpoint, from `noon` on; returns the squared errors of each model.
async fn archive(
    archive: &S3Archive,
    name: &EndpointName,
    noon: Timestamp,
    late: &HashMap<RequestId, bool>,
) -> HashMap<String, Vec<f64>> {
    let mut requests: Vec<RequestRow<'static>> = rows(archive).await;
    let mut scores: Vec<ScoreRow<'_>> = rows(archive).await;
    let mut decisions: Vec<DecisionRow<'_>> = rows(archive).await;
    requests.retain(|row| late.contains_key(&row.request_id));
    scores.retain(|row| late.contains_key(&row.request_id));
    decisions.retain(|row| late.contains_key(&row.request_id));
    let ago = requests.iter().map(|row| row.received_us).min().unwrap().since(noon);
    let mut losses: HashMap<String, HashMap<RequestId, f64>> = HashMap::new();
    for row in &mut requests {
        (row.endpoint, row.config) = (name.clone(), 1);
        back(ago, [&mut row.received_us, &mut row.deadline_us, &mut row.arrived_us]);
    }
    for row in &mut scores {
        (row.endpoint, row.config) = (name.clone(), 1);
        back(ago, [&mut row.received_us, &mut row.deadline_us, &mut row.arrived_us]);
        back(ago, [&mut row.started_us, &mut row.finished_us]);
        if let Some(value) = row.value {
            let error = value - f64::from(u8::from(late[&row.request_id]));
            losses.entry(row.model.to_string()).or_default().insert(row.request_id, error * error);
        }
    }
    for row in &mut decisions {
        (row.endpoint, row.config) = (name.clone(), 1);
        back(ago, [&mut row.received_us, &mut row.deadline_us, &mut row.arrived_us]);
        back(ago, [&mut row.decided_us]);
    }
    let outcome = |row: &RequestRow<'static>| outcome(row, late[&row.request_id]);
    let outcomes: Vec<OutcomeRow<'_>> = requests.iter().map(outcome).collect();
    put(archive, noon, &requests).await;
    put(archive, noon, &scores).await;
    put(archive, noon, &decisions).await;
    put(archive, noon, &outcomes).await;
    losses.into_iter().map(|(model, of)| (model, of.into_values().collect())).collect()
}

/// What was reported of a request.
fn outcome<'a>(row: &RequestRow<'a>, late: bool) -> OutcomeRow<'a> {
    OutcomeRow {
        request_id: row.request_id,
        endpoint: row.endpoint.clone(),
        reported_us: row.arrived_us,
        outcome: Json::parse(&json!({ "late": late }).to_string()).unwrap(),
        value: Some(f64::from(u8::from(late))),
        sequence_number: row.sequence_number.clone(),
        arrived_us: row.arrived_us,
    }
}

fn back<const N: usize>(ago: Duration, times: [&mut Timestamp; N]) {
    for at in times {
        *at = *at - ago;
    }
}

/// All requests come within an hour.
async fn put<R: Row>(archive: &S3Archive, noon: Timestamp, rows: &[R]) {
    let file = write(&rows.iter().collect::<Vec<_>>()).unwrap();
    archive.put(&format!("{}/{}/1.parquet", R::TABLE, Hour::of(noon)), file).await.unwrap();
}

/// What `status` says of the last day after the monitor was invoked as its schedule invokes it.
async fn run(system: &System, name: &EndpointName) -> Value {
    system.stack.invoke("MonitorFunction", &json!({ "run": "day" }));
    let status = system.stack.ctl(&["status", name.as_str(), "--json"]).await;
    let status: Value = serde_json::from_str(&status).unwrap();
    status["endpoints"][0]["day"].clone()
}
