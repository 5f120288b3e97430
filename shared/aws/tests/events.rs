//! Events as AWS documents them, and events with one record that no function can read.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use rendezvous_aws::batch::{Batch, Content, Data, Event, ItemChange, Place, Response};
use rendezvous_core::Timestamp;
use serde_dynamo::AttributeValue;
use serde_json::{Value, json};

/// The example of the Lambda developer guide, "Polling and batching streams", for Kinesis.
const KINESIS: &str = r#"{
    "Records": [
        {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": "1",
                "sequenceNumber": "49590338271490256608559692538361571095921575989136588898",
                "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
                "approximateArrivalTimestamp": 1545084650.987
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": "shardId-000000000006:49590338271490256608559692538361571095921575989136588898",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
            "awsRegion": "us-east-2",
            "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"
        },
        {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": "1",
                "sequenceNumber": "49590338271490256608559692540925702759324208523137515618",
                "data": "VGhpcyBpcyBvbmx5IGEgdGVzdC4=",
                "approximateArrivalTimestamp": 1545084711.166
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": "shardId-000000000006:49590338271490256608559692540925702759324208523137515618",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
            "awsRegion": "us-east-2",
            "eventSourceARN": "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"
        }
    ]
}"#;

/// The example of the DynamoDB developer guide, of a new item, a changed one and a deleted one, the
/// last by its time to live.
const DYNAMODB: &str = r#"{
    "Records": [
        {
            "eventID": "7de3041dd709b024af6f29e4fa13d34c",
            "eventName": "INSERT",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-west-2",
            "dynamodb": {
                "ApproximateCreationDateTime": 1479499740,
                "Keys": { "Timestamp": { "S": "2016-11-18:12:09:36" }, "Username": { "S": "John Doe" } },
                "NewImage": {
                    "Timestamp": { "S": "2016-11-18:12:09:36" },
                    "Message": { "S": "This is a bark from the Woofer social network" },
                    "Username": { "S": "John Doe" }
                },
                "SequenceNumber": "13021600000000001596893679",
                "SizeBytes": 112,
                "StreamViewType": "NEW_IMAGE"
            },
            "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/BarkTable/stream/2016-11-16T20:42:48.104"
        },
        {
            "eventID": "c4ca4238a0b923820dcc509a6f75849b",
            "eventName": "MODIFY",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1",
            "dynamodb": {
                "ApproximateCreationDateTime": 1479499741.5,
                "Keys": { "Id": { "N": "101" } },
                "NewImage": { "Message": { "S": "changed" }, "Id": { "N": "101" }, "Raw": { "B": "AQI=" } },
                "OldImage": { "Message": { "S": "New item!" }, "Id": { "N": "101" } },
                "SequenceNumber": "222",
                "SizeBytes": 59,
                "StreamViewType": "NEW_AND_OLD_IMAGES"
            },
            "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/BarkTable/stream/2016-11-16T20:42:48.104"
        },
        {
            "eventID": "c81e728d9d4c2f636f067f89cc14862c",
            "eventName": "REMOVE",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "us-east-1",
            "userIdentity": { "type": "Service", "principalId": "dynamodb.amazonaws.com" },
            "dynamodb": {
                "ApproximateCreationDateTime": 1479499742,
                "Keys": { "Id": { "N": "101" } },
                "OldImage": { "Message": { "S": "changed" }, "Id": { "N": "101" } },
                "SequenceNumber": "333",
                "SizeBytes": 38,
                "StreamViewType": "NEW_AND_OLD_IMAGES"
            },
            "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/BarkTable/stream/2016-11-16T20:42:48.104"
        }
    ]
}"#;

fn event(text: &str) -> Event {
    serde_json::from_str(text).unwrap()
}

fn kinesis() -> Value {
    serde_json::from_str(KINESIS).unwrap()
}

fn dynamodb() -> Value {
    serde_json::from_str(DYNAMODB).unwrap()
}

/// The numbers of the records that can be read.
fn readable<'a, T: Content<'a>>(batch: &Batch<'a, T>) -> Vec<usize> {
    let records = batch.records().iter().enumerate();
    records.filter_map(|(number, record)| record.is_ok().then_some(number)).collect()
}

#[test]
fn the_documented_event_of_a_stream_is_read() {
    let event = event(KINESIS);
    let batch = event.batch::<Data<'_>>().unwrap();
    assert_eq!(batch.source(), "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream");
    let first = batch.records()[0].as_ref().unwrap();
    assert_eq!(first.arrived, Timestamp::from_micros(1_545_084_650_987_000));
    assert_eq!(first.shard(), "shardId-000000000006");
    assert_eq!(first.sequence, "49590338271490256608559692538361571095921575989136588898");
    assert_eq!(first.event_id, format!("shardId-000000000006:{}", first.sequence));
    assert_eq!(first.content.partition_key, "1");
    assert_eq!(&*first.content.bytes, b"Hello, this is a test.");
    let second = batch.records()[1].as_ref().unwrap();
    assert_eq!(&*second.content.bytes, b"This is only a test.");
    assert_eq!(batch.records().len(), 2);
}

#[test]
fn the_documented_event_of_a_table_is_read_with_both_images() {
    let event = event(DYNAMODB);
    let batch = event.batch::<ItemChange<'_>>().unwrap();
    assert!(batch.source().starts_with("arn:aws:dynamodb:us-east-1:123456789012:table/BarkTable/"));
    let [insert, modify, remove] = batch.records() else { panic!("{batch:?}") };
    let (insert, modify) = (insert.as_ref().unwrap(), modify.as_ref().unwrap());
    let remove = remove.as_ref().unwrap();
    assert_eq!((&*insert.sequence, insert.shard()), ("13021600000000001596893679", ""));
    assert_eq!(insert.arrived, Timestamp::from_micros(1_479_499_740_000_000));
    assert_eq!(modify.arrived, Timestamp::from_micros(1_479_499_741_500_000));
    assert!(insert.content.old.is_empty());
    assert_eq!(insert.content.new.item()["Username"], AttributeValue::S("John Doe".to_owned()));
    assert_eq!(modify.content.old.item()["Message"], AttributeValue::S("New item!".to_owned()));
    assert_eq!(modify.content.new.item()["Raw"], AttributeValue::B(vec![1, 2]));
    assert_eq!(modify.content.keys.item()["Id"], AttributeValue::N("101".to_owned()));
    assert_eq!(remove.content.name, "REMOVE");
    assert!(remove.content.new.is_empty());
}

#[test]
fn an_event_is_the_same_after_it_is_written() {
    let stream = event(KINESIS);
    let stream = stream.batch::<Data<'_>>().unwrap();
    let again = event(&serde_json::to_string(&stream).unwrap());
    let again = again.batch::<Data<'_>>().unwrap();
    assert_eq!(format!("{stream:?}"), format!("{again:?}"));
    let table = event(DYNAMODB);
    let table = table.batch::<ItemChange<'_>>().unwrap();
    let again = event(&serde_json::to_string(&table).unwrap());
    let again = again.batch::<ItemChange<'_>>().unwrap();
    for (before, after) in table.records().iter().zip(again.records()) {
        assert_eq!(before.as_ref().unwrap(), after.as_ref().unwrap());
    }
    assert_eq!(table.source(), again.source());
}

#[test]
fn unknown_fields_are_ignored() {
    let mut sent = kinesis();
    sent["NewField"] = json!([1]);
    sent["Records"][0]["new"] = json!({ "eventID": 1 });
    sent["Records"][0]["kinesis"]["new"] = json!(null);
    let event = event(&sent.to_string());
    assert_eq!(readable(&event.batch::<Data<'_>>().unwrap()), [0, 1]);
}

#[test]
fn times_of_arrival_are_exact() {
    for (time, micros) in [
        ("1763794344.5", 1_763_794_344_500_000),
        ("1763794344.05", 1_763_794_344_050_000),
        ("1763794344.12", 1_763_794_344_120_000),
        ("1763794344.999", 1_763_794_344_999_000),
        ("1763794344.123456", 1_763_794_344_123_456),
        ("1763794344", 1_763_794_344_000_000),
        ("1.763794344E9", 1_763_794_344_000_000),
    ] {
        let event = event(&KINESIS.replace("1545084650.987", time));
        let batch = event.batch::<Data<'_>>().unwrap();
        assert_eq!(batch.records()[0].as_ref().unwrap().arrived.as_micros(), micros, "{time}");
    }
}

/// Asserts that the first record is unreadable for a reason with this text, and the others are not.
fn assert_isolated<'a, T: Content<'a>>(batch: &Batch<'a, T>, reason: &str) {
    let [Err(unreadable), rest @ ..] = batch.records() else { panic!("it is read: {reason}") };
    assert!(unreadable.reason.to_string().contains(reason), "{reason}: {unreadable:?}");
    assert!(rest.iter().all(Result::is_ok), "{reason}");
}

#[test]
fn a_record_that_cannot_be_read_leaves_the_others() {
    let cases = [
        ("approximateArrivalTimestamp", json!(-1), "-1 s is not a time of arrival"),
        ("approximateArrivalTimestamp", json!(1e300), "not a time of arrival"),
        ("approximateArrivalTimestamp", json!("2018-12-17"), "invalid type: string"),
        ("approximateArrivalTimestamp", json!(null), "invalid type: null"),
        ("data", json!("SGVsbG8"), "data: "),
        ("data", json!("no base64"), "data: "),
        ("data", json!(null), "invalid type: null"),
        ("data", json!(["x"]), "invalid type"),
        ("sequenceNumber", json!(7), "invalid type: integer"),
        ("partitionKey", json!({}), "invalid type: map"),
    ];
    for (field, value, reason) in cases {
        let mut sent = kinesis();
        sent["Records"][0]["kinesis"][field] = value;
        let event = event(&sent.to_string());
        assert_isolated(&event.batch::<Data<'_>>().unwrap(), reason);
    }
    for field in ["approximateArrivalTimestamp", "sequenceNumber", "partitionKey", "data"] {
        let mut sent = kinesis();
        sent["Records"][0]["kinesis"].as_object_mut().unwrap().remove(field);
        let event = event(&sent.to_string());
        assert_isolated(&event.batch::<Data<'_>>().unwrap(), &format!("missing field `{field}`"));
    }
    for record in [json!({}), json!(null), json!("x"), json!([])] {
        let mut sent = kinesis();
        sent["Records"][0] = record;
        let event = event(&sent.to_string());
        assert_isolated(&event.batch::<Data<'_>>().unwrap(), "");
    }
    for field in ["ApproximateCreationDateTime", "SequenceNumber"] {
        let mut sent = dynamodb();
        sent["Records"][0]["dynamodb"].as_object_mut().unwrap().remove(field);
        let event = event(&sent.to_string());
        let batch = event.batch::<ItemChange<'_>>().unwrap();
        assert_isolated(&batch, &format!("missing field `{field}`"));
    }
    let mut sent = dynamodb();
    sent["Records"][0]["dynamodb"]["NewImage"]["Message"] = json!({ "X": "no such type" });
    let event = event(&sent.to_string());
    assert_isolated(&event.batch::<ItemChange<'_>>().unwrap(), "");
}

#[test]
fn an_unreadable_record_keeps_its_place_and_its_text() {
    let mut sent = kinesis();
    sent["Records"][0]["kinesis"].as_object_mut().unwrap().remove("data");
    sent["Records"][1].as_object_mut().unwrap().clear();
    let event = event(&sent.to_string());
    let batch = event.batch::<Data<'_>>().unwrap();
    let sequence = "49590338271490256608559692538361571095921575989136588898";
    let event_id = format!("shardId-000000000006:{sequence}");
    let place = Place { shard: "shardId-000000000006", sequence, event_id: &event_id };
    assert_eq!(batch.place(0), place);
    assert_eq!(serde_json::to_value(batch.record_as_sent(0)).unwrap(), sent["Records"][0]);
    // The text stands for the id, so that no two such records have the same.
    assert_eq!(batch.place(1), Place { shard: "", sequence: "", event_id: "{}" });
    assert_eq!(batch.source(), "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream");
    assert!(batch.messages(|_| Ok(())).is_empty());
    // "Lambda treats a batch as a complete failure if you return an empty item identifier."
    let named = |failed| {
        let Response { batch_item_failures: failures } = batch.response([failed].into_iter());
        failures[0].item_identifier.clone()
    };
    assert_eq!((named(0), named(1)), (sequence.to_owned(), String::new()));
}

#[test]
fn what_is_no_event_of_records_fails_and_an_empty_one_does_not() {
    for text in ["{}", "[]", "1", r#"{"Records":{}}"#, r#"{"Records":null}"#] {
        assert!(event(text).records().is_err(), "{text}");
    }
    let event = event(r#"{"Records":[]}"#);
    let batch = event.batch::<Data<'_>>().unwrap();
    assert_eq!((batch.source(), batch.records().len()), ("", 0));
    assert_eq!(batch.response([0].into_iter()), Response::default());
}
