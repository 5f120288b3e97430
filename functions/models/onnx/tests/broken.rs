//! Files that are cut off or changed: an error or a score, never a panic.

use std::{fmt::Write, fs, path::PathBuf};

use proptest::prelude::*;
use rendezvous_core::Json;
use rendezvous_model::Model;
use rendezvous_onnx::{Card, OnnxModel};
use sha2::{Digest, Sha256};

fn exports() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "exports"].iter().collect()
}

/// An export's card and file.
fn export(name: &str) -> (String, Vec<u8>) {
    let file = |extension: &str| exports().join(format!("{name}.{extension}"));
    (fs::read_to_string(file("json")).unwrap(), fs::read(file("onnx")).unwrap())
}

/// The card with the hash of other bytes, which then are the file that it means.
fn card_of(card: &str, bytes: &[u8]) -> Card {
    let sha256 = |bytes: &[u8]| {
        Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    };
    let mut card: serde_json::Value = serde_json::from_str(card).unwrap();
    card["provenance"]["sha256"] = sha256(bytes).into();
    Card::parse(&card.to_string()).unwrap()
}

/// Loads the bytes as the model's file and scores two requests. Returns the errors: a panic during a
/// run is one, too.
async fn try_out(card: &str, bytes: Vec<u8>) -> Vec<String> {
    let card = card_of(card, &bytes);
    let model = match OnnxModel::from_bytes(card, bytes).await {
        Ok(model) => model,
        Err(error) => return vec![error.to_string()],
    };
    let payload = r#"{"x":[1,2,3,4,5,6,7,8],"age":30,"income":null,"city":"Rome","plan":"x","visits":1,"member":true}"#;
    let mut errors = Vec::new();
    for score in model.score(&[Json::parse(payload).unwrap(), Json::parse(payload).unwrap()]).await
    {
        errors.extend(score.err().map(|failure| failure.message));
    }
    errors
}

/// Exports whose operators are all executed by this crate.
const OWN: [&str; 5] =
    ["logistic-words", "linear", "forest-three", "boosting-regressor", "xgboost"];

#[tokio::test]
async fn a_file_that_is_cut_off_is_an_error_or_works() {
    for name in OWN.iter().chain(&["pipeline", "mlp-classifier"]) {
        let (card, bytes) = export(name);
        assert_eq!(try_out(&card, bytes.clone()).await, Vec::<String>::new());
        let mut refused = 0;
        for part in 0..64 {
            let cut = bytes[..bytes.len() * part / 64].to_vec();
            let errors = try_out(&card, cut).await;
            assert!(!errors.iter().any(|error| error.contains("panicked")), "{name}: {errors:?}");
            refused += usize::from(!errors.is_empty());
        }
        assert!(refused >= 60, "{name}: only {refused} of 64 cut files are refused");
    }
}

#[tokio::test]
async fn a_mistake_of_the_file_is_named() {
    let (card, bytes) = export("forest-three");
    for (from, to, message) in [
        (&b"BRANCH_LEQ"[..], &b"BRANCH_LEX"[..], "nodes_modes: BRANCH_LEX is not supported"),
        (
            b"TreeEnsembleClassifier",
            b"TreeEnsembleClassifie!",
            "the operator TreeEnsembleClassifie!",
        ),
        (b"nodes_truenodeids", b"nodes_truenodeidz", "nodes_truenodeids has 0 entries"),
        (b"class_weights", b"class_weightz", "has 0 weights for"),
    ] {
        let errors = try_out(&card, replaced(&bytes, from, to)).await;
        assert!(errors.len() == 1 && errors[0].contains(message), "{errors:?}");
    }
    let errors = try_out(&card, b"no protocol buffer".to_vec()).await;
    assert!(errors[0].starts_with("no ONNX file: "), "{errors:?}");
    let errors = try_out(&card, Vec::new()).await;
    assert_eq!(errors, ["no ONNX file: it has no graph"]);
}

/// `bytes` with the last `from` replaced by a text of the same length.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).rposition(|window| window == from).unwrap();
    let mut bytes = bytes.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_file_with_changed_bytes_is_an_error_or_works(
        name in prop::sample::select(OWN.to_vec()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        // The structure is denser at the beginning and the end than in the middle.
        near in prop::option::of(0_usize..200),
    ) {
        let (card, mut bytes) = export(name);
        for (at, byte) in changes {
            let at = match near {
                Some(near) => (near + at.index(20)).min(bytes.len() - 1),
                None => at.index(bytes.len()),
            };
            bytes[at] = byte;
        }
        let errors = futures_executor::block_on(try_out(&card, bytes));
        prop_assert!(!errors.iter().any(|error| error.contains("panicked")), "{:?}", errors);
    }
}
