//! Every property can fail: which deliberate defect breaks it, and in which setup.

use rendezvous_core::mutation::Mutation::{self, *};

use crate::{
    properties::ALWAYS,
    runs::finds,
    setups::{ANSWERED, PROMOTION, REOPENING, REPEATING, SHARED_KEY, Setup, WAITING},
};

const FOUND: &[(Mutation, Setup, &str)] = &[
    (DropNoMailbox, REPEATING, "a decision stands for ever"),
    (DropNoDecision, WAITING, "a decision stands for ever"),
    (DropNoResult, WAITING, "a decision can be recomputed"),
    (DropNoScore, WAITING, "a decision overlooks no preferred score"),
    (DropOpenedAt, REOPENING, "only a request that the stream has is marked as accepted"),
    (DropSameTimes, REOPENING, "a decision can be recomputed"),
    (DropNotAccepted, REOPENING, "an accepted request keeps its times"),
    (OpenEarly, WAITING, "a decision can be recomputed"),
    (FallBackEarly, WAITING, "a decision can be recomputed"),
    (IgnoreRivals, WAITING, "a decision overlooks no preferred score"),
    (IgnoreFiled, WAITING, "a decision can be recomputed"),
    (GiveUpOverScores, WAITING, "a decision overlooks no preferred score"),
    (CurrentConfiguration, PROMOTION, "a decision can be recomputed"),
    (ForgetAccepted, SHARED_KEY, "an accepted request is not sent again"),
    (KeepOldDeadline, REOPENING, "no request is sent after its deadline"),
    (KeepOwnEnvelope, REOPENING, "only an opened request is sent"),
    (IgnoreDigest, SHARED_KEY, "a key that is used with another payload gets no answer"),
    (ReadStale, ANSWERED, "what was answered as settled can be read"),
    (IgnoreDeadline, WAITING, "a client has its answer at the deadline"),
    (ClaimSettled, WAITING, "a settled answer is the decision"),
    (ExpireLive, WAITING, "an acknowledged score is filed, or the request is decided"),
    (RememberOpen, PROMOTION, "an acknowledged score is filed, or the request is decided"),
    (WrongLowestFailure, WAITING, "an acknowledged score is filed, or the request is decided"),
];

#[test]
fn deliberate_defects_are_found() {
    for (mutation, setup, property) in FOUND {
        let found = finds(*setup, *mutation, property);
        assert!(found, "{mutation:?} does not break in {}: {property}", setup.name);
    }
}

#[test]
fn every_property_is_broken_by_a_defect() {
    for (property, _) in ALWAYS {
        assert!(
            FOUND.iter().any(|(_, _, broken)| broken == property),
            "nothing breaks: {property}"
        );
    }
}
