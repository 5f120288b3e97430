//! Records as the events of Lambda.

use std::time::Duration;

use bytes::Bytes;
use rendezvous_aws::{
    batch::{Image, ItemChange},
    items::{ledger, outcome},
};
use rendezvous_core::{
    Json, Write,
    conformance::samples,
    memory::{Change, MemoryLedger, MemoryOutcomes, Position, Subscription},
    now,
    ports::{Ledger, OutcomeTable},
};
use rendezvous_sim::events::{Batch, Carried, Source};

async fn records(lane: &Subscription<Change>) -> Batch<Change> {
    lane.next(10, usize::MAX, Duration::ZERO).await.into()
}

fn events(records: &Batch<Change>) -> Vec<ItemChange<'_>> {
    let source = Source { name: "t", shard: "shardId-000000000000".to_owned() };
    let batch = Change::event(&source, records);
    batch.records().iter().flatten().map(|record| record.content.clone()).collect()
}

#[tokio::test]
async fn a_change_has_the_images_of_the_item_before_and_after() {
    let (table, endpoint) = (MemoryLedger::default(), samples::endpoint());
    let lane = &table.changes.subscribe(Position::TrimHorizon, 1)[0];
    let (new, known) = (samples::envelope(&endpoint), samples::envelope(&endpoint));
    let filed = Write::file(&known, &[samples::score("a@1", "1")]);
    let old = table.write(&filed).await.unwrap().into_mailbox().unwrap();
    for envelope in [&new, &known] {
        table.write(&samples::fallback(&endpoint, envelope)).await.unwrap();
    }
    let records = records(lane).await;
    let [made, insert, modify] = &events(&records)[..] else { panic!("not three events") };
    assert_eq!((&*made.name, &ledger::mailbox(&made.new.item())), ("INSERT", &Ok(old.clone())));
    assert_eq!([0, 1, 2].map(|number| records[number].data.is_decided()), [false, true, true]);
    assert_eq!((&*insert.name, &*modify.name), ("INSERT", "MODIFY"));
    assert_eq!(*insert.keys.item(), ledger::key(new.id));
    assert!(insert.old.is_empty());
    let decided = ledger::mailbox(&insert.new.item()).unwrap();
    assert_eq!((decided.envelope, decided.scores.len()), (new, 0));
    assert!(decided.decision.is_some());
    assert_eq!(ledger::mailbox(&modify.old.item()), Ok(old.clone()));
    let decided = ledger::mailbox(&modify.new.item()).unwrap();
    assert_eq!(decided.scores, old.scores);
    assert!(decided.decision.is_some());
    assert!(ledger::EXPIRES_AT.is_in(&modify.new.item()));
}

#[tokio::test]
async fn an_outcome_that_is_reported_again_modifies_its_item() {
    let (outcomes, endpoint) = (MemoryOutcomes::default(), samples::endpoint());
    let lane = &outcomes.changes.subscribe(Position::TrimHorizon, 1)[0];
    let id = samples::envelope(&endpoint).id;
    for text in ["1", "2"] {
        let outcome = Json::parse(text).unwrap();
        outcomes.put(&endpoint.name, id, outcome, now()).await.unwrap();
    }
    let records = records(lane).await;
    let [insert, modify] = &events(&records)[..] else { panic!("not two events") };
    assert_eq!((&*insert.name, &*modify.name), ("INSERT", "MODIFY"));
    assert_eq!(modify.old, insert.new);
    let read =
        |image: &Image<'_>| outcome::read(&image.item()).unwrap().outcome.as_str().to_owned();
    assert_eq!([&modify.old, &modify.new].map(read), ["1", "2"]);
}

#[test]
fn the_endpoint_of_a_message_is_read_without_the_rest() {
    let endpoint = |text: &'static str| Bytes::from(text).endpoint();
    let found = Some("e".parse().unwrap());
    assert_eq!(endpoint(r#"{"payload":[1e999],"envelope":{"id":7,"endpoint":"e"}}"#), found);
    assert_eq!(endpoint(r#"{"envelope":{"endpoint":"\u0065"}}"#), found);
    for other in ["", "e", "{", r#"{"envelope":{"endpoint":7}}"#, r#"{"endpoint":"e"}"#, "[]"] {
        assert_eq!(endpoint(other), None, "{other}");
    }
}
