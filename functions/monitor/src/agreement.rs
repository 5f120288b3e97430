//! How far the models of an endpoint agree with the champion, for alarms.
//!
//! The champion of each request's arm is paired with every other model of its version that is expected to
//! score the request. One entry of a batch holds the pairs of an arm, some 100 bytes for each, so that with
//! up to eight models it costs one write. A request whose scores come to different batches counts as one that is
//! not paired: with a batching window of a minute that are few, with one of a second, as in the local system, many
//! where models differ in their time to score.

use std::{collections::BTreeMap, sync::Arc};

use rendezvous_core::{
    Arm, Endpoint, EndpointName, Envelope, Minute, ModelId, RequestId, Timestamp, ports::Entry,
};
use rendezvous_evidence::window::Pairs;

use crate::series::{Batch, THRESHOLD, part, series};

/// The series of an endpoint's pairs.
pub const AGREEMENT: &str = "agreement";

/// The values of a batch, by request. Requests of one id that were received at different times are
/// different ones. They are in order, so that a batch that comes again has the same bytes: the sums of a window
/// depend on the order of the values.
#[derive(Default)]
pub(crate) struct Together {
    requests: BTreeMap<(RequestId, Timestamp), Request>,
}

struct Request {
    endpoint: Arc<Endpoint>,
    minute: Minute,
    arm: Arm,
    skip: Vec<ModelId>,
    values: Vec<(ModelId, Option<f64>)>,
}

impl Together {
    /// Adds a model's message. The first one of a model counts.
    pub(crate) fn add(
        &mut self,
        endpoint: &Arc<Endpoint>,
        minute: Minute,
        envelope: &Envelope,
        model: &ModelId,
        value: Option<f64>,
    ) {
        if endpoint.configuration.value().is_none() {
            return;
        }
        let request =
            self.requests.entry((envelope.id, envelope.received)).or_insert_with(|| Request {
                endpoint: endpoint.clone(),
                minute,
                arm: envelope.arm.clone(),
                skip: envelope.skip.clone(),
                values: Vec::with_capacity(4),
            });
        if request.sent(model).is_none() {
            request.values.push((model.clone(), value));
        }
    }

    /// The entries of the batch.
    pub(crate) fn entries(self, batch: &Batch<'_>) -> Vec<Entry> {
        let mut windows: BTreeMap<(EndpointName, u64, Arm, Minute), Pairs> = BTreeMap::new();
        for request in self.requests.into_values() {
            let Request { endpoint, minute, arm, .. } = &request;
            let key = (endpoint.name.clone(), endpoint.version, arm.clone(), *minute);
            request.count(windows.entry(key).or_default());
        }
        let entry = |((endpoint, config, arm, minute), pairs): (_, Pairs)| {
            let part = part(config, &arm);
            batch.window(series(&endpoint, AGREEMENT), minute, &part, &pairs)
        };
        windows.into_iter().filter(|(_, pairs)| !pairs.is_empty()).filter_map(entry).collect()
    }
}

impl Request {
    /// What a model has sent.
    fn sent(&self, model: &ModelId) -> Option<&(ModelId, Option<f64>)> {
        self.values.iter().find(|(other, _)| other == model)
    }

    fn count(&self, pairs: &mut Pairs) {
        let configuration = &self.endpoint.configuration;
        let champion = configuration.schedule(&self.arm).champion();
        let first = self.sent(champion);
        for model in configuration.models() {
            if model == champion || self.skip.contains(model) {
                continue;
            }
            let second = self.sent(model);
            if first.or(second).is_some() {
                let values = [first, second].map(|sent| sent.and_then(|(_, value)| *value));
                pairs.push([champion, model], THRESHOLD, values);
            }
        }
    }
}
