//! What is missing in an archive.

use std::collections::BTreeMap;

use rendezvous_archive::Joined;
use serde::Serialize;

use crate::whatif::Configurations;

/// What is missing. Rows may still be on their way: scores and decisions are archived within the decoy's
/// batching window, about a minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gaps {
    /// Requests with a row of any table but outcomes.
    pub requests: u64,
    /// Requests that no model has scored or failed.
    pub without_scores: u64,
    /// Requests without a decision: nobody asked, and none of their scores was filed in time.
    pub undecided: u64,
    /// Pairs of a request and a model that is expected to score it.
    pub pairs: u64,
    /// Such pairs without score or failure, by model; models without are left out.
    pub missing: BTreeMap<String, u64>,
    /// Decisions of whose request no score or failure is archived.
    pub decisions_without_scores: u64,
    /// Requests of which scores or a decision are archived, but not the request.
    pub without_request: u64,
    /// Requests whose version of the configuration is not known, so that their pairs are not counted.
    pub no_configuration: u64,
}

impl Gaps {
    /// Takes the next request.
    pub fn push(&mut self, request: &Joined, configurations: &Configurations) {
        self.requests += 1;
        self.without_scores += u64::from(request.scores.is_empty());
        self.undecided += u64::from(request.decision.is_none());
        let alone = request.decision.is_some() && request.scores.is_empty();
        self.decisions_without_scores += u64::from(alone);
        self.without_request += u64::from(request.request.is_none());
        let asked = request.request.as_ref().map(|asked| asked.config);
        let version = asked.or(request.decision.as_ref().map(|decision| decision.config));
        let Some(configuration) = version.and_then(|version| configurations.get(&version)) else {
            self.no_configuration += 1;
            return;
        };
        let skip = request.request.as_ref().map(|asked| &asked.skip[..]).unwrap_or_default();
        for model in configuration.models().filter(|model| !skip.contains(model)) {
            self.pairs += 1;
            if request.score_of(model).is_none() {
                *self.missing.entry(model.to_string()).or_default() += 1;
            }
        }
    }

    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        let Self { without_scores, undecided, decisions_without_scores, .. } = self;
        let missing = without_scores + undecided + decisions_without_scores + self.without_request;
        missing == 0 && self.missing.is_empty()
    }
}
