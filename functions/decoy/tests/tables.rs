//! What the files of the four tables hold.

use std::time::Duration;

use crate::common::*;
use parquet::{
    basic::LogicalType,
    file::{
        properties::ReaderProperties,
        reader::{FileReader, SerializedFileReader},
        serialized_reader::ReadOptionsBuilder,
    },
};
use rendezvous_archive::{DecisionRow, OutcomeRow, RequestRow, ScoreRow};
use rendezvous_aws::batch::{Batch, Event};
use rendezvous_core::{Arm, Artifact, Json, Kind, ModelId, Reason, Timestamp, memory::Trouble};
use rendezvous_decoy::{Stream, Table};
use serde_dynamo::AttributeValue;

/// JSON that parsing and writing again would change.
const ODD: [&str; 9] = [
    r#"{"a":1,"a":2}"#,
    r#"{"z":1.0 ,"a":123456789012345678901234567890e-7}"#,
    "\"\\u00e4 ä \\/ \u{1F980} \\ud83e\\udd80 \u{2028}\"",
    "[ ]",
    "null",
    "{\n\t\"deep\": [[[[[[[[{}]]]]]]]]}",
    "1e999",
    "-0.0",
    r#"{"":{"~/":"\"\\"},"b":true , "a":[1E2,1e+2]}"#,
];

#[tokio::test]
async fn a_request_is_archived_byte_for_byte_with_its_place() {
    let bed = Bed::new().await;
    let mut batch = Vec::new();
    for (i, payload) in ODD.iter().enumerate() {
        batch.push(record(3, 100 + i as u64, ARRIVED, &request(i, payload)));
    }
    let traced = String::from_utf8(request(ODD.len(), "{}")).unwrap();
    let traced = traced.replace("\"arm\"", "\"traceparent\":\"00-\\u0061b-01\",\"arm\"");
    batch.push(record(3, 999, ARRIVED, traced.as_bytes()));
    let (acknowledged, archived) = bed.records(Stream::Input, &batch).await;
    assert!(acknowledged);
    assert_eq!((archived.rows, archived.files, archived.quarantined), (10, 1, 0));
    let files = bed.files("requests");
    assert_eq!(archived.bytes, files[0].1.len());
    let name = "requests/date=2025-11-22/hour=07/shardId-000000000003-00000000000000000100-00000000000000000999-";
    assert!(files[0].0.starts_with(name), "{}", files[0].0);
    let rows: Vec<RequestRow<'_>> = bed.rows();
    for (i, (row, payload)) in rows.iter().zip(ODD).enumerate() {
        let expected = RequestRow {
            request_id: id(i).parse().unwrap(),
            endpoint: "e".parse().unwrap(),
            config: 1,
            arm: Arm::main(),
            key: "k".parse().unwrap(),
            received_us: Timestamp::from_micros(1_763_798_344_000_000),
            deadline_us: Timestamp::from_micros(1_763_798_345_000_000),
            traceparent: None,
            skip: Vec::new(),
            payload: payload.into(),
            shard: "shardId-000000000003".into(),
            sequence_number: format!("{:020}", 100 + i).into(),
            arrived_us: ARRIVED,
        };
        assert_eq!(*row, expected);
    }
    assert_eq!(rows[ODD.len()].traceparent.as_deref(), Some("00-ab-01"));
    assert_eq!(rows.len(), ODD.len() + 1);
}

#[tokio::test]
async fn a_score_has_the_value_that_its_own_version_points_at_and_a_failure_has_none() {
    let bed = Bed::new().await;
    let answers = [
        (1, r#""score":{ "p" : 0.5,"q":[7] }"#, Some(0.5)),
        (2, r#""score":{"p":0.5,"q":[7]}"#, Some(7.0)),
        (1, r#""score":{"p":"0.5"}"#, None),
        (1, r#""score":{"p":true}"#, None),
        (1, r#""score":0.5"#, None),
        (9, r#""score":{"p":0.5}"#, None),
        (1, r#""failure":{"kind":"timed_out","message":"after 5 s"}"#, None),
    ];
    let mut batch = Vec::new();
    for (i, (config, answer, _)) in answers.iter().enumerate() {
        batch.push(record(0, i as u64, ARRIVED, &score(i, *config, "a@1", answer)));
    }
    assert!(bed.records(Stream::Scores, &batch).await.0);
    let rows: Vec<ScoreRow<'_>> = bed.rows();
    let values: Vec<_> = rows.iter().map(|row| row.value).collect();
    assert_eq!(values, answers.map(|(_, _, value)| value));
    assert_eq!(rows[0].score.as_ref().map(Json::as_str), Some(r#"{ "p" : 0.5,"q":[7] }"#));
    assert_eq!(rows[0].started_us.as_micros(), 1_763_798_344_000_100);
    assert_eq!(rows[0].finished_us.as_micros(), 1_763_798_344_000_200);
    assert_eq!((rows[0].failure_kind, &rows[0].failure_message), (None, &None));
    assert_eq!(rows[6].failure_message.as_deref(), Some("after 5 s"));
    assert_eq!(rows[6].score, None);
    assert_eq!(rows[6].model.as_str(), "a@1");
    assert_eq!(rows[6].artifact, None);
}

#[tokio::test]
async fn a_score_is_archived_with_the_artefact_that_it_names() {
    let bed = Bed::new().await;
    let named = [
        r#""artifact":"sha256:0a","score":1"#,
        r#""artifact":"version:3","failure":{"kind":"failed","message":""}"#,
    ];
    let records: Vec<_> = (0..)
        .zip(named)
        .map(|(i, answer)| record(0, i as u64, ARRIVED, &score(i, 1, "a@1", answer)))
        .collect();
    assert!(bed.records(Stream::Scores, &records).await.0);
    let rows: Vec<ScoreRow<'_>> = bed.rows();
    let artifacts = rows.iter().map(|row| row.artifact.as_ref().map(Artifact::as_str));
    assert!(artifacts.eq([Some("sha256:0a"), Some("version:3")]));
}

#[tokio::test]
async fn every_kind_of_failure_is_told_in_the_word_of_its_message() {
    let bed = Bed::new().await;
    let kinds = ["failed", "timed_out", "expired", "invalid"];
    let mut batch = Vec::new();
    for (i, kind) in kinds.iter().enumerate() {
        let answer = format!("\"failure\":{{\"kind\":\"{kind}\",\"message\":\"\"}}");
        batch.push(record(0, i as u64, ARRIVED, &score(i, 1, "a@1", &answer)));
    }
    bed.records(Stream::Scores, &batch).await;
    // As analysts see it, who read the text.
    let (_, file) = bed.files("scores").remove(0);
    let file = SerializedFileReader::new(file).unwrap();
    let rows = file.get_row_iter(None).unwrap();
    let kind = |row: parquet::record::Row| {
        let mut columns = row.get_column_iter();
        columns.find(|(name, _)| *name == "failure_kind").unwrap().1.to_string()
    };
    let archived: Vec<String> = rows.map(|row| kind(row.unwrap())).collect();
    assert_eq!(archived, kinds.map(|kind| format!("\"{kind}\"")));
}

#[tokio::test]
async fn a_decision_is_archived_when_it_first_appears_and_no_other_change_is() {
    let bed = Bed::new().await;
    let champion = r#""kind":"champion","reason":"preferred","model":"a@1","score":{"p":0.25},"seen":["a@1","b@1"]"#;
    let fallback =
        r#""kind":"fallback","reason":"deadline","model":null,"score":{"p":"?"},"seen":[]"#;
    let nobody = r#""kind":"none","reason":"unavailable","model":null,"score":null,"seen":["c@1"]"#;
    let expiring = decided(1, champion);
    let batch = [
        change(1, ARRIVED, item([]), open(1)),
        change(2, ARRIVED, open(1), open(1)),
        change(3, ARRIVED, open(1), decided(1, champion)),
        change(4, ARRIVED, decided(1, champion), decided(1, champion)),
        change(5, ARRIVED, expiring, item([])),
        change(6, ARRIVED, item([]), decided(2, fallback)),
        change(7, ARRIVED, open(3), decided(3, nobody)),
    ];
    let (acknowledged, archived) = bed.changes(Table::Ledger, &batch).await;
    assert!(acknowledged && archived.rows == 3 && archived.quarantined == 0, "{archived:?}");
    let rows: Vec<DecisionRow<'_>> = bed.rows();
    let values: Vec<_> = rows.iter().map(|row| row.value).collect();
    assert_eq!(values, [Some(0.25), None, None]);
    let model = |id: &str| id.parse::<ModelId>().unwrap();
    let seen: Vec<_> = rows.iter().map(|row| row.seen.clone()).collect();
    assert_eq!(seen, [vec![model("a@1"), model("b@1")], vec![], vec![model("c@1")]]);
    let said: Vec<_> = rows.iter().map(|row| (row.kind, row.reason, row.model.clone())).collect();
    let expected = [
        (Kind::Champion, Reason::Preferred, Some(model("a@1"))),
        (Kind::Fallback, Reason::Deadline, None),
        (Kind::None, Reason::Unavailable, None),
    ];
    assert_eq!(said, expected);
    assert!(rows.iter().all(|row| row.champion == model("a@1")));
    assert_eq!(rows[1].score.as_ref().map(Json::as_str), Some(r#"{"p":"?"}"#));
    assert_eq!(rows[2].score, None);
    assert_eq!(rows[0].decided_us.as_micros(), 1_763_798_344_000_300);
    assert_eq!(rows[2].sequence_number, format!("{:021}", 7));
}

#[tokio::test]
async fn an_outcome_has_the_truth_that_the_current_configuration_points_at() {
    let bed = Bed::new().await;
    let reports = [
        (r#"{"late":true}"#, Some(1.0)),
        (r#"{"late":false}"#, Some(0.0)),
        (r#"{"late": 12.5 }"#, Some(12.5)),
        (r#"{"late":"true"}"#, None),
        (r#"{"late":null}"#, None),
        ("true", None),
    ];
    let mut batch = Vec::new();
    for (i, (report, _)) in reports.iter().enumerate() {
        batch.push(change(i as u64, ARRIVED, item([]), outcome(i, report, 1_000 + i)));
    }
    batch.push(change(99, ARRIVED, outcome(0, "1", 5), item([])));
    assert!(bed.changes(Table::Outcomes, &batch).await.0);
    let rows: Vec<OutcomeRow<'_>> = bed.rows();
    for (i, (row, (report, value))) in rows.iter().zip(reports).enumerate() {
        let expected = OutcomeRow {
            request_id: id(i).parse().unwrap(),
            endpoint: "e".parse().unwrap(),
            reported_us: Timestamp::from_micros(i64::try_from(1_000 + i).unwrap()),
            outcome: Json::parse(report).unwrap(),
            value,
            sequence_number: format!("{i:021}").into(),
            arrived_us: ARRIVED,
        };
        assert_eq!(*row, expected);
    }
    assert_eq!(rows.len(), reports.len());
}

#[tokio::test]
async fn a_file_is_sorted_in_one_row_group_with_statistics_and_a_bloom_filter() {
    let bed = Bed::new().await;
    let mut batch = Vec::new();
    for i in 0..2_000_usize {
        let number = i * 7919 % 2_000;
        batch.push(record(0, i as u64, ARRIVED, &request(number, &format!("{number}"))));
    }
    bed.records(Stream::Input, &batch).await;
    assert!(bed.rows::<RequestRow<'_>>().iter().map(|row| row.request_id).is_sorted());
    let (_, file) = bed.files("requests").remove(0);
    let properties = ReaderProperties::builder().set_read_bloom_filter(true).build();
    let options = ReadOptionsBuilder::new().with_reader_properties(properties).build();
    let file = SerializedFileReader::new_with_options(file, options).unwrap();
    assert_eq!(file.metadata().num_row_groups(), 1);
    let created_by = file.metadata().file_metadata().created_by().unwrap();
    assert!(created_by.starts_with("rendezvous version "), "{created_by}");
    let group = file.metadata().row_group(0);
    let sorted_by: Vec<i32> =
        group.sorting_columns().unwrap().iter().map(|column| column.column_idx).collect();
    assert_eq!(sorted_by, [1, 0]);
    let statistics = group.column(0).statistics().unwrap();
    assert_eq!(statistics.min_bytes_opt().unwrap(), id(0).as_bytes());
    assert_eq!(statistics.max_bytes_opt().unwrap(), id(1_999).as_bytes());
    assert_eq!(group.column(0).column_descr().logical_type_ref(), Some(&LogicalType::String));
    let reader = file.get_row_group(0).unwrap();
    let bloom_filter = reader.get_column_bloom_filter(0).unwrap();
    assert!((0..2_000).all(|i| bloom_filter.check(&&*id(i))));
    let in_vain = (2_000..12_000).filter(|i| bloom_filter.check(&&*id(*i))).count();
    assert!(in_vain < 200, "{in_vain} of 10,000");
}

#[tokio::test]
async fn records_that_cannot_be_read_are_kept_whole_in_one_file_a_batch() {
    let bed = Bed::new().await;
    let later = ARRIVED + Duration::from_hours(1);
    let batch = [
        record(0, 1, ARRIVED, b"\xff\x00garbage"),
        record(0, 2, ARRIVED, &request(1, "{}")),
        record(0, 3, later, b"{\"v\":2}"),
    ];
    let (acknowledged, archived) = bed.records(Stream::Input, &batch).await;
    assert!(acknowledged);
    assert_eq!((archived.rows, archived.quarantined, archived.files), (1, 2, 2));
    let lines = bed.quarantined();
    assert_eq!(lines[0].0, "input");
    assert_eq!(lines[0].1["data_base64"], "/wBnYXJiYWdl");
    assert_eq!(lines[0].1["partition_key"], "k");
    assert_eq!(lines[0].1["sequence_number"], "00000000000000000001");
    assert!(lines[1].1["reason"].as_str().unwrap().contains("request message"), "{lines:?}");

    let mut twisted = outcome(1, "{}", 1);
    twisted.insert("reported_us".to_owned(), s("now"));
    let changes = [
        change(1, ARRIVED, item([]), twisted.clone()),
        change(2, ARRIVED, item([]), outcome(2, "{", 2)),
        change(3, ARRIVED, item([]), item([])),
        change(4, ARRIVED, item([]), item([("request", AttributeValue::Null(true))])),
    ];
    let (acknowledged, archived) = bed.changes(Table::Outcomes, &changes).await;
    assert!(acknowledged);
    assert_eq!((archived.rows, archived.quarantined, archived.files), (0, 4, 1));
    let lines = bed.quarantined();
    let kept = lines.iter().filter(|(source, _)| source == "outcomes").map(|(_, line)| line);
    let kept: Vec<_> = kept.collect();
    assert_eq!(kept[0]["change"]["dynamodb"]["NewImage"]["reported_us"]["S"], "now");
    assert!(kept[2]["reason"].as_str().unwrap().contains("no new image"));
    let undecided = change(1, ARRIVED, open(1), decided(1, "\"kind\":\"perhaps\""));
    assert_eq!(bed.changes(Table::Ledger, &[undecided]).await.1.quarantined, 1);
}

#[tokio::test]
async fn while_configurations_cannot_be_read_the_batch_is_delivered_again_and_nothing_is_archived()
{
    let bed = Bed::new().await;
    let batch = [record(0, 1, ARRIVED, &score(1, 1, "a@1", "\"score\":{\"p\":1}"))];
    let report = [change(1, ARRIVED, item([]), outcome(1, "{\"late\":true}", 1))];
    bed.endpoints.outage.set(Trouble::Down);
    assert!(!bed.records(Stream::Scores, &batch).await.0);
    assert!(!bed.changes(Table::Outcomes, &report).await.0);
    assert!(bed.archive.files.files().is_empty());
    assert!(bed.records(Stream::Input, &[record(0, 1, ARRIVED, &request(1, "1"))]).await.0);
    bed.endpoints.outage.set(Trouble::None);
    assert!(bed.records(Stream::Scores, &batch).await.0);
    assert!(bed.changes(Table::Outcomes, &report).await.0);
    assert_eq!(bed.rows::<ScoreRow<'_>>()[0].value, Some(1.0));
    assert_eq!(bed.rows::<OutcomeRow<'_>>()[0].value, Some(1.0));
}

#[tokio::test]
async fn a_batch_over_two_hours_is_two_files_and_is_acknowledged_with_the_second() {
    let bed = Bed::new().await;
    let later = ARRIVED + Duration::from_mins(1);
    let batch = [
        record(0, 1, ARRIVED, &request(1, "1")),
        record(0, 2, later, &request(2, "2")),
        record(0, 3, ARRIVED, &request(3, "3")),
    ];
    bed.archive.faults.lock().unwrap().extend([Fault::None, Fault::Refused]);
    let (acknowledged, archived) = bed.records(Stream::Input, &batch).await;
    assert!(!acknowledged);
    assert_eq!((archived.rows, archived.files), (2, 1));
    let (acknowledged, archived) = bed.records(Stream::Input, &batch).await;
    assert!(acknowledged);
    assert_eq!((archived.rows, archived.files), (1, 1), "the first hour's file was there");
    let hours: Vec<String> =
        bed.files("requests").iter().map(|(name, _)| name[..33].to_owned()).collect();
    assert_eq!(hours, ["requests/date=2025-11-22/hour=07/", "requests/date=2025-11-22/hour=08/"]);
}

/// A lane receives a part of its shard's records, and lanes may be merged between two attempts.
#[tokio::test]
async fn batches_with_the_same_ends_and_other_records_between_never_share_a_name() {
    let bed = Bed::new().await;
    let all: Vec<_> =
        (0..5).map(|i| record(0, i as u64, ARRIVED, &request(i, &i.to_string()))).collect();
    let lane = [all[0].clone(), all[2].clone(), all[4].clone()];
    assert!(bed.records(Stream::Input, &lane).await.0);
    assert!(bed.records(Stream::Input, &all).await.0);
    let mut ids: Vec<_> = bed.rows::<RequestRow<'_>>().into_iter().map(|row| row.payload).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    // A record that this code cannot read and a later version may read.
    let mut poisoned = all.clone();
    poisoned[2].content.bytes = b"?".as_slice().into();
    assert_eq!(bed.records(Stream::Input, &poisoned).await.1.rows, 4);
}

/// The event is read as on AWS: a record without a time of arrival, and one without data.
#[tokio::test]
async fn a_record_that_is_not_even_a_record_is_kept_as_it_came_and_the_others_are_archived() {
    let bed = Bed::new().await;
    let requests = (1..=3).map(|i| record(0, i, ARRIVED, &request(1, "{}"))).collect();
    let mut event = serde_json::to_value(Batch::new("arn", requests)).unwrap();
    let lacking = |event: &mut serde_json::Value, record: usize, field: &str| {
        let kinesis = event["Records"][record]["kinesis"].as_object_mut().unwrap();
        kinesis.remove(field).unwrap();
    };
    lacking(&mut event, 0, "approximateArrivalTimestamp");
    lacking(&mut event, 2, "data");
    let sent: Event = serde_json::from_str(&event.to_string()).unwrap();
    let response = bed.decoy.handle_stream(Stream::Input, sent.batch().unwrap()).await;
    assert!(response.batch_item_failures.is_empty(), "{response:?}");
    let report = bed.telemetry.last().unwrap();
    assert_eq!((report.rows, report.quarantined, report.files), (1, 2, 2));
    assert_eq!(bed.rows::<RequestRow<'_>>()[0].sequence_number, format!("{:020}", 2));
    let lines = bed.quarantined();
    for ((_, line), (number, field)) in
        lines.iter().zip([(0, "approximateArrivalTimestamp"), (2, "data")])
    {
        assert_eq!(line["record"], event["Records"][number]);
        assert_eq!(line["sequence_number"], event["Records"][number]["kinesis"]["sequenceNumber"]);
        assert!(line["reason"].as_str().unwrap().contains(field), "{line}");
    }
    assert_eq!(lines.len(), 2);
}
