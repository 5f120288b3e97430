use std::fmt::Display;

use rendezvous_core::ports::Archive;
use serde::Serialize;

use crate::events::{Batch, Carried, Source};

/// What the on-failure destination is told of records that are given up.
pub(super) struct Failed<'a> {
    pub(super) function: &'a str,
    pub(super) condition: &'a str,
    /// How often the function was invoked with them.
    pub(super) tried: u32,
    pub(super) source: &'a Source,
}

#[derive(Serialize)]
struct FailedBatch<'a, E> {
    function: &'a str,
    condition: &'a str,
    approximate_invoke_count: u32,
    stream: &'a str,
    shard: &'a str,
    start_sequence_number: &'a str,
    end_sequence_number: &'a str,
    /// The event that the function could not handle.
    payload: E,
}

impl Failed<'_> {
    /// Sends records to the on-failure destination, whole, as one file.
    pub(super) async fn store<T: Carried>(&self, failures: &impl Archive, records: &Batch<T>) {
        let (Some(first), Some(last)) = (records.front(), records.back()) else { return };
        let (start, end) = (first.sequence_number(), last.sequence_number());
        let Self { function, condition, tried, source } = self;
        let Source { name: stream, shard } = source;
        tracing::error!(function, stream, shard, start, end, condition, "records have failed");
        let failed = FailedBatch {
            function,
            condition,
            approximate_invoke_count: *tried,
            stream,
            shard,
            start_sequence_number: start,
            end_sequence_number: end,
            payload: T::event(source, records),
        };
        let name = format!("failed/{function}/{stream}-{shard}-{start}-{end}.json");
        // By way of a value, whose members are in alphabetical order: an event's maps have none.
        let body = serde_json::to_value(&failed).and_then(|value| serde_json::to_vec(&value));
        let body = match body {
            Ok(body) => body.into(),
            Err(error) => return self.lost(&name, &error),
        };
        if let Err(error) = failures.put(&name, body).await {
            self.lost(&name, &error);
        }
    }

    fn lost(&self, name: &str, error: &dyn Display) {
        tracing::error!(function = self.function, name, %error, "failed records are lost");
    }
}
