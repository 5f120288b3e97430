//! A batch for a model, and what it has sent.

#![allow(clippy::unwrap_used, reason = "this is test code")]
#![allow(dead_code, reason = "not every test uses all of it")]

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use rendezvous_aws::batch::{Batch, Data, Record, StreamBatch};
use rendezvous_core::{
    Json, RequestMessage, ScoreMessage,
    conformance::samples,
    memory::{MemoryPayloads, MemoryStream, Position, Subscription},
    now,
    ports::Telemetry,
};
use rendezvous_model::{Model, ModelFunction, ModelReport, Profile};

pub(crate) fn profile(timeout: Duration) -> Profile {
    Profile {
        id: "m@1".parse().unwrap(),
        endpoints: HashSet::from([samples::endpoint().name]),
        timeout,
        scores_expired: false,
    }
}

/// A batch of requests with these payloads; sequence numbers are their positions.
pub(crate) fn batch(payloads: &[&str]) -> StreamBatch<'static> {
    let endpoint = samples::endpoint();
    records(payloads.iter().map(|payload| {
        let payload = Json::parse(payload).unwrap();
        RequestMessage::write(&samples::envelope(&endpoint), &payload).unwrap()
    }))
}

/// A batch of records of this data.
pub(crate) fn records(data: impl IntoIterator<Item = Bytes>) -> StreamBatch<'static> {
    let record = |(i, bytes): (usize, Bytes)| {
        let data = Data::new("k", bytes);
        Record::new("shardId-000000000000", i.to_string(), now(), data)
    };
    Batch::new("input", data.into_iter().enumerate().map(record).collect())
}

/// Keeps every report.
#[derive(Debug, Default)]
pub(crate) struct Reports(Mutex<Vec<ModelReport>>);

impl Telemetry<ModelReport> for Reports {
    fn record(&self, report: &ModelReport) {
        self.0.lock().unwrap().push(report.clone());
    }
}

/// A model's function, its stream and its reports.
pub(crate) struct Bench<M> {
    pub(crate) function: ModelFunction<M, MemoryStream, MemoryPayloads, Reports>,
    pub(crate) model: Arc<M>,
    pub(crate) scores: Arc<MemoryStream>,
    pub(crate) payloads: Arc<MemoryPayloads>,
    lane: Subscription,
    reports: Arc<Reports>,
}

impl<M: Model> Bench<M> {
    pub(crate) fn new(model: M) -> Self {
        Self::panel([model])
    }

    pub(crate) fn panel(models: impl IntoIterator<Item = M>) -> Self {
        let scores = Arc::new(MemoryStream::new("scores", 1));
        let lane = scores.subscribe(Position::Latest, 1).remove(0);
        let reports = Arc::new(Reports::default());
        let payloads = Arc::new(MemoryPayloads::default());
        let models: Vec<Arc<M>> = models.into_iter().map(Arc::new).collect();
        let model = models[0].clone();
        let function =
            ModelFunction::panel(models, scores.clone(), payloads.clone(), reports.clone());
        Self { function, model, scores, payloads, lane, reports }
    }

    /// Scores a batch; returns the first record that is to be handed over again.
    pub(crate) async fn handle(&self, payloads: &[&str]) -> Option<String> {
        let mut response = self.function.handle(batch(payloads)).await;
        response.batch_item_failures.pop().map(|failure| failure.item_identifier)
    }

    /// The scores and the messages of the failures on the stream, sorted. There must be some.
    pub(crate) async fn sent(&self) -> Vec<String> {
        let records = self.lane.next(100, usize::MAX, Duration::ZERO).await;
        let mut sent: Vec<String> = records
            .iter()
            .map(|record| match ScoreMessage::parse(&record.data).unwrap().score.result {
                Ok(score) => score.as_str().to_owned(),
                Err(failure) => failure.message,
            })
            .collect();
        sent.sort();
        sent
    }

    /// The artefact that each message on the stream names.
    #[allow(dead_code, reason = "not every test looks at it")]
    pub(crate) async fn artifacts(&self) -> Vec<Option<String>> {
        let records = self.lane.next(100, usize::MAX, Duration::ZERO).await;
        let artifacts =
            records.iter().map(|record| ScoreMessage::parse(&record.data).unwrap().artifact);
        artifacts.map(|artifact| artifact.map(|artifact| artifact.to_string())).collect()
    }

    /// The only report.
    pub(crate) fn report(&self) -> ModelReport {
        let mut reports = self.reports();
        assert_eq!(reports.len(), 1, "one report for each batch");
        reports.remove(0)
    }

    pub(crate) fn reports(&self) -> Vec<ModelReport> {
        self.reports.0.lock().unwrap().clone()
    }
}
