//! What `compare` says of the archive of a system, and what it refuses.

use std::{collections::HashSet, path::PathBuf, time::Duration};

use http::Method;
use rendezvous_core::{Failure, Json};
use rendezvous_evidence::Confidence;
use rendezvous_model::{Model, Profile};
use rendezvous_sim::Size;
use rendezvous_tests::{CONFIGURATION, World, endpoint, model};
use rendezvousctl::{
    compare::{CompareOptions, Figures, compare, require, requirement},
    past::Range,
};
use serde_json::Value;

const REQUESTS: usize = 60;

/// A model that says .9 for what happens and .1 for what does not, or always .5.
struct Knows {
    profile: Profile,
    truth: bool,
}

impl Model for Knows {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    async fn score(&self, payloads: &[Json]) -> Vec<Result<Json, Failure>> {
        let value = |payload: &Json| {
            let payload: Value = serde_json::from_str(payload.as_str()).unwrap();
            let happens = payload["n"].as_u64().unwrap().is_multiple_of(3);
            if self.truth { if happens { 0.9 } else { 0.1 } } else { 0.5 }
        };
        let score = |payload| Json::parse(&format!("{{\"p\":{}}}", value(payload))).unwrap();
        payloads.iter().map(|payload| Ok(score(payload))).collect()
    }
}

/// A system in which `b@1` knows the truth, `a@1` does not, and `c@1` sends nothing.
async fn system() -> World {
    let configuration = CONFIGURATION.replace("\"/p\"", "\"/p\", \"outcome\": \"/late\"");
    let world = World::with(&configuration, Size::default()).await;
    for (id, truth) in [("a@1", false), ("b@1", true)] {
        let profile = Profile {
            id: model(id),
            endpoints: HashSet::from([endpoint()]),
            timeout: Duration::from_secs(5),
            scores_expired: false,
        };
        world.system.add_model(Knows { profile, truth });
    }
    for n in 0..REQUESTS {
        let kind = if n % 2 == 0 { "even" } else { "odd" };
        let id = world.ask(&format!("{{\"n\":{n},\"kind\":\"{kind}\"}}")).await.id();
        let path = format!("/v1/endpoints/e/requests/{id}/outcome");
        let outcome = format!("{{\"late\":{}}}", n.is_multiple_of(3));
        assert_eq!(world.call(Method::PUT, &path, &[], &outcome).await.status, 204);
    }
    world.drain().await;
    // A score that is missing may be on its way for an hour.
    tokio::time::sleep(Duration::from_hours(2)).await;
    world
}

fn options(first: &str, second: &str) -> CompareOptions {
    let confidence = Confidence::DEFAULT;
    CompareOptions {
        range: Range { endpoint: endpoint(), from: None, to: None },
        first: model(first),
        second: model(second),
        by: None,
        figures: Figures { confidence, threshold: 0.5, minimum_coverage: 0.5 },
        require: None,
        label: None,
        sample: None,
    }
}

#[tokio::test(start_paused = true)]
async fn compare_says_which_model_is_better_and_in_which_segment() {
    let world = system().await;
    let (files, table) = (&*world.system.archive, &*world.system.endpoints);
    let options = CompareOptions { by: Some("/kind".to_owned()), ..options("b@1", "a@1") };
    let compared = compare(files, table, &options).await.unwrap();
    let json = &compared.json;
    assert_eq!([&json["requests"], &json["paired"]], [REQUESTS, REQUESTS]);
    assert_eq!((&json["coverage"], &json["models"][0]), (&1.0.into(), &"b@1".into()));
    let brier = &json["difference"]["brier"];
    // (.1)² less (.5)².
    assert!((brier["estimate"].as_f64().unwrap() + 0.24).abs() < 1e-9, "{brier}");
    assert_eq!((&brier["verdict"], &brier["anytime"]), (&"first".into(), &true.into()));
    let segments = json["segments"].as_array().unwrap();
    let counts: Vec<_> =
        segments.iter().map(|each| (&each["segment"], &each["requests"])).collect();
    assert!(counts.contains(&(&"even".into(), &30.into())), "{counts:?}");
    assert_eq!(json["auc"]["first"]["estimate"], 1.0);
    assert!(compared.text.contains("e: b@1 against a@1"), "{}", compared.text);
    assert!(!compared.text.contains("\"n\""), "no payload is printed");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_sends_nothing_has_failed_and_an_unlisted_one_is_an_error() {
    let world = system().await;
    let (files, table) = (&*world.system.archive, &*world.system.endpoints);
    let json = compare(files, table, &options("c@1", "a@1")).await.unwrap().json;
    assert_eq!((&json["paired"], &json["first"]["failed"]), (&0.into(), &1.0.into()));
    assert_eq!(json["difference"]["failed"]["estimate"], 1.0);
    let unlisted = compare(files, table, &options("x@1", "a@1")).await.unwrap_err();
    assert_eq!(unlisted.code(), 1);
    let why = "no version of e lists x@1, and no replay is of it; they list a@1, b@1, c@1, d@1";
    assert!(unlisted.to_string().contains(why), "{unlisted}");
}

#[tokio::test(start_paused = true)]
async fn a_promotion_is_refused_with_the_figures_while_the_evidence_is_not_there() {
    let world = system().await;
    let (files, table) = (&*world.system.archive, &*world.system.endpoints);
    let range = options("b@1", "a@1").range;
    let met = async |evidence: &str| {
        let requirement = requirement(evidence).unwrap();
        require(files, table, &range, &model("b@1"), &requirement).await
    };
    met("brier<=-0.001@99%, requests>=60").await.unwrap();
    let refused = met("brier<=-0.23@99%, requests>=61").await.unwrap_err();
    assert_eq!(refused.code(), 3);
    let text = refused.to_string();
    assert!(text.contains("brier: estimate -0.24, 99% interval"), "{text}");
    assert!(text.contains("requests: 60; required >= 61"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_sample_is_stored_before_its_labels_and_weighed_with_its_probabilities() {
    let world = system().await;
    let (files, table) = (&*world.system.archive, &*world.system.endpoints);
    let folder = tempfile::tempdir().unwrap();
    let sample: Option<PathBuf> = Some(folder.path().join("sample.json"));
    let drawing =
        CompareOptions { label: Some(30), sample: sample.clone(), ..options("b@1", "a@1") };
    let drawn = compare(files, table, &drawing).await.unwrap().json["drawn"].as_u64().unwrap();
    assert!((10..=50).contains(&drawn), "{drawn}");
    let again = compare(files, table, &drawing).await.unwrap_err();
    assert_eq!(again.code(), 1, "a sample is not replaced: {again}");
    let weighs = CompareOptions { sample: sample.clone(), ..options("b@1", "a@1") };
    let labelled = &compare(files, table, &weighs).await.unwrap().json["labelled"];
    // Each request is drawn with probability 30/60 and differs by -0.24, so that the estimate depends on
    // how many were drawn only.
    let [estimate, low, high] =
        ["estimate", "low", "high"].map(|figure| labelled[figure].as_f64().unwrap());
    let (weighed, drawn) = (-0.24 / 30.0, drawn as f64);
    assert!((estimate - weighed * drawn).abs() < 1e-9, "{drawn} drawn: {labelled}");
    // 2.5758 standard deviations on either side are 99 %; the variance is half of the sum of squares.
    let half_width = 2.5758 * (0.5 * drawn).sqrt() * weighed.abs();
    assert!((estimate - half_width - low).abs() < 1e-5, "{drawn} drawn: {labelled}");
    assert!((estimate + half_width - high).abs() < 1e-5, "{drawn} drawn: {labelled}");
    assert_eq!(labelled["anytime"], false, "{labelled}");
    let other = CompareOptions { sample, ..options("a@1", "b@1") };
    let other = compare(files, table, &other).await.unwrap_err();
    assert_eq!(other.code(), 2);
    assert!(other.to_string().contains("is a sample for b@1 and a@1"), "{other}");
}
