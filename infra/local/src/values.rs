//! Finds out whether the number that an endpoint's `value` points to is in the scores at all: a wrong
//! pointer shows nowhere else before the archive is asked.

use std::time::Duration;

use futures_util::future::select_all;
use rendezvous_core::{
    Endpoint, ScoreMessage,
    memory::{MemoryStream, Position, Subscription},
};
use serde_json::Value;

/// After so many scores without the number it is taken to be in none.
const ENOUGH: usize = 20;

/// Reads the next scores of this version of the endpoint until one of them has the number, or
/// [`ENOUGH`] of them do not. Then there is something to warn of.
pub(crate) async fn missing_value(scores: &MemoryStream, endpoint: &Endpoint) -> Option<String> {
    let pointer = endpoint.configuration.value()?;
    let lanes = scores.subscribe(Position::Latest, 1);
    let mut without = 0;
    while without < ENOUGH {
        for message in next(&lanes).await {
            let envelope = &message.envelope;
            let of_version =
                envelope.endpoint == endpoint.name && envelope.config == endpoint.version;
            let Ok(score) = &message.score.result else { continue };
            if of_version {
                let score: Value = serde_json::from_str(score.as_str()).unwrap_or_default();
                if score.pointer(pointer).is_some_and(Value::is_number) {
                    return None;
                }
                without += 1;
            }
        }
    }
    let (name, version) = (&endpoint.name, endpoint.version);
    Some(format!(
        "value {pointer} of {name}, version {version}, is a number in none of the last {without} \
         scores: they will have no value in the archive"
    ))
}

/// The next messages of any lane.
async fn next(lanes: &[Subscription]) -> Vec<ScoreMessage> {
    let next = lanes.iter().map(|lane| Box::pin(lane.next(ENOUGH, usize::MAX, Duration::ZERO)));
    let (records, ..) = select_all(next).await;
    records.iter().filter_map(|record| ScoreMessage::parse(&record.data).ok()).collect()
}
