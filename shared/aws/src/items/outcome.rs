//! The table of outcomes: one item for each request and endpoint, replaced as a whole by the next
//! outcome that a client reports. Written by ingress.

use rendezvous_core::{EndpointName, Invalid, Json, RequestId, Timestamp};
use serde_dynamo::Item;

use super::{Attribute, Attributes, opaque, text, time};

/// The request's id: the partition key.
pub const REQUEST: Attribute<RequestId> = text("request");
/// The endpoint's name: the sort key.
pub const ENDPOINT: Attribute<EndpointName> = text("endpoint");
/// The outcome, byte for byte.
pub const OUTCOME: Attribute<Json> = opaque("outcome");
/// When ingress received it.
pub const REPORTED: Attribute<Timestamp> = time("reported_us");

/// What an item holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    pub request: RequestId,
    pub endpoint: EndpointName,
    pub outcome: Json,
    pub reported: Timestamp,
}

/// The key of an item.
pub fn key(request: RequestId, endpoint: &EndpointName) -> Item {
    let mut key = Item::default();
    REQUEST.put(&request, &mut key);
    ENDPOINT.put(endpoint, &mut key);
    key
}

/// The item of an outcome.
pub fn item(reported: &Reported) -> Item {
    let mut item = key(reported.request, &reported.endpoint);
    OUTCOME.put(&reported.outcome, &mut item);
    REPORTED.put(&reported.reported, &mut item);
    item
}

/// The outcome that an item holds.
pub fn read(item: &Attributes) -> Result<Reported, Invalid> {
    Ok(Reported {
        request: REQUEST.get(item)?,
        endpoint: ENDPOINT.get(item)?,
        outcome: OUTCOME.get(item)?,
        reported: REPORTED.get(item)?,
    })
}
