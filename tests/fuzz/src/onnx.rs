//! ONNX files.

use rendezvous_core::{Json, Sha256Digest};
use rendezvous_model::Model;
use rendezvous_onnx::{Card, OnnxModel};

use crate::system::run;

/// Cards of exports, whose names the first byte of an input chooses. The other bytes are the file.
const CARDS: [&str; 7] = [
    include_str!("../../../functions/models/onnx/tests/exports/linear.json"),
    include_str!("../../../functions/models/onnx/tests/exports/logistic-words.json"),
    include_str!("../../../functions/models/onnx/tests/exports/pipeline.json"),
    include_str!("../../../functions/models/onnx/tests/exports/mlp-regressor.json"),
    include_str!("../../../functions/models/onnx/tests/exports/torch-mlp.json"),
    include_str!("../../../functions/models/onnx/tests/exports/forest-three.json"),
    include_str!("../../../functions/models/flights/timetable.json"),
];

const PAYLOAD: &str = r#"{"x":[1,2,3,4,5,6,7,8],"age":30,"income":null,"city":"Rome","plan":"x","visits":1,"member":true}"#;

/// A file is an error or a model, and a model scores or fails.
pub(crate) fn load(bytes: &[u8]) {
    let Some((first, file)) = bytes.split_first() else { return };
    let mut card = Card::parse(CARDS[usize::from(*first) % CARDS.len()]).unwrap();
    card.provenance.sha256 = Sha256Digest::of(file).to_string();
    run(async {
        let Ok(model) = OnnxModel::from_bytes(card, file.to_vec()).await else { return };
        let payload = Json::parse(PAYLOAD).unwrap();
        for payloads in [vec![payload.clone()], vec![payload; 2]] {
            let scores = model.score(&payloads[..payloads.len().min(model.largest_batch())]).await;
            for score in scores.into_iter().flatten() {
                Json::parse(score.as_str()).unwrap();
            }
        }
    });
}
