//! Rows are the same after they have been written and read; files of before are read as well.

use std::{borrow::Cow, fs::File, io::Write, path::Path, sync::Arc};

use bytes::Bytes;
use parquet::{
    column::writer::ColumnWriter, file::writer::SerializedFileWriter,
    schema::parser::parse_message_type,
};
use rendezvous_archive::{DecisionRow, OutcomeRow, RequestRow, Row, ScoreRow, read, write};
use rendezvous_core::{Arm, FailureKind, Json, Kind, ModelId, Reason, RequestId, Timestamp};

/// JSON that parsing and writing again would change.
const ODD: [&str; 5] = [
    r#"{"a":1,"a":2}"#,
    "\"\\u00e4 ä \\/ \u{1F980} \\ud83e\\udd80 \u{2028}\"",
    "[ 1e999 ]",
    "{\n\t\"deep\": [[[[{}]]]]}",
    "-0.0",
];

fn id(n: usize) -> RequestId {
    format!("0199aaaa-0000-7000-8000-{n:012x}").parse().unwrap()
}

fn json(text: &str) -> Json {
    Json::parse(text).unwrap()
}

fn model(id: &str) -> ModelId {
    id.parse().unwrap()
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn request(n: usize) -> RequestRow<'static> {
    RequestRow {
        request_id: id(n),
        endpoint: "e".parse().unwrap(),
        config: 7,
        arm: Arm::main(),
        key: "ключ 7".parse().unwrap(),
        received_us: time(1_763_794_344_123_456),
        deadline_us: time(i64::MAX),
        traceparent: n.is_multiple_of(3).then(|| "00-ab-01".to_owned()),
        skip: vec![model("big@3"); n % 3],
        payload: ODD[n % ODD.len()].into(),
        shard: "shardId-000000000003".into(),
        sequence_number: format!("{n}").into(),
        arrived_us: time(i64::MIN),
    }
}

fn score(n: usize) -> ScoreRow<'static> {
    let failure = n.is_multiple_of(2).then(|| FailureKind::ALL[n / 2 % FailureKind::ALL.len()]);
    let request = request(n);
    ScoreRow {
        request_id: request.request_id,
        endpoint: request.endpoint,
        config: request.config,
        arm: request.arm,
        key: request.key,
        received_us: request.received_us,
        deadline_us: request.deadline_us,
        traceparent: request.traceparent,
        model: model("a@1"),
        artifact: (!n.is_multiple_of(3)).then(|| format!("version:{}", n % 2).parse().unwrap()),
        started_us: time(1),
        finished_us: time(2),
        score: failure.is_none().then(|| json(ODD[n % ODD.len()])),
        value: (n % 3 == 1).then_some(0.1 + 0.2),
        failure_kind: failure,
        failure_message: failure.map(|kind| format!("{kind:?}")),
        shard: request.shard,
        sequence_number: request.sequence_number,
        arrived_us: request.arrived_us,
    }
}

fn decision(n: usize) -> DecisionRow<'static> {
    let request = request(n);
    DecisionRow {
        request_id: request.request_id,
        endpoint: request.endpoint,
        config: u64::try_from(i64::MAX).unwrap(),
        arm: request.arm,
        received_us: request.received_us,
        deadline_us: request.deadline_us,
        decided_us: time(3),
        kind: Kind::ALL[n % Kind::ALL.len()],
        reason: Reason::ALL[n % Reason::ALL.len()],
        model: n.is_multiple_of(2).then(|| model("b@1")),
        champion: model("a@1"),
        seen: (0..n % 4).map(|i| model(&format!("m@{i}"))).collect(),
        presumed: (0..n % 3).map(|i| model(&format!("p@{i}"))).collect(),
        score: (!n.is_multiple_of(5)).then(|| json(ODD[n % ODD.len()])),
        value: None,
        sequence_number: request.sequence_number,
        arrived_us: request.arrived_us,
    }
}

fn outcome(n: usize) -> OutcomeRow<'static> {
    OutcomeRow {
        request_id: id(n),
        endpoint: if n.is_multiple_of(2) { "e" } else { "f" }.parse().unwrap(),
        reported_us: time(4),
        outcome: json(ODD[n % ODD.len()]),
        value: n.is_multiple_of(2).then_some(1.0),
        sequence_number: format!("{n}").into(),
        arrived_us: time(5),
    }
}

/// Writes the rows, the last first, and expects them back in order of endpoint and request.
fn assert_same<R: Row + Clone + PartialEq + std::fmt::Debug>(row: impl Fn(usize) -> R) {
    for count in [1, 2, 100, 9_000] {
        let mut rows: Vec<R> = (0..count).map(&row).collect();
        let body = write(&rows.iter().rev().collect::<Vec<_>>()).unwrap();
        rows.sort_by_key(|row| (row.endpoint().clone(), row.request_id()));
        assert!(read::<R>(body).unwrap() == rows, "{count} rows of {}", R::TABLE);
    }
}

#[test]
fn rows_of_every_table_are_the_same_after_their_file() {
    assert_same(request);
    assert_same(score);
    assert_same(decision);
    assert_same(outcome);
}

#[test]
fn an_open_file_is_read_as_its_bytes_are() {
    let rows = [request(1), request(2)];
    let body = write(&rows.iter().collect::<Vec<_>>()).unwrap();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("requests.parquet");
    File::create(&path).unwrap().write_all(&body).unwrap();
    assert_eq!(read::<RequestRow<'_>>(File::open(path).unwrap()).unwrap(), rows);
}

/// A file of the columns `schema`, each of one value or null.
fn file(schema: &str, values: &[Option<&str>]) -> Bytes {
    let schema = parse_message_type(&format!("message old {{ {schema} }}")).unwrap().into();
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    let mut group = file.next_row_group().unwrap();
    for value in values {
        let mut column = group.next_column().unwrap().unwrap();
        let levels = [i16::from(value.is_some())];
        match column.untyped() {
            ColumnWriter::ByteArrayColumnWriter(to) => {
                let texts: Vec<_> = value.iter().map(|text| (*text).into()).collect();
                to.write_batch(&texts, Some(&levels), None).unwrap();
            }
            ColumnWriter::Int64ColumnWriter(to) => {
                let numbers: Vec<i64> = value.iter().map(|text| text.parse().unwrap()).collect();
                to.write_batch(&numbers, Some(&levels), None).unwrap();
            }
            _ => panic!("only texts and integers"),
        }
        column.close().unwrap();
    }
    group.close().unwrap();
    file.into_inner().unwrap().into()
}

/// What every file of decisions has ever had, in another order and all of it optional, as other
/// writers declare it.
const OLD: &str = "optional binary endpoint (STRING); optional binary request_id (STRING);
    optional int64 config; optional binary arm (STRING); optional int64 received_us;
    optional int64 deadline_us; optional int64 decided_us; optional binary kind (STRING);
    optional binary reason (STRING); optional binary champion (STRING);
    optional binary sequence_number (STRING); optional int64 arrived_us;
    optional binary retired (STRING);";

#[test]
fn columns_that_a_file_lacks_are_null_and_others_are_ignored() {
    let id = id(1).to_string();
    let mut values =
        ["e", &id, "7", "main", "1", "2", "3", "stand_in", "opened", "a@1", "9", "4", "x"]
            .map(Some);
    let rows: Vec<DecisionRow<'_>> = read(file(OLD, &values)).unwrap();
    let expected = DecisionRow {
        config: 7,
        received_us: time(1),
        deadline_us: time(2),
        arrived_us: time(4),
        kind: Kind::StandIn,
        reason: Reason::Opened,
        model: None,
        seen: Vec::new(),
        presumed: Vec::new(),
        score: None,
        sequence_number: Cow::Borrowed("9"),
        ..decision(1)
    };
    assert_eq!(rows, [expected]);

    let wrong = |values: &[Option<&str>]| {
        read::<DecisionRow<'_>>(file(OLD, values)).unwrap_err().to_string()
    };
    values[7] = None;
    assert_eq!(wrong(&values), "column kind: null");
    values[7] = Some("perhaps");
    assert!(wrong(&values).starts_with("column kind: unknown variant"), "{}", wrong(&values));
    let schema = "optional binary request_id (STRING);";
    let error = read::<DecisionRow<'_>>(file(schema, &[Some(&id)])).unwrap_err();
    assert_eq!(error.to_string(), "column endpoint: missing");
    let schema = "optional binary request_id (STRING); optional int64 endpoint;";
    let error = read::<DecisionRow<'_>>(file(schema, &[Some(&id), Some("1")])).unwrap_err();
    assert_eq!(error.to_string(), "column endpoint: not a text");
    let error = read::<DecisionRow<'_>>(Bytes::from_static(b"PAR1?")).unwrap_err();
    assert!(error.to_string().starts_with("not a readable Parquet file"), "{error}");
}
