//! A payload for each endpoint: from a file, or made so that the models' cards accept it.

use std::{collections::BTreeMap, fs, path::Path};

use rendezvous_core::{EndpointName, Json};
use rendezvous_onnx::{Card, cards, sample_payload};

/// Payloads by endpoint.
#[derive(Clone, Debug, Default)]
pub struct Payloads {
    by_endpoint: BTreeMap<EndpointName, String>,
    /// For every other endpoint.
    others: Option<String>,
}

impl Payloads {
    /// The payload of an endpoint.
    pub fn of(&self, endpoint: &EndpointName) -> Option<&str> {
        self.by_endpoint.get(endpoint).or(self.others.as_ref()).map(String::as_str)
    }

    /// Takes `FILE`, for all endpoints, or `ENDPOINT=FILE`.
    pub fn add(&mut self, argument: &str) -> Result<(), String> {
        let named = argument.split_once('=');
        let named = named.and_then(|(name, file)| Some((name.parse::<EndpointName>().ok()?, file)));
        let file = named.as_ref().map_or(argument, |(_, file)| file);
        let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
        let payload = Json::parse(text.trim()).map_err(|invalid| format!("{file}: {invalid}"))?;
        let payload = payload.as_str().to_owned();
        match named {
            Some((endpoint, _)) => drop(self.by_endpoint.insert(endpoint, payload)),
            None => self.others = Some(payload),
        }
        Ok(())
    }

    /// Makes payloads for the endpoints of the model cards in `folder`, unless they have one.
    pub fn add_cards(&mut self, folder: &Path) -> Result<(), String> {
        let files = cards(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        // A folder may hold other JSON files than cards.
        let cards: Vec<Card> = files.iter().filter_map(|file| Card::read(file).ok()).collect();
        for endpoint in cards.iter().flat_map(|card| &card.endpoints) {
            let models = cards.iter().filter(|card| card.endpoints.contains(endpoint));
            let payload = || sample_payload(models);
            self.by_endpoint.entry(endpoint.clone()).or_insert_with(payload);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_payload_is_made_of_the_cards_of_all_models_of_its_endpoint() {
        let folder = tempfile::tempdir().unwrap();
        let card = |endpoint: &str, inputs: Value| {
            json!({
                "model": "a@1", "about": "A test.", "endpoints": [endpoint], "onnx": "a.onnx",
                "timeout_ms": 50, "inputs": inputs, "outputs": ["p"], "provenance": { "sha256": "" },
            })
        };
        let first = json!([
            { "field": "/carrier", "categories": ["UA", "AA"] },
            { "field": "/weather/temp", "impute": 50.5 },
        ]);
        let second = json!([{ "field": "/hour", "range": [5, 23] }, { "field": "/a~1b" }]);
        for (name, text) in [
            ("a.json", card("e", first).to_string()),
            ("b.json", card("e", second).to_string()),
            ("no-card.json", "[]".to_owned()),
            ("a.onnx", "x".to_owned()),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let mut payloads = Payloads::default();
        payloads.add_cards(folder.path()).unwrap();
        let payload: Value =
            serde_json::from_str(payloads.of(&"e".parse().unwrap()).unwrap()).unwrap();
        let expected =
            json!({ "carrier": "UA", "weather": { "temp": 50.5 }, "hour": 14, "a/b": 1 });
        assert_eq!(payload, expected);
        assert_eq!(payloads.of(&"f".parse().unwrap()), None);
    }

    #[test]
    fn a_file_is_for_one_endpoint_or_for_all_others() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let mut payloads = Payloads::default();
        payloads.add(&format!("e={}", file("e", "{ \"a\":1.0 }\n"))).unwrap();
        assert_eq!(payloads.of(&"f".parse().unwrap()), None);
        payloads.add(&file("all", "2")).unwrap();
        assert_eq!(payloads.of(&"e".parse().unwrap()), Some("{ \"a\":1.0 }"));
        assert_eq!(payloads.of(&"f".parse().unwrap()), Some("2"));
        assert!(payloads.add(&file("no JSON", "{")).unwrap_err().contains("no JSON"));
        assert!(payloads.add("e=/nowhere").unwrap_err().starts_with("/nowhere: "));
    }
}
