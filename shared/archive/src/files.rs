//! The names of the archive's files.
//!
//! `{table}/date=YYYY-MM-DD/hour=HH/{shard}-{first}-{last}-{digest}.parquet`, or without the shard
//! where the event does not name it, holds the rows that arrived within an hour. `first` and
//! `last` are sequence numbers; the digest is of the place of every row in the file. So equal names
//! mean equal rows, however a batch is divided or filtered, and by whatever version of this code
//! it is read. A file is written once: a batch that is delivered again in the same way changes
//! nothing, and one that is delivered again in another way adds files with rows that the archive
//! has already, which the analysts' views count once.
//!
//! `tool-{generation}-{digest}.parquet` in the same folders is a file that a tool has written in the place of others: without
//! the rows of a request that was erased, or with the rows of many small files. Its digest is of its bytes; its generation is
//! one more than that of each file that it replaces, so that in the order of the names it stands behind all of them. Whoever
//! lists a folder in that order while the tool is at work finds a row in the old file, in the new one, or in both.
//!
//! `quarantine/{source}/{shard}-{first}-{last}-{digest}.ndjson` holds whole records that are
//! permanently unreadable or unwritable.

use std::fmt::{self, Write};

use chrono::DateTime;
use rendezvous_core::Timestamp;
use sha2::{Digest, Sha256};

use crate::layout::Row;

/// The place of a record on its stream, as far as the names of files depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Empty where the event does not name the shard.
    pub shard: &'a str,
    pub sequence_number: &'a str,
    /// The id of the record in the event, unique over all shards. May be empty.
    pub event_id: &'a str,
}

/// An hour of arrival: a partition of each table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hour(i64);

impl Hour {
    const MICROS: i64 = 3_600_000_000;

    /// The hour within which a record arrived.
    pub fn of(arrived: Timestamp) -> Self {
        Self(arrived.as_micros().div_euclid(Self::MICROS))
    }
}

/// `date=2025-11-22/hour=07`.
impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = DateTime::from_timestamp_micros(self.0.saturating_mul(Self::MICROS));
        begin.unwrap_or_default().format("date=%Y-%m-%d/hour=%H").fmt(f)
    }
}

/// The name of a file of a table with the rows of these records, in the order of their stream.
pub fn table_file<'a, R: Row>(hour: Hour, records: impl Iterator<Item = Place<'a>>) -> String {
    format!("{}/{hour}/{}.parquet", R::TABLE, span(records))
}

/// The name of a file with this content that takes the place of others, which are all in one folder.
pub fn tool_file<'a>(replaces: impl Iterator<Item = &'a str>, body: &[u8]) -> String {
    let (mut folder, mut generation) = ("", 0);
    for name in replaces {
        let (of_file, file) = name.rsplit_once('/').unwrap_or(("", name));
        (folder, generation) = (of_file, generation.max(generation_of(file) + 1));
    }
    let digest = hex(&Sha256::digest(body)[..8]);
    format!("{folder}/{TOOL}{generation:06}-{digest}.parquet")
}

/// How the names of files begin that a tool has written: behind digits and `shardId`.
const TOOL: &str = "tool-";

/// The generation of a file; 0 of one that the decoy has written.
fn generation_of(file: &str) -> u32 {
    let generation = file.strip_prefix(TOOL).and_then(|rest| rest.split('-').next());
    generation.and_then(|generation| generation.parse().ok()).unwrap_or(0)
}

/// Bytes as text.
fn hex(bytes: &[u8]) -> String {
    // Writing to a string cannot fail.
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The name of a file with records of `source` that are in quarantine.
pub fn quarantine_file<'a>(source: &str, records: impl Iterator<Item = Place<'a>>) -> String {
    format!("quarantine/{source}/{}.ndjson", span(records))
}

/// `{shard}-{first}-{last}-{digest}`.
fn span<'a>(mut records: impl Iterator<Item = Place<'a>>) -> String {
    let Some(first) = records.next() else { return String::new() };
    let mut digest = Sha256::new();
    let mut add = |place: &Place<'_>| {
        let id = if place.event_id.is_empty() { place.sequence_number } else { place.event_id };
        digest.update(id);
        digest.update([0]);
    };
    add(&first);
    let mut last = first.sequence_number;
    for place in records {
        add(&place);
        last = place.sequence_number;
    }
    let mut name = String::new();
    if !first.shard.is_empty() {
        name = [first.shard, "-"].concat();
    }
    // Writing to a string cannot fail.
    let _ = write!(name, "{}-{last}-{}", first.sequence_number, hex(&digest.finalize()[..8]));
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RequestRow;

    fn place<'a>(shard: &'a str, sequence_number: &'a str, event_id: &'a str) -> Place<'a> {
        Place { shard, sequence_number, event_id }
    }

    /// Files that are stored must keep their names: a batch of before that is delivered again
    /// would be archived twice.
    #[test]
    fn names_are_those_of_before() {
        let hour = Hour::of(Timestamp::from_micros(1_763_798_344_123_456));
        let records = [place("shardId-3", "1", "shardId-3:1"), place("shardId-3", "2", "")];
        assert_eq!(
            table_file::<RequestRow<'_>>(hour, records.into_iter()),
            "requests/date=2025-11-22/hour=07/shardId-3-1-2-798842be8f28682c.parquet"
        );
        assert_eq!(
            quarantine_file("ledger", [place("", "7", "x")].into_iter()),
            "quarantine/ledger/7-7-14f825b2bbc32dd8.ndjson"
        );
    }

    #[test]
    fn a_file_of_a_tool_stands_behind_those_that_it_replaces() {
        let folder = "scores/date=2025-11-22/hour=07/";
        let old = ["7-7-14f825b2bbc32dd8.parquet", "shardId-3-1-2-798842be8f28682c.parquet"];
        let old = old.map(|file| [folder, file].concat());
        let first = tool_file(old.iter().map(String::as_str), b"rows");
        assert_eq!(first, format!("{folder}tool-000001-bc51e9e65d79e1c9.parquet"));
        let second = tool_file([first.as_str(), old[0].as_str()].into_iter(), b"rows");
        assert!(old.iter().all(|old| *old < first) && first < second, "{second}");
    }

    #[test]
    fn an_hour_ends_at_its_last_microsecond_before_the_epoch_too() {
        let hour = |micros| Hour::of(Timestamp::from_micros(micros)).to_string();
        assert_eq!(hour(3_599_999_999), "date=1970-01-01/hour=00");
        assert_eq!(hour(3_600_000_000), "date=1970-01-01/hour=01");
        assert_eq!(hour(-1), "date=1969-12-31/hour=23");
    }
}
