//! The table of outcomes.

use aws_sdk_dynamodb::Client;
use rendezvous_core::{EndpointName, Json, RequestId, Timestamp, Unavailable, ports::OutcomeTable};

use super::{get_text, number, text};
use crate::unavailable;

/// The outcomes table on DynamoDB, keyed by `request` (S) and `endpoint` (S), with `outcome` (S,
/// the JSON as it came) and `reported_us` (N). Its change stream is what the archive reads.
#[derive(Clone, Debug)]
pub struct DynamoOutcomes {
    client: Client,
    table: String,
}

impl DynamoOutcomes {
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// The outcome that counts now, for tests and tools.
    pub async fn get(
        &self,
        endpoint: &EndpointName,
        id: RequestId,
    ) -> Result<Option<Json>, Unavailable> {
        let get = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("request", text(id.to_string()))
            .key("endpoint", text(endpoint.as_str()))
            .consistent_read(true);
        let got = get.send().await.map_err(|error| unavailable("outcomes table", &error))?;
        let Some(item) = got.item else { return Ok(None) };
        let outcome = get_text(&item, "outcome").and_then(Json::parse);
        outcome.map(Some).map_err(|_| Unavailable::Down("outcomes table (unreadable item)".into()))
    }
}

impl OutcomeTable for DynamoOutcomes {
    async fn put(
        &self,
        endpoint: &EndpointName,
        id: RequestId,
        outcome: Json,
        reported: Timestamp,
    ) -> Result<(), Unavailable> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("request", text(id.to_string()))
            .item("endpoint", text(endpoint.as_str()))
            .item("outcome", text(outcome.as_str()))
            .item("reported_us", number(&reported.as_micros()));
        put.send().await.map_err(|error| unavailable("outcomes table", &error))?;
        Ok(())
    }
}
