//! Evidence: pure statistics over what the archive holds.
//!
//! Data goes in, figures and verdicts come out. Nothing here reads files or the network.
//!
//! [`Comparison`] compares two models on the same requests; [`Requirement`] says whether its
//! figures suffice for a promotion; [`labels`] chooses the requests whose truth is worth finding
//! out; [`whatif`] computes what requests would have been answered under another schedule; [`gaps`] counts what is missing;
//! [`day`] says how good the models were once the outcomes of a day are known.
//!
//! [`sketch`] holds a distribution in little space, mergeable; [`window`] is what the monitor keeps of
//! a minute, [`texts`] the most frequent texts in it, [`bytes`] how it is kept;
//! [`guard`] judges the arms by it, [`drift`] compares it with a baseline,
//! [`callers`] with the same minutes of earlier days, and [`alarms`] says what needs a person.
//!
//! Figures with an interval are of two kinds, told apart by their type ([`Interval`]): those that
//! may be looked at after every request ([`Anytime`]), and those that hold for one look at a number
//! of requests chosen beforehand ([`FixedN`]).

pub mod bytes;
mod counts;
pub mod interval;

pub mod mean;
pub mod quantile;
pub mod ranks;
pub mod sketch;

pub mod agreement;
pub mod auc;
pub mod calibration;
pub mod kept;
pub mod loss;
pub mod segments;

pub mod texts;
pub mod window;

pub mod callers;
pub mod drift;
pub mod guard;

pub mod alarms;

pub mod report;

pub mod comparison;
pub mod labels;
pub mod requirement;

pub mod day;
pub mod gaps;
pub mod times;
pub mod whatif;

pub use comparison::{Comparison, ModelScore, Pair, Settings};
pub use interval::{Anytime, Confidence, FixedN, Interval};
pub use labels::{Design, Sample};
pub use mean::MeanSequence;
pub use quantile::TimeQuantiles;
pub use report::{Metric, Report, Verdict};
pub use requirement::Requirement;
pub use sketch::Sketch;
