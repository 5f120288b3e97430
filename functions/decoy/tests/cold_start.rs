//! The function's environment: a variable that is missing fails the cold start and names itself.

use rendezvous_aws::testing::missing_variables;

#[test]
fn each_missing_variable_names_itself() {
    let needed = [
        "STACK",
        "INPUT_STREAM",
        "SCORES_STREAM",
        "LEDGER_TABLE",
        "OUTCOMES_TABLE",
        "ARCHIVE_BUCKET",
        "ENDPOINTS_TABLE",
        "PAYLOAD_BUCKET",
    ];
    assert_eq!(missing_variables(env!("CARGO_BIN_EXE_decoy")), needed);
}
