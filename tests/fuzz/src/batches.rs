//! Events of Lambda's event source mappings, and the items of tables in them.

use rendezvous_aws::{
    batch::{Batch, Content, Data, Event, ItemChange, Response},
    items::{endpoint, ledger, outcome, window},
};

/// The failure of each record names its place, and only that.
fn places<'a, T: Content<'a>>(batch: &Batch<'a, T>) {
    let _ = batch.lag();
    for number in 0..batch.records().len() {
        let place = batch.place(number);
        let response = batch.response([number].into_iter());
        assert_eq!(response.batch_item_failures[0].item_identifier, place.sequence);
    }
}

/// A batch of a Kinesis stream, and the messages in it.
pub(crate) fn kinesis(bytes: &[u8]) {
    let Ok(event) = serde_json::from_slice::<Event>(bytes) else { return };
    let Ok(batch) = event.batch::<Data<'_>>() else { return };
    places(&batch);
    let (scores, requests) = (batch.live_scores(), batch.requests());
    assert!(scores.len().max(requests.len()) <= batch.records().len());
    let written = serde_json::to_string(&batch).unwrap();
    let event: Event = serde_json::from_str(&written).unwrap();
    let again = event.batch::<Data<'_>>().unwrap();
    assert_eq!(again.records().len(), batch.records().len());
    for (again, read) in again.records().iter().zip(batch.records()) {
        match (again, read) {
            (Ok(again), Ok(read)) => {
                assert_eq!((&again.content, &again.sequence), (&read.content, &read.sequence));
                assert_eq!(again.event_id, read.event_id);
            }
            (Err(again), Err(read)) => assert_eq!(again.text.get(), read.text.get()),
            _ => panic!("a record is readable once only: {written}"),
        }
    }
}

/// A batch of a table's changes, and the items in it.
pub(crate) fn dynamodb(bytes: &[u8]) {
    let Ok(event) = serde_json::from_slice::<Event>(bytes) else { return };
    let Ok(batch) = event.batch::<ItemChange<'_>>() else { return };
    places(&batch);
    let written = serde_json::to_string(&batch).unwrap();
    let event: Event = serde_json::from_str(&written).unwrap();
    let again = event.batch::<ItemChange<'_>>().unwrap();
    assert_eq!(again.records().len(), batch.records().len());
    for (again, read) in again.records().iter().zip(batch.records()) {
        match (again, read) {
            (Ok(again), Ok(read)) => assert_eq!(again.content, read.content),
            (Err(again), Err(read)) => assert_eq!(again.text.get(), read.text.get()),
            _ => panic!("a record is readable once only: {written}"),
        }
    }
    let changes = batch.records().iter().flatten().map(|record| &record.content);
    for image in changes.flat_map(|change| [&change.old, &change.new]) {
        let item = &*image.item();
        if let Ok(mailbox) = ledger::mailbox(item) {
            assert_eq!(ledger::mailbox(&ledger::item(&mailbox)).unwrap(), mailbox);
        }
        if let Ok(reported) = outcome::read(item) {
            assert_eq!(outcome::read(&outcome::item(&reported)).unwrap(), reported);
        }
        if let Ok(entry) = window::read(item) {
            let again = window::read(&window::item(&entry)).unwrap();
            assert_eq!((again.key, again.body), (entry.key, entry.body));
        }
        let _ = endpoint::publication(item);
        let _ = endpoint::CONFIGURATION.find(item);
    }
}

/// What a function in a process of its own answers to a batch.
pub(crate) fn response(bytes: &[u8]) {
    if let Ok(read) = serde_json::from_slice::<Option<Response>>(bytes) {
        let written = serde_json::to_vec(&read).unwrap();
        assert_eq!(serde_json::from_slice::<Option<Response>>(&written).unwrap(), read);
    }
}
