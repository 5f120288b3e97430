//! What another model server answers.

use std::sync::LazyLock;

use rendezvous_core::{Json, score::checked_score};
use rendezvous_remote::{RemoteCard, RemoteModel};

static MODEL: LazyLock<RemoteModel> = LazyLock::new(|| {
    let card = include_str!("../../../infra/contract/examples/card-remote.json");
    RemoteModel::new(RemoteCard::parse(card).unwrap()).unwrap()
});

/// The first byte is how many rows were sent, the others are the answer.
pub(crate) fn answer(bytes: &[u8]) {
    let Some((rows, answer)) = bytes.split_first() else { return };
    let rows = usize::from(rows % 4);
    let Ok(scores) = MODEL.read(rows, answer) else { return };
    assert_eq!(scores.len(), rows);
    for score in scores.into_iter().flatten() {
        assert_eq!(Json::parse(score.as_str()).unwrap(), score);
        let _ = checked_score(score);
    }
}
