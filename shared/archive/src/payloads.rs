//! The payloads of an endpoint's requests.

use std::{ops::Range, time::Duration};

use rendezvous_core::{EndpointName, Timestamp, ports::ArchiveFiles};

use crate::{
    layout::select,
    part::Extent,
    scan::{Progress, ScanError, scan},
    tables::RequestRow,
};

/// How far clocks differ, and how long ingress tries to send a request.
const SKEW: Duration = Duration::from_hours(1);

select! {
    /// What is read of a request.
    PayloadColumns of RequestRow<'_> {
        endpoint: EndpointName,
        config: u64,
        received_us: Timestamp,
        payload: String,
    }
}

/// A request with its payload.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub config: u64,
    pub received: Timestamp,
    pub payload: &'a str,
}

/// Hands over the requests of an endpoint that were received in a span of time, in any order. A row that
/// the archive has twice is handed over twice.
pub async fn payloads(
    files: &impl ArchiveFiles,
    endpoint: &EndpointName,
    received: Range<Timestamp>,
    mut each: impl FnMut(Asked<'_>),
    progress: impl FnMut(Progress),
) -> Result<(), ScanError> {
    let arrived = received.start - SKEW..received.end + SKEW;
    let extent = Extent { endpoint: Some(endpoint), arrived, received: received.clone() };
    let each = |rows: Vec<PayloadColumns>| {
        for row in rows {
            if row.endpoint == *endpoint && received.contains(&row.received_us) {
                let (config, received, payload) = (row.config, row.received_us, &*row.payload);
                each(Asked { config, received, payload });
            }
        }
        Ok(())
    };
    scan(files, &extent, each, progress).await
}
