//! Partial windows: what one batch has seen of one minute.
//!
//! | series | part | holds |
//! | --- | --- | --- |
//! | `{endpoint}/decisions` | `{config}/{arm}/{batch}` | [`Decisions`] |
//! | `{endpoint}/models` | `{config}/{arm}/{model}/{batch}` | [`Window`] |
//! | `{endpoint}/pairs` | `{config}/{arm}/{batch}` | [`Pair`] of the champions of `main` and of a guarded arm |
//! | `{endpoint}/agreement` | `{config}/{arm}/{batch}` | [`Pairs`](rendezvous_evidence::window::Pairs), see [`agreement`](crate::agreement) |
//! | `{endpoint}/arrivals`, `{endpoint}/features` | `{config}/{batch}` | see [`features`](crate::features) |
//! | `{endpoint}/values/{request}` | `{config}/{batch}` | see [`outcomes`](crate::outcomes) |
//! | `guarded` | `{endpoint}` | nothing: the endpoint had decisions and has a guarded arm |
//!
//! A window's minute is that in which its records arrived. A batch is named by its first record, so that one
//! that comes again writes its own entries again. One that is cut anew has another first record for its
//! second part: what both attempts held is counted twice, and a pair whose scores come to different batches
//! counts as two requests that are not paired. The archive is exact.
//!
//! Decisions that no client can have waited for are left out: the request's deadline is longer than its
//! schedule's, or it was decided more than a second after its deadline. They would say of a guarded arm that
//! it is slow.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use rendezvous_aws::batch::{ItemChange, StreamBatch, TableBatch};
use rendezvous_core::{
    Arm, ArmPlan, Decision, Endpoint, EndpointName, Envelope, Invalid, Minute, ModelId, RequestId,
    Score, ScoreMessage, Timestamp, Unavailable,
    limits::LATE_AFTER,
    ports::{EndpointTable, Entry, EntryKey, Ledger, Telemetry, WindowTable},
    random, value,
};
use rendezvous_evidence::{
    bytes::to_bytes,
    window::{Decisions, Pair, Window},
};

pub(crate) use crate::series::{Batch, THRESHOLD};
pub use crate::series::{
    DECISIONS, GUARDED, MODELS, PAIRS, RAMPS, VERDICTS, arm, model, part, series,
};
use crate::{Monitor, MonitorReport, agreement::Together};

/// A client does not wait for longer after the deadline.
const WAITED: Duration = Duration::from_secs(1);

/// The champions of a guarded arm and of `main`, if they differ.
pub(crate) fn guarded(
    endpoint: &Endpoint,
) -> impl Iterator<Item = (&ArmPlan, Option<[&ModelId; 2]>)> {
    let draft = endpoint.configuration.draft();
    let main = draft.schedule.champion();
    draft.arms.iter().filter(|plan| plan.guard.is_some()).map(move |plan| {
        let champion = plan.schedule.champion();
        (plan, (champion != main).then_some([main, champion]))
    })
}

/// What champions made of a request; without a number, they failed or gave none.
pub(crate) type Values = Vec<(ModelId, Option<f64>)>;

/// The arms whose guards have `loss`, each with the champions of `main` and its own, where they differ.
pub(crate) fn judged_by_loss(
    endpoint: &Endpoint,
) -> impl Iterator<Item = (&ArmPlan, [&ModelId; 2])> {
    let has_loss = |plan: &ArmPlan| plan.guard.is_some_and(|guard| guard.loss.is_some());
    guarded(endpoint)
        .filter(move |(plan, _)| has_loss(plan))
        .filter_map(|(plan, champions)| Some((plan, champions?)))
}

/// The series of a request's values.
pub(crate) fn values_of(endpoint: &EndpointName, request: RequestId) -> String {
    format!("{}/{request}", series(endpoint, "values"))
}

/// The entry of the values that a batch has of a request, if the request's version needs them.
fn values(
    endpoint: &Endpoint,
    request: RequestId,
    batch: &str,
    expires: Timestamp,
    results: &HashMap<ModelId, Option<f64>>,
) -> Option<Entry> {
    let wanted =
        |model: &&ModelId| judged_by_loss(endpoint).any(|(_, champions)| champions.contains(model));
    let mut values: Values = results
        .iter()
        .filter(|(model, _)| wanted(model))
        .map(|(model, value)| (model.clone(), *value))
        .collect();
    values.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let key = EntryKey {
        series: values_of(&endpoint.name, request),
        minute: Minute::FIRST,
        part: format!("{}/{batch}", endpoint.version),
    };
    let body = (!values.is_empty()).then(|| to_bytes(&values)).flatten()?;
    Some(Entry { key, body: body.into(), expires: Some(expires) })
}

/// The scores of a model in a minute, of a version of an endpoint's configuration and of an arm.
type OfModel<'m> = (&'m EndpointName, u64, &'m Arm, &'m ModelId, Minute);

/// The results of one request in a batch that may be paired.
type Results = HashMap<ModelId, Option<f64>>;

impl<E, L, W, T> Monitor<E, L, W, T>
where
    E: EndpointTable,
    L: Ledger,
    W: WindowTable,
    T: Telemetry<MonitorReport>,
{
    /// The windows of the decisions in a batch of the ledger's changes.
    pub(crate) async fn decisions(
        &self,
        batch: &TableBatch<'_>,
        expires: Timestamp,
    ) -> Result<Vec<Entry>, Unavailable> {
        let mut windows: BTreeMap<(EndpointName, u64, Arm, Minute), Decisions> = BTreeMap::new();
        let mut guarded_in: BTreeSet<(EndpointName, Minute)> = BTreeSet::new();
        for record in batch.records().iter().flatten() {
            // What cannot be read was counted when the overdue requests were listed.
            let change = &record.content;
            let Ok(Some(decision)) = decided(change) else { continue };
            let Ok(envelope) = change.new.envelope() else { continue };
            let version = self.endpoints.version(&envelope.endpoint, decision.config).await?;
            let Some(endpoint) =
                version.filter(|endpoint| is_waited_for(endpoint, &envelope, &decision))
            else {
                continue;
            };
            let minute = Minute::of(record.arrived);
            if guarded(&endpoint).next().is_some() {
                guarded_in.insert((endpoint.name.clone(), minute));
            }
            let Decision { kind, reason, decided, deadline, config, ref arm, .. } = *decision;
            let key = (envelope.endpoint.clone(), config, arm.clone(), minute);
            let window = windows.entry(key).or_default();
            let (after, late) = (decided.since(envelope.received), decided > deadline + LATE_AFTER);
            window.push(kind, reason, after, late, true);
        }
        let batch = Batch { name: batch.place(0).event_id, expires };
        let windows = windows.iter().filter_map(|((endpoint, config, arm, minute), window)| {
            let series = series(endpoint, DECISIONS);
            batch.window(series, *minute, &part(*config, arm), window)
        });
        let guarded = guarded_in.iter().map(|(endpoint, minute)| {
            batch.entry(GUARDED.to_owned(), *minute, endpoint.to_string(), Vec::new())
        });
        Ok(windows.chain(guarded).collect())
    }

    /// The windows of the models, and of pairs of champions, in a batch of the stream `scores`.
    pub(crate) async fn scores(
        &self,
        batch: &StreamBatch<'_>,
        messages: Vec<(usize, ScoreMessage)>,
        expires: Timestamp,
    ) -> Result<Vec<Entry>, Unavailable> {
        let name = batch.place(0).event_id;
        let mut models: BTreeMap<OfModel<'_>, Window> = BTreeMap::new();
        let mut requests: BTreeMap<(RequestId, Timestamp), (Minute, Arc<Envelope>, Results)> =
            BTreeMap::new();
        let mut together = Together::default();
        for (number, ScoreMessage { envelope, score, .. }) in &messages {
            let Some(Ok(record)) = batch.records().get(*number) else { continue };
            let version = self.endpoints.version(&envelope.endpoint, envelope.config).await?;
            let Some(endpoint) = version else { continue };
            let minute = Minute::of(record.arrived);
            let value = number_of(score, &endpoint);
            let Envelope { endpoint: of, config, arm, .. } = &**envelope;
            let key = (of, *config, arm, &score.model, minute);
            let window = models.entry(key).or_insert_with_key(|key| Window::new(seed(key, name)));
            match &score.result {
                Ok(_) => window.score(score.finished.since(envelope.received), value),
                Err(failure) => window.failure(failure.kind),
            }
            together.add(&endpoint, minute, envelope, &score.model, value);
            let is_champion = |pair: [&ModelId; 2]| pair.contains(&&score.model);
            if guarded(&endpoint).any(|(_, pair)| pair.is_some_and(is_champion)) {
                let key = (envelope.id, envelope.received);
                let first = || (minute, envelope.clone(), HashMap::new());
                let (.., results) = requests.entry(key).or_insert_with(first);
                results.entry(score.model.clone()).or_insert(value);
            }
        }
        let batch = Batch { name, expires };
        let mut entries = self.values(&requests, name, expires).await?;
        for ((endpoint, config, arm, model, minute), window) in &models {
            let part = format!("{}{model}/", part(*config, arm));
            entries.extend(batch.window(series(endpoint, MODELS), *minute, &part, window));
        }
        entries.extend(together.entries(&batch));
        for ((endpoint, config, arm, minute), pair) in &self.pairs(requests).await? {
            let part = part(*config, arm);
            entries.extend(batch.window(series(endpoint, PAIRS), *minute, &part, pair));
        }
        Ok(entries)
    }

    /// What is kept of the requests until their outcomes come.
    async fn values(
        &self,
        requests: &BTreeMap<(RequestId, Timestamp), (Minute, Arc<Envelope>, Results)>,
        batch: &str,
        expires: Timestamp,
    ) -> Result<Vec<Entry>, Unavailable> {
        let mut entries = Vec::new();
        for (_, envelope, results) in requests.values() {
            let version = self.endpoints.version(&envelope.endpoint, envelope.config).await?;
            let Some(endpoint) = version else { continue };
            entries.extend(values(&endpoint, envelope.id, batch, expires, results));
        }
        Ok(entries)
    }

    async fn pairs(
        &self,
        requests: BTreeMap<(RequestId, Timestamp), (Minute, Arc<Envelope>, Results)>,
    ) -> Result<BTreeMap<(EndpointName, u64, Arm, Minute), Pair>, Unavailable> {
        let mut pairs = BTreeMap::new();
        for (minute, envelope, results) in requests.into_values() {
            let version = self.endpoints.version(&envelope.endpoint, envelope.config).await?;
            let Some(endpoint) = version else { continue };
            for (plan, champions) in guarded(&endpoint) {
                let Some(champions) = champions else { continue };
                let [main, arm] = champions.map(|model| results.get(model).copied());
                if main.or(arm).is_some() {
                    let key = (endpoint.name.clone(), endpoint.version, plan.name.clone(), minute);
                    let pair = pairs.entry(key).or_insert_with(|| Pair::new(THRESHOLD));
                    pair.push(main.flatten(), arm.flatten());
                }
            }
        }
        Ok(pairs)
    }
}

/// The decision that first appears in a change of the ledger.
fn decided(change: &ItemChange<'_>) -> Result<Option<Arc<Decision>>, Invalid> {
    if change.old.is_decided() { Ok(None) } else { change.new.decision() }
}

fn is_waited_for(endpoint: &Endpoint, envelope: &Envelope, decision: &Decision) -> bool {
    let schedule = endpoint.configuration.schedule(&envelope.arm);
    envelope.deadline.since(envelope.received) <= schedule.deadline()
        && decision.decided <= decision.deadline + WAITED
}

fn number_of(score: &Score, endpoint: &Endpoint) -> Option<f64> {
    let json = score.result.as_ref().ok()?;
    value::number(json.as_str(), endpoint.configuration.value()?)
}

/// Windows that are merged have different seeds.
fn seed((endpoint, config, arm, model, minute): &OfModel<'_>, batch: &str) -> u64 {
    let subject = format!("{endpoint}/{config}/{arm}/{model}/{minute}/{batch}");
    u64::from_le_bytes(random::bytes("window", &subject))
}
