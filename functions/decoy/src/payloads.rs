//! Payloads that are too large for a message: archived as if they had been in it.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use rendezvous_core::{
    Invalid, Unavailable,
    limits::MAX_PAYLOAD_BYTES,
    payloads::{FetchError, fetch},
    ports::Payloads,
};

use crate::{Numbered, rows::Evaluate};

/// The most bytes of payloads that are held at a time, and in one file: four of the largest.
const MAX_HELD_BYTES: u64 = 4 * MAX_PAYLOAD_BYTES as u64;

/// How many payloads are read at a time.
const READS_AT_ONCE: usize = 16;

/// Cuts rows into portions whose payloads may be held at a time. It depends on the records only: a batch
/// that is delivered again becomes the same files.
pub(crate) fn portions<R>(rows: Vec<Numbered<R>>) -> Vec<Vec<Numbered<R>>> {
    let (mut portions, mut held): (Vec<Vec<_>>, u64) = (Vec::new(), 0);
    for row in rows {
        let bytes = row.reference.as_ref().map_or(0, |reference| reference.bytes);
        held += bytes;
        match portions.last_mut() {
            Some(portion) if held <= MAX_HELD_BYTES => portion.push(row),
            _ => {
                held = bytes;
                portions.push(vec![row]);
            }
        }
    }
    portions
}

/// The rows with their payloads. A record whose payload is gone for good is `rejected`.
pub(crate) async fn complete<R: Evaluate>(
    payloads: &impl Payloads,
    rows: Vec<Numbered<R>>,
    rejected: &mut BTreeMap<usize, Invalid>,
) -> Result<Vec<Numbered<R>>, Unavailable> {
    let completed = rows.into_iter().map(|mut row| async move {
        let result = complete_one(payloads, &mut row).await;
        (row, result)
    });
    let mut completed = stream::iter(completed).buffered(READS_AT_ONCE);
    let mut rows = Vec::new();
    while let Some((row, result)) = completed.next().await {
        match result {
            Ok(()) => rows.push(row),
            Err(FetchError::Invalid(invalid)) => drop(rejected.insert(row.number, invalid)),
            Err(FetchError::Unavailable(unavailable)) => return Err(unavailable),
        }
    }
    Ok(rows)
}

async fn complete_one<R: Evaluate>(
    payloads: &impl Payloads,
    Numbered { row, reference, .. }: &mut Numbered<R>,
) -> Result<(), FetchError> {
    if let Some(reference) = reference {
        let payload = fetch(payloads, row.endpoint(), row.request_id(), reference).await?;
        row.complete(&payload);
    }
    Ok(())
}
