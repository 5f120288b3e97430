use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use super::{lock, outage::Outage};
use crate::{
    clock::{Timestamp, now},
    error::Unavailable,
    minute::Minute,
    ports::{Entry, EntryKey, WindowTable},
};

/// The name of the dependency in errors.
const WINDOWS: &str = "windows table";

/// What an entry takes beside its body and the texts of its key, roughly.
const ENTRY_BYTES: usize = 150;

/// The table of windows in memory. Every read sees every write. While it is full of entries that have not expired, puts
/// are throttled.
#[derive(Debug)]
pub struct MemoryWindows {
    pub outage: Outage,
    most_bytes: usize,
    kept: Mutex<Kept>,
    reads: AtomicU64,
    writes: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    entries: BTreeMap<EntryKey, (Bytes, Option<Timestamp>)>,
    bytes: usize,
}

fn size(key: &EntryKey, body: &Bytes) -> usize {
    key.series.len() + key.part.len() + body.len() + ENTRY_BYTES
}

impl Kept {
    fn remove(&mut self, key: &EntryKey) {
        if let Some((body, _)) = self.entries.remove(key) {
            self.bytes -= size(key, &body);
        }
    }

    fn remove_expired(&mut self, now: Timestamp) {
        let expired = |(_, (_, expires)): &(&EntryKey, &(Bytes, Option<Timestamp>))| {
            expires.is_some_and(|at| at <= now)
        };
        let expired = self.entries.iter().filter(expired).map(|(key, _)| key.clone());
        for key in expired.collect::<Vec<_>>() {
            self.remove(&key);
        }
    }
}

impl Default for MemoryWindows {
    /// Holds 64 MiB.
    fn default() -> Self {
        Self::holding_at_most(64 * 1024 * 1024)
    }
}

impl MemoryWindows {
    /// A table that holds so many bytes of entries.
    pub fn holding_at_most(most_bytes: usize) -> Self {
        let (outage, kept) = (Outage::default(), Mutex::default());
        Self { outage, most_bytes, kept, reads: AtomicU64::new(0), writes: AtomicU64::new(0) }
    }

    /// Reads, and entries that were written or deleted, since the start.
    pub fn calls(&self) -> (u64, u64) {
        (self.reads.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed))
    }

    fn wrote(&self, entries: usize) {
        self.writes.fetch_add(u64::try_from(entries).unwrap_or(0), Ordering::Relaxed);
    }
}

impl WindowTable for MemoryWindows {
    async fn put(&self, entries: Vec<Entry>) -> Result<(), Unavailable> {
        self.outage.check(WINDOWS).await?;
        self.wrote(entries.len());
        let kept = &mut *lock(&self.kept);
        let new: usize = entries.iter().map(|entry| size(&entry.key, &entry.body)).sum();
        if kept.bytes + new > self.most_bytes {
            kept.remove_expired(now());
        }
        if kept.bytes + new > self.most_bytes {
            return Err(Unavailable::throttled(WINDOWS, "full"));
        }
        for Entry { key, body, expires } in entries {
            kept.remove(&key);
            kept.bytes += size(&key, &body);
            kept.entries.insert(key, (body, expires));
        }
        Ok(())
    }

    async fn delete(&self, keys: Vec<EntryKey>) -> Result<(), Unavailable> {
        self.outage.check(WINDOWS).await?;
        self.wrote(keys.len());
        let kept = &mut *lock(&self.kept);
        for key in &keys {
            kept.remove(key);
        }
        Ok(())
    }

    async fn read(
        &self,
        series: &str,
        minutes: Range<Minute>,
        limit: usize,
    ) -> Result<Vec<Entry>, Unavailable> {
        self.outage.check(WINDOWS).await?;
        self.reads.fetch_add(1, Ordering::Relaxed);
        if minutes.is_empty() {
            return Ok(Vec::new());
        }
        let first = |minute| EntryKey { series: series.to_owned(), minute, part: String::new() };
        let now = now();
        let kept = lock(&self.kept);
        let range = kept.entries.range(first(minutes.start)..first(minutes.end));
        let alive = range.filter(|(_, (_, expires))| expires.is_none_or(|at| at > now));
        let entry = |(key, (body, expires)): (&EntryKey, &(Bytes, Option<Timestamp>))| Entry {
            key: key.clone(),
            body: body.clone(),
            expires: *expires,
        };
        Ok(alive.map(entry).take(limit).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_table_of_windows_throttles_until_entries_have_expired() {
        // An entry takes 150 bytes beside its key and its body: two of these fit.
        let table = MemoryWindows::holding_at_most(2 * (150 + 2 + 100));
        let put = async |part: &str, expires| {
            let (series, part, minute) = ("s".to_owned(), part.to_owned(), Minute::FIRST);
            let body = Bytes::from_static(&[0; 100]);
            table.put(vec![Entry { key: EntryKey { series, minute, part }, body, expires }]).await
        };
        put("a", None).await.unwrap();
        put("b", Some(now())).await.unwrap();
        put("c", None).await.unwrap();
        assert!(put("d", None).await.unwrap_err().is_throttled());
    }
}
