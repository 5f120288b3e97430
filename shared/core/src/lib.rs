//! The rendezvous architecture without a cloud: messages ([`message`], [`score`]), state
//! ([`mailbox`], [`configuration`], [`endpoint`]), decisions ([`schedule`], [`settle`](mod@settle)), what the outside
//! must provide ([`ports`]), and a reference implementation of that in [`memory`].
//!
//! Everything here is pure or in memory. `now` is an argument of whatever decides; whoever waits
//! uses tokio's clock; only [`clock::now`] reads the wall clock, only [`random`] the operating
//! system's entropy.
//!
//! Modules import only from modules before them in this list, which goes from the ground up.

pub mod clock;
pub mod error;
pub mod limits;
pub mod minute;
mod mistakes;
pub mod mutation;
pub mod random;

pub mod json;
pub mod names;
pub mod share;
pub mod value;

pub mod artifact;

pub mod decision;
pub mod score;

pub mod payload;

pub mod message;
pub mod read_once;

pub mod mailbox;
pub mod write;

pub mod schedule;

pub mod arms;
pub mod tensors;
mod text;

pub mod configuration;
pub mod endpoint;
pub mod promotion;

pub mod ports;

pub mod endpoint_cache;
pub mod payloads;

pub mod settle;

pub mod memory;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use arms::{ArmPlan, Guard, Pin};
pub use artifact::Artifact;
pub use clock::{Timestamp, now};
pub use configuration::{Configuration, Draft, Observer, Role};
pub use decision::{Decision, Kind, Reason};
pub use endpoint::{Endpoint, Provenance, Publication};
pub use endpoint_cache::EndpointCache;
pub use error::{Invalid, Unavailable, UnavailableKind, within};
pub use json::Json;
pub use mailbox::{Mailbox, Opening};
pub use message::{Envelope, RequestMessage, ScoreMessage, ScoreReader};
pub use minute::Minute;
pub use names::{Arm, EndpointName, IdempotencySecret, Key, ModelId, RequestId};
pub use payload::{Payload, PayloadRef, Sha256Digest};
pub use read_once::ReadOnce;
pub use schedule::{Choice, Schedule, Settlement, Verdict};
pub use score::{Failure, FailureKind, Score};
pub use share::Share;
pub use tensors::{Datatype, Tensor, Tensors};
pub use write::{Write, Written};
