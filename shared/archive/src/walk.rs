//! The archived requests of an endpoint with their payloads, one after the other, from any place on.
//!
//! A request is handed over once, although its row may be in several files: ids are compared with those of
//! the same day and of the day before, as the analysts' views do.
//!
//! # Limits
//!
//! Memory: some 50 bytes for each request of two days, and 32 files as they are stored.

use std::{collections::HashSet, mem};

use futures_util::{StreamExt, TryStreamExt, stream};
use rendezvous_core::{
    Arm, EndpointName, Key, RequestId, Timestamp,
    ports::{ArchiveFiles, StoredFile},
};
use serde::{Deserialize, Serialize};

use crate::{
    join::Wanted,
    layout::{Select, select},
    part::Extent,
    scan::{AT_A_TIME, Hours, ScanError, fetch, rows},
    tables::RequestRow,
};

select! {
    /// What is read of a request that is handed over.
    WalkColumns of RequestRow<'_> {
        request_id: RequestId,
        endpoint: EndpointName,
        config: u64,
        arm: Arm,
        key: Key,
        received_us: Timestamp,
        payload: String,
    }
}

select! {
    /// What is read of a request that is only not to be handed over again.
    IdColumns of RequestRow<'_> {
        request_id: RequestId,
        endpoint: EndpointName,
    }
}

/// An archived request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    pub id: RequestId,
    pub config: u64,
    pub arm: Arm,
    pub key: Key,
    pub received: Timestamp,
    /// JSON, byte for byte.
    pub payload: String,
}

/// A row of the table of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The folder of its day.
    pub day: String,
    /// How many files of the day are before its own.
    pub files_before: usize,
    pub file: String,
    pub row: usize,
}

/// Hands over each wanted request after the row `after`, with its place. The order is that of the files'
/// names, and of the rows in each.
///
/// When the files of the day of `after` have changed so that its place cannot be found, the whole day is
/// handed over again: some requests twice, none left out. Files that are added while their day is read are
/// not seen.
pub async fn walk<E: From<ScanError>>(
    files: &impl ArchiveFiles,
    wanted: &Wanted,
    after: Option<&Place>,
    mut each: impl AsyncFnMut(Archived, Place) -> Result<(), E>,
) -> Result<(), E> {
    let extent = &wanted.requests();
    let mut walk = Walk { files, extent, before: HashSet::new(), today: HashSet::new() };
    let hours = Hours::of(extent);
    let days = hours.days(files, WalkColumns::TABLE).await.map_err(ScanError::from)?;
    // Of earlier days only the ids of the last one matter.
    let first = after.map_or(0, |after| days.partition_point(|day| *day < after.day));
    for (number, day) in days.iter().enumerate().skip(first.saturating_sub(1)) {
        let mut listed = hours.files(files, day).await.map_err(ScanError::from)?;
        if number < first {
            walk.note(listed).await?;
        } else {
            let after = after.filter(|after| {
                let file = listed.get(after.files_before);
                after.day == *day && file.is_some_and(|file| file.name == after.file)
            });
            let rest = listed.split_off(after.map_or(0, |after| after.files_before));
            let place = Place {
                day: day.clone(),
                files_before: listed.len(),
                file: String::new(),
                row: after.map_or(0, |after| after.row + 1),
            };
            walk.note(listed).await?;
            walk.hand_over(rest, place, &mut each).await?;
        }
        walk.before = mem::take(&mut walk.today);
    }
    Ok(())
}

struct Walk<'w, F> {
    files: &'w F,
    extent: &'w Extent<'w>,
    /// The ids of the day before, and those of this day so far.
    before: HashSet<RequestId>,
    today: HashSet<RequestId>,
}

impl<F: ArchiveFiles> Walk<'_, F> {
    /// Reads the ids of the requests in these files of a day.
    async fn note(&mut self, listed: Vec<StoredFile>) -> Result<(), ScanError> {
        let parts =
            listed.into_iter().map(|file| fetch::<IdColumns>(self.files, file, self.extent));
        let mut parts = stream::iter(parts).buffered(AT_A_TIME);
        while let Some((name, part)) = parts.try_next().await? {
            for group in rows::<IdColumns>(&name, &part) {
                for row in group? {
                    if self.extent.endpoint.is_none_or(|name| *name == row.endpoint) {
                        self.today.insert(row.request_id);
                    }
                }
            }
        }
        Ok(())
    }

    /// Hands over the requests in these files of a day, from `place` on.
    async fn hand_over<E: From<ScanError>>(
        &mut self,
        listed: Vec<StoredFile>,
        mut place: Place,
        each: &mut impl AsyncFnMut(Archived, Place) -> Result<(), E>,
    ) -> Result<(), E> {
        let parts =
            listed.into_iter().map(|file| fetch::<WalkColumns>(self.files, file, self.extent));
        let mut parts = stream::iter(parts).buffered(AT_A_TIME);
        let mut first = mem::take(&mut place.row);
        while let Some((name, part)) = parts.try_next().await? {
            place.file = name;
            place.row = 0;
            for group in rows::<WalkColumns>(&place.file.clone(), &part) {
                for row in group? {
                    let is_ours = self.extent.endpoint.is_none_or(|name| *name == row.endpoint);
                    let is_new = is_ours
                        && !self.before.contains(&row.request_id)
                        && self.today.insert(row.request_id);
                    let is_wanted = is_new && self.extent.received.contains(&row.received_us);
                    if is_wanted && place.row >= first {
                        each(archived(row), place.clone()).await?;
                    }
                    place.row += 1;
                }
            }
            first = 0;
            place.files_before += 1;
        }
        Ok(())
    }
}

fn archived(row: WalkColumns) -> Archived {
    let WalkColumns { request_id: id, config, arm, key, received_us, payload, .. } = row;
    Archived { id, config, arm, key, received: received_us, payload }
}
