//! Nothing is lost and everything counts once: however batches are delivered, the analysts' views
//! of the archive hold exactly what was sent.

use std::{collections::BTreeMap, ops::AsyncFn, time::Duration};

use crate::common::*;
use futures_util::future::join;
use proptest::{collection::vec, prelude::*, sample::Index};
use rendezvous_archive::{DecisionRow, OutcomeRow, RequestRow, ScoreRow};
use rendezvous_core::Timestamp;
use rendezvous_decoy::{DecoyReport, Stream, Table};
use tokio::runtime::{Builder, Runtime};

const SHARDS: usize = 2;

/// What happens to an invocation with the next records of a shard.
#[derive(Clone, Debug)]
enum Fate {
    Fine,
    /// The function dies, or its answer is lost, after it has stored everything.
    AnswerLost,
    /// The archive fails: each put is refused, or stored and not confirmed, or fine.
    Archive(Vec<Fault>),
    /// Two invocations at a time, the second with other ends.
    Twice(usize),
    /// Both halves, one after the other, as after bisecting.
    Halves,
    /// A lane delivers only some of the records, and its answer is lost.
    Lane(Vec<bool>),
    /// The same batch again after it was acknowledged: it must not write a file.
    Again,
}

fn fates() -> impl Strategy<Value = Fate> {
    let fault = prop_oneof![Just(Fault::None), Just(Fault::Refused), Just(Fault::AnswerLost)];
    prop_oneof![
        Just(Fate::Fine),
        Just(Fate::AnswerLost),
        vec(fault, 1..4).prop_map(Fate::Archive),
        (1_usize..20).prop_map(Fate::Twice),
        Just(Fate::Halves),
        vec(any::<bool>(), 20).prop_map(Fate::Lane),
        Just(Fate::Again),
    ]
}

/// Shard, size of the batch, fate.
fn histories() -> impl Strategy<Value = Vec<(usize, usize, Fate)>> {
    vec((0..SHARDS, 1_usize..20, fates()), 0..30)
}

/// Delivers every record of every shard, through `history` and then until all are acknowledged.
/// What is acknowledged is never delivered again.
async fn deliver<T: Clone>(
    bed: &Bed,
    shards: &[Vec<T>],
    history: &[(usize, usize, Fate)],
    invoke: impl AsyncFn(&[T]) -> (bool, DecoyReport),
) {
    let mut next = [0; SHARDS];
    for (shard, size, fate) in history {
        let (records, next) = (&shards[*shard], &mut next[*shard]);
        let end = |size: usize| (*next + size).min(records.len());
        let (batch, after) = (&records[*next..end(*size)], end(*size));
        if batch.is_empty() {
            continue;
        }
        let acknowledged = match fate {
            Fate::Fine => invoke(batch).await.0,
            Fate::AnswerLost => {
                invoke(batch).await;
                false
            }
            Fate::Archive(faults) => {
                bed.archive.faults.lock().unwrap().extend(faults);
                let (acknowledged, _) = invoke(batch).await;
                bed.archive.faults.lock().unwrap().clear();
                acknowledged
            }
            Fate::Twice(other) => {
                let other = &records[*next..end(*other)];
                let (first, second) = join(invoke(batch), invoke(other)).await;
                assert!(second.0);
                first.0
            }
            Fate::Halves => {
                let (first, second) = batch.split_at(batch.len() / 2);
                (first.is_empty() || invoke(first).await.0) && invoke(second).await.0
            }
            Fate::Lane(mine) => {
                let lane = batch.iter().zip(mine).filter(|(_, mine)| **mine);
                let lane: Vec<T> = lane.map(|(record, _)| record.clone()).collect();
                if !lane.is_empty() {
                    invoke(&lane).await;
                }
                false
            }
            Fate::Again => {
                assert!(invoke(batch).await.0);
                let (acknowledged, archived) = invoke(batch).await;
                assert_eq!((archived.files, archived.rows, archived.quarantined), (0, 0, 0));
                acknowledged
            }
        };
        if acknowledged {
            *next = after;
        }
    }
    for (records, next) in shards.iter().zip(next) {
        for batch in records[next..].chunks(7) {
            assert!(invoke(batch).await.0);
        }
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// When the n-th record of all arrived: the history lasts several hours.
fn arrival(n: usize) -> Timestamp {
    ARRIVED + Duration::from_secs(7 * 60 * n as u64)
}

/// The rows of a view: one for each entity, the first or the last that arrived.
fn view<R, K: Ord>(
    rows: Vec<R>,
    entity: impl Fn(&R) -> K,
    place: impl Fn(&R) -> (Timestamp, String),
    latest: bool,
) -> Vec<R> {
    let mut view: BTreeMap<K, R> = BTreeMap::new();
    for row in rows {
        match view.get(&entity(&row)) {
            Some(other) if (place(&row) < place(other)) == latest => {}
            _ => drop(view.insert(entity(&row), row)),
        }
    }
    view.into_values().collect()
}

/// Payloads that must be archived byte for byte.
const PAYLOADS: [&str; 6] = [
    r#"{"a":1,"a":2}"#,
    r#"{"z":1.0 ,"a":123456789012345678901234567890e-7}"#,
    "\"\\u00e4 ä \\/ \u{1F980}\"",
    "[ 1e999 ]",
    "null",
    "{\n\t\"deep\": [[[[{}]]]]}",
];

/// What a producer does: sends something; sends the n-th again, as a retry does; sends garbage.
#[derive(Clone, Debug)]
enum Sent {
    New,
    Again(Index),
    Garbage,
}

fn sent() -> impl Strategy<Value = Vec<Sent>> {
    let one = prop_oneof![
        6 => Just(Sent::New),
        2 => any::<Index>().prop_map(Sent::Again),
        1 => Just(Sent::Garbage),
    ];
    vec(one, 1..80)
}

/// Puts on the shards what was sent; `data(n, i)` is the n-th message in the i-th record. An entity
/// stays on one shard. Returns also how many messages there are, and how many records are garbage.
fn put(
    sent: &[Sent],
    data: impl Fn(usize, usize) -> Vec<u8>,
) -> (Vec<Vec<StreamRecord>>, usize, usize) {
    let mut shards = vec![Vec::new(); SHARDS];
    let (mut messages, mut garbage) = (0, 0);
    for (i, what) in sent.iter().enumerate() {
        let (message, data) = match what {
            Sent::Again(index) if messages > 0 => {
                let message = index.index(messages);
                (message, data(message, i))
            }
            Sent::New | Sent::Again(_) => {
                messages += 1;
                (messages - 1, data(messages - 1, i))
            }
            Sent::Garbage => {
                garbage += 1;
                (i, b"{\"v\":1".to_vec())
            }
        };
        let shard = message / 5 % SHARDS;
        shards[shard].push(record(shard, i as u64, arrival(i), &data));
    }
    (shards, messages, garbage)
}

/// Asserts that every unreadable record is in quarantine, once or more often.
fn assert_kept(bed: &Bed, garbage: usize) {
    let key = |line: &serde_json::Value| line["sequence_number"].as_str().unwrap().to_owned();
    let mut kept: Vec<String> = bed.quarantined().iter().map(|(_, line)| key(line)).collect();
    kept.sort();
    kept.dedup();
    assert_eq!(kept.len(), garbage);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_request_is_in_its_view_once(sent in sent(), history in histories()) {
        let payload = |n: usize| PAYLOADS[n % PAYLOADS.len()];
        let (shards, requests, garbage) = put(&sent, |n, _| request(n, payload(n)));
        runtime().block_on(async {
            let bed = Bed::new().await;
            let invoke = async |batch: &[_]| bed.records(Stream::Input, batch).await;
            deliver(&bed, &shards, &history, invoke).await;
            let rows: Vec<RequestRow<'_>> = bed.rows();
            let place = |row: &RequestRow<'_>| (row.arrived_us, row.sequence_number.to_string());
            let view = view(rows, |row| row.request_id, place, false);
            let found: Vec<_> = view
                .iter()
                .map(|row| (row.request_id.to_string(), row.payload.clone().into_owned()))
                .collect();
            let expected: Vec<_> =
                (0..requests).map(|n| (id(n), payload(n).to_owned())).collect();
            assert_eq!(found, expected);
            assert_kept(&bed, garbage);
        });
    }

    #[test]
    fn every_model_s_first_score_is_in_its_view_once(sent in sent(), history in histories()) {
        // Two models score each request; sent again, by a model that ran twice, a score differs.
        let model = |n: usize| ["a@1", "b@1"][n % 2];
        let (shards, scores, garbage) = put(&sent, |n, i| {
            score(n / 2, 1, model(n), &format!("\"score\":{{\"p\":{i}}}"))
        });
        let mut first: BTreeMap<(String, String), String> = BTreeMap::new();
        for record in shards.iter().flatten() {
            if let Ok(message) = rendezvous_core::ScoreMessage::parse(&record.content.bytes) {
                let key = (message.envelope.id.to_string(), message.score.model.to_string());
                let json = message.score.result.unwrap().as_str().to_owned();
                first.entry(key).or_insert(json);
            }
        }
        runtime().block_on(async {
            let bed = Bed::new().await;
            let invoke = async |batch: &[_]| bed.records(Stream::Scores, batch).await;
            deliver(&bed, &shards, &history, invoke).await;
            let rows: Vec<ScoreRow<'_>> = bed.rows();
            let place = |row: &ScoreRow<'_>| (row.arrived_us, row.sequence_number.to_string());
            let view = view(rows, |row| (row.request_id, row.model.clone()), place, false);
            assert_eq!(view.len(), scores);
            for row in view {
                let key = (row.request_id.to_string(), row.model.to_string());
                assert_eq!(row.score.unwrap().as_str(), first[&key]);
            }
            assert_kept(&bed, garbage);
        });
    }

    #[test]
    fn every_decision_is_in_its_view_once(
        changes in vec((0_usize..40, any::<bool>()), 1..80), history in histories(),
    ) {
        // A request's item is opened, or not, decided, and may change again thereafter.
        let decision = |n: usize| {
            let members = format!("\"score\":{{\"p\":{n}}},\"seen\":[\"a@1\"]");
            let who = "\"kind\":\"champion\",\"reason\":\"preferred\",\"model\":\"a@1\"";
            decided(n, &format!("{who},{members}"))
        };
        let mut items = vec![item([]); 40];
        let mut shards: Vec<Vec<TableRecord>> = vec![Vec::new(); SHARDS];
        let mut expected = BTreeMap::new();
        for (i, (n, only_opened)) in changes.iter().enumerate() {
            let is_decided = items[*n].contains_key("decision");
            let new = if *only_opened && !is_decided { open(*n) } else { decision(*n) };
            if new.contains_key("decision") {
                expected.insert(id(*n), format!("{{\"p\":{n}}}"));
            }
            let old = std::mem::replace(&mut items[*n], new.clone());
            shards[n % SHARDS].push(change(i as u64, arrival(i), old, new));
        }
        runtime().block_on(async {
            let bed = Bed::new().await;
            let invoke = async |batch: &[_]| bed.changes(Table::Ledger, batch).await;
            deliver(&bed, &shards, &history, invoke).await;
            let rows: Vec<DecisionRow<'_>> = bed.rows();
            let place = |row: &DecisionRow<'_>| (row.arrived_us, row.sequence_number.to_string());
            let view = view(rows, |row| row.request_id, place, false);
            let score = |row: &DecisionRow<'_>| row.score.as_ref().unwrap().as_str().to_owned();
            let found: BTreeMap<_, _> =
                view.iter().map(|row| (row.request_id.to_string(), score(row))).collect();
            assert_eq!(found, expected);
        });
    }

    #[test]
    fn every_request_s_latest_outcome_is_in_its_view_once(
        reports in vec(0_usize..30, 1..80), history in histories(),
    ) {
        let mut items = vec![item([]); 30];
        let mut shards: Vec<Vec<TableRecord>> = vec![Vec::new(); SHARDS];
        let mut expected = BTreeMap::new();
        for (i, n) in reports.iter().enumerate() {
            let report = format!("{{\"late\": {i} }}");
            let new = outcome(*n, &report, i);
            expected.insert(id(*n), report);
            let old = std::mem::replace(&mut items[*n], new.clone());
            shards[n % SHARDS].push(change(i as u64, arrival(i), old, new));
        }
        runtime().block_on(async {
            let bed = Bed::new().await;
            let invoke = async |batch: &[_]| bed.changes(Table::Outcomes, batch).await;
            deliver(&bed, &shards, &history, invoke).await;
            let rows: Vec<OutcomeRow<'_>> = bed.rows();
            let place = |row: &OutcomeRow<'_>| (row.arrived_us, row.sequence_number.to_string());
            let view = view(rows, |row| (row.endpoint.clone(), row.request_id), place, true);
            let outcome = |row: &OutcomeRow<'_>| row.outcome.as_str().to_owned();
            let found: BTreeMap<_, _> =
                view.iter().map(|row| (row.request_id.to_string(), outcome(row))).collect();
            assert_eq!(found, expected);
        });
    }
}
