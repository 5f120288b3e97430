//! Windows of the stream `input`: how many requests arrive, and the distributions of their features.
//!
//! | series | part | holds |
//! | --- | --- | --- |
//! | `{endpoint}/arrivals` | `{config}/{batch}` | how many requests arrived |
//! | `{endpoint}/features` | `{config}/{batch}` | [`Features`], where the version of the configuration lists any |
//!
//! They are apart because every minute's run reads the arrivals of several hours. The windows of
//! decisions do not count requests that get none. A payload that is stored outside of its message is not read: its
//! request arrives and has no features.

use std::collections::BTreeMap;

use rendezvous_aws::batch::{Response, StreamBatch};
use rendezvous_core::{
    EndpointName, Minute, Payload, RequestMessage, Timestamp, Unavailable, now,
    ports::{EndpointTable, Entry, Ledger, Telemetry, WindowTable},
    random,
    value::{Scalar, scalars},
};
use rendezvous_evidence::{
    bytes::from_bytes,
    window::{Feature, Features},
};

use crate::{
    Monitor, MonitorReport,
    windows::{Batch, series},
};

/// The series of an endpoint's requests.
pub const ARRIVALS: &str = "arrivals";
pub const FEATURES: &str = "features";

/// The requests of an endpoint and a version of its configuration that arrived in a minute.
type Key<'m> = (&'m EndpointName, u64, Minute);

impl<E, L, W, T> Monitor<E, L, W, T>
where
    E: EndpointTable,
    L: Ledger,
    W: WindowTable,
    T: Telemetry<MonitorReport>,
{
    /// Writes the windows of a batch of the stream `input`.
    pub async fn handle_input(&self, batch: StreamBatch<'_>) -> Response {
        let messages = batch.requests();
        let mut report = MonitorReport {
            source: "input",
            lag: batch.lag(),
            unreadable: batch.records().len() - messages.len(),
            ..MonitorReport::default()
        };
        let written = match self.input(&batch, &messages, now() + self.keep).await {
            Ok(windows) => {
                report.windows = windows.len();
                self.windows.put(windows).await
            }
            Err(unavailable) => Err(unavailable),
        };
        batch.response(self.reported(&report, written).into_iter())
    }

    async fn input(
        &self,
        batch: &StreamBatch<'_>,
        messages: &[(usize, RequestMessage<'_>)],
        expires: Timestamp,
    ) -> Result<Vec<Entry>, Unavailable> {
        let name = batch.place(0).event_id;
        let mut arrivals: BTreeMap<Key<'_>, u64> = BTreeMap::new();
        let mut features: BTreeMap<Key<'_>, Features> = BTreeMap::new();
        for (number, RequestMessage { envelope, payload, .. }) in messages {
            let Some(Ok(record)) = batch.records().get(*number) else { continue };
            let key = (&envelope.endpoint, envelope.config, Minute::of(record.arrived));
            *arrivals.entry(key).or_default() += 1;
            let Payload::Inline(payload) = payload else { continue };
            let version = self.endpoints.version(&envelope.endpoint, envelope.config).await?;
            let Some(endpoint) = version else { continue };
            let pointers = endpoint.configuration.features();
            if pointers.is_empty() {
                continue;
            }
            let seed = |key: &Key<'_>| {
                let (endpoint, config, minute) = key;
                let subject = format!("{endpoint}/{config}/{minute}/{name}");
                let seed = u64::from_le_bytes(random::bytes("window of features", &subject));
                Features::new(pointers.iter().map(String::as_str), seed)
            };
            let window = features.entry(key).or_insert_with_key(seed);
            let scalars = scalars(payload.get(), pointers);
            window.push(scalars.iter().map(|scalar| match scalar {
                Some(Scalar::Number(number)) => Feature::Number(*number),
                Some(Scalar::Text(text)) => Feature::Text(text),
                None => Feature::Missing,
            }));
        }
        let batch = Batch { name, expires };
        let part = |config: u64| format!("{config}/");
        let arrivals = arrivals.iter().filter_map(|((endpoint, config, minute), count)| {
            batch.window(series(endpoint, ARRIVALS), *minute, &part(*config), count)
        });
        let features = features.iter().filter_map(|((endpoint, config, minute), window)| {
            batch.window(series(endpoint, FEATURES), *minute, &part(*config), window)
        });
        Ok(arrivals.chain(features).collect())
    }
}

/// How many requests arrived in each minute of these entries.
pub(crate) fn by_minute<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> BTreeMap<Minute, u64> {
    let mut counts = BTreeMap::new();
    for entry in entries {
        match from_bytes::<u64>(&entry.body) {
            Ok(count) => *counts.entry(entry.key.minute).or_default() += count,
            Err(invalid) => {
                tracing::error!(%invalid, "arrivals cannot be read and are not counted");
            }
        }
    }
    counts
}
