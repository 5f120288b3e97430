//! The rendezvous architecture without a cloud: what is said ([`message`]), what is kept
//! ([`mailbox`], [`endpoint`]), what is decided ([`schedule`], [`settle`](mod@settle)), and what the
//! outside must provide ([`ports`]), with a reference implementation in [`memory`].
//!
//! Everything here is pure or in memory. `now` is an argument of whatever decides; whoever waits
//! uses tokio's clock; [`clock::now`] alone reads the wall.

pub mod clock;
pub mod endpoint;
pub mod json;
pub mod mailbox;
pub mod memory;
pub mod message;
pub mod names;
pub mod ports;
pub mod schedule;
pub mod settle;

#[cfg(feature = "contract")]
pub mod contract;

pub use clock::{Timestamp, now};
pub use endpoint::{Configuration, Endpoint, Endpoints, Observer, Role};
pub use json::Json;
pub use mailbox::{Decision, Kind, Mailbox, Reason, Score};
pub use message::{Envelope, Failure, FailureKind, RequestMessage, ScoreMessage};
pub use names::{Arm, EndpointName, Key, ModelId, RequestId};
pub use ports::{Invalid, Unavailable};
pub use schedule::{Choice, Schedule, Settlement, Verdict};
