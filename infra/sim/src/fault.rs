//! What can go wrong, and how often.

use crate::step::Step;

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident = ($text:literal, $share:literal),)+) => {
        /// Something that can go wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Fault {
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its name on the command line and in tables.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// Of all the cases in which it can happen, the share in which it does in a campaign.
            const fn usual(self) -> f64 {
                match self { $(Self::$name => $share),+ }
            }

            /// What it is.
            pub fn sentence(self) -> String {
                let text: &[&str] = match self { $(Self::$name => &[$($doc),+]),+ };
                text.concat().trim().to_owned()
            }
        }
    };
}

faults! {
    /// A batch is handled, but Lambda does not receive the response and delivers it again. A schedule
    /// invokes the monitor twice.
    Redelivery = ("redelivery", 0.01),
    /// A batch is cut anew, smaller than before.
    Recut = ("re-cut", 0.05),
    /// An instance of a function dies before the step takes effect. All that it holds is lost.
    DiesBefore = ("dies-before", 0.001),
    /// An instance of a function dies after the step has taken effect.
    DiesAfter = ("dies-after", 0.001),
    /// The answer to a write is lost, and the client of the AWS SDK sends the write again.
    SentAgain = ("sent-again", 0.01),
    /// A write takes effect, and its answer is lost for good.
    LostAnswer = ("lost-answer", 0.005),
    /// `PutRecords` takes a part of the records.
    PartialPut = ("partial-put", 0.01),
    /// A call is rate-limited.
    Throttled = ("throttled", 0.01),
    /// A dependency is down, rate-limits every call, or hangs, for up to seconds.
    Outage = ("outage", 0.4),
    /// Calls take milliseconds, some up to half a second. A write may take effect when its caller has
    /// given up.
    Slow = ("slow", 0.02),
    /// An eventual read is stale, up to a second.
    Stale = ("stale", 0.1),
    /// The clock of an instance is ahead or behind.
    ClockOff = ("clock-off", 0.5),
    /// The clock of an instance jumps.
    ClockJump = ("clock-jump", 0.0006),
    /// A sandbox is frozen, up to minutes.
    Freeze = ("freeze", 0.0006),
    /// The next invocation goes to another instance.
    OtherInstance = ("other-instance", 0.1),
    /// A shard is split, or merged with another.
    Reshard = ("reshard", 0.5),
    /// A mapping starts over at the trim horizon of a shard.
    Horizon = ("horizon", 0.0003),
    /// The configuration that a request is decided under is replaced meanwhile.
    Publication = ("publication", 0.5),
    /// A client repeats a request with an idempotency key before it is answered, or for another
    /// payload.
    Repeat = ("repeat", 0.4),
    /// The ledger forgets mailboxes; their idempotency keys are used again.
    Expiry = ("expiry", 0.2),
    /// A stored payload is replaced by another before it is read.
    LostPayload = ("lost-payload", 0.01),
    /// A model takes up to half a second longer.
    SlowModel = ("slow-model", 0.05),
    /// A model hangs, or its function crashes at each invocation for seconds.
    SilentModel = ("silent-model", 0.01),
    /// A model panics, returns what is no score, or sends messages that are garbage, that have wrong
    /// times, or that differ from those before.
    LyingModel = ("lying-model", 0.02),
}

impl Fault {
    /// The fault of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.name() == name)
    }

    /// Whether it ends an instance of a function, or stops it.
    const fn is_of_instance(self) -> bool {
        matches!(self, Self::DiesBefore | Self::DiesAfter | Self::ClockJump | Self::Freeze)
    }

    /// Whether the fault can meet a step.
    pub const fn can_meet(self, step: Step) -> bool {
        match self {
            Self::Redelivery => step.is_batch() || matches!(step, Step::Minute),
            Self::Recut | Self::Reshard | Self::Horizon => step.is_batch(),
            Self::OtherInstance => step.is_invocation(),
            Self::SentAgain | Self::LostAnswer => step.is_write(),
            Self::PartialPut => step.is_put(),
            Self::Throttled | Self::Outage => step.dependency().is_some(),
            // A watch that is slow is one that reads what is stale.
            Self::Slow => step.dependency().is_some() && !matches!(step, Step::Watch),
            Self::Stale => matches!(step, Step::Watch | Step::Look),
            Self::DiesBefore | Self::DiesAfter => true,
            Self::ClockOff | Self::ClockJump | Self::Freeze => !step.is_invocation(),
            Self::Publication => matches!(
                step,
                Step::Accept
                    | Step::IngressSettle
                    | Step::File
                    | Step::RendezvousSettle
                    | Step::MonitorSettle
            ),
            Self::Repeat => matches!(step, Step::Ask),
            Self::Expiry => matches!(step, Step::Ask | Step::Read),
            Self::LostPayload => matches!(step, Step::ModelPayload | Step::DecoyPayload),
            Self::SlowModel => matches!(step, Step::Score),
            Self::SilentModel => matches!(step, Step::Score | Step::ModelBatch),
            Self::LyingModel => matches!(step, Step::Score | Step::SendScores),
        }
    }
}

/// How often each fault happens, in [0, 1]. By default none does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shares {
    of: [f64; Fault::ALL.len()],
    /// See [`Shares::in_long_run`].
    long: bool,
}

impl Shares {
    /// Every fault as often as is usual in a campaign.
    pub fn usual() -> Self {
        Self::only(Fault::ALL)
    }

    /// So much goes wrong that rare coincidences are frequent.
    pub fn stormy() -> Self {
        let more = [
            (Fault::DiesBefore, 0.03),
            (Fault::DiesAfter, 0.02),
            (Fault::LostAnswer, 0.05),
            (Fault::Slow, 0.2),
            (Fault::Outage, 0.8),
            (Fault::SilentModel, 0.3),
            (Fault::SlowModel, 0.3),
            (Fault::Repeat, 1.0),
        ];
        more.iter().fold(Self::usual(), |shares, (fault, share)| shares.with(*fault, *share))
    }

    /// These faults as often as is usual in a campaign.
    pub fn only(faults: &[Fault]) -> Self {
        faults.iter().fold(Self::default(), |shares, fault| shares.with(*fault, fault.usual()))
    }

    #[must_use]
    pub fn with(mut self, fault: Fault, share: f64) -> Self {
        self.of[fault as usize] = share;
        self
    }

    pub fn of(&self, fault: Fault) -> f64 {
        self.of[fault as usize]
    }

    /// The same for a run in which every step is taken often: a fault meets none of them more often than the others. In one
    /// minute the monitor reads and decides thousands of requests, so that what ends an instance or stops it, and what begins
    /// an outage, is less frequent at these steps; else no minute of it would ever end.
    #[must_use]
    pub(crate) fn in_long_run(self) -> Self {
        Self { long: true, ..self }
    }

    /// The share of the cases of a step in which a fault happens.
    pub(crate) fn at(&self, fault: Fault, step: Step) -> f64 {
        if self.long {
            let factor = match step {
                _ if fault == Fault::Outage => 0.000_25,
                Step::MonitorLook | Step::MonitorSettle if fault.is_of_instance() => 0.01,
                _ => 1.0,
            };
            return self.of(fault) * factor;
        }
        let factor = match (fault, step) {
            // An outage that begins at this step.
            (Fault::Outage, _) => return self.of(fault) / 4.0,
            (Fault::Horizon, Step::DecoyBatch | Step::MonitorBatch) | (_, Step::MonitorSettle) => {
                100.0
            }
            (_, Step::Publish) => return (self.of(fault) * 800.0).min(0.25),
            (_, Step::DecoyEndpoint | Step::Minute) => 25.0,
            _ if step.is_rare() => 12.0,
            _ => 1.0,
        };
        (self.of(fault) * factor).min(self.of(fault).max(0.2))
    }

    /// The faults that happen.
    pub fn faults(&self) -> impl Iterator<Item = Fault> {
        Fault::ALL.iter().copied().filter(|fault| self.of(*fault) > 0.0)
    }
}
