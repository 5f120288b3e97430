//! The function's environment: a variable that is missing fails the cold start and names itself.

use rendezvous_aws::testing::missing_variables;

#[test]
fn each_missing_variable_names_itself() {
    let needed = [
        "STACK",
        "ENDPOINTS_TABLE",
        "INPUT_STREAM",
        "LEDGER_HOURS",
        "LEDGER_TABLE",
        "OUTCOMES_TABLE",
        "ANSWER_MARGIN_MS",
        "MAX_PAYLOAD_BYTES",
        "INLINE_PAYLOAD_BYTES",
        "PAYLOAD_BUCKET",
        "IDEMPOTENCY_SECRET",
    ];
    assert_eq!(missing_variables(env!("CARGO_BIN_EXE_ingress")), needed);
}
