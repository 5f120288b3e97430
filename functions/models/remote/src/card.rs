//! The card of a model on another server.

use std::{collections::HashSet, fs, path::Path, time::Duration};

use http::Uri;
use rendezvous_core::{EndpointName, Invalid, ModelId, tensors::Tensors};
use rendezvous_model::{
    Profile,
    time::{MAX_FUNCTION_TIMEOUT, longest_model_timeout},
};
use serde::Deserialize;
use serde_json::Value;

/// A checked card with `"engine": "remote"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteCard {
    /// Where the schema is, for editors.
    #[serde(default, rename = "$schema")]
    _schema: Option<String>,
    pub model: ModelId,
    /// One sentence for people.
    pub about: String,
    /// Always `remote`.
    pub engine: String,
    pub endpoints: HashSet<EndpointName>,
    /// The model on its server: `https://HOST/v2/models/NAME`, with `/versions/VERSION` or without.
    url: String,
    /// What of a payload the inputs are, and what of a score the outputs.
    pub(crate) tensors: Tensors,
    timeout_ms: u64,
    /// Score requests whose deadline has passed, too, instead of answering `expired`.
    #[serde(default)]
    scores_expired: bool,
    /// The calls of the server that may run at a time.
    #[serde(default = "default_concurrency")]
    pub(crate) concurrency: usize,
    /// The most rows of a call.
    #[serde(default = "default_batch")]
    pub(crate) batch_size: usize,
    /// A payload that the model accepts, for people to try.
    #[serde(default)]
    pub sample: Option<Value>,
    /// Where the model comes from, for people.
    #[serde(default)]
    pub provenance: Value,
}

fn default_concurrency() -> usize {
    4
}

fn default_batch() -> usize {
    32
}

const MAX_CONCURRENCY: usize = 1_000;
const MAX_BATCH: usize = 1_000;

impl RemoteCard {
    /// Reads and checks the card in a file.
    pub fn read(path: &Path) -> Result<Self, Invalid> {
        let text = fs::read_to_string(path)
            .map_err(|error| Invalid::new(format!("{}: {error}", path.display())))?;
        Self::parse(&text)
    }

    /// Reads and checks a card. Errors begin with the JSON pointer of the mistake.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let card: Self = rendezvous_model::card::read(text)?;
        card.check()?;
        Ok(card)
    }

    fn check(&self) -> Result<(), Invalid> {
        let wrong = |what: String| Err(Invalid::new(what));
        if self.endpoints.is_empty() {
            return wrong("/endpoints: must name at least one endpoint".to_owned());
        }
        let max = longest_model_timeout(MAX_FUNCTION_TIMEOUT).as_millis();
        if self.timeout_ms == 0 || u128::from(self.timeout_ms) > max {
            return wrong(format!("/timeout_ms: must be 1 to {max}"));
        }
        if !(1..=MAX_CONCURRENCY).contains(&self.concurrency) {
            return wrong(format!("/concurrency: must be 1 to {MAX_CONCURRENCY}"));
        }
        if !(1..=MAX_BATCH).contains(&self.batch_size) {
            return wrong(format!("/batch_size: must be 1 to {MAX_BATCH}"));
        }
        let url: Option<Uri> = self.url.parse().ok();
        let is_model = |url: &Uri| {
            matches!(url.scheme_str(), Some("http" | "https"))
                && url.host().is_some()
                && url.query().is_none()
                && url.path().contains("/v2/models/")
                && !url.path().ends_with('/')
        };
        if !url.as_ref().is_some_and(is_model) {
            return wrong(
                "/url: must be http(s)://HOST/v2/models/NAME, with /versions/VERSION or without"
                    .to_owned(),
            );
        }
        self.tensors.check_of_model()
    }

    /// Where the model is asked.
    pub(crate) fn infer(&self) -> Uri {
        // The URL has been checked.
        format!("{}/infer", self.url).parse().unwrap_or_default()
    }

    /// What the runtime must know about the model.
    pub fn profile(&self) -> Profile {
        Profile {
            id: self.model.clone(),
            endpoints: self.endpoints.clone(),
            timeout: Duration::from_millis(self.timeout_ms),
            scores_expired: self.scores_expired,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const CARD: &str = r#"{
        "model": "r@1", "about": "A test.", "engine": "remote", "endpoints": ["e"],
        "url": "http://127.0.0.1:8080/v2/models/m", "timeout_ms": 500,
        "tensors": {
            "inputs": [
                {"name": "numbers", "datatype": "FP64", "shape": [-1, 2], "fields": ["/x", "/in/y"]},
                {"name": "carrier", "datatype": "BYTES", "shape": [-1, 1], "field": "/carrier"}
            ],
            "outputs": [{"name": "p", "datatype": "FP64", "shape": [-1, 2], "fields": ["/no", "/yes"]}]
        }
    }"#;

    #[test]
    fn a_card_that_cannot_work_is_refused_with_the_place_of_the_mistake() {
        for (from, to, message) in [
            ("r@1", "r", "/model: "),
            ("[\"e\"]", "[]", "/endpoints: must name at least one endpoint"),
            ("500", "0", "/timeout_ms: must be 1 to 894000"),
            ("500", "500, \"concurrency\": 0", "/concurrency: must be 1 to 1000"),
            ("500", "500, \"batch_size\": 0", "/batch_size: must be 1 to 1000"),
            ("http:", "ftp:", "/url: must be http(s)://"),
            ("/v2/models/m", "/predict", "/url: must be http(s)://"),
            (
                "FP64\", \"shape\": [-1, 2], \"fields\": [\"/x\"",
                "FP8\", \"shape\": [-1, 2], \"fields\": [\"/x\"",
                "/tensors/inputs/0/datatype: unknown variant",
            ),
            ("\"/x\", ", "", "/tensors/inputs/0/fields: "),
            ("url", "uri", "/uri: unknown field"),
            (
                "-1, 1], \"field\"",
                "-1, 1], \"more\": 1, \"field\"",
                "/tensors/inputs/1/more: unknown field",
            ),
        ] {
            assert!(CARD.contains(from), "{from}");
            let error = RemoteCard::parse(&CARD.replacen(from, to, 1)).expect_err(to).to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn the_model_is_asked_at_its_own_address() {
        let card = RemoteCard::parse(CARD).unwrap();
        assert_eq!(card.infer(), "http://127.0.0.1:8080/v2/models/m/infer");
    }
}
