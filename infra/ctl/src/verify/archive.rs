//! The archive, as far as it was written during a run.

use std::collections::{BTreeSet, HashSet};

use rendezvous_archive::{DecisionRow, OutcomeRow, RequestRow, Row, ScoreRow, files::Hour, read};
use rendezvous_core::{
    RequestId, Timestamp, now,
    ports::{ArchiveFiles, StoredFile},
};

/// The rows of some requests that have been found so far.
#[derive(Debug)]
pub struct Archive<'f, F> {
    files: &'f F,
    begun: Timestamp,
    seen: HashSet<String>,
    pub requests: Vec<RequestRow<'static>>,
    pub scores: Vec<ScoreRow<'static>>,
    pub decisions: Vec<DecisionRow<'static>>,
    pub outcomes: Vec<OutcomeRow<'static>>,
}

/// How far the clocks of this machine and of the archive may differ.
const SKEW_MICROS: i64 = 120_000_000;

impl<'f, F: ArchiveFiles> Archive<'f, F> {
    /// An archive of which only what is written from now on is read.
    pub fn new(files: &'f F) -> Self {
        Self {
            files,
            begun: Timestamp::from_micros(now().as_micros() - SKEW_MICROS),
            seen: HashSet::new(),
            requests: Vec::new(),
            scores: Vec::new(),
            decisions: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    /// Reads the files that are new, and keeps the rows of these requests.
    pub async fn read(&mut self, ids: &BTreeSet<RequestId>) -> Result<(), String> {
        let requests = self.rows(ids, |row: &RequestRow<'_>| row.request_id).await?;
        self.requests.extend(requests);
        let scores = self.rows(ids, |row: &ScoreRow<'_>| row.request_id).await?;
        self.scores.extend(scores);
        let decisions = self.rows(ids, |row: &DecisionRow<'_>| row.request_id).await?;
        self.decisions.extend(decisions);
        let outcomes = self.rows(ids, |row: &OutcomeRow<'_>| row.request_id).await?;
        self.outcomes.extend(outcomes);
        Ok(())
    }

    async fn rows<R: Row>(
        &mut self,
        ids: &BTreeSet<RequestId>,
        id: impl Fn(&R) -> RequestId,
    ) -> Result<Vec<R>, String> {
        let mut rows = Vec::new();
        for hour in hours(self.begun, now()) {
            let folder = format!("{}/{hour}/", R::TABLE);
            let listed = self.files.list(&folder).await.map_err(|error| error.to_string())?;
            for StoredFile { name, bytes, written } in listed {
                let is_new = written >= self.begun && !self.seen.contains(&name);
                if !is_new || !name.ends_with(".parquet") {
                    continue;
                }
                let body = self.files.read(&name, 0..bytes).await;
                let body = body.map_err(|error| error.to_string())?;
                let read = read::<R>(body).map_err(|error| format!("{name}: {error}"))?;
                rows.extend(read.into_iter().filter(|row| ids.contains(&id(row))));
                self.seen.insert(name);
            }
        }
        Ok(rows)
    }
}

/// The hours from one instant to another, and one more for a clock that is ahead.
fn hours(from: Timestamp, to: Timestamp) -> BTreeSet<Hour> {
    let (from, to) = (from.as_micros(), to.as_micros() + SKEW_MICROS);
    let step = 60_000_000;
    (0..=(to - from) / step + 1)
        .map(|minutes| Hour::of(Timestamp::from_micros((from + minutes * step).min(to))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_hours_of_a_run_are_read() {
        let at = |minutes: i64| Timestamp::from_micros(minutes * 60_000_000);
        assert_eq!(hours(at(10), at(20)).len(), 1);
        assert_eq!(hours(at(50), at(59)).len(), 2, "a clock may be ahead");
        assert_eq!(hours(at(50), at(190)).len(), 4);
    }
}
