//! Making a baseline: from the archive, and keeping it.

use std::collections::BTreeMap;

use rendezvous_archive::{
    ScanError, Scored,
    join::{Wanted, join},
    payloads,
    scan::Progress,
};
use rendezvous_core::{
    Configuration, EndpointName, Minute, Unavailable,
    ports::{ArchiveFiles, Entry, EntryKey, WindowTable},
    value::{Scalar, scalars},
};
use rendezvous_evidence::{
    bytes::to_bytes,
    whatif::Configurations,
    window::{Feature, Features, Merge, Window},
};

use crate::{
    baselines::{BASELINES, Baseline, Hour, Period, hour_of, part, series_of},
    windows::series,
};

/// Computes a baseline from the archive. The values are those of the requests received in the period, whenever
/// their scores came; the features are those that the version of each request lists.
pub async fn of_archive(
    archive: &impl ArchiveFiles,
    name: &str,
    endpoint: &EndpointName,
    configurations: &Configurations,
    period: Period,
    mut progress: impl FnMut(Progress),
) -> Result<Baseline, ScanError> {
    let Period { from, to } = period;
    let mut hours: BTreeMap<u8, Hour> = BTreeMap::new();
    // Windows that are merged have different seeds.
    let mut seeds = 0..;
    let mut seed = || seeds.next().unwrap_or_default();
    let wanted = Wanted { from, to, ..Wanted::all(endpoint.clone()) };
    let requests = join(archive, &wanted, &mut progress).await?;
    requests.each(|request| {
        let Some(asked) = &request.request else { return Ok(()) };
        let hour = hours.entry(hour_of(asked.received)).or_default();
        for Scored { model, finished, value, failure, .. } in request.scores {
            let window = hour.models.entry(model).or_insert_with(|| Window::new(seed()));
            match failure {
                None => window.score(finished.since(asked.received), value),
                Some(kind) => window.failure(kind),
            }
        }
        Ok(())
    })?;
    drop(requests);
    let mut features: BTreeMap<(u8, u64), Features> = BTreeMap::new();
    let add = |asked: payloads::Asked<'_>| {
        let pointers = configurations.get(&asked.config).map(Configuration::features);
        let Some(pointers) = pointers.filter(|pointers| !pointers.is_empty()) else { return };
        let key = (hour_of(asked.received), asked.config);
        let window = features
            .entry(key)
            .or_insert_with(|| Features::new(pointers.iter().map(String::as_str), seed()));
        let scalars = scalars(asked.payload, pointers);
        window.push(scalars.iter().map(|scalar| match scalar {
            Some(Scalar::Number(number)) => Feature::Number(*number),
            Some(Scalar::Text(text)) => Feature::Text(text),
            None => Feature::Missing,
        }));
    };
    payloads::payloads(archive, endpoint, from..to, add, progress).await?;
    for ((hour, _), window) in features {
        let sum = &mut hours.entry(hour).or_default().features;
        match sum {
            Some(sum) => sum.merge(&window),
            None => *sum = Some(window),
        }
    }
    Ok(Baseline { name: name.to_owned(), period, hours })
}

/// Keeps a baseline for ever. The caller has seen that there is none of this name; two that keep the same
/// one at the same time write the same entries.
pub async fn freeze(
    windows: &impl WindowTable,
    endpoint: &EndpointName,
    baseline: &Baseline,
) -> Result<(), Unavailable> {
    let Baseline { name, period, hours } = baseline;
    let of_baseline = series_of(endpoint, name);
    let mut entries = Vec::new();
    for (hour, Hour { models, features }) in hours {
        let models =
            models.iter().map(|(model, window)| (part(*hour, Some(model)), to_bytes(window)));
        let features = features.iter().map(|window| (part(*hour, None), to_bytes(window)));
        let kept = models.chain(features);
        entries.extend(kept.filter_map(|(part, body)| Some(entry(&of_baseline, part, body?))));
    }
    windows.put(entries).await?;
    // Last: without it the baseline is not there.
    let body = to_bytes(period);
    let of_period = body.map(|body| entry(&series(endpoint, BASELINES), name.clone(), body));
    windows.put(of_period.into_iter().collect()).await
}

fn entry(series: &str, part: String, body: Vec<u8>) -> Entry {
    let key = EntryKey { series: series.to_owned(), minute: Minute::FIRST, part };
    Entry { key, body: body.into(), expires: None }
}
