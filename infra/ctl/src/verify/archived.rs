//! What the archive must hold of the requests of a run.

use std::{collections::BTreeSet, time::Duration};

use rendezvous_archive::ScoreRow;
use rendezvous_core::{FailureKind, ModelId, RequestId, ports::ArchiveFiles};
use tokio::time::{Instant, sleep};

use super::{
    archive::Archive,
    endpoint::Asked,
    report::{Report, Step},
};

const PAUSE: Duration = Duration::from_secs(1);

/// Waits until the archive holds everything, at most `limit`, and reports what it holds.
pub(super) async fn check_archive<F: ArchiveFiles>(
    archive: &mut Archive<'_, F>,
    all: &[Asked],
    limit: Duration,
    report: &mut Report,
) {
    let ids: BTreeSet<RequestId> = all.iter().flat_map(|asked| asked.requests.clone()).collect();
    let start = Instant::now();
    let unreadable = loop {
        let read = archive.read(&ids).await;
        let complete = read.is_ok() && all.iter().all(|asked| is_complete(archive, asked));
        if complete || start.elapsed() >= limit {
            break read.err();
        }
        sleep(PAUSE).await;
    };
    if let Some(error) = unreadable {
        let advice = "check that these credentials may list and read the archive";
        report.add(Step::failed("archive", "", error).advise(advice));
    }
    for asked in all {
        report.add(rows(archive, asked, limit).took(start.elapsed()));
        for model in &asked.models {
            report.add(scores(archive, asked, model));
        }
        times(archive, asked, report);
    }
}

/// What is missing in the archive, by table.
fn missing<F: ArchiveFiles>(archive: &Archive<'_, F>, asked: &Asked) -> Vec<&'static str> {
    let mut missing = Vec::new();
    let every = |found: BTreeSet<RequestId>| asked.requests.iter().all(|id| found.contains(id));
    if !every(archive.requests.iter().map(|row| row.request_id).collect()) {
        missing.push("requests");
    }
    if !every(archive.decisions.iter().map(|row| row.request_id).collect()) {
        missing.push("decisions");
    }
    let told = archive.outcomes.iter().map(|row| row.request_id).collect::<BTreeSet<_>>();
    if asked.reported.is_some_and(|id| !told.contains(&id)) {
        missing.push("outcomes");
    }
    missing
}

fn is_complete<F: ArchiveFiles>(archive: &Archive<'_, F>, asked: &Asked) -> bool {
    // A model that has failed every request does not score them later.
    let is_known = |model: &ModelId| {
        let told: BTreeSet<RequestId> =
            scores_of(archive, asked, model).map(|row| row.request_id).collect();
        scores_of(archive, asked, model).any(|row| row.score.is_some())
            || told.len() == asked.requests.len()
    };
    missing(archive, asked).is_empty() && asked.models.iter().all(is_known)
}

fn rows<F: ArchiveFiles>(archive: &Archive<'_, F>, asked: &Asked, limit: Duration) -> Step {
    let name = asked.endpoint.as_str();
    if asked.requests.is_empty() {
        return Step::skipped("archive", name);
    }
    let missing = missing(archive, asked);
    if !missing.is_empty() {
        let detail = format!("not after {} s in {}", limit.as_secs(), missing.join(", "));
        return Step::failed("archive", name, detail).advise(
            "are the decoy's mappings enabled? See its logs, the archive's quarantine/ and the failure \
             bucket; --archive-within SECONDS waits longer",
        );
    }
    let mut requests = archive.requests.iter();
    let changed =
        |id: RequestId, payload: &str| asked.requests.contains(&id) && payload != asked.payload;
    if requests.any(|row| changed(row.request_id, &row.payload)) {
        return Step::failed(
            "archive",
            name,
            "a payload is not the one that was sent, to the byte",
        );
    }
    let outcomes = if asked.reported.is_some() { " and the outcome" } else { "" };
    let detail = format!("{} requests, their decisions{outcomes}", asked.requests.len());
    Step::ok("archive", name, detail)
}

fn scores_of<'a, F: ArchiveFiles>(
    archive: &'a Archive<'_, F>,
    asked: &'a Asked,
    model: &'a ModelId,
) -> impl Iterator<Item = &'a ScoreRow<'static>> {
    let rows = archive.scores.iter();
    rows.filter(move |row| row.model == *model && asked.requests.contains(&row.request_id))
}

/// Whether a model has scored a request.
fn scores<F: ArchiveFiles>(archive: &Archive<'_, F>, asked: &Asked, model: &ModelId) -> Step {
    let name = asked.endpoint.as_str();
    let step = format!("model {model}");
    if asked.requests.is_empty() {
        return Step::skipped(&step, name);
    }
    let (of, mut scores) = (asked.requests.len(), 0);
    let mut failure = None;
    let mut seen = BTreeSet::new();
    for row in scores_of(archive, asked, model) {
        if row.score.is_some() {
            scores += usize::from(seen.insert(row.request_id));
        } else {
            failure = row.failure_kind.map(|kind| (kind, row.failure_message.clone()));
        }
    }
    match failure {
        _ if scores > 0 => Step::ok(&step, name, format!("scored {scores} of {of} requests")),
        None => Step::failed(&step, name, "no score and no failure of it is in the archive").advise(
            "is the model deployed, for this endpoint, and is its mapping enabled? See its logs",
        ),
        Some((kind, message)) => {
            let advice = match kind {
                FailureKind::Failed | FailureKind::Invalid => format!(
                    "does the payload suit the model? Pass --payload {name}=FILE; see also the logs of the \
                     model's function"
                ),
                FailureKind::TimedOut | FailureKind::Expired => {
                    "is its function still starting, behind, or too small? Verify again, then see its logs \
                     and metrics"
                        .to_owned()
                }
            };
            let message = message.unwrap_or_default();
            let kind = serde_json::to_value(kind).unwrap_or_default();
            let kind = kind.as_str().unwrap_or_default();
            Step::failed(&step, name, format!("{kind}: {message}")).advise(advice)
        }
    }
}

/// Where the time of the answered request went at each model.
fn times<F: ArchiveFiles>(archive: &Archive<'_, F>, asked: &Asked, report: &mut Report) {
    let name = asked.endpoint.as_str();
    for model in &asked.models {
        let mut rows = scores_of(archive, asked, model);
        let row = rows.find(|row| Some(row.request_id) == asked.answered);
        let waited = row.map(|row| row.started_us.since(row.received_us));
        report.time(name, format!("{model}: received to begun"), waited);
        let scored = row.map(|row| row.finished_us.since(row.started_us));
        report.time(name, format!("{model}: scoring"), scored);
    }
}
