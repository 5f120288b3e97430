//! The ledger.

use std::{
    collections::HashMap,
    ops::Sub,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    operation::{put_item::PutItemError, update_item::UpdateItemError},
    types::{ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use rendezvous_core::{
    Decision, EndpointName, Envelope, Mailbox, Reason, RequestId, Timestamp, Unavailable, Write,
    Written,
    clock::sleep_until,
    now,
    ports::{Consistency, Ledger, Watch},
};

use super::{
    SdkItem, from_sdk,
    pace::{Bounds, Pace},
    to_sdk,
};
use crate::{
    items::{Attributes, ledger as item, update::Update},
    unavailable,
};

/// The name of the dependency in errors.
const LEDGER: &str = "ledger";

/// Bounds of the interval between two polls of a mailbox. A poll costs half a read unit.
const POLLS: Bounds =
    Bounds { shortest: Duration::from_millis(5), longest: Duration::from_millis(50) };

/// The ledger on DynamoDB: one item a request, laid out as [`crate::items::ledger`] says.
///
/// A write is one `UpdateItem`, or for a new opening one `PutItem`, whose condition renders what the
/// write requires. It returns the item either way, so that a refused write costs no read.
#[derive(Debug)]
pub struct DynamoLedger {
    client: Client,
    table: String,
    retention: Duration,
    paces: Mutex<HashMap<EndpointName, Pace>>,
    reads: AtomicU64,
    writes: AtomicU64,
}

/// How often the table has been called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    pub reads: u64,
    pub writes: u64,
}

impl Sub for Calls {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { reads: self.reads - before.reads, writes: self.writes - before.writes }
    }
}

/// Counts the calls of a ledger between reports. A Lambda instance handles one event at a time, so
/// that these are the calls of one event.
#[derive(Debug)]
pub struct CallsSince {
    ledger: Arc<DynamoLedger>,
    before: Mutex<Calls>,
}

impl CallsSince {
    pub fn new(ledger: Arc<DynamoLedger>) -> Self {
        let before = Mutex::new(ledger.calls());
        Self { ledger, before }
    }

    /// The calls since the last time, or since the start.
    pub fn take(&self) -> Calls {
        let calls = self.ledger.calls();
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        calls - std::mem::replace(&mut before, calls)
    }
}

impl DynamoLedger {
    /// A table that keeps a mailbox for `retention` after its request was received.
    pub fn new(client: Client, table: impl Into<String>, retention: Duration) -> Self {
        Self {
            client,
            table: table.into(),
            retention,
            paces: Mutex::default(),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        }
    }

    /// How long a mailbox is kept after its request was received.
    pub fn retention(&self) -> Duration {
        self.retention
    }

    /// Calls since the start of the process.
    pub fn calls(&self) -> Calls {
        Calls {
            reads: self.reads.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
        }
    }

    /// DynamoDB deletes an item some time after its time to live, and none before.
    fn is_past_retention(&self, envelope: &Envelope) -> bool {
        seconds(now()) >= item::expires_at(envelope.received, self.retention)
    }

    /// The mailbox of an item, unless it is past its retention.
    fn mailbox(&self, id: RequestId, found: SdkItem) -> Result<Option<Mailbox>, Unavailable> {
        let mailbox = item::mailbox(&from_sdk(found)).map_err(|invalid| {
            tracing::error!(request = %id, %invalid, "a mailbox cannot be read");
            Unavailable::down(LEDGER, "a mailbox cannot be read")
        })?;
        Ok(Some(mailbox).filter(|mailbox| !self.is_past_retention(&mailbox.envelope)))
    }

    /// Writes a new mailbox.
    async fn put(&self, write: &Write) -> Result<Written, Unavailable> {
        let mailbox = write.apply_to(None);
        let mut new: Attributes = item::item(&mailbox).into();
        let expires_at = item::expires_at(write.envelope.received, self.retention);
        item::EXPIRES_AT.put(&expires_at, &mut new);
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(to_sdk(new)))
            .condition_expression("attribute_not_exists(#i) OR #x <= :now")
            .expression_attribute_names("#i", item::ID.name)
            .expression_attribute_names("#x", item::EXPIRES_AT.name)
            .expression_attribute_values(":now", item::EXPIRES_AT.value(&seconds(now())).into())
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = put.send().await else { return Ok(Written::Applied(mailbox)) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                self.refused(&write.envelope, refused.item.clone())
            }
            _ => Err(unavailable(LEDGER, &error)),
        }
    }

    /// Changes a mailbox, or makes one with its first scores.
    async fn update(&self, write: &Write) -> Result<Written, Unavailable> {
        let envelope = &write.envelope;
        let expires_at = item::expires_at(envelope.received, self.retention);
        let Update { set, condition, names, values } = Update::of(write, expires_at);
        let sent = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(to_sdk(item::key(envelope.id).into())))
            .update_expression(set)
            .condition_expression(condition)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(to_sdk(values)))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match sent {
            Ok(output) => {
                let written = output.attributes.map(|item| self.mailbox(envelope.id, item));
                Ok(written.transpose()?.flatten().map_or(Written::Forgotten, Written::Applied))
            }
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    self.refused(envelope, refused.item.clone())
                }
                // Permanent: the item has reached DynamoDB's 400 KB. The score is archived all the
                // same; to return the record to Lambda would only repeat the failure.
                _ if error.code() == Some("ValidationException") => {
                    tracing::error!(request = %envelope.id, message = error.message(), "DynamoDB rejects a write for good");
                    Ok(Written::Forgotten)
                }
                _ => Err(unavailable(LEDGER, &error)),
            },
        }
    }

    fn refused(&self, envelope: &Envelope, found: Option<SdkItem>) -> Result<Written, Unavailable> {
        // Without an item only the requirement that there is one can fail.
        let Some(found) = found else { return Ok(Written::Forgotten) };
        Ok(self.mailbox(envelope.id, found)?.map_or(Written::Forgotten, Written::Refused))
    }

    fn pace(&self, endpoint: &EndpointName) -> Pace {
        let paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        paces.get(endpoint).copied().unwrap_or_default()
    }

    /// Learns from a decision how long scores take. One made by the clock does not say.
    fn observe(&self, envelope: &Envelope, decision: &Decision) {
        if matches!(decision.reason, Reason::Deadline | Reason::Unavailable) {
            return;
        }
        let taken = decision.decided.since(envelope.received);
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        paces.entry(envelope.endpoint.clone()).or_default().observe(taken);
    }
}

fn seconds(instant: Timestamp) -> i64 {
    instant.as_micros().div_euclid(1_000_000)
}

impl Ledger for DynamoLedger {
    async fn read(
        &self,
        id: RequestId,
        consistency: Consistency,
    ) -> Result<Option<Mailbox>, Unavailable> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let get = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(to_sdk(item::key(id).into())))
            .consistent_read(consistency == Consistency::Strong);
        let got = get.send().await.map_err(|error| unavailable(LEDGER, &error))?;
        Ok(got.item.map(|found| self.mailbox(id, found)).transpose()?.flatten())
    }

    async fn write(&self, write: &Write) -> Result<Written, Unavailable> {
        if write.opens() {
            self.writes.fetch_add(1, Ordering::Relaxed);
            return self.put(write).await;
        }
        if self.is_past_retention(&write.envelope) {
            return Ok(Written::Forgotten);
        }
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.update(write).await
    }

    fn watch(&self, envelope: &Arc<Envelope>) -> impl Watch + '_ {
        let pace = self.pace(&envelope.endpoint);
        DynamoWatch { ledger: self, envelope: envelope.clone(), pace, seen: None }
    }
}

/// A watch that polls the item, at a pace that follows what the endpoint has lately taken.
struct DynamoWatch<'a> {
    ledger: &'a DynamoLedger,
    envelope: Arc<Envelope>,
    pace: Pace,
    seen: Option<Mailbox>,
}

impl Watch for DynamoWatch<'_> {
    async fn changed(&mut self, until: Timestamp) -> Result<Option<Mailbox>, Unavailable> {
        loop {
            let pause = self.pace.next(now().since(self.envelope.received), POLLS);
            sleep_until((now() + pause).min(until)).await;
            let found = self.ledger.read(self.envelope.id, Consistency::Eventual).await?;
            // A read by another replica may be older than the last one.
            let changed = found.is_some() && found != self.seen;
            if changed {
                self.seen = found;
                if let Some(decision) = self.seen.as_ref().and_then(|m| m.decision.as_ref()) {
                    self.ledger.observe(&self.envelope, decision);
                }
            }
            if changed || now() >= until {
                return Ok(self.seen.clone());
            }
        }
    }
}
