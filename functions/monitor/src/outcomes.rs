//! Outcomes of requests to endpoints with an arm whose guard has `loss`.
//!
//! An outcome comes minutes or days after the scores, and names nothing but its request. The mailbox has
//! only the scores up to the decision, and the archive would have to be read from the step's beginning on.
//! So the values of the two champions are kept, only while such an arm is there:
//!
//! | series | part | holds |
//! | --- | --- | --- |
//! | `{endpoint}/values/{request}` | `{config}/{batch}` | what the champions made of the request: their models and values |
//! | `outcomes` | `{endpoint}/{batch}/{number}` | outcomes under the minute in which they are counted |
//! | `{endpoint}/pairs` | `{config}/{arm}/outcomes/{batch}/{number}` | their [`Pair`] |
//!
//! A batch of changes of the table of outcomes only lists them: their scores may be in a batch that is not
//! handled yet. [`AFTER`] minutes later the minute's run looks up the values and writes the windows. It
//! writes them under the list's own key, so that a run that ends in the middle counts nothing twice.
//!
//! The first outcome of a request counts, as in a comparison; one that is reported again has changed an item,
//! and is left out. An outcome whose request has no values is not counted: it was answered under a version
//! without such a guard, its values have expired, or the scores came [`AFTER`] minutes late.
//!
//! **Cost**, while such a guard is in force: a write for each request (up to one for each batch that its two
//! scores come in), and for each outcome a read of half a unit. Without such a guard: nothing but the mapping.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use rendezvous_aws::{
    batch::{Response, TableBatch},
    items::outcome as item,
};
use rendezvous_core::{
    Arm, EndpointName, Invalid, Minute, ModelId, RequestId, Timestamp, Unavailable, now,
    ports::{EndpointTable, Entry, EntryKey, Ledger, Telemetry, WindowTable},
    value,
};
use rendezvous_evidence::{
    bytes::{from_bytes, to_bytes},
    window::Pair,
};

use crate::{
    Monitor, MonitorReport,
    windows::{PAIRS, THRESHOLD, Values, judged_by_loss, part, series, values_of},
};

/// The series of the outcomes that are to be counted.
pub const SERIES: &str = "outcomes";

/// How many minutes after its arrival an outcome is counted.
pub const AFTER: u32 = 3;

/// The outcomes of an entry.
type Listed = Vec<([u8; 16], f64)>;

/// How many outcomes an entry holds, so that it fits an item.
const AN_ENTRY: usize = 8_000;

/// How many entries a run reads, and how many values it reads at a time.
const MAX_ENTRIES: usize = 64;
const CONCURRENCY: usize = 32;

impl<E, L, W, T> Monitor<E, L, W, T>
where
    E: EndpointTable,
    L: Ledger,
    W: WindowTable,
    T: Telemetry<MonitorReport>,
{
    /// Lists the outcomes of a batch of the outcomes' changes that are to be counted.
    pub async fn handle_outcomes(&self, batch: TableBatch<'_>) -> Response {
        let mut report =
            MonitorReport { source: "outcomes", lag: batch.lag(), ..MonitorReport::default() };
        let written = match self.list(&batch, &mut report).await {
            Ok(entries) => self.windows.put(entries).await,
            Err(unavailable) => Err(unavailable),
        };
        batch.response(self.reported(&report, written).into_iter())
    }

    async fn list(
        &self,
        batch: &TableBatch<'_>,
        report: &mut MonitorReport,
    ) -> Result<Vec<Entry>, Unavailable> {
        let mut listed: BTreeMap<(EndpointName, Minute), Listed> = BTreeMap::new();
        for record in batch.records() {
            let Ok(record) = record else {
                report.unreadable += 1;
                continue;
            };
            if record.content.name != "INSERT" {
                continue;
            }
            let Ok(reported) = item::read(&record.content.new.item()) else {
                report.unreadable += 1;
                continue;
            };
            let Some(endpoint) = self.endpoints.current(&reported.endpoint).await? else {
                continue;
            };
            if judged_by_loss(&endpoint).next().is_none() {
                continue;
            }
            let truth = |at| value::truth(reported.outcome.as_str(), at);
            let truth = endpoint.configuration.outcome().and_then(truth);
            if let Some(truth) = truth.filter(|truth| (0.0..=1.0).contains(truth)) {
                let minute = Minute::of(record.arrived).plus(AFTER);
                let listed = listed.entry((reported.endpoint, minute)).or_default();
                listed.push((*reported.request.as_bytes(), truth));
            }
        }
        let (name, expires) = (batch.place(0).event_id, now() + self.keep);
        let entries = listed.iter().flat_map(|((endpoint, minute), listed)| {
            listed.chunks(AN_ENTRY).enumerate().filter_map(move |(number, chunk)| {
                let part = format!("{endpoint}/{name}/{number}");
                let key = EntryKey { series: SERIES.to_owned(), minute: *minute, part };
                let body = to_bytes(&chunk)?;
                Some(Entry { key, body: body.into(), expires: Some(expires) })
            })
        });
        Ok(entries.collect())
    }

    /// Counts the outcomes whose minute has come, the oldest first, as many as there is time for until `end`.
    pub(crate) async fn count_outcomes(
        &self,
        end: Timestamp,
        report: &mut MonitorReport,
    ) -> Result<(), Unavailable> {
        let minutes = Minute::FIRST..Minute::of(now()).plus(1);
        for entry in self.windows.read(SERIES, minutes, MAX_ENTRIES).await? {
            if now() > end {
                tracing::warn!("outcomes are left for the next minute");
                break;
            }
            report.outcomes += self.count_entry(&entry).await?;
            self.windows.delete(vec![entry.key]).await?;
        }
        Ok(())
    }

    /// Writes the windows of an entry; returns how many outcomes are counted.
    async fn count_entry(&self, entry: &Entry) -> Result<usize, Unavailable> {
        let EntryKey { minute, part: own, .. } = &entry.key;
        let listed = from_bytes::<Listed>(&entry.body);
        let (listed, (name, batch)) = match (listed, named(own)) {
            (Ok(listed), Ok(named)) => (listed, named),
            (Err(invalid), _) | (_, Err(invalid)) => {
                tracing::error!(%invalid, "listed outcomes cannot be read and are not counted");
                return Ok(0);
            }
        };
        let mut known = stream::iter(listed)
            .map(|(id, truth)| {
                let series = values_of(&name, RequestId::from_bytes(id));
                async move {
                    let first = Minute::FIRST..Minute::FIRST.plus(1);
                    let entries = self.windows.read(&series, first, MAX_ENTRIES).await?;
                    Ok::<_, Unavailable>((merged(&entries), truth))
                }
            })
            .buffer_unordered(CONCURRENCY);
        let mut pairs: BTreeMap<(u64, Arm), Pair> = BTreeMap::new();
        let mut counted = 0;
        while let Some((versions, truth)) = known.try_next().await? {
            for (version, values) in versions {
                let Some(endpoint) = self.endpoints.version(&name, version).await? else {
                    continue;
                };
                counted += 1;
                for (plan, champions) in judged_by_loss(&endpoint) {
                    let [main, arm] = champions.map(|model| values.get(model).copied().flatten());
                    let pair = pairs.entry((version, plan.name.clone()));
                    pair.or_insert_with(|| Pair::new(THRESHOLD)).outcome(main, arm, truth);
                }
            }
        }
        let expires = Some(now() + self.keep);
        let windows = pairs.iter().filter_map(|((version, arm), pair)| {
            let part = format!("{}outcomes/{batch}", part(*version, arm));
            let key = EntryKey { series: series(&name, PAIRS), minute: *minute, part };
            Some(Entry { key, body: Bytes::from(to_bytes(pair)?), expires })
        });
        self.windows.put(windows.collect()).await?;
        Ok(counted)
    }
}

/// The endpoint in the part of a listed entry, and the rest.
fn named(part: &str) -> Result<(EndpointName, &str), Invalid> {
    let (endpoint, rest) = part.split_once('/').unwrap_or((part, ""));
    Ok((endpoint.parse()?, rest))
}

/// The values of a request by version of the configuration; the first of each model counts.
fn merged(entries: &[Entry]) -> BTreeMap<u64, HashMap<ModelId, Option<f64>>> {
    let mut versions: BTreeMap<u64, HashMap<ModelId, Option<f64>>> = BTreeMap::new();
    for entry in entries {
        let version = entry.key.part.split('/').next().and_then(|version| version.parse().ok());
        match (version, from_bytes::<Values>(&entry.body)) {
            (Some(version), Ok(values)) => {
                let known = versions.entry(version).or_default();
                for (model, value) in values {
                    known.entry(model).or_insert(value);
                }
            }
            (_, unreadable) => {
                let invalid = unreadable.err();
                tracing::error!(?invalid, "values cannot be read and are not counted");
            }
        }
    }
    versions
}
