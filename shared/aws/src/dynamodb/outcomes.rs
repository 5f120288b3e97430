//! The table of outcomes.

use aws_sdk_dynamodb::Client;
use rendezvous_core::{EndpointName, Json, RequestId, Timestamp, Unavailable, ports::OutcomeTable};

use super::{from_sdk, to_sdk};
use crate::{
    items::outcome::{self as item, Reported},
    unavailable,
};

/// The name of the dependency in errors.
const OUTCOMES: &str = "outcomes table";

/// The outcomes table on DynamoDB, laid out as [`crate::items::outcome`] says. The archive reads its
/// change stream.
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
            .set_key(Some(to_sdk(item::key(id, endpoint).into())))
            .consistent_read(true);
        let got = get.send().await.map_err(|error| unavailable(OUTCOMES, &error))?;
        let Some(found) = got.item else { return Ok(None) };
        let unreadable = |_| Unavailable::down(OUTCOMES, "an item cannot be read");
        let reported = item::read(&from_sdk(found)).map_err(unreadable)?;
        Ok(Some(reported.outcome))
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
        let reported = Reported { request: id, endpoint: endpoint.clone(), outcome, reported };
        let item = to_sdk(item::item(&reported).into());
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.map_err(|error| unavailable(OUTCOMES, &error))?;
        Ok(())
    }
}
