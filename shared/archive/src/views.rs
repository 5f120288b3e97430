//! The analysts' views: which rows of a table each shows, and its columns.
//!
//! A view shows the columns of its table under their names, without the place on the stream; each
//! time `…_us` as the timestamp `…_at`; the [`Duration`]s; and the partition of the row.

use crate::layout::Layout;

/// A view of a table with one row for each entity.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub name: &'static str,
    pub table: &'static str,
    /// The columns that name an entity.
    pub entity: &'static [&'static str],
    /// Which of an entity's rows is shown.
    pub keeps: Keeps,
    pub durations: &'static [Duration],
}

/// Rows of one entity are ordered by arrival, then by sequence number, which is a decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// The first that arrived.
    First,
    /// The last that arrived.
    Last,
    /// The last that arrived on each day: an entity has one row for each day on which it has any.
    LastOfDay,
}

/// A column that tells the time between two others, in milliseconds, exact to the microsecond.
#[derive(Clone, Copy, Debug)]
pub struct Duration {
    pub name: &'static str,
    pub from: &'static str,
    pub to: &'static str,
    pub comment: &'static str,
}

/// The views, by name.
pub const VIEWS: [View; 6] = [
    View {
        name: "requests",
        table: "requests",
        entity: &["request_id"],
        keeps: Keeps::First,
        durations: &[],
    },
    View {
        name: "scores",
        table: "scores",
        entity: &["request_id", "model"],
        keeps: Keeps::First,
        durations: &[
            Duration {
                name: "after_ms",
                from: "received_us",
                to: "arrived_us",
                comment: "From the request's receipt to the score's arrival on the stream",
            },
            Duration {
                name: "took_ms",
                from: "started_us",
                to: "finished_us",
                comment: "From the model's start to its finish",
            },
        ],
    },
    View {
        name: "decisions",
        table: "decisions",
        entity: &["request_id"],
        keeps: Keeps::First,
        durations: &[
            Duration {
                name: "after_ms",
                from: "received_us",
                to: "decided_us",
                comment: "From the request's receipt to its decision",
            },
            Duration {
                name: "allowed_ms",
                from: "received_us",
                to: "deadline_us",
                comment: "From the request's receipt to its deadline",
            },
        ],
    },
    View {
        name: "outcomes",
        table: "outcomes",
        entity: &["endpoint", "request_id"],
        keeps: Keeps::Last,
        durations: &[],
    },
    View {
        name: "outcomes_by_day",
        table: "outcomes",
        entity: &["endpoint", "request_id"],
        keeps: Keeps::LastOfDay,
        durations: &[],
    },
    View {
        name: "replays",
        table: "replays",
        entity: &["request_id", "model"],
        keeps: Keeps::Last,
        durations: &[
            Duration {
                name: "after_ms",
                from: "received_us",
                to: "arrived_us",
                comment: "From when the request was sent again to the score's arrival on the stream",
            },
            Duration {
                name: "took_ms",
                from: "started_us",
                to: "finished_us",
                comment: "From the model's start to its finish",
            },
        ],
    },
];

/// A column of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewColumn {
    pub name: String,
    /// In Hive's terms, for the catalog of Glue.
    pub hive: &'static str,
    /// In the terms of Athena's SQL.
    pub sql: &'static str,
    pub comment: String,
    /// The SQL that computes it from a row of the table; its own name for a column of the table.
    pub expression: String,
}

/// The columns that say where a record stood on its stream.
const PLACE: [&str; 2] = ["shard", "sequence_number"];

impl View {
    /// The view's columns, in order; `layout` is that of its table.
    pub fn columns(&self, layout: &Layout) -> Vec<ViewColumn> {
        let (mut plain, mut times) = (Vec::new(), Vec::new());
        for (name, r#type, comment) in &layout.columns {
            if PLACE.contains(name) {
                continue;
            }
            let comment = comment.clone();
            if let Some(instant) = name.strip_suffix("_us") {
                times.push(ViewColumn {
                    name: format!("{instant}_at"),
                    hive: "timestamp",
                    sql: "timestamp(3)",
                    comment,
                    expression: format!("CAST(from_unixtime({name} / 1e6) AS timestamp(3))"),
                });
            } else {
                let (hive, sql) = (r#type.hive(), r#type.sql());
                let name = (*name).to_owned();
                plain.push(ViewColumn { expression: name.clone(), name, hive, sql, comment });
            }
        }
        let durations = self.durations.iter().map(|duration| ViewColumn {
            name: duration.name.to_owned(),
            hive: "double",
            sql: "double",
            comment: duration.comment.to_owned(),
            expression: format!("({} - {}) / 1e3", duration.to, duration.from),
        });
        let date = ViewColumn {
            name: "date".to_owned(),
            hive: "string",
            sql: "varchar",
            comment: "Day of arrival".to_owned(),
            expression: "date".to_owned(),
        };
        let hour = ViewColumn {
            name: "hour".to_owned(),
            hive: "int",
            sql: "integer",
            comment: "Hour of arrival".to_owned(),
            expression: match partitions(self.table) {
                [_, _] => "hour".to_owned(),
                _ => "CAST(hour(from_unixtime(arrived_us / 1e6)) AS integer)".to_owned(),
            },
        };
        plain.into_iter().chain(times).chain(durations).chain([date, hour]).collect()
    }
}

/// The partition columns by which the catalog knows a table's files: all of `date` and `hour` that
/// their names have, but outcomes and replays by the day alone. A query
/// for the last of them reads many days, and has fewer partitions to list.
pub fn partitions(table: &str) -> &'static [&'static str] {
    if matches!(table, "outcomes" | "replays") { &["date"] } else { &["date", "hour"] }
}
