//! Replays and live messages are kept apart.

use crate::common::*;
use rendezvous_archive::{ReplayRow, RequestRow, ScoreRow};
use rendezvous_decoy::Stream;

/// The message of a live request, or of its score, as that of a replay of request 7.
fn replay(message: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(message.to_vec()).unwrap();
    text.replace("\"arm\"", &format!("\"replay\":\"{}\",\"arm\"", id(7))).into_bytes()
}

#[tokio::test]
async fn the_score_of_a_replay_is_a_row_of_its_own_table_under_the_request_that_was_replayed() {
    let bed = Bed::new().await;
    let score_of = |model, answer| replay(&score(1, 1, model, answer));
    let batch = [
        record(0, 1, ARRIVED, &score_of("a@1", "\"score\":{\"p\": 0.50}")),
        record(
            0,
            2,
            ARRIVED,
            &score_of("b@1", "\"failure\":{\"kind\":\"failed\",\"message\":\"m\"}"),
        ),
    ];
    let (acknowledged, report) = bed.records(Stream::Replays, &batch).await;
    assert!(acknowledged);
    assert_eq!((report.source, report.rows, report.quarantined), ("replays", 2, 0));
    let rows: Vec<ReplayRow<'_>> = bed.rows();
    let texts = rows.iter().map(|row| (row.request_id.to_string(), row.replayed_as.to_string()));
    assert!(texts.eq([(id(7), id(1)), (id(7), id(1))]));
    assert_eq!(rows[0].score.as_ref().unwrap().as_str(), "{\"p\": 0.50}");
    assert_eq!((rows[0].value, rows[1].value), (Some(0.5), None));
    assert_eq!(rows[1].failure_message.as_deref(), Some("m"));
    assert!(bed.rows::<ScoreRow<'_>>().is_empty());
}

#[tokio::test]
async fn what_comes_by_the_wrong_stream_is_in_no_table_and_kept_whole() {
    let bed = Bed::new().await;
    let live = score(1, 1, "a@1", "\"score\":{\"p\":0.5}");
    for (stream, message) in [
        (Stream::Input, replay(&request(1, "{}"))),
        (Stream::Scores, replay(&live)),
        (Stream::Replays, live.clone()),
    ] {
        let (acknowledged, report) = bed.records(stream, &[record(0, 1, ARRIVED, &message)]).await;
        assert!(acknowledged);
        assert_eq!((report.rows, report.quarantined), (0, 1), "{stream:?}");
    }
    assert!(bed.rows::<RequestRow<'_>>().is_empty() && bed.rows::<ScoreRow<'_>>().is_empty());
    assert!(bed.rows::<ReplayRow<'_>>().is_empty());
    let mut sources: Vec<_> = bed.quarantined().into_iter().map(|(source, _)| source).collect();
    sources.sort();
    assert_eq!(sources, ["input", "replays", "scores"]);
}
