//! The ledger.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    ops::Sub,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    operation::{put_item::PutItemError, update_item::UpdateItemError},
    primitives::Blob,
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use rendezvous_core::{
    Envelope, Failure, Invalid, Json, Mailbox, ModelId, RequestId, Score, Unavailable,
    mailbox::Opening,
    now,
    ports::{Consistency, Ledger, Proposal},
};

use super::{Item, get_json, get_time, json, number, text};
use crate::unavailable;

/// The ledger on DynamoDB: one item a request.
///
/// | attribute | | written |
/// | --- | --- | --- |
/// | `id` (S) | the request's id, the key | by whoever is first |
/// | `envelope` (S) | the envelope's JSON | once |
/// | `expires_at` (N) | seconds since the epoch, for DynamoDB's time to live | once |
/// | `payload_sha256` (B), `accepted` (BOOL) | where the request was opened before it was sent | by ingress |
/// | `model:{id}` (M) | `started_us`, `finished_us`, and `score` (S, JSON) or `failure` (S, JSON) | once each, before the decision |
/// | `decision` (S) | the decision's JSON | once; then nothing changes any more |
///
/// Every change is one `UpdateItem` whose condition is the rule, and which hands back the item
/// either way, so that a lost race costs no second read.
#[derive(Debug)]
pub struct DynamoLedger {
    client: Client,
    table: String,
    retention: Duration,
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

const DECISION: &str = "decision";

impl DynamoLedger {
    /// A table that keeps a mailbox for `retention` after its request was received.
    pub fn new(client: Client, table: impl Into<String>, retention: Duration) -> Self {
        let table = table.into();
        Self { client, table, retention, reads: AtomicU64::new(0), writes: AtomicU64::new(0) }
    }

    /// Calls since the start of the process.
    pub fn calls(&self) -> Calls {
        Calls {
            reads: self.reads.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
        }
    }

    /// An item that has reached its time to live may be gone, and with it a decision. DynamoDB
    /// deletes none before.
    fn may_have_forgotten(&self, envelope: &Envelope) -> bool {
        now() >= envelope.received + self.retention
    }

    fn expires_at(&self, envelope: &Envelope) -> AttributeValue {
        // Rounded up: it must not go before `may_have_forgotten` says so.
        let expires = (envelope.received + self.retention).as_micros().div_euclid(1_000_000) + 1;
        number(&expires)
    }

    /// Files `scores`, and the decision of `proposal` if there is one, in one write; or nothing.
    async fn write(
        &self,
        envelope: &Arc<Envelope>,
        scores: &[Score],
        proposal: Option<&Proposal>,
    ) -> Result<Option<Mailbox>, Unavailable> {
        if self.may_have_forgotten(envelope) {
            return Ok(None);
        }
        self.writes.fetch_add(1, Ordering::Relaxed);
        let update = Change::new(envelope, self.expires_at(envelope), scores, proposal);
        let sent = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", text(envelope.id.to_string()))
            .update_expression(update.set)
            .condition_expression(update.condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(Some(update.values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let item = match sent {
            Ok(output) => output.attributes,
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    refused.item.clone()
                }
                _ => return Err(unavailable("ledger", &error)),
            },
        };
        // Only an item that is there fails these conditions, and a write leaves one there.
        let item = item.ok_or(Unavailable::Down("ledger (it hides an item)".into()))?;
        // What cannot be read now cannot be read later: as good as forgotten.
        Ok(mailbox(envelope.id, &item).ok())
    }
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
            .key("id", text(id.to_string()))
            .consistent_read(consistency == Consistency::Strong);
        let got = get.send().await.map_err(|error| unavailable("ledger", &error))?;
        got.item.map(|item| mailbox(id, &item)).transpose()
    }

    async fn open(
        &self,
        envelope: &Arc<Envelope>,
        payload_sha256: [u8; 32],
    ) -> Result<Option<Mailbox>, Unavailable> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("id", text(envelope.id.to_string()))
            .item("envelope", json(envelope))
            .item("expires_at", self.expires_at(envelope))
            .item("payload_sha256", AttributeValue::B(Blob::new(payload_sha256)))
            .item("accepted", AttributeValue::Bool(false))
            .condition_expression("attribute_not_exists(id)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = put.send().await else { return Ok(None) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                let item = refused.item.as_ref();
                let item = item.ok_or(Unavailable::Down("ledger (it hides an item)".into()))?;
                mailbox(envelope.id, item).map(Some)
            }
            _ => Err(unavailable("ledger", &error)),
        }
    }

    async fn mark_accepted(&self, id: RequestId) -> Result<(), Unavailable> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", text(id.to_string()))
            .update_expression("SET accepted = :true")
            .condition_expression("attribute_exists(id)")
            .expression_attribute_values(":true", AttributeValue::Bool(true));
        match update.send().await {
            Ok(_) => Ok(()),
            // It has been forgotten: there is nothing left to mark.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(unavailable("ledger", &error)),
        }
    }

    async fn file(
        &self,
        envelope: &Arc<Envelope>,
        scores: &[Score],
    ) -> Result<Option<Mailbox>, Unavailable> {
        self.write(envelope, scores, None).await
    }

    async fn settle(
        &self,
        envelope: &Arc<Envelope>,
        scores: &[Score],
        proposal: Proposal,
    ) -> Result<Option<Mailbox>, Unavailable> {
        self.write(envelope, scores, Some(&proposal)).await
    }
}

/// One `UpdateItem`.
#[derive(Debug)]
struct Change {
    set: String,
    condition: String,
    names: HashMap<String, String>,
    values: Item,
}

impl Change {
    fn new(
        envelope: &Envelope,
        expires_at: AttributeValue,
        scores: &[Score],
        proposal: Option<&Proposal>,
    ) -> Self {
        let mut change = Self {
            set: "SET #e = if_not_exists(#e, :e), #x = if_not_exists(#x, :x)".to_owned(),
            condition: "attribute_not_exists(#d)".to_owned(),
            names: HashMap::new(),
            values: HashMap::new(),
        };
        change.bind("e", "envelope", json(envelope));
        change.bind("x", "expires_at", expires_at);
        change.names.insert("#d".to_owned(), DECISION.to_owned());
        // The first of a model counts; DynamoDB refuses to set one attribute twice.
        let mut filed: BTreeMap<&ModelId, &Score> = BTreeMap::new();
        for score in scores {
            filed.entry(&score.model).or_insert(score);
        }
        for (i, (model, score)) in filed.iter().enumerate() {
            let name = format!("m{i}");
            change.bind(&name, &attribute(model), entry(score));
            // Writing to a string cannot fail.
            let _ = write!(change.set, ", #{name} = if_not_exists(#{name}, :{name})");
        }
        if let Some(Proposal { decision, rivals }) = proposal {
            change.set.push_str(", #d = :d");
            change.values.insert(":d".to_owned(), json(decision));
            if let Some(model) = &decision.model
                && filed.contains_key(model)
            {
                change.require_absent("own", model, "");
            }
            for (i, rival) in rivals.iter().enumerate() {
                change.names.insert("#score".to_owned(), "score".to_owned());
                change.require_absent(&format!("r{i}"), rival, ".#score");
            }
        }
        change
    }

    fn bind(&mut self, short: &str, attribute: &str, value: AttributeValue) {
        self.names.insert(format!("#{short}"), attribute.to_owned());
        self.values.insert(format!(":{short}"), value);
    }

    fn require_absent(&mut self, short: &str, model: &ModelId, path: &str) {
        self.names.insert(format!("#{short}"), attribute(model));
        let _ = write!(self.condition, " AND attribute_not_exists(#{short}{path})");
    }
}

/// The attribute that holds a model's entry.
fn attribute(model: &ModelId) -> String {
    format!("{MODEL}{model}")
}

const MODEL: &str = "model:";

fn entry(score: &Score) -> AttributeValue {
    let (name, value) = match &score.result {
        Ok(score) => ("score", text(score.as_str())),
        Err(failure) => ("failure", json(failure)),
    };
    AttributeValue::M(HashMap::from([
        ("started_us".to_owned(), number(&score.started.as_micros())),
        ("finished_us".to_owned(), number(&score.finished.as_micros())),
        (name.to_owned(), value),
    ]))
}

fn mailbox(id: RequestId, item: &Item) -> Result<Mailbox, Unavailable> {
    read_mailbox(item).map_err(|invalid| {
        tracing::error!(request = %id, %invalid, "a mailbox cannot be read");
        Unavailable::Down("ledger (unreadable mailbox)".into())
    })
}

fn read_mailbox(item: &Item) -> Result<Mailbox, Invalid> {
    let envelope = Arc::new(get_json::<Envelope>(item, "envelope")?);
    let mut scores = Vec::new();
    for (name, value) in item {
        if let (Some(model), AttributeValue::M(entry)) = (name.strip_prefix(MODEL), value) {
            scores.push(read_score(model.parse()?, entry)?);
        }
    }
    // An item's attributes have no order of their own.
    scores.sort_by(|a, b| (a.finished, &a.model).cmp(&(b.finished, &b.model)));
    let decision = item.contains_key(DECISION).then(|| get_json(item, DECISION)).transpose()?;
    Ok(Mailbox { envelope, opening: read_opening(item)?, scores, decision: decision.map(Arc::new) })
}

fn read_opening(item: &Item) -> Result<Option<Opening>, Invalid> {
    let Some(sha256) = item.get("payload_sha256") else { return Ok(None) };
    let sha256 = sha256.as_b().ok().and_then(|bytes| bytes.as_ref().try_into().ok());
    let payload_sha256 = sha256.ok_or_else(|| Invalid::new("no SHA-256"))?;
    let accepted = item.get("accepted").and_then(|value| value.as_bool().ok()).copied();
    Ok(Some(Opening { payload_sha256, accepted: accepted.unwrap_or(false) }))
}

fn read_score(model: ModelId, entry: &Item) -> Result<Score, Invalid> {
    let result = if entry.contains_key("score") {
        Ok(get_json::<Json>(entry, "score")?)
    } else {
        Err(get_json::<Failure>(entry, "failure")?)
    };
    let (started, finished) = (get_time(entry, "started_us")?, get_time(entry, "finished_us")?);
    Ok(Score { model, started, finished, result })
}
