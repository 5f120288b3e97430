//! What a run checks: an endpoint, its models, the actors and how many faults may happen.

use std::{sync::LazyLock, time::Duration};

use rendezvous_core::{
    Configuration, EndpointName, IdempotencySecret, RequestId, Timestamp, mutation::Mutation,
};

/// Where the clock stands when the first call comes in.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_763_794_344_000_000);

/// How long before the deadline ingress settles.
pub(crate) const MARGIN: Duration = Duration::from_millis(50);

pub(crate) const CALLER: &str = "ann";
pub(crate) const IDEMPOTENCY_KEY: &str = "k";
pub(crate) const SECRET: [u8; 32] = [7; 32];

pub(crate) static ENDPOINT: LazyLock<EndpointName> = LazyLock::new(|| "e".parse().expect("a name"));

static UNKEYED: LazyLock<RequestId> =
    LazyLock::new(|| "0199a3c0-0000-7000-8000-000000000001".parse().expect("an id"));

static KEYED: LazyLock<RequestId> = LazyLock::new(|| {
    let secret = IdempotencySecret::new(&SECRET).expect("a secret");
    RequestId::from_idempotency_key(&secret, CALLER, &ENDPOINT, IDEMPOTENCY_KEY)
});

/// What an actor runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// A call of `Ingress::ask`.
    Ask { respond_async: bool, payload: u8 },
    /// A call of `Ingress::read`.
    Read,
    /// An instance of the rendezvous function.
    Rendezvous {
        /// It presumes the first choice silent until it hears of it.
        presuming: bool,
        /// It keeps its memory from one batch to the next. Otherwise each batch meets a new
        /// instance.
        warm: bool,
    },
}

/// What a model may send about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sends {
    Score,
    Failure,
}

/// One model, and what it may send. It may also send nothing.
pub(crate) type Sender = (&'static str, &'static [Sends]);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) name: &'static str,
    /// The versions of the endpoint's configuration, the first first.
    pub(crate) configurations: &'static [&'static str],
    /// The instant from which on the last version is current; before it, the first is.
    pub(crate) published: usize,
    /// Where the clock can stand, in milliseconds after [`START`].
    pub(crate) instants: &'static [u64],
    pub(crate) models: &'static [Sender],
    /// The first is a call that begins at the first instant.
    pub(crate) actors: &'static [Role],
    /// Whether the calls of ingress have an idempotency key.
    pub(crate) keyed: bool,
    /// How many faults may happen: a crash, a call that fails, an answer that is lost or late, a
    /// record that is delivered again, a write that takes effect after its caller has ended.
    pub(crate) faults: u8,
    /// How many messages of the models a batch may hold.
    pub(crate) batch: usize,
    /// Whether eventual reads may miss the last write.
    pub(crate) stale: bool,
    /// What must be reachable.
    pub(crate) reaches: &'static [&'static str],
    pub(crate) mutation: Option<Mutation>,
}

impl Setup {
    pub(crate) fn at(&self, instant: usize) -> Timestamp {
        START + Duration::from_millis(self.instants[instant])
    }

    /// How many versions of the configuration are published at an instant.
    pub(crate) fn versions_at(&self, instant: usize) -> usize {
        if instant < self.published { 1 } else { self.configurations.len() }
    }

    pub(crate) fn configuration(&self, version: u64) -> Option<Configuration> {
        let index = usize::try_from(version).ok()?.checked_sub(1)?;
        let text = self.configurations.get(index)?;
        Some(Configuration::parse(text).expect("a configuration"))
    }

    pub(crate) fn request(&self) -> RequestId {
        if self.keyed { *KEYED } else { *UNKEYED }
    }
}

/// `a@1` at once, `b@1` and `c@1` later, and a fallback. `silent_after` lets a warm-up of two
/// messages suffice to presume `a@1` silent.
const THREE: &str = r#"{ "schedule": {
    "choices": [ { "model": "a@1" }, { "model": "b@1", "after_ms": 100 }, { "model": "c@1", "after_ms": 100 } ],
    "deadline_ms": 400, "fallback": 0, "silent_after": 1 } }"#;

const TWO: &str = r#"{ "schedule": {
    "choices": [ { "model": "a@1" }, { "model": "b@1", "after_ms": 100 } ],
    "deadline_ms": 400, "fallback": 0, "silent_after": 1 } }"#;

/// Another preference and another fallback.
const TWO_REVERSED: &str = r#"{ "schedule": {
    "choices": [ { "model": "b@1" }, { "model": "a@1", "after_ms": 100 } ],
    "deadline_ms": 400, "fallback": 9 } }"#;

const ONE: &str =
    r#"{ "schedule": { "choices": [ { "model": "a@1" } ], "deadline_ms": 400, "fallback": 0 } }"#;

/// Another fallback only, so that a request that is decided under it can be told.
const ONE_LATER: &str =
    r#"{ "schedule": { "choices": [ { "model": "a@1" } ], "deadline_ms": 400, "fallback": 9 } }"#;

/// No fallback: a call that cannot be answered is refused.
const BARE: &str = r#"{ "schedule": { "choices": [ { "model": "a@1" } ], "deadline_ms": 400 } }"#;

const SCORE: &[Sends] = &[Sends::Score];
const EITHER: &[Sends] = &[Sends::Score, Sends::Failure];

const ASK: Role = Role::Ask { respond_async: false, payload: 1 };
const ASK_ASYNC: Role = Role::Ask { respond_async: true, payload: 1 };
const ASK_OTHER: Role = Role::Ask { respond_async: false, payload: 2 };
const RENDEZVOUS: Role = Role::Rendezvous { presuming: false, warm: false };
const WARM: Role = Role::Rendezvous { presuming: false, warm: true };
const PRESUMING: Role = Role::Rendezvous { presuming: true, warm: false };

/// A setup that the others vary: one request that its client waits for.
pub(crate) const WAITING: Setup = Setup {
    name: "waiting",
    configurations: &[TWO],
    published: 0,
    // Received; `b@1` is open; the margin before the deadline; the deadline.
    instants: &[0, 100, 350, 400],
    models: &[("a@1", EITHER), ("b@1", SCORE)],
    actors: &[ASK, RENDEZVOUS, RENDEZVOUS],
    keyed: false,
    faults: 1,
    batch: 2,
    stale: false,
    reaches: &[
        "the champion answers",
        "a stand-in answers because its time has come",
        "a stand-in answers because others failed",
        "the fallback answers at the deadline",
        "the fallback answers because the request is not sent",
        "an answer is not settled",
        "a score is acknowledged after the decision",
    ],
    mutation: None,
};

/// Three models, two of them with a time of their own, one instance presuming.
pub(crate) const RACE: Setup = Setup {
    name: "race",
    configurations: &[THREE],
    models: THREE_MODELS,
    actors: &[ASK, RENDEZVOUS, PRESUMING],
    batch: 1,
    faults: 0,
    reaches: &["a choice is presumed silent", "a stand-in answers because others failed"],
    ..WAITING
};

/// A reader instead of a client that waits; eventual reads miss the last write.
pub(crate) const READING: Setup = Setup {
    name: "reading",
    actors: &[ASK_ASYNC, Role::Read, RENDEZVOUS],
    keyed: true,
    models: &[("a@1", SCORE), ("b@1", SCORE)],
    stale: true,
    reaches: &["a reader settles the request"],
    ..WAITING
};

/// A client that waits, and a reader after it.
pub(crate) const ANSWERED: Setup = Setup {
    name: "answered",
    models: &[("a@1", EITHER)],
    configurations: &[ONE],
    actors: &[ASK, Role::Read, RENDEZVOUS],
    keyed: true,
    stale: true,
    faults: 1,
    reaches: &["two calls get the same answer", "the fallback answers because all failed"],
    ..WAITING
};

/// A client that repeats its call, under a newer configuration and perhaps after the first deadline.
pub(crate) const REPEATING: Setup = Setup {
    name: "repeating",
    configurations: &[ONE, ONE_LATER],
    published: 1,
    // The last is the deadline of a call that begins at the first deadline.
    instants: &[0, 350, 400, 800],
    models: &[("a@1", SCORE)],
    actors: &[ASK, ASK, RENDEZVOUS],
    keyed: true,
    faults: 1,
    reaches: &["two calls get the same answer", "a repeat opens the request again"],
    ..WAITING
};

/// The same without a fallback: a call that cannot send is refused, and the next opens again.
pub(crate) const REOPENING: Setup = Setup {
    name: "reopening",
    configurations: &[BARE, ONE_LATER],
    actors: &[ASK, ASK_ASYNC, ASK],
    instants: &[0, 350, 400],
    reaches: &["a repeat opens the request again"],
    models: &[],
    ..REPEATING
};

/// Asynchronous calls with one key, one of them with another payload.
pub(crate) const SHARED_KEY: Setup = Setup {
    name: "shared key",
    configurations: &[ONE],
    models: &[("a@1", SCORE)],
    actors: &[ASK_ASYNC, ASK_OTHER, ASK_ASYNC],
    keyed: true,
    faults: 1,
    reaches: &["a key is refused with another payload"],
    ..WAITING
};

/// A newer configuration, under which the request must not be decided.
pub(crate) const PROMOTION: Setup = Setup {
    name: "promotion",
    configurations: &[TWO, TWO_REVERSED],
    published: 1,
    models: &[("a@1", SCORE), ("b@1", SCORE)],
    actors: &[ASK, WARM, WARM],
    reaches: &["the champion answers", "a stand-in answers because its time has come"],
    ..WAITING
};

/// A client that repeats its call and does not wait the second time.
pub(crate) const REPEATING_ASYNC: &[Role] = &[ASK, ASK_ASYNC, RENDEZVOUS];

/// Three models instead of those of another setup.
pub(crate) const fn with_three_models(setup: Setup) -> Setup {
    Setup { configurations: &[THREE], published: 0, models: THREE_MODELS, ..setup }
}

const THREE_MODELS: &[Sender] = &[("a@1", EITHER), ("b@1", SCORE), ("c@1", SCORE)];

pub(crate) const THREE_SCORES: &[Sender] = &[("a@1", SCORE), ("b@1", SCORE), ("c@1", SCORE)];

/// Every actor at once, and one model.
pub(crate) const ALL_FIVE: Setup = Setup {
    name: "all five",
    configurations: &[ONE],
    models: &[("a@1", SCORE)],
    actors: &[ASK, ASK, Role::Read, RENDEZVOUS, RENDEZVOUS],
    keyed: true,
    reaches: &["two calls get the same answer", "a reader settles the request"],
    ..WAITING
};
