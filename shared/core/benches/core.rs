//! What the core costs: `cargo bench -p rendezvous-core`. Items are scores or messages; divan's
//! items a second are those of one core.

#![expect(clippy::expect_used, reason = "a bench that cannot begin must not go on")]

use std::{hint::black_box, sync::Arc, time::Duration};

use divan::{Bencher, counter::ItemsCount};
use rendezvous_core::{
    Choice, Configuration, Endpoint, Envelope, Json, Mailbox, RequestMessage, Schedule, Score,
    ScoreMessage, conformance::samples, memory::MemoryLedger, now, settle::settle,
};
use serde_json::value::{RawValue, to_raw_value};

fn main() {
    divan::main();
}

const PAYLOAD: &str = r#"{"carrier":"UA","flight":1545,"origin":"EWR","dest":"IAH","weekday":1,"hour":5,"distance":1400,"weather":{"temp":39.02,"wind_speed":12.65858,"precip":0.0,"visib":10.0,"pressure":1011.9}}"#;

/// Eight choices, none open but the first, and a mailbox in which all but the first have scored:
/// every choice is looked at and none wins.
fn eight_choices() -> (Schedule, Mailbox) {
    let choice = |i: u64| Choice {
        model: format!("model-{i}@1").parse().expect("a model id"),
        after: Duration::from_millis(i * 10),
    };
    let schedule = Schedule::new((0..8).map(choice).collect(), Duration::from_secs(1), None);
    let mut mailbox = Mailbox::empty(samples::envelope(&samples::endpoint()));
    for i in (1..8).rev() {
        mailbox.file(&[samples::score(&format!("model-{i}@1"), "0.5")]);
    }
    (schedule.expect("a schedule"), mailbox)
}

#[divan::bench]
fn decide_with_eight_choices(bencher: Bencher) {
    let (schedule, mailbox) = eight_choices();
    let received = mailbox.envelope.received;
    let (deadline, at) = (received + Duration::from_secs(1), received + Duration::from_millis(5));
    bencher.bench(|| {
        schedule.decide(black_box(received), deadline, black_box(at), black_box(&mailbox), &[])
            == rendezvous_core::Verdict::WaitUntil(received)
    });
}

fn request() -> (Endpoint, Arc<Envelope>, Json) {
    let endpoint = samples::endpoint();
    let envelope = samples::envelope(&endpoint);
    (endpoint, envelope, Json::parse(PAYLOAD).expect("JSON"))
}

/// One request's life on the ledger: the champion's score is filed and settles it.
#[divan::bench]
fn file_and_settle_a_score(bencher: Bencher) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let ledger = MemoryLedger::with_capacity(10_000);
    let endpoint = samples::endpoint();
    let score = [samples::score("a@1", r#"{"p":0.25}"#)];
    bencher
        .counter(ItemsCount::new(1_u32))
        .with_inputs(|| samples::envelope(&endpoint))
        .bench_values(|envelope| {
            let settled =
                settle(&ledger, &endpoint, &envelope, None, &score, &[], envelope.received);
            runtime.block_on(settled).expect("the ledger answers")
        });
}

/// A score that settles nothing yet, as a stand-in's mostly does.
#[divan::bench]
fn file_a_score(bencher: Bencher) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let endpoint = samples::endpoint();
    let score = [samples::score("b@1", r#"{"p":0.25}"#)];
    let inputs = || (MemoryLedger::with_capacity(100), samples::envelope(&endpoint));
    bencher.counter(ItemsCount::new(1_u32)).with_inputs(inputs).bench_values(
        |(ledger, envelope)| {
            let filed = settle(&ledger, &endpoint, &envelope, None, &score, &[], envelope.received);
            runtime.block_on(filed).expect("the ledger answers")
        },
    );
}

#[divan::bench]
fn write_a_request(bencher: Bencher) {
    let (_, envelope, payload) = request();
    bencher.counter(ItemsCount::new(1_u32)).bench(|| RequestMessage::write(&envelope, &payload));
}

#[divan::bench]
fn parse_a_request(bencher: Bencher) {
    let (_, envelope, payload) = request();
    let bytes = RequestMessage::write(&envelope, &payload).expect("a message");
    bencher
        .counter(ItemsCount::new(1_u32))
        .bench(|| RequestMessage::parse(black_box(&bytes)).is_ok());
}

fn scored() -> (Box<RawValue>, Score) {
    let (_, envelope, _) = request();
    (
        to_raw_value(&*envelope).expect("JSON"),
        samples::score("gbt@1", r#"{"delay_probability":0.25}"#),
    )
}

#[divan::bench]
fn write_a_score(bencher: Bencher) {
    let (envelope, score) = scored();
    bencher.counter(ItemsCount::new(1_u32)).bench(|| ScoreMessage::write(&envelope, &score, None));
}

#[divan::bench]
fn parse_a_score(bencher: Bencher) {
    let (envelope, score) = scored();
    let bytes = ScoreMessage::write(&envelope, &score, None).expect("a message");
    bencher
        .counter(ItemsCount::new(1_u32))
        .bench(|| ScoreMessage::parse(black_box(&bytes)).is_ok());
}

#[divan::bench]
fn parse_a_configuration(bencher: Bencher) {
    let text = serde_json::to_string(&samples::endpoint().configuration).expect("JSON");
    bencher.bench(|| Configuration::parse(black_box(&text)).is_ok());
}

#[divan::bench]
fn read_the_clock() -> rendezvous_core::Timestamp {
    now()
}
