//! AWS with given answers, and what becomes of those that an emulator does not give.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use base64::{Engine, prelude::BASE64_STANDARD};
use rendezvous_core::{
    Mailbox, Minute, Sha256Digest, UnavailableKind, Write, Written, clock,
    conformance::samples::{endpoint, envelope, failure, fallback, received_at, score, settlement},
    now,
    ports::{
        Archive, Consistency, Entry, EntryKey, Erase, Ledger, Payloads, Record, Stream, Watch,
        WindowTable,
    },
};
use serde_json::{Value, json};

use crate::{Aws, Calls, CallsSince, Environment, ObjectError, items::ledger as items};

#[derive(Clone, Debug)]
enum Answer {
    /// A status and a body.
    Is(u16, String),
    TimesOut,
}

/// Gives the answers one after the other, and the last one again and again.
#[derive(Clone, Debug, Default)]
struct Given {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<HttpRequest>>>,
}

impl Given {
    /// How often AWS was called.
    fn calls(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// What the last call had as its body: JSON.
    fn last(&self) -> Value {
        let asked = self.asked.lock().unwrap();
        serde_json::from_slice(asked.last().unwrap().body().bytes().unwrap()).unwrap()
    }

    /// Where the last call went.
    fn address(&self) -> String {
        self.asked.lock().unwrap().last().unwrap().uri().to_owned()
    }

    /// A header of the last call.
    fn header(&self, name: &str) -> Option<String> {
        self.asked.lock().unwrap().last().unwrap().headers().get(name).map(str::to_owned)
    }
}

impl HttpConnector for Given {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.asked.lock().unwrap().push(request);
        let mut answers = self.answers.lock().unwrap();
        let answer = match answers.len() {
            1 => answers[0].clone(),
            _ => answers.pop_front().unwrap(),
        };
        HttpConnectorFuture::ready(match answer {
            Answer::Is(status, body) => {
                Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body)))
            }
            Answer::TimesOut => Err(ConnectorError::timeout("on purpose".into())),
        })
    }
}

/// AWS that gives these answers, and what it was asked.
fn aws<const N: usize>(answers: [Answer; N]) -> (Aws, Given) {
    aws_at(answers, &[])
}

/// The same with further environment variables.
fn aws_at<const N: usize>(answers: [Answer; N], more: &[(&str, &str)]) -> (Aws, Given) {
    let given = Given { answers: Arc::new(Mutex::new(answers.into())), ..Given::default() };
    let connector = SharedHttpConnector::new(given.clone());
    let names = [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "INPUT_STREAM",
        "LEDGER_TABLE",
        "WINDOWS_TABLE",
        "ARCHIVE_BUCKET",
        "PAYLOAD_BUCKET",
    ];
    let variables = names.map(|name| (name, "x"));
    let variables =
        variables.into_iter().chain([("AWS_REGION", "eu-west-1"), ("LEDGER_HOURS", "48")]);
    let variables = variables.chain(more.iter().copied());
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let client = http_client_fn(move |_, _| connector.clone());
    (Aws::calling(variables.collect::<Environment>(), client).unwrap(), given)
}

/// An error of DynamoDB or Kinesis.
fn json_error(code: &str) -> Answer {
    Answer::Is(400, json!({ "__type": code, "message": "on purpose" }).to_string())
}

/// An error of S3.
fn s3_error(status: u16, code: &str) -> Answer {
    Answer::Is(status, format!("<Error><Code>{code}</Code></Error>"))
}

fn well(body: impl Into<String>) -> Answer {
    Answer::Is(200, body.into())
}

#[tokio::test(start_paused = true)]
async fn throttling_a_time_out_and_other_errors_are_told_apart() {
    for (answer, kind) in [
        (json_error("ThrottlingException"), UnavailableKind::Throttled),
        (json_error("ProvisionedThroughputExceededException"), UnavailableKind::Throttled),
        (json_error("RequestLimitExceeded"), UnavailableKind::Throttled),
        (json_error("AccessDeniedException"), UnavailableKind::Down),
        (Answer::TimesOut, UnavailableKind::TimedOut),
    ] {
        let (aws, _) = aws([answer.clone()]);
        let id = envelope(&endpoint()).id;
        let error = aws.ledger().unwrap().read(id, Consistency::Strong).await.unwrap_err();
        assert_eq!(error.kind, kind, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_services_own_endpoint_comes_before_the_common_one() {
    let tables = ("AWS_ENDPOINT_URL_DYNAMODB", "http://tables:1");
    let all = ("AWS_ENDPOINT_URL", "http://all:2");
    let id = envelope(&endpoint()).id;
    for (variables, table, file) in [
        (&[][..], "https://dynamodb.eu-west-1.", "https://s3.eu-west-1."),
        (&[all], "http://all:2/", "http://all:2/x/a"),
        (&[tables], "http://tables:1/", "https://s3.eu-west-1."),
        (&[tables, all], "http://tables:1/", "http://all:2/x/a"),
        (&[("AWS_ENDPOINT_URL_S3", "http://s3:3")], "https://dynamodb.", "http://s3:3/x/a"),
    ] {
        let (aws, given) = aws_at([well("{}")], variables);
        let _ = aws.ledger().unwrap().read(id, Consistency::Strong).await;
        assert!(given.address().starts_with(table), "{}", given.address());
        let _ = aws.archive().unwrap().get("a").await;
        assert!(given.address().starts_with(file), "{}", given.address());
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_may_not_be_read_is_not_absent_and_one_that_may_not_be_written_not_there() {
    for code in ["AccessDenied", "NoSuchBucket", "InternalError"] {
        let aws = || aws([s3_error(403, code)]).0;
        assert!(aws().archive().unwrap().get("a").await.is_err(), "{code}");
        assert!(aws().archive().unwrap().put("a", "b".into()).await.is_err(), "{code}");
        assert!(aws().payloads().unwrap().get("a", 1).await.is_err(), "{code}");
    }
    assert_eq!(aws([s3_error(404, "NoSuchKey")]).0.payloads().unwrap().get("a", 1).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_says_why() {
    for (code, expected) in [
        ("NoSuchKey", ObjectError::NoSuchKey),
        ("PermanentRedirect", ObjectError::OtherRegion),
        ("AuthorizationHeaderMalformed", ObjectError::OtherRegion),
        ("AccessDenied", ObjectError::Refused),
    ] {
        let object = aws([s3_error(400, code)]).0.object("s3://bucket/key".parse().unwrap());
        assert_eq!(object.read(1).await, Err(expected));
    }
}

/// A page of the versions of objects: whose they are, and where the next page begins, if there is one.
fn versions(keys: &[&str], next: Option<&str>) -> Answer {
    let version =
        |key: &&str| format!("<Version><Key>{key}</Key><VersionId>v</VersionId></Version>");
    let markers = next.map_or_else(String::new, |key| {
        format!("<NextKeyMarker>{key}</NextKeyMarker><NextVersionIdMarker>v</NextVersionIdMarker>")
    });
    let listed = keys.iter().map(version).collect::<String>();
    let truncated = next.is_some();
    well(format!(
        "<ListVersionsResult><IsTruncated>{truncated}</IsTruncated>{markers}{listed}</ListVersionsResult>"
    ))
}

#[tokio::test(start_paused = true)]
async fn every_page_of_an_objects_versions_is_erased_and_no_page_of_others_is_read() {
    let deleted = || Answer::Is(204, String::new());
    let pages = || {
        let first = [versions(&["k", "k"], Some("k")), deleted(), deleted()];
        let second = [versions(&["k", "k2"], Some("k2")), deleted()];
        // Nothing more is asked.
        let last = [s3_error(500, "InternalError")];
        let all: Vec<Answer> = first.into_iter().chain(second).chain(last).collect();
        <[Answer; 6]>::try_from(all).unwrap()
    };
    let (aws, asked) = aws(pages());
    assert_eq!(aws.archive().unwrap().erase("k").await, Ok(3));
    assert_eq!(asked.calls(), 5);
    let (aws, asked) = self::aws(pages());
    assert_eq!(aws.payloads().unwrap().erase("k").await, Ok(3));
    assert_eq!(asked.calls(), 5);
    let (aws, asked) =
        self::aws([versions(&["k"], None), deleted(), s3_error(500, "InternalError")]);
    assert_eq!(aws.archive().unwrap().erase("k").await, Ok(1));
    assert_eq!(asked.calls(), 2);
}

fn record() -> Vec<Record> {
    vec![Record { key: "k".parse().unwrap(), data: "{}".into() }]
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_asked_again_unless_the_call_itself_is_wrong() {
    clock::simulate(now());
    let taken = well(r#"{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"s"}]}"#);
    for passing in [
        json_error("ProvisionedThroughputExceededException"),
        Answer::Is(500, json!({ "__type": "InternalFailure" }).to_string()),
        Answer::TimesOut,
    ] {
        let (aws, asked) = aws([passing.clone(), taken.clone()]);
        let put = aws.stream("INPUT_STREAM").unwrap();
        let put = put.put(record(), now() + Duration::from_secs(1)).await;
        assert_eq!((put, asked.calls()), (Ok(()), 2), "{passing:?}");
    }
    let (aws, asked) = aws([json_error("ResourceNotFoundException"), taken]);
    let put = aws.stream("INPUT_STREAM").unwrap();
    let put = put.put(record(), now() + Duration::from_secs(1)).await;
    assert_eq!((put.unwrap_err().indexes, asked.calls()), (vec![0], 1));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_dynamodb_rejects_for_good_is_forgotten_and_every_other_error_is_one() {
    let endpoint = endpoint();
    let envelope = envelope(&endpoint);
    let write = Write::file(&envelope, &[score("a@1", "{}")]);
    let (forgotten, _) = aws([json_error("ValidationException")]);
    assert_eq!(forgotten.ledger().unwrap().write(&write).await, Ok(Written::Forgotten));
    let (denied, _) = aws([json_error("AccessDeniedException")]);
    assert!(denied.ledger().unwrap().write(&write).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn reads_are_as_consistent_as_asked_and_counted() {
    let (aws, asked) = aws([well("{}"), well("{}"), json_error("ValidationException")]);
    let (ledger, endpoint) = (Arc::new(aws.ledger().unwrap()), endpoint());
    let envelope = envelope(&endpoint);
    let calls = CallsSince::new(ledger.clone());
    for (consistency, consistent) in [(Consistency::Strong, true), (Consistency::Eventual, false)] {
        assert_eq!(ledger.read(envelope.id, consistency).await, Ok(None));
        assert_eq!(asked.last()["ConsistentRead"], consistent);
    }
    ledger.write(&Write::file(&envelope, &[score("a@1", "{}")])).await.unwrap();
    let made = Calls { reads: 2, writes: 1 };
    assert_eq!((ledger.calls(), calls.take()), (made, made));
    ledger.write(&fallback(&endpoint, &envelope)).await.unwrap();
    assert_eq!(calls.take(), Calls { reads: 0, writes: 1 });
    assert_eq!(ledger.retention(), Duration::from_hours(48));
}

#[tokio::test(start_paused = true)]
async fn a_watch_polls_until_the_mailbox_changes_and_learns_when_an_endpoint_answers() {
    clock::simulate(now());
    let endpoint = endpoint();
    let envelope = envelope(&endpoint);
    let found = |mailbox: &Mailbox| well(json!({ "Item": items::item(mailbox) }).to_string());
    let mut open = Mailbox::empty(envelope.clone());
    open.file(&[failure("a@1")]);
    let decided = settlement(&endpoint, &envelope, &[score("a@1", "{}")], &[]).apply_to(None);
    let answers = [well("{}"), found(&open), found(&open), found(&decided)];
    let (aws, asked) = aws(answers);
    let ledger = aws.ledger().unwrap();
    let mut watch = ledger.watch(&envelope);
    for (expected, calls) in [(open, 2), (decided.clone(), 4)] {
        let begin = now();
        assert_eq!(watch.changed(envelope.deadline).await, Ok(Some(expected)));
        assert_eq!(asked.calls(), calls);
        let pauses = Duration::from_millis(10)..Duration::from_millis(20);
        assert!(pauses.contains(&now().since(begin)), "{:?}", now().since(begin));
    }
    // It was decided after a second, with half of that as the spread.
    let begin = now();
    let next = received_at(&envelope, begin);
    assert_eq!(ledger.watch(&next).changed(next.deadline).await, Ok(Some(decided)));
    let first = now().since(begin);
    assert_eq!((first, asked.calls()), (Duration::from_millis(500), 5));
}

#[tokio::test(start_paused = true)]
async fn entries_that_are_not_processed_are_sent_six_times_ever_more_slowly() {
    let unprocessed = json!({ "UnprocessedItems": { "x": [
        { "DeleteRequest": { "Key": { "series": { "S": "s" }, "entry": { "S": "e" } } } } ] } });
    let (aws, asked) = aws([well(unprocessed.to_string())]);
    let key = EntryKey { series: "s".to_owned(), minute: Minute::FIRST, part: "e".to_owned() };
    let entry = Entry { key, body: "{}".into(), expires: None };
    let begin = tokio::time::Instant::now();
    let error = aws.windows().unwrap().put(vec![entry]).await.unwrap_err();
    assert_eq!((error.kind, asked.calls()), (UnavailableKind::Throttled, 6));
    // Pauses that got shorter would last for a tenth of a second at most.
    assert!(begin.elapsed() > Duration::from_millis(100), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_payload_is_put_with_its_digest() {
    let (aws, asked) = aws([s3_error(400, "BadDigest")]);
    let payloads = aws.payloads().unwrap();
    let digest = Sha256Digest::of("[]");
    let put = payloads.put("payloads/a", "{}".into(), digest).await;
    assert!(put.is_err());
    let sent = BASE64_STANDARD.encode(digest.as_bytes());
    assert_eq!(asked.header("x-amz-checksum-sha256"), Some(sent));
    assert_eq!((payloads.url(), asked.calls()), ("s3://x", 1));
}
