//! The table of windows.

use std::{collections::HashMap, ops::Range, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, DeleteRequest, PutRequest, WriteRequest},
};
use rendezvous_core::{
    Minute, Unavailable, now,
    ports::{Entry, EntryKey, WindowTable},
    random,
};
use tokio::time::sleep;

use super::{from_sdk, to_sdk};
use crate::{items::window as item, unavailable};

/// The name of the dependency in errors.
const WINDOWS: &str = "windows table";

/// The table of windows on DynamoDB, laid out as [`crate::items::window`] says. Reads are eventual.
#[derive(Clone, Debug)]
pub struct DynamoWindows {
    client: Client,
    table: String,
}

/// The most items that a `BatchWriteItem` takes.
const BATCH: usize = 25;

/// How often what was not processed is sent, and the longest pause before the second time; it doubles.
const ATTEMPTS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(50);

impl DynamoWindows {
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Sends each write, and what was not processed again.
    async fn write(&self, writes: Vec<WriteRequest>) -> Result<(), Unavailable> {
        for batch in writes.chunks(BATCH) {
            let mut left = batch.to_vec();
            for attempt in 0..ATTEMPTS {
                let write = self.client.batch_write_item().request_items(&self.table, left);
                let written = write.send().await.map_err(|error| unavailable(WINDOWS, &error))?;
                let unprocessed = written.unprocessed_items.unwrap_or_default();
                left = unprocessed.into_values().flatten().collect();
                if left.is_empty() {
                    break;
                }
                let pause = PAUSE * 2_u32.pow(attempt);
                sleep(pause.mul_f64(random::fraction("retry of windows", ""))).await;
            }
            if !left.is_empty() {
                return Err(Unavailable::throttled(WINDOWS, "entries were not written"));
            }
        }
        Ok(())
    }
}

/// A request that cannot be built: it lacks a member, which cannot happen here.
fn broken<E>(_: E) -> Unavailable {
    Unavailable::down(WINDOWS, "a write cannot be built")
}

impl WindowTable for DynamoWindows {
    async fn put(&self, entries: Vec<Entry>) -> Result<(), Unavailable> {
        // A call must not have two writes of one key: the last one counts.
        let entries: HashMap<EntryKey, Entry> =
            entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        let put = |entry: &Entry| {
            let put = PutRequest::builder().set_item(Some(to_sdk(item::item(entry).into())));
            Ok(WriteRequest::builder().put_request(put.build().map_err(broken)?).build())
        };
        self.write(entries.values().map(put).collect::<Result<_, _>>()?).await
    }

    async fn delete(&self, mut keys: Vec<EntryKey>) -> Result<(), Unavailable> {
        keys.sort_unstable();
        keys.dedup();
        let delete = |key: &EntryKey| {
            let delete = DeleteRequest::builder().set_key(Some(to_sdk(item::key(key).into())));
            Ok(WriteRequest::builder().delete_request(delete.build().map_err(broken)?).build())
        };
        self.write(keys.iter().map(delete).collect::<Result<_, _>>()?).await
    }

    async fn read(
        &self,
        series: &str,
        minutes: Range<Minute>,
        limit: usize,
    ) -> Result<Vec<Entry>, Unavailable> {
        if minutes.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        // The end is before every key of its minute, and is no key.
        let text = |text: String| AttributeValue::S(text);
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("#s = :series AND #e BETWEEN :from AND :to")
            .expression_attribute_names("#s", item::SERIES.name)
            .expression_attribute_names("#e", item::ENTRY.name)
            .expression_attribute_values(":series", text(series.to_owned()))
            .expression_attribute_values(":from", text(item::begin(minutes.start)))
            .expression_attribute_values(":to", text(minutes.end.to_string()))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .into_paginator()
            .send();
        let now = now();
        let mut entries = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| unavailable(WINDOWS, &error))?;
            for found in page.items.unwrap_or_default() {
                match item::read(&from_sdk(found)) {
                    // DynamoDB deletes an item some time after its time to live.
                    Ok(entry) if entry.expires.is_some_and(|at| at <= now) => {}
                    Ok(entry) => entries.push(entry),
                    Err(invalid) => {
                        tracing::error!(%invalid, "an entry of the windows table cannot be read");
                    }
                }
            }
            if entries.len() >= limit {
                entries.truncate(limit);
                break;
            }
        }
        Ok(entries)
    }
}
