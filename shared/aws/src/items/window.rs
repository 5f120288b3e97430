//! The table of windows: one item for each entry, replaced as a whole by the next one of its key.
//! Written by the monitor.

use bytes::Bytes;
use rendezvous_core::{
    Invalid, Minute, Timestamp,
    ports::{Entry, EntryKey},
};
use serde_dynamo::Item;

use super::{Attribute, Attributes, bytes, plain, whole};

/// The series: the partition key.
pub const SERIES: Attribute<String> = plain("series");
/// The minute's ten digits, `/`, and the part: the sort key.
pub const ENTRY: Attribute<String> = plain("entry");
/// The body.
pub const BODY: Attribute<Bytes> = bytes("body");
/// Seconds since the epoch, for DynamoDB's time to live; absent where the entry is kept.
pub const EXPIRES_AT: Attribute<i64> = whole("expires_at");

const SECOND_US: i64 = 1_000_000;

/// What the sort keys of a minute begin with; in their order it is before all of them, and after
/// those of all earlier minutes.
pub fn begin(minute: Minute) -> String {
    format!("{minute}/")
}

/// The key of an item.
pub fn key(EntryKey { series, minute, part }: &EntryKey) -> Item {
    let mut key = Item::default();
    SERIES.put(series, &mut key);
    ENTRY.put(&(begin(*minute) + part), &mut key);
    key
}

/// The item of an entry. It expires with the second that `expires` is in, or after it.
pub fn item(entry: &Entry) -> Item {
    let mut item = key(&entry.key);
    BODY.put(&entry.body, &mut item);
    if let Some(expires) = entry.expires {
        let up = (expires.as_micros().saturating_add(SECOND_US - 1)).div_euclid(SECOND_US);
        EXPIRES_AT.put(&up, &mut item);
    }
    item
}

/// The entry that an item holds.
pub fn read(item: &Attributes) -> Result<Entry, Invalid> {
    let entry = ENTRY.get(item)?;
    let broken = || Invalid::new("attribute entry has no minute");
    let (minute, part) = entry.split_once('/').ok_or_else(broken)?;
    let key =
        EntryKey { series: SERIES.get(item)?, minute: minute.parse()?, part: part.to_owned() };
    let expires = EXPIRES_AT.find(item)?;
    let expires = expires.map(|seconds| Timestamp::from_micros(seconds.saturating_mul(SECOND_US)));
    Ok(Entry { key, body: BODY.get(item)?, expires })
}
