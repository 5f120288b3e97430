//! The decisions that arrived last.

use std::{cmp::Reverse, time::Duration};

use rendezvous_core::{EndpointName, Timestamp, ports::ArchiveFiles};

use crate::{
    files::Hour,
    layout::Select,
    part::Extent,
    scan::{ScanError, rows_of},
    tables::DecisionRow,
};

const HOUR: Duration = Duration::from_hours(1);

/// The decisions of an endpoint that arrived after `after` and not after `to`: the last ones of them, at most
/// `limit`, the latest first. Files are read from the latest one on, until there are enough.
pub async fn decisions(
    files: &impl ArchiveFiles,
    endpoint: &EndpointName,
    after: Timestamp,
    to: Timestamp,
    limit: usize,
) -> Result<Vec<DecisionRow<'static>>, ScanError> {
    let end = Timestamp::from_micros(i64::MAX);
    let received = Timestamp::from_micros(i64::MIN)..end;
    let extent = Extent { endpoint: Some(endpoint), arrived: after..end, received };
    let mut found: Vec<DecisionRow<'static>> = Vec::new();
    let (mut hour, first) = (to, Hour::of(after));
    while Hour::of(hour) >= first {
        let folder = format!("{}/{}/", DecisionRow::TABLE, Hour::of(hour));
        let mut listed = files.list(&folder).await?;
        // A file holds what arrived before it was written.
        listed.retain(|file| file.name.ends_with(".parquet") && file.written >= after);
        listed.sort_unstable_by_key(|file| Reverse(file.written));
        for file in listed {
            let written = file.written;
            let oldest = if found.len() < limit { None } else { found.last() };
            // Files before this one hold older decisions only.
            if oldest.is_some_and(|oldest| oldest.arrived_us > written) {
                return Ok(found);
            }
            let rows: Vec<DecisionRow<'static>> = rows_of(files, file, &extent).await?;
            let is_wanted = |row: &DecisionRow<'_>| {
                row.endpoint == *endpoint && row.arrived_us > after && row.arrived_us <= to
            };
            found.extend(rows.into_iter().filter(is_wanted));
            found.sort_by_key(|row| (Reverse(row.arrived_us), row.request_id));
            found.dedup_by_key(|row| row.request_id);
            found.truncate(limit);
        }
        if found.len() >= limit {
            break;
        }
        hour = hour - HOUR;
    }
    Ok(found)
}
