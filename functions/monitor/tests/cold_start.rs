//! The function's environment: a variable that is missing fails the cold start and names itself.

use rendezvous_aws::testing::missing_variables;

#[test]
fn each_missing_variable_names_itself() {
    let needed = [
        "STACK",
        "SCORES_STREAM",
        "OUTCOMES_TABLE",
        "INPUT_STREAM",
        "ENDPOINTS_TABLE",
        "LEDGER_HOURS",
        "LEDGER_TABLE",
        "WINDOWS_TABLE",
        "ARCHIVE_BUCKET",
        "WINDOW_DAYS",
    ];
    assert_eq!(missing_variables(env!("CARGO_BIN_EXE_monitor")), needed);
}
