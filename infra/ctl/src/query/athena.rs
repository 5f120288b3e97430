//! A saved query in Athena: started, awaited, read.

use std::{future::Future, time::Duration};

use serde_json::Value;
use tokio::time::sleep;

use super::rows::Rows;
use crate::failure::Failure;

/// The first pause between two looks at a query, and the longest: each is half as long again as the
/// one before.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));

/// What is asked of Athena. Errors say what Athena, or the connection, said.
pub trait Athena {
    /// Starts a query and returns its id.
    fn start(&self, sql: &str) -> impl Future<Output = Result<String, String>>;

    fn status(&self, id: &str) -> impl Future<Output = Result<Status, String>>;

    /// The result of a query that has succeeded.
    fn result(&self, id: &str) -> impl Future<Output = Result<Table, String>>;

    /// Ends a query that runs.
    fn stop(&self, id: &str) -> impl Future<Output = Result<(), String>>;
}

/// How far a query is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub state: State,
    pub scanned_bytes: u64,
    /// Since it was started, waiting in Athena's queue included.
    pub took: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits or runs.
    Running,
    Succeeded,
    /// It has failed, or was cancelled, for instance at the workgroup's scan limit.
    Failed(String),
}

/// A result as Athena returns it: all values are text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Names and types.
    pub columns: Vec<(String, String)>,
    pub rows: Vec<Vec<Option<String>>>,
}

/// Runs a query to its end and returns its rows and its last status. When `interrupted` is over
/// before, the query is stopped, so that it costs nothing further.
pub async fn answer(
    athena: &impl Athena,
    sql: &str,
    interrupted: impl Future<Output = ()>,
    mut progress: impl FnMut(&Status),
) -> Result<(Rows, Status), Failure> {
    let failed = |what: String| Failure::Failed(format!("Athena: {what}"));
    let id = athena.start(sql).await.map_err(failed)?;
    let status = tokio::select! {
        status = ended(athena, &id, &mut progress) => status.map_err(failed)?,
        () = interrupted => {
            athena.stop(&id).await.map_err(failed)?;
            return Err(Failure::Failed(format!("interrupted; query {id} was stopped")));
        }
    };
    if let State::Failed(reason) = status.state {
        return Err(failed(format!("{reason} (query {id})")));
    }
    let table = athena.result(&id).await.map_err(failed)?;
    Ok((rows(table), status))
}

async fn ended(
    athena: &impl Athena,
    id: &str,
    progress: &mut impl FnMut(&Status),
) -> Result<Status, String> {
    let (mut pause, longest) = PAUSES;
    loop {
        let status = athena.status(id).await?;
        if status.state != State::Running {
            return Ok(status);
        }
        progress(&status);
        sleep(pause).await;
        pause = (pause * 3 / 2).min(longest);
    }
}

fn rows(table: Table) -> Rows {
    let (columns, kinds): (Vec<_>, Vec<_>) = table.columns.into_iter().unzip();
    let typed = |row: Vec<Option<String>>| {
        let values = row.into_iter().zip(&kinds);
        values.map(|(text, kind)| text.map_or(Value::Null, |text| value(text, kind))).collect()
    };
    Rows { columns, rows: table.rows.into_iter().map(typed).collect() }
}

/// A value of a type of Athena. Numbers that JSON does not know, such as `NaN`, stay text.
fn value(text: String, kind: &str) -> Value {
    let typed = match kind {
        "tinyint" | "smallint" | "integer" | "bigint" => text.parse::<i64>().ok().map(Value::from),
        "float" | "real" | "double" | "decimal" => {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            number.map(Value::from)
        }
        "boolean" => text.parse::<bool>().ok().map(Value::from),
        _ => None,
    };
    typed.unwrap_or(Value::String(text))
}
