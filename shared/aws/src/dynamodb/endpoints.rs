//! The table of endpoints.

use std::{sync::Arc, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    operation::transact_write_items::TransactWriteItemsError,
    types::{CancellationReason, Put, TransactWriteItem, Update},
};
use rendezvous_core::{
    Configuration, Endpoint, EndpointName, Invalid, Provenance, Publication, Unavailable, now,
    ports::{EndpointTable, PublishError},
    random,
};
use tokio::time::sleep;

use super::{from_sdk, to_sdk};
use crate::{
    items::{Attributes, endpoint as item},
    unavailable,
};

/// The name of the dependency in errors.
const ENDPOINTS: &str = "endpoints table";

/// The endpoints table on DynamoDB, laid out as [`crate::items::endpoint`] says.
///
/// A new version and its pointer are written in one transaction. All reads are consistent: a
/// version that is stamped on a request must be found by whoever decides it.
#[derive(Clone, Debug)]
pub struct DynamoEndpoints {
    client: Client,
    table: String,
}

/// How often a transaction is tried that conflicts with another one in progress, and the longest
/// pause between two attempts.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// Why a version was not written.
enum NotWritten {
    /// Another version than the expected one is current.
    Conflict,
    /// Another transaction on these items is in progress.
    Busy,
    Unavailable(Unavailable),
}

impl DynamoEndpoints {
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    async fn get(
        &self,
        name: &EndpointName,
        version: u64,
    ) -> Result<Option<Attributes>, Unavailable> {
        let get = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(to_sdk(item::key(name, version))))
            .consistent_read(true);
        let got = get.send().await.map_err(|error| unavailable(ENDPOINTS, &error))?;
        Ok(got.item.map(from_sdk))
    }

    /// Writes the version after `current` and moves the pointer there, if it is at `current`.
    async fn write(
        &self,
        name: &EndpointName,
        current: Option<u64>,
        version: Attributes,
    ) -> Result<(), NotWritten> {
        let broken =
            |_| NotWritten::Unavailable(Unavailable::down(ENDPOINTS, "a write cannot be built"));
        let version = Put::builder()
            .table_name(&self.table)
            .set_item(Some(to_sdk(version)))
            .condition_expression("attribute_not_exists(#n)")
            .expression_attribute_names("#n", item::NAME.name)
            .build()
            .map_err(broken)?;
        let next = item::CURRENT.value(&(current.unwrap_or(0) + 1));
        let pointer = Update::builder()
            .table_name(&self.table)
            .set_key(Some(to_sdk(item::key(name, item::POINTER))))
            .update_expression("SET #c = :next")
            .expression_attribute_names("#c", item::CURRENT.name)
            .expression_attribute_values(":next", next.into());
        let pointer = match current {
            None => pointer.condition_expression("attribute_not_exists(#c)"),
            Some(current) => pointer
                .condition_expression("#c = :current")
                .expression_attribute_values(":current", item::CURRENT.value(&current).into()),
        };
        let pointer = pointer.build().map_err(broken)?;
        let transaction = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().put(version).build())
            .transact_items(TransactWriteItem::builder().update(pointer).build());
        let Err(error) = transaction.send().await else { return Ok(()) };
        Err(match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                match canceled_for(canceled.cancellation_reasons()) {
                    Some(reason) => reason,
                    None => NotWritten::Unavailable(unavailable(ENDPOINTS, &error)),
                }
            }
            _ => NotWritten::Unavailable(unavailable(ENDPOINTS, &error)),
        })
    }
}

/// Why a transaction was cancelled, if another publication is the reason.
fn canceled_for(reasons: &[CancellationReason]) -> Option<NotWritten> {
    let codes = reasons.iter().filter_map(CancellationReason::code).filter(|code| *code != "None");
    let codes: Vec<&str> = codes.collect();
    if codes.is_empty() {
        return None;
    }
    if codes.iter().all(|code| *code == "ConditionalCheckFailed") {
        return Some(NotWritten::Conflict);
    }
    let race = |code: &&str| ["ConditionalCheckFailed", "TransactionConflict"].contains(code);
    codes.iter().all(race).then_some(NotWritten::Busy)
}

/// An item that cannot be read will not be readable at the next attempt either. It is logged.
fn unreadable(name: &EndpointName, invalid: &Invalid) -> Unavailable {
    tracing::error!(endpoint = %name, %invalid, "an item of the endpoints table cannot be read");
    Unavailable::down(ENDPOINTS, format!("an item of {name} cannot be read"))
}

impl EndpointTable for DynamoEndpoints {
    async fn list(&self) -> Result<Vec<EndpointName>, Unavailable> {
        let mut pages = self
            .client
            .scan()
            .table_name(&self.table)
            .consistent_read(true)
            .filter_expression("#v = :pointer")
            .projection_expression("#n")
            .expression_attribute_names("#v", item::VERSION.name)
            .expression_attribute_names("#n", item::NAME.name)
            .expression_attribute_values(":pointer", item::VERSION.value(&item::POINTER).into())
            .into_paginator()
            .send();
        let mut names = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| unavailable(ENDPOINTS, &error))?;
            for found in page.items.unwrap_or_default() {
                match item::NAME.get(&from_sdk(found)) {
                    Ok(name) => names.push(name),
                    Err(invalid) => {
                        tracing::error!(%invalid, "the name of an endpoint cannot be read");
                    }
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    async fn current(&self, name: &EndpointName) -> Result<Option<u64>, Unavailable> {
        let Some(found) = self.get(name, item::POINTER).await? else { return Ok(None) };
        item::CURRENT.get(&found).map(Some).map_err(|invalid| unreadable(name, &invalid))
    }

    async fn version(
        &self,
        name: &EndpointName,
        version: u64,
    ) -> Result<Option<Arc<Endpoint>>, Unavailable> {
        if version == item::POINTER {
            return Ok(None);
        }
        let Some(found) = self.get(name, version).await? else { return Ok(None) };
        match item::CONFIGURATION.get(&found) {
            Ok(configuration) => {
                Ok(Some(Arc::new(Endpoint { name: name.clone(), version, configuration })))
            }
            // Permanent, so that it counts as missing.
            Err(invalid) => {
                unreadable(name, &invalid);
                Ok(None)
            }
        }
    }

    async fn history(&self, name: &EndpointName) -> Result<Vec<Publication>, Unavailable> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#n = :name AND #v > :pointer")
            .expression_attribute_names("#n", item::NAME.name)
            .expression_attribute_names("#v", item::VERSION.name)
            .expression_attribute_values(":name", item::NAME.value(name).into())
            .expression_attribute_values(":pointer", item::VERSION.value(&item::POINTER).into())
            .into_paginator()
            .send();
        let mut history = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| unavailable(ENDPOINTS, &error))?;
            for found in page.items.unwrap_or_default() {
                let publication = item::publication(&from_sdk(found));
                history.push(publication.map_err(|invalid| unreadable(name, &invalid))?);
            }
        }
        Ok(history)
    }

    async fn publish(
        &self,
        name: &EndpointName,
        configuration: Configuration,
        provenance: Provenance,
        expected: Option<u64>,
    ) -> Result<u64, PublishError> {
        let version = expected.unwrap_or(0) + 1;
        let publication = Publication {
            version,
            provenance: Some(provenance),
            published: now(),
            replaced: expected,
        };
        let new = item::version(name, &configuration, &publication);
        for _ in 0..ATTEMPTS {
            match self.write(name, expected, new.clone()).await {
                Ok(()) => return Ok(version),
                Err(NotWritten::Conflict) => {
                    let current = self.current(name).await?;
                    return Err(PublishError::Conflict { expected, current });
                }
                Err(NotWritten::Busy) => {
                    sleep(PAUSE.mul_f64(random::fraction("retry of publish", ""))).await;
                }
                Err(NotWritten::Unavailable(cause)) => return Err(cause.into()),
            }
        }
        let what = "other publications of the endpoint are in progress";
        Err(Unavailable::throttled(ENDPOINTS, what).into())
    }
}
