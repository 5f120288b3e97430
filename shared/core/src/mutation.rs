//! Deliberate defects at named points of production code, so that tests can show that the checks of
//! the system find them.
//!
//! Without the feature `mutations`, which nothing that is deployed enables, [`mutated`] is the
//! constant `false` and the compiler removes every point. With the feature, `apply` applies one
//! mutation to the current thread for as long as its guard lives. The checks themselves run what
//! they expect inside [`unmutated`].

macro_rules! mutations {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A deliberate defect.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Mutation {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Mutation {
            pub const ALL: &[Self] = &[$(Self::$name),+];
        }
    };
}

mutations! {
    // The conditions of ledger writes. `Requirement::Mailbox` has no mutation: every write that
    // requires a mailbox also requires the time at which it was opened.
    /// An opening replaces a mailbox that exists, its decision included.
    DropNoMailbox,
    /// Scores are filed and decisions are written although a decision stands.
    DropNoDecision,
    /// A decision takes its score from a result that is not the model's first one.
    DropNoResult,
    /// A decision overlooks a more preferred score that is filed.
    DropNoScore,
    /// A mailbox is opened again, or marked as accepted, although another call has opened it again.
    DropOpenedAt,
    /// A request that was opened again is decided by its former times and configuration.
    DropSameTimes,
    /// A request is opened again although the stream has accepted it meanwhile.
    DropNotAccepted,

    // Deciding and settling.
    /// A stand-in may answer before its time.
    OpenEarly,
    /// The fallback is committed before the deadline.
    FallBackEarly,
    /// A proposer does not name the choices of which it knows nothing.
    IgnoreRivals,
    /// A proposer decides on the scores at hand only, whatever the ledger has returned.
    IgnoreFiled,
    /// Ingress commits the fallback although a model has scored the request.
    GiveUpOverScores,
    /// Rendezvous decides under the current configuration instead of the request's.
    CurrentConfiguration,

    /// Requests of every arm are decided by the schedule of `main`.
    DecideByMain,

    // Ingress.
    /// Ingress does not look at the pins when it assigns an arm.
    IgnorePins,
    /// Ingress does not mark a request as accepted by the stream: repeats send it again.
    ForgetAccepted,
    /// A repeat after the deadline keeps the first deadline, so that it cannot succeed.
    KeepOldDeadline,
    /// A repeat waits with times and configuration of its own instead of the mailbox's.
    KeepOwnEnvelope,
    /// An idempotency key that is reused with another payload gets the answer to the first.
    IgnoreDigest,
    /// Readers get an eventual read: a decision that was answered may be missing from it.
    ReadStale,
    /// The last calls of ingress are not bounded by the deadline: a slow ledger makes the answer
    /// late.
    IgnoreDeadline,
    /// An answer whose commit is not confirmed says that it is settled.
    ClaimSettled,

    // Rendezvous and batches.
    /// Rendezvous skips every score as expired.
    ExpireLive,
    /// Rendezvous remembers a request as settled that is open, and files no more of its scores.
    RememberOpen,
    /// Rendezvous remembers a settled request by its id alone: when the ledger has forgotten the
    /// request and its idempotency key is used again, the new request's scores are not filed.
    RememberIdOnly,
    /// Rendezvous presumes a model silent without waiting for three seconds.
    PresumeEarly,
    /// A partial batch response names the last failed record: those before it are lost.
    WrongLowestFailure,

    // Models.
    /// A model sends no message when it fails.
    SkipFailure,
    /// A model acknowledges requests whose scores were not sent.
    ForgetUnsent,

    /// A model scores requests that say that it is to skip them.
    ScoreSkipped,

    // Payloads that are stored.
    /// Readers of a stored payload do not check that it is what was stored.
    TrustPayloads,

    // The monitor.
    /// The monitor does not list the requests that the ledger leaves without a decision.
    ForgetOverdue,
    /// The monitor publishes a change of the version that it has judged in the place of a later one.
    PublishOverOthers,

    // The decoy.
    /// The decoy acknowledges a batch whose files are not stored.
    AcknowledgeUnstored,
    /// The decoy drops scores that were finished after the deadline.
    DropLateScore,
    /// The decoy does not write payloads byte for byte: it leaves spaces out.
    RewritePayload,
}

/// Whether `mutation` is applied to this thread: never without the feature `mutations`.
#[cfg(not(feature = "mutations"))]
pub const fn mutated(_: Mutation) -> bool {
    false
}

/// Runs `check` without a mutation.
#[cfg(not(feature = "mutations"))]
pub fn unmutated<T>(check: impl FnOnce() -> T) -> T {
    check()
}

#[cfg(feature = "mutations")]
pub use applied::{Applied, apply, mutated, unmutated};

#[cfg(feature = "mutations")]
mod applied {
    use std::{cell::Cell, marker::PhantomData};

    use super::Mutation;

    thread_local! {
        static APPLIED: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Keeps a mutation applied to the thread that made it.
    #[must_use = "the mutation ends with its guard"]
    #[derive(Debug)]
    pub struct Applied {
        former: Option<Mutation>,
        /// It must be dropped by the thread that made it.
        not_send: PhantomData<*const ()>,
    }

    impl Drop for Applied {
        fn drop(&mut self) {
            APPLIED.set(self.former);
        }
    }

    fn replace(mutation: Option<Mutation>) -> Applied {
        Applied { former: APPLIED.replace(mutation), not_send: PhantomData }
    }

    /// Applies `mutation` to this thread until the guard is dropped.
    pub fn apply(mutation: Mutation) -> Applied {
        replace(Some(mutation))
    }

    /// Whether `mutation` is applied to this thread.
    pub fn mutated(mutation: Mutation) -> bool {
        APPLIED.get() == Some(mutation)
    }

    /// Runs `check` without a mutation.
    pub fn unmutated<T>(check: impl FnOnce() -> T) -> T {
        let _former = replace(None);
        check()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_mutation_lasts_as_long_as_its_guard_and_on_its_thread_only() {
            let is_applied = || mutated(Mutation::ReadStale);
            assert!(!is_applied());
            let outer = apply(Mutation::ReadStale);
            assert!(is_applied() && !mutated(Mutation::IgnoreFiled));
            let inner = apply(Mutation::IgnoreFiled);
            assert!(!is_applied() && mutated(Mutation::IgnoreFiled));
            drop(inner);
            assert!(!unmutated(is_applied) && is_applied());
            assert!(!std::thread::spawn(is_applied).join().unwrap());
            drop(outer);
            assert!(!is_applied());
        }
    }
}
