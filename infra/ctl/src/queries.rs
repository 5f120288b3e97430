//! The command `query`: connects a saved query to a stack or to a data folder, and to a person.

use std::io::{self, IsTerminal};

use rendezvousctl::{
    failure::Failure,
    output::Output,
    query::{
        athena::{self, Status},
        duckdb,
        rows::Rows,
        saved::{self, Saved},
    },
};
use tokio::{signal, time::Instant};

use crate::{
    athena::Workgroup,
    say::note,
    target::{System, Target},
};

/// Lists the saved queries, or runs the named one with other values of some of its settings.
pub(crate) async fn query(
    target: &Target,
    name: Option<&str>,
    changes: &[(String, String)],
) -> Result<Output, Failure> {
    match target.open().await? {
        System::Stack(stack) => {
            let workgroup = stack.workgroup().map_err(Failure::Failed)?;
            let queries = workgroup.queries().await.map_err(|error| {
                let what = "the saved queries of the stack cannot be listed";
                Failure::Failed(format!("{what}: {error}"))
            })?;
            let Some(name) = name else { return Ok(saved::list(&queries)) };
            ask_athena(&workgroup, saved::find(&queries, name)?, changes).await
        }
        System::Folder(folder) => {
            let queries = saved::of_template()?;
            let Some(name) = name else { return Ok(saved::list(&queries)) };
            let sql = saved::find(&queries, name)?.with(changes)?;
            let begun = Instant::now();
            let rows = duckdb::answer(&folder.archive(), &sql, note)?;
            Ok(told(&rows, &sql, &format!("in {:.1} s", begun.elapsed().as_secs_f64())))
        }
    }
}

async fn ask_athena(
    workgroup: &Workgroup,
    query: &Saved,
    changes: &[(String, String)],
) -> Result<Output, Failure> {
    let sql = query.with(changes)?;
    let interrupted = async {
        // Where no interruption can be heard of, none ends the query.
        if signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let is_watched = io::stderr().is_terminal();
    let progress = |status: &Status| {
        if is_watched {
            eprint!("\r{}", said(status));
        }
    };
    let database = workgroup.database(query.database.as_deref());
    let answered = athena::answer(&database, &sql, interrupted, progress).await;
    if is_watched {
        // What comes next begins on an empty line.
        eprint!("\r\x1b[K");
    }
    let (rows, status) = answered?;
    Ok(told(&rows, &sql, &said(&status)))
}

fn said(status: &Status) -> String {
    let megabytes = status.scanned_bytes as f64 / 1e6;
    format!("{megabytes:.2} MB scanned in {:.1} s", status.took.as_secs_f64())
}

/// Says on standard error what the rows cost, and what to change where there is none.
fn told(rows: &Rows, sql: &str, cost: &str) -> Output {
    let count = rows.rows.len();
    note(&format!("{count} {}, {cost}", if count == 1 { "row" } else { "rows" }));
    if count == 0 {
        note(&format!("asked with {}; --set NAME=VALUE asks otherwise", saved::said(sql)));
    }
    rows.output()
}
