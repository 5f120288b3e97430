//! What must hold in every run.

use std::fmt;

use rendezvous_core::RequestId;

macro_rules! invariants {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// What must hold in every run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Invariant {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Invariant {
            pub const ALL: &[Self] = &[$(Self::$name),+];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// What it says.
            pub fn sentence(self) -> String {
                let text: &[&str] = match self { $(Self::$name => &[$($doc),+]),+ };
                text.concat().trim().to_owned()
            }
        }
    };
}

invariants! {
    /// Whoever reads a request reads one and the same decision, for as long as it is kept.
    OneDecision = "one-decision",
    /// An answer that says it is settled is what every later read says.
    SettledStands = "settled-stands",
    /// An answer is settled, unless something goes wrong between ingress and its dependencies.
    Settled = "settled",
    /// No answer leaves ingress more than 5 ms after the deadline by ingress's clock, unless ingress
    /// was frozen or its clock jumped meanwhile; such answers are marked and at most 1 %.
    InTime = "in-time",
    /// `decide` comes to each decision again, with the results that it has seen and the choices that
    /// it presumes silent; it overlooks no score that was filed before it.
    Recomputed = "recomputed",
    /// No instance presumes a model silent that has sent it a message within 3 s.
    Presumed = "presumed",
    /// Every accepted request is answered or can be read.
    Readable = "readable",
    /// The archive's views have each message and decision once, byte for byte.
    Archived = "archived",
    /// The arm of each request, and the observers that are to skip it, are those that its configuration
    /// gives its key.
    Assigned = "assigned",
    /// Of each request and each model that is expected to score it there is a score, a failure, or a
    /// batch in the failure bucket that names it; a model that is to skip it does not score it.
    Scored = "scored",
    /// An idempotency key gets one settled answer, for as long as the mailbox is kept, and is refused
    /// for another payload.
    OneAnswerPerKey = "one-answer-per-key",
    /// A score that rendezvous acknowledges is filed, or its request is decided, or its deadline
    /// passed more than a minute ago.
    Filed = "filed",
    /// Three minutes after its deadline a request with a mailbox is decided, whether or not anybody waits
    /// for it or reads it, unless nothing shows that it was sent and a repeat of its key may still send it.
    Overdue = "overdue",
    /// A version that the monitor publishes is the one that it names with one guarded arm a step further,
    /// finished or removed. No version is missing from the history, each replaces the one before it.
    OneStep = "one-step",
    /// A request that was opened is sent with the times of its mailbox, only until its deadline, and
    /// is marked as accepted; then its times stay.
    SentAsOpened = "sent-as-opened",
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub invariant: Invariant,
    pub request: Option<RequestId>,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, request, what } = self;
        write!(f, "{}: ", invariant.name())?;
        if let Some(request) = request {
            write!(f, "{request}: ")?;
        }
        f.write_str(what)
    }
}
