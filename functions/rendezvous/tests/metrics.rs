//! The metrics that the function prints, as CloudWatch reads them.

use rendezvous_aws::testing::printed;
use serde_json::{Value, json};

/// A batch of one score that cannot be read, for which no call is made.
const UNREADABLE: &str = r#"{"Records":[{
    "eventID":"shardId-000000000000:1","eventSource":"aws:kinesis",
    "eventSourceARN":"arn:aws:kinesis:us-east-1:000000000000:stream/scores",
    "kinesis":{"approximateArrivalTimestamp":1.0,"sequenceNumber":"1","partitionKey":"k","data":"e30="}
}]}"#;

#[test]
fn the_metrics_of_a_burst_are_one_line_and_the_last_is_printed_when_the_function_ends() {
    let tables = ["STACK", "LEDGER_TABLE", "ENDPOINTS_TABLE"].map(|name| (name, "x"));
    let environment = [&tables[..], &[("LEDGER_HOURS", "72")]].concat();
    let printed = printed(env!("CARGO_BIN_EXE_rendezvous"), &environment, &[UNREADABLE; 4]);
    let lines = printed.iter().map(|line| serde_json::from_str(line).unwrap());
    let metrics: Vec<Value> = lines.filter(|line: &Value| line.get("_aws").is_some()).collect();
    let [first, others] = &metrics[..] else { panic!("{printed:?}") };
    assert_eq!(first["ScoresUnreadable"], 1.0);
    assert_eq!(others["ScoresUnreadable"], json!({ "Values": [1.0], "Counts": [3] }));
}
