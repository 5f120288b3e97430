//! What is wrong, and what to do.

use super::EndpointStatus;

/// What is wrong, one sentence each.
pub(super) fn warnings(endpoints: &[EndpointStatus], minutes: u32) -> Vec<String> {
    if endpoints.is_empty() {
        return vec![
            "there is no endpoint: rendezvousctl apply FILE -m MESSAGE publishes one".to_owned(),
        ];
    }
    endpoints.iter().flat_map(|endpoint| of_endpoint(endpoint, minutes)).collect()
}

fn of_endpoint(found: &EndpointStatus, minutes: u32) -> Vec<String> {
    let EndpointStatus { endpoint, arms, models, .. } = found;
    let decided = arms.iter().any(|arm| arm.figures.requests > 0);
    let sent = models.iter().any(|model| model.figures.messages() > 0);
    let mut warnings = Vec::new();
    match (decided, sent) {
        (false, false) => warnings.push(format!(
            "{endpoint}: there is no window of the last {minutes} minutes. Either there were no requests (rendezvousctl \
             verify sends some), or the monitor is not up: of a data folder rendezvous-local serve must run, on a stack \
             its mappings must be enabled (rendezvousctl verify says so). Windows appear up to two minutes late"
        )),
        (true, false) => warnings.push(format!(
            "{endpoint}: there are decisions and no scores: no model is up (rendezvousctl models), or on a stack the mapping \
             from the scores to the monitor, output MonitorScoresMapping, is disabled"
        )),
        (false, true) => warnings.push(format!(
            "{endpoint}: there are scores and no decisions: nobody waits for the requests and their deadlines have not \
             passed, or on a stack the mapping from the ledger to the monitor, output MonitorLedgerMapping, is disabled"
        )),
        (true, true) => {
            let silent = models.iter().filter(|model| model.silent);
            warnings.extend(silent.map(|silent| format!(
                "{endpoint}: {} is silent: it sent neither score nor failure; rendezvousctl models says whether it is up",
                silent.model
            )));
        }
    }
    let unjudged = arms.iter().filter(|arm| arm.guarded && arm.verdict.is_none());
    warnings.extend(unjudged.map(|arm| format!(
        "{endpoint}: the guarded arm {} was not judged under version {}: it is judged each minute while there are requests",
        arm.arm, found.config
    )));
    warnings
}
