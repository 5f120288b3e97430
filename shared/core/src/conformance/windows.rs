//! The rules of the table of windows.

use std::{ops::Range, time::Duration};

use bytes::Bytes;

use crate::{
    clock::now,
    minute::Minute,
    names::RequestId,
    ports::{Entry, EntryKey, WindowTable},
};

/// The rules of the table of windows.
pub async fn windows(table: &impl WindowTable) {
    let series = format!("conformance/{}", RequestId::random());
    let minute = Minute::of(now());
    let key = |minute: Minute, part: &str| EntryKey {
        series: series.clone(),
        minute,
        part: part.to_owned(),
    };
    let entry = |minute: Minute, part: &str, body: &'static str| Entry {
        key: key(minute, part),
        body: Bytes::from_static(body.as_bytes()),
        expires: None,
    };
    let put = async |entries| table.put(entries).await.expect("written");
    let read = async |minutes: Range<Minute>, limit| {
        table.read(&series, minutes, limit).await.expect("answered")
    };
    let all = minute.minus(60)..minute.plus(60);
    assert_eq!(read(all.clone(), 10).await, []);
    put(Vec::new()).await;

    // More than a call of any table takes.
    let many: Vec<Entry> =
        (0..60).map(|n| entry(minute.minus(n), "shardId-0/1,a@1", "\x00\u{7f}")).collect();
    put(many.clone()).await;
    let mut sorted = many.clone();
    sorted.reverse();
    assert_eq!(read(all.clone(), 1_000).await, sorted, "by minute");
    let of_other = EntryKey { series: format!("{series}x"), ..key(minute, "a") };
    put(vec![Entry { key: of_other, ..entry(minute, "a", "another series") }]).await;
    assert_eq!(read(all.clone(), 7).await, sorted[..7], "the first ones");
    let (from, to) = (minute.minus(3), minute.minus(1));
    assert_eq!(read(from..to, 10).await, sorted[56..58], "without the last minute");
    assert_eq!(read(to..from, 10).await, []);
    assert_eq!(read(to..to, 10).await, []);

    let (again, late) = (entry(minute, "shardId-0/1,a@1", "again"), entry(minute, "z", ""));
    put(vec![late.clone(), again.clone()]).await;
    put(vec![again.clone()]).await;
    let now_there = [again, late.clone()];
    let this_minute = minute..minute.plus(1);
    assert_eq!(read(this_minute.clone(), 10).await, now_there, "replaced, by part");

    let keys = many.into_iter().map(|entry| entry.key).chain([key(minute, "unknown")]);
    table.delete(keys.collect()).await.expect("deleted");
    assert_eq!(read(all.clone(), 1_000).await, [late], "what was deleted is not found");

    // Expiry counts to the second.
    let expiring = |part, expires| Entry { expires: Some(expires), ..entry(minute, part, "x") };
    let ends = now() + Duration::from_hours(1);
    put(vec![expiring("a", now() - Duration::from_secs(2)), expiring("b", ends)]).await;
    let found = read(this_minute, 10).await;
    let parts: Vec<&str> = found.iter().map(|entry| entry.key.part.as_str()).collect();
    assert_eq!(parts, ["b", "z"], "what has expired is not found");
    let kept = found[0].expires.expect("a time");
    assert!(ends.since(kept) < Duration::from_secs(1) && kept.since(ends) < Duration::from_secs(2));
}
