//! Evidence: pure statistics over what the archive holds.
//!
//! Data goes in, figures and verdicts come out. Nothing here reads files or the network.
//!
//! [`comparison`] compares two models on the same requests; [`requirement`] says whether its figures
//! suffice for a promotion; [`labels`] chooses the requests whose truth is worth finding out.
//!
//! Figures with an interval are of two kinds, told apart by their type ([`Interval`]): those that may
//! be looked at after every request ([`Anytime`]), and those that hold for one look at a number of
//! requests chosen beforehand ([`FixedN`]).

pub mod interval;

pub mod mean;
pub mod quantile;

pub mod auc;
pub mod loss;
pub mod ranks;

pub use interval::{Anytime, Confidence, FixedN, Interval};
pub use mean::MeanSequence;
pub use quantile::TimeQuantiles;
