//! The names of series, and the entries that the windows of a batch become. What each holds is in
//! [`windows`](crate::windows).

use bytes::Bytes;
use rendezvous_core::{
    Arm, EndpointName, Minute, ModelId, Timestamp,
    ports::{Entry, EntryKey},
};
use rendezvous_evidence::bytes::{from_bytes, to_bytes};
use serde::{Serialize, de::DeserializeOwned};

/// The length of an hour in minutes.
pub(crate) const HOUR: u32 = 60;

/// The series of the endpoints that have decisions and a guarded arm.
pub const GUARDED: &str = "guarded";

/// A value at or above it is on the upper side, as in a comparison.
pub(crate) const THRESHOLD: f64 = 0.5;

/// The other series, each of an endpoint.
pub const DECISIONS: &str = "decisions";
pub const MODELS: &str = "models";
pub const PAIRS: &str = "pairs";
/// The sum of each guarded arm, and the verdict of each minute: see [`crate::guards`].
pub const RAMPS: &str = "ramps";
pub const VERDICTS: &str = "verdicts";

/// A series of an endpoint.
pub fn series(endpoint: &EndpointName, of: &str) -> String {
    format!("{endpoint}/{of}")
}

/// What the parts of a configuration version's windows of an arm begin with.
pub fn part(config: u64, arm: &Arm) -> String {
    format!("{config}/{arm}/")
}

/// The arm in the part of an entry of [`DECISIONS`], [`MODELS`] or [`PAIRS`].
pub fn arm(part: &str) -> Option<Arm> {
    part.split('/').nth(1)?.parse().ok()
}

/// The model in the part of an entry of [`MODELS`].
pub fn model(part: &str) -> Option<ModelId> {
    part.split('/').nth(2)?.parse().ok()
}

/// What the windows of a batch have in common.
pub(crate) struct Batch<'b> {
    pub(crate) name: &'b str,
    pub(crate) expires: Timestamp,
}

impl Batch<'_> {
    pub(crate) fn entry(
        &self,
        series: String,
        minute: Minute,
        part: String,
        body: Vec<u8>,
    ) -> Entry {
        let key = EntryKey { series, minute, part };
        Entry { key, body: Bytes::from(body), expires: Some(self.expires) }
    }

    /// The entry of a window. Every window has bytes.
    pub(crate) fn window(
        &self,
        series: String,
        minute: Minute,
        part: &str,
        window: &impl Serialize,
    ) -> Option<Entry> {
        Some(self.entry(series, minute, format!("{part}{}", self.name), to_bytes(window)?))
    }
}

/// A window that cannot be read is not counted.
pub(crate) fn read<T: DeserializeOwned>(entry: &Entry) -> Option<T> {
    let unreadable = |invalid: &_| {
        let series = &entry.key.series;
        tracing::error!(%series, %invalid, "a window cannot be read and is not counted");
    };
    from_bytes(&entry.body).inspect_err(unreadable).ok()
}
