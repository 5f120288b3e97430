//! A payload for each endpoint: from a file, or made so that the models' cards accept it.

use std::{collections::BTreeMap, fs, path::Path};

use rendezvous_core::{EndpointName, Json};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Payloads by endpoint.
#[derive(Clone, Debug, Default)]
pub struct Payloads {
    by_endpoint: BTreeMap<EndpointName, String>,
    /// For every other endpoint.
    others: Option<String>,
}

/// What a model card says of payloads.
#[derive(Deserialize)]
struct Card {
    endpoints: Vec<EndpointName>,
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
struct Input {
    field: String,
    categories: Option<Vec<String>>,
    range: Option<(i64, i64)>,
    impute: Option<f64>,
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
        let failed =
            |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let mut made: BTreeMap<EndpointName, Value> = BTreeMap::new();
        for entry in fs::read_dir(folder).map_err(|error| failed(folder, &error))? {
            let path = entry.map_err(|error| failed(folder, &error))?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
            // A folder may hold other JSON files than cards.
            let Ok(card) = serde_json::from_str::<Card>(&text) else { continue };
            for endpoint in card.endpoints {
                let payload = made.entry(endpoint).or_insert_with(|| json!({}));
                card.inputs.iter().for_each(|input| input.put(payload));
            }
        }
        for (endpoint, payload) in made {
            self.by_endpoint.entry(endpoint).or_insert_with(|| payload.to_string());
        }
        Ok(())
    }
}

impl Input {
    /// Puts a value that the input takes where its field points.
    fn put(&self, payload: &mut Value) {
        let value = match (&self.categories, self.range, self.impute) {
            (Some(categories), ..) => json!(categories.first()),
            (_, Some((low, _)), _) => json!(low),
            (.., number) => json!(number.unwrap_or(1.0)),
        };
        let mut place = payload;
        for part in self.field.split('/').skip(1) {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            let name = part.replace("~1", "/").replace("~0", "~");
            place = &mut place[name];
        }
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_made_of_the_cards_of_all_models_of_its_endpoint() {
        let folder = tempfile::tempdir().unwrap();
        let card = |endpoint: &str, inputs: Value| json!({ "model": "a@1", "endpoints": [endpoint], "onnx": "a.onnx", "inputs": inputs });
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
            json!({ "carrier": "UA", "weather": { "temp": 50.5 }, "hour": 5, "a/b": 1.0 });
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
