//! The rows of the tables as they are kept while they are joined: without what a join does not
//! need, and with a number instead of each name that recurs.

use std::{cmp::Ordering, collections::HashMap, hash::Hash};

use rendezvous_core::{
    Arm, EndpointName, FailureKind, Key, Kind, ModelId, Reason, RequestId, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    layout::{Select, select},
    tables::{DecisionRow, OutcomeRow, ReplayRow, RequestRow, ScoreRow},
};

select! {
    /// What is read of a request.
    RequestColumns of RequestRow<'_> {
        request_id: RequestId,
        endpoint: EndpointName,
        config: u64,
        arm: Arm,
        key: Key,
        received_us: Timestamp,
        deadline_us: Timestamp,
        skip: Vec<ModelId>,
        sequence_number: String,
        arrived_us: Timestamp,
    }
}

select! {
    /// What is read of a request whose segment is wanted.
    SegmentColumns of RequestRow<'_> {
        request_id: RequestId,
        endpoint: EndpointName,
        config: u64,
        arm: Arm,
        key: Key,
        received_us: Timestamp,
        deadline_us: Timestamp,
        skip: Vec<ModelId>,
        payload: String,
        sequence_number: String,
        arrived_us: Timestamp,
    }
}

select! {
    /// What is read of a score.
    ScoreColumns of ScoreRow<'_> {
        request_id: RequestId,
        endpoint: EndpointName,
        received_us: Timestamp,
        model: ModelId,
        started_us: Timestamp,
        finished_us: Timestamp,
        value: Option<f64>,
        failure_kind: Option<FailureKind>,
        sequence_number: String,
        arrived_us: Timestamp,
    }
}

select! {
    /// What is read of a replay's score.
    ReplayColumns of ReplayRow<'_> {
        request_id: RequestId,
        endpoint: EndpointName,
        received_us: Timestamp,
        model: ModelId,
        started_us: Timestamp,
        finished_us: Timestamp,
        value: Option<f64>,
        failure_kind: Option<FailureKind>,
        sequence_number: String,
        arrived_us: Timestamp,
    }
}

select! {
    /// What is read of a decision.
    DecisionColumns of DecisionRow<'_> {
        request_id: RequestId,
        endpoint: EndpointName,
        config: u64,
        arm: Arm,
        received_us: Timestamp,
        deadline_us: Timestamp,
        decided_us: Timestamp,
        kind: Kind,
        reason: Reason,
        model: Option<ModelId>,
        seen: Vec<ModelId>,
        presumed: Vec<ModelId>,
        value: Option<f64>,
        sequence_number: String,
        arrived_us: Timestamp,
    }
}

select! {
    /// What is read of an outcome.
    OutcomeColumns of OutcomeRow<'_> {
        request_id: RequestId,
        endpoint: EndpointName,
        value: Option<f64>,
        sequence_number: String,
        arrived_us: Timestamp,
    }
}

/// When a row arrived, and its place on the stream: the order of the rows of one entity, see
/// [`views`](crate::views).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Arrival {
    pub(crate) at: Timestamp,
    /// A decimal number of up to 56 digits.
    pub(crate) sequence: String,
}

impl Ord for Arrival {
    fn cmp(&self, other: &Self) -> Ordering {
        let number = |arrival: &Self| arrival.sequence.trim_start_matches('0').len();
        self.at.cmp(&other.at).then_with(|| number(self).cmp(&number(other))).then_with(|| {
            let digits = |arrival: &Self| arrival.sequence.trim_start_matches('0').to_owned();
            digits(self).cmp(&digits(other))
        })
    }
}

impl PartialOrd for Arrival {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Line {
    Request(RequestLine),
    Score(ScoreLine),
    /// Its times are those of the replay.
    Replay(ScoreLine),
    Decision(DecisionLine),
    Outcome(OutcomeLine),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RequestLine {
    pub(crate) arrival: Arrival,
    pub(crate) config: u64,
    pub(crate) arm: u32,
    /// None where it is the request's id, as it is when the client sets none.
    pub(crate) key: Option<Key>,
    pub(crate) received: Timestamp,
    pub(crate) deadline: Timestamp,
    pub(crate) skip: Vec<u32>,
    pub(crate) segment: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ScoreLine {
    pub(crate) arrival: Arrival,
    pub(crate) received: Timestamp,
    pub(crate) model: u32,
    pub(crate) started: Timestamp,
    pub(crate) finished: Timestamp,
    pub(crate) value: Option<f64>,
    pub(crate) failure: Option<FailureKind>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DecisionLine {
    pub(crate) arrival: Arrival,
    pub(crate) config: u64,
    pub(crate) arm: u32,
    pub(crate) received: Timestamp,
    pub(crate) deadline: Timestamp,
    pub(crate) decided: Timestamp,
    pub(crate) kind: Kind,
    pub(crate) reason: Reason,
    pub(crate) model: Option<u32>,
    pub(crate) seen: Vec<u32>,
    pub(crate) presumed: Vec<u32>,
    pub(crate) value: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OutcomeLine {
    pub(crate) arrival: Arrival,
    pub(crate) value: Option<f64>,
}

/// Names that recur: each has a number.
#[derive(Debug)]
pub(crate) struct Names<T> {
    names: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { names: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Names<T> {
    pub(crate) fn number(&mut self, name: T) -> u32 {
        if let Some(number) = self.numbers.get(&name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        number
    }

    pub(crate) fn has(&self, name: &T) -> bool {
        self.numbers.contains_key(name)
    }

    /// The name with this number; none for a number that was not given.
    pub(crate) fn name(&self, number: u32) -> Option<&T> {
        self.names.get(number as usize)
    }
}

/// The names in all lines of a join.
#[derive(Debug, Default)]
pub(crate) struct AllNames {
    pub(crate) models: Names<ModelId>,
    pub(crate) arms: Names<Arm>,
    /// Where in a payload the segment is (RFC 6901).
    pub(crate) segment: Option<String>,
}

/// The longest name of a segment, in characters; the rest is cut.
const LONGEST_SEGMENT: usize = 100;

impl AllNames {
    /// What the pointer to the segment finds in a payload: a text as it is, anything else as JSON.
    fn segment(&self, payload: &str) -> Option<String> {
        let payload: Value = serde_json::from_str(payload).ok()?;
        let text = match payload.pointer(self.segment.as_deref()?)? {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Some(text.chars().take(LONGEST_SEGMENT).collect())
    }
}

/// Columns of a table from which a line is made.
pub(crate) trait IntoLine: Select {
    fn id(&self) -> RequestId;

    fn endpoint(&self) -> &EndpointName;

    fn line(self, names: &mut AllNames) -> Line;
}

macro_rules! into_line {
    ($columns:ident, $row:ident, $names:ident => $line:expr) => {
        impl IntoLine for $columns {
            fn id(&self) -> RequestId {
                self.request_id
            }

            fn endpoint(&self) -> &EndpointName {
                &self.endpoint
            }

            fn line(self, $names: &mut AllNames) -> Line {
                let $row = self;
                $line
            }
        }
    };
}

macro_rules! request_line {
    ($row:ident, $names:ident, $segment:expr) => {
        Line::Request(RequestLine {
            segment: $segment,
            key: ($row.key.as_str() != $row.request_id.to_string()).then_some($row.key),
            arrival: Arrival { at: $row.arrived_us, sequence: $row.sequence_number },
            config: $row.config,
            arm: $names.arms.number($row.arm),
            received: $row.received_us,
            deadline: $row.deadline_us,
            skip: $row.skip.into_iter().map(|model| $names.models.number(model)).collect(),
        })
    };
}

into_line!(RequestColumns, row, names => request_line!(row, names, None));
into_line!(SegmentColumns, row, names => request_line!(row, names, names.segment(&row.payload)));

macro_rules! score_line {
    ($row:ident, $names:ident) => {
        ScoreLine {
            arrival: Arrival { at: $row.arrived_us, sequence: $row.sequence_number },
            received: $row.received_us,
            model: $names.models.number($row.model),
            started: $row.started_us,
            finished: $row.finished_us,
            value: $row.value,
            failure: $row.failure_kind,
        }
    };
}

into_line!(ScoreColumns, row, names => Line::Score(score_line!(row, names)));
into_line!(ReplayColumns, row, names => Line::Replay(score_line!(row, names)));

into_line!(DecisionColumns, row, names => {
    let mut numbers = |models: Vec<ModelId>| {
        models.into_iter().map(|model| names.models.number(model)).collect()
    };
    let (seen, presumed) = (numbers(row.seen), numbers(row.presumed));
    Line::Decision(DecisionLine {
        arrival: Arrival { at: row.arrived_us, sequence: row.sequence_number },
        config: row.config,
        arm: names.arms.number(row.arm),
        received: row.received_us,
        deadline: row.deadline_us,
        decided: row.decided_us,
        kind: row.kind,
        reason: row.reason,
        model: row.model.map(|model| names.models.number(model)),
        seen,
        presumed,
        value: row.value,
    })
});

into_line!(OutcomeColumns, row, _names => Line::Outcome(OutcomeLine {
    arrival: Arrival { at: row.arrived_us, sequence: row.sequence_number },
    value: row.value,
}));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::layouts;

    #[test]
    fn rows_of_one_instant_are_ordered_by_their_number() {
        let arrival = |at, sequence: &str| Arrival {
            at: Timestamp::from_micros(at),
            sequence: sequence.to_owned(),
        };
        let ordered = [
            arrival(1, "99"),
            arrival(2, "8"),
            arrival(2, "09"),
            arrival(2, "10"),
            arrival(3, "1"),
        ];
        assert!(ordered.is_sorted());
        assert!(!ordered.iter().rev().is_sorted());
    }

    #[test]
    fn the_columns_are_those_of_the_tables() {
        fn check<S: Select>() {
            let layouts = layouts();
            let layout = layouts.iter().find(|layout| layout.table == S::TABLE).unwrap();
            for column in S::COLUMNS {
                assert!(layout.columns.iter().any(|(name, ..)| name == column), "{column}");
            }
        }
        check::<RequestColumns>();
        check::<ScoreColumns>();
        check::<ReplayColumns>();
        check::<DecisionColumns>();
        check::<OutcomeColumns>();
    }
}
