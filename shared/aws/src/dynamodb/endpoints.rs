//! The table of endpoints.

use std::{sync::Arc, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    operation::transact_write_items::TransactWriteItemsError,
    types::{CancellationReason, Put, TransactWriteItem, Update},
};
use rendezvous_core::{
    Configuration, Endpoint, EndpointName, Unavailable, now, ports::EndpointTable,
};
use tokio::time::sleep;

use super::{Item, get_json, get_number, json, number, text};
use crate::unavailable;

/// The endpoints table on DynamoDB, keyed by `name` (S) and `version` (N).
///
/// | item | attributes | |
/// | --- | --- | --- |
/// | `version` 1, 2, … | `configuration` (S, JSON), `published_us` (N) | written once |
/// | `version` 0, the pointer | `current` (N) | names the current version |
///
/// A new version and its pointer are written in one transaction. All reads are consistent: a
/// version that is stamped on a request must be found by whoever decides it.
#[derive(Clone, Debug)]
pub struct DynamoEndpoints {
    client: Client,
    table: String,
}

/// The `version` of the pointer.
const POINTER: u64 = 0;

/// How often a transaction is tried against others that publish the same endpoint, and the longest
/// pause between two attempts.
const ATTEMPTS: usize = 5;
const PAUSE: Duration = Duration::from_millis(100);

impl DynamoEndpoints {
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    async fn get(&self, name: &EndpointName, version: u64) -> Result<Option<Item>, Unavailable> {
        let get = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("name", text(name.as_str()))
            .key("version", number(&version))
            .consistent_read(true);
        let got = get.send().await.map_err(|error| unavailable("endpoints table", &error))?;
        Ok(got.item)
    }

    /// Writes version `current + 1` and moves the pointer there from `current`; says whether that
    /// was still where it stood.
    async fn write(
        &self,
        name: &EndpointName,
        current: u64,
        configuration: &Configuration,
    ) -> Result<bool, Unavailable> {
        let broken = |_| Unavailable::Down("endpoints table (a write cannot be built)".into());
        let version = Put::builder()
            .table_name(&self.table)
            .item("name", text(name.as_str()))
            .item("version", number(&(current + 1)))
            .item("configuration", json(configuration))
            .item("published_us", number(&now().as_micros()))
            .condition_expression("attribute_not_exists(#n)")
            .expression_attribute_names("#n", "name")
            .build()
            .map_err(broken)?;
        let pointer = Update::builder()
            .table_name(&self.table)
            .key("name", text(name.as_str()))
            .key("version", number(&POINTER))
            .update_expression("SET #c = :next")
            .expression_attribute_names("#c", "current")
            .expression_attribute_values(":next", number(&(current + 1)));
        let pointer = if current == 0 {
            pointer.condition_expression("attribute_not_exists(#c)")
        } else {
            pointer
                .condition_expression("#c = :current")
                .expression_attribute_values(":current", number(&current))
        };
        let pointer = pointer.build().map_err(broken)?;
        let transaction = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().put(version).build())
            .transact_items(TransactWriteItem::builder().update(pointer).build());
        match transaction.send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(canceled))
                    if is_lost_race(canceled.cancellation_reasons()) =>
                {
                    Ok(false)
                }
                _ => Err(unavailable("endpoints table", &error)),
            },
        }
    }
}

/// Whether a transaction was cancelled because somebody else has published meanwhile, or is about to.
fn is_lost_race(reasons: &[CancellationReason]) -> bool {
    let codes = reasons.iter().filter_map(CancellationReason::code).filter(|code| *code != "None");
    let race = |code: &str| ["ConditionalCheckFailed", "TransactionConflict"].contains(&code);
    codes.clone().count() > 0 && codes.into_iter().all(race)
}

impl EndpointTable for DynamoEndpoints {
    async fn current(&self, name: &EndpointName) -> Result<Option<u64>, Unavailable> {
        let Some(item) = self.get(name, POINTER).await? else { return Ok(None) };
        get_number(&item, "current").map(Some).map_err(|invalid| {
            tracing::error!(endpoint = %name, %invalid, "the pointer cannot be read");
            Unavailable::Down("endpoints table (unreadable pointer)".into())
        })
    }

    async fn version(
        &self,
        name: &EndpointName,
        version: u64,
    ) -> Result<Option<Arc<Endpoint>>, Unavailable> {
        if version == POINTER {
            return Ok(None);
        }
        let Some(item) = self.get(name, version).await? else { return Ok(None) };
        match get_json(&item, "configuration") {
            Ok(configuration) => {
                Ok(Some(Arc::new(Endpoint { name: name.clone(), version, configuration })))
            }
            Err(invalid) => {
                // It will not be readable the next time either: as good as none.
                tracing::error!(endpoint = %name, version, %invalid, "a configuration is unreadable");
                Ok(None)
            }
        }
    }

    async fn publish(
        &self,
        name: &EndpointName,
        configuration: Configuration,
    ) -> Result<u64, Unavailable> {
        for _ in 0..ATTEMPTS {
            let current = self.current(name).await?.unwrap_or(0);
            if self.write(name, current, &configuration).await? {
                return Ok(current + 1);
            }
            sleep(PAUSE.mul_f64(fastrand::f64())).await;
        }
        Err(Unavailable::Throttled("endpoints table (others publish the same endpoint)".into()))
    }
}
