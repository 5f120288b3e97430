//! The rendezvous function: reads the stream `scores`, files each score in its request's mailbox,
//! and settles the request when the schedule says so. It reacts to scores; ingress reacts to time.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_lambda_events::{event::streams::KinesisEventResponse, kinesis::KinesisEvent};
use futures_util::{StreamExt, stream};
use rendezvous_aws::batch;
use rendezvous_core::{
    Endpoints, Envelope, Invalid, RequestId, Score, ScoreMessage, Unavailable, now,
    ports::{EndpointTable, Ledger},
    settle::{Standing, settle},
};
use tokio::time::timeout;

/// How many requests of a batch are looked after at a time.
const CONCURRENCY: usize = 32;

/// How long the ledger may take for one request. The rest of the batch waits for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many settled requests are remembered, at some 32 bytes each.
const REMEMBERED: usize = 8_192;

/// The Lambda function of the rendezvous.
pub struct Rendezvous<E, L> {
    endpoints: Endpoints<E>,
    ledger: Arc<L>,
    settled: Mutex<Remembered>,
}

/// What came of one batch, for whoever counts.
#[derive(Clone, Debug, Default)]
pub struct Filed {
    /// Scores and failures that could be read, and the requests that they are of.
    pub scores: usize,
    pub requests: usize,
    pub unreadable: usize,
    /// Requests that are settled now, by this batch or by ingress meanwhile.
    pub settled: usize,
    /// Scores that could not be filed and come again.
    pub again: usize,
    /// How far behind the stream the batch was.
    pub lag: Duration,
}

/// All scores of one request in a batch.
struct Arrivals {
    envelope: Arc<Envelope>,
    scores: Vec<Score>,
    /// Its records' places in the batch.
    records: Vec<usize>,
}

impl<E: EndpointTable, L: Ledger> Rendezvous<E, L> {
    pub fn new(endpoints: Arc<E>, ledger: Arc<L>) -> Self {
        Self { endpoints: Endpoints::new(endpoints), ledger, settled: Mutex::default() }
    }

    /// Files the scores of a batch of the stream `scores`. What could not be filed comes again.
    pub async fn handle(&self, event: KinesisEvent) -> (KinesisEventResponse, Filed) {
        let messages = batch::messages(&event, ScoreMessage::parse);
        let mut filed = Filed {
            scores: messages.len(),
            unreadable: event.records.len() - messages.len(),
            lag: batch::lag(&event),
            ..Filed::default()
        };
        let arrivals = by_request(messages);
        filed.requests = arrivals.len();
        let mut again: Vec<usize> = Vec::new();
        // Where one waits in vain the rest would, too, until Lambda ends the function: once something
        // fails no more are begun, and they come again.
        let failing = AtomicBool::new(false);
        let failing = &failing;
        let mut results = stream::iter(arrivals)
            .map(|Arrivals { envelope, scores, records }| async move {
                if failing.load(Ordering::Relaxed) {
                    return (None, records);
                }
                let result = self.file(&envelope, scores).await;
                if let Err(unavailable) = &result {
                    tracing::warn!(request = %envelope.id, %unavailable, "scores come again");
                    failing.store(true, Ordering::Relaxed);
                }
                (result.ok(), records)
            })
            .buffer_unordered(CONCURRENCY);
        while let Some((settled, records)) = results.next().await {
            match settled {
                Some(settled) => filed.settled += usize::from(settled),
                None => again.extend(records),
            }
        }
        filed.again = again.len();
        (batch::response(&event, again.into_iter()), filed)
    }

    /// Files scores of one request; says whether it is known to be settled now, and was not before.
    async fn file(
        &self,
        envelope: &Arc<Envelope>,
        scores: Vec<Score>,
    ) -> Result<bool, Unavailable> {
        if self.remembered().contains(envelope.id) {
            return Ok(false);
        }
        let Some(endpoint) = self.endpoints.version(&envelope.endpoint, envelope.config).await?
        else {
            let invalid = Invalid::new(format!("there is no version {}", envelope.config));
            tracing::warn!(request = %envelope.id, endpoint = %envelope.endpoint, %invalid, "scores are passed by");
            return Ok(false);
        };
        // A model that the configuration does not list is only archived: it keeps mailboxes small.
        // So does using the configuration's own copy of a model's name.
        let listed = |score: Score| {
            let model = endpoint.configuration.models().find(|model| **model == score.model)?;
            Some(Score { model: model.clone(), ..score })
        };
        let scores: Vec<Score> = scores.into_iter().filter_map(listed).collect();
        if scores.is_empty() {
            return Ok(false);
        }
        let settled = settle(&*self.ledger, &endpoint, envelope, None, &scores, now());
        let slow = |_| Unavailable::Down("ledger (no answer in time)".into());
        let standing = timeout(PATIENCE, settled).await.map_err(slow)??;
        if !matches!(standing, Standing::Open(_)) {
            self.remembered().insert(envelope.id);
        }
        Ok(matches!(standing, Standing::Settled(_)))
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Groups the scores of a batch by request, keeping their order.
fn by_request(messages: Vec<(usize, ScoreMessage)>) -> Vec<Arrivals> {
    let mut places: HashMap<RequestId, usize> = HashMap::with_capacity(messages.len());
    let mut arrivals: Vec<Arrivals> = Vec::with_capacity(messages.len());
    for (record, ScoreMessage { envelope, score }) in messages {
        let place = *places.entry(envelope.id).or_insert(arrivals.len());
        if place == arrivals.len() {
            let envelope = Arc::new(envelope);
            arrivals.push(Arrivals { envelope, scores: Vec::new(), records: Vec::new() });
        }
        arrivals[place].scores.push(score);
        arrivals[place].records.push(record);
    }
    arrivals
}

/// The requests known to be settled, so that their later scores cost no write.
#[derive(Default)]
struct Remembered {
    ids: HashSet<RequestId>,
    by_age: VecDeque<RequestId>,
}

impl Remembered {
    fn contains(&self, id: RequestId) -> bool {
        self.ids.contains(&id)
    }

    fn insert(&mut self, id: RequestId) {
        if !self.ids.insert(id) {
            return;
        }
        self.by_age.push_back(id);
        if self.by_age.len() > REMEMBERED
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}
