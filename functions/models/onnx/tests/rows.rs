//! Graphs that take any number of rows, one row, or another fixed number.

use crate::graph::{Rows, model};
use rendezvous_core::Json;
use rendezvous_model::Model;
use rendezvous_onnx::OnnxModel;

#[tokio::test]
async fn a_batch_is_scored_by_calls_of_as_many_rows_as_the_graph_takes() {
    for (rows, largest_batch) in [(Rows::Any, 256), (Rows::Declared(1), 1), (Rows::OneInside, 1)] {
        let (_folder, card) = model(rows);
        let model = OnnxModel::load(&card).await.unwrap();
        let payloads = [(1, 1), (2, 1), (3, 2)]
            .map(|(a, b)| Json::parse(&format!("{{\"a\":{a},\"b\":{b}}}")).unwrap());
        let mut scores = Vec::new();
        for batch in payloads.chunks(model.largest_batch()) {
            scores.extend(model.score(batch).await);
        }
        let scores: Vec<Json> = scores.into_iter().map(Result::unwrap).collect();
        let scores: Vec<&str> = scores.iter().map(Json::as_str).collect();
        assert_eq!(scores, [r#"{"p":3.0}"#, r#"{"p":4.0}"#, r#"{"p":7.0}"#], "{rows:?}");
        assert_eq!(model.largest_batch(), largest_batch, "{rows:?}");
    }
}

#[tokio::test]
async fn a_graph_of_another_fixed_number_of_rows_is_refused_with_what_to_do() {
    let (_folder, card) = model(Rows::Declared(8));
    let error = OnnxModel::load(&card).await.err().unwrap().to_string();
    assert!(error.contains("sum.onnx: the input has a fixed first dimension of 8"), "{error}");
    assert!(error.contains("export the model with a dynamic first dimension"), "{error}");
}
