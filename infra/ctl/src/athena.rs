//! Athena on AWS: the saved queries of a workgroup, and how one of them runs.

use std::time::Duration;

use aws_sdk_athena::{
    Client,
    types::{
        QueryExecution, QueryExecutionContext, QueryExecutionState, QueryExecutionStatistics,
        ResultSet, ResultSetMetadata,
    },
};
use aws_smithy_types::error::display::DisplayErrorContext;
use rendezvousctl::query::{
    athena::{Athena, State, Status, Table},
    saved::Saved,
};

/// How many queries Athena describes in one call.
const BATCH: usize = 50;

/// A workgroup of Athena.
#[derive(Debug)]
pub(crate) struct Workgroup {
    client: Client,
    name: String,
}

impl Workgroup {
    pub(crate) fn new(client: Client, name: &str) -> Self {
        Self { client, name: name.to_owned() }
    }

    /// The saved queries of the workgroup, by name.
    pub(crate) async fn queries(&self) -> Result<Vec<Saved>, String> {
        let list = self.client.list_named_queries().work_group(&self.name);
        let mut pages = list.into_paginator().send();
        let mut ids = Vec::new();
        while let Some(page) = pages.next().await {
            ids.extend(page.map_err(shown)?.named_query_ids.unwrap_or_default());
        }
        let mut queries = Vec::new();
        for ids in ids.chunks(BATCH) {
            let get = self.client.batch_get_named_query();
            let got = get.set_named_query_ids(Some(ids.to_vec())).send().await.map_err(shown)?;
            if let Some(left) = got.unprocessed_named_query_ids().first() {
                let (id, why) = (left.named_query_id(), left.error_message());
                let [id, why] = [id, why].map(Option::unwrap_or_default);
                return Err(format!("Athena does not say what the saved query {id} is: {why}"));
            }
            queries.extend(got.named_queries().iter().map(|query| Saved {
                name: query.name().to_owned(),
                description: query.description().unwrap_or_default().to_owned(),
                sql: query.query_string().to_owned(),
                database: Some(query.database().to_owned()),
            }));
        }
        queries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(queries)
    }

    /// Runs queries on the tables of this database.
    pub(crate) fn database<'w>(&'w self, name: Option<&'w str>) -> Database<'w> {
        Database { workgroup: self, name }
    }
}

/// A database, and the workgroup in which queries on it run.
#[derive(Debug)]
pub(crate) struct Database<'w> {
    workgroup: &'w Workgroup,
    name: Option<&'w str>,
}

impl Athena for Database<'_> {
    async fn start(&self, sql: &str) -> Result<String, String> {
        let context = QueryExecutionContext::builder();
        let context = context.set_database(self.name.map(str::to_owned)).build();
        let Workgroup { client, name } = self.workgroup;
        let start = client.start_query_execution().work_group(name).query_string(sql);
        let started = start.query_execution_context(context).send().await.map_err(shown)?;
        started.query_execution_id.ok_or_else(|| "it gave the query no id".to_owned())
    }

    async fn status(&self, id: &str) -> Result<Status, String> {
        let got = self.workgroup.client.get_query_execution().query_execution_id(id).send().await;
        let execution = got.map_err(shown)?.query_execution;
        execution.as_ref().map(status).ok_or_else(|| format!("it does not know query {id}"))
    }

    async fn result(&self, id: &str) -> Result<Table, String> {
        let get = self.workgroup.client.get_query_results().query_execution_id(id);
        let mut pages = get.into_paginator().send();
        let mut sets = Vec::new();
        while let Some(page) = pages.next().await {
            sets.extend(page.map_err(shown)?.result_set);
        }
        Ok(table(&sets))
    }

    async fn stop(&self, id: &str) -> Result<(), String> {
        let stop = self.workgroup.client.stop_query_execution().query_execution_id(id);
        stop.send().await.map(|_| ()).map_err(shown)
    }
}

fn status(execution: &QueryExecution) -> Status {
    let (status, statistics) = (execution.status(), execution.statistics());
    let reason = || {
        let reason = status.and_then(|status| status.state_change_reason());
        reason.unwrap_or("it gave no reason").to_owned()
    };
    let state = match status.and_then(|status| status.state()) {
        Some(QueryExecutionState::Succeeded) => State::Succeeded,
        Some(QueryExecutionState::Failed) => State::Failed(reason()),
        Some(QueryExecutionState::Cancelled) => State::Failed(format!("cancelled: {}", reason())),
        _ => State::Running,
    };
    let of = |figure: Option<i64>| figure.and_then(|figure| figure.try_into().ok()).unwrap_or(0);
    Status {
        state,
        scanned_bytes: of(statistics.and_then(QueryExecutionStatistics::data_scanned_in_bytes)),
        took: Duration::from_millis(of(
            statistics.and_then(QueryExecutionStatistics::total_execution_time_in_millis)
        )),
    }
}

/// The pages of a result as one table.
fn table(pages: &[ResultSet]) -> Table {
    let metadata = pages.first().and_then(|page| page.result_set_metadata());
    let columns = metadata.map(ResultSetMetadata::column_info).unwrap_or_default();
    let rows = pages.iter().flat_map(ResultSet::rows);
    let texts = rows.map(|row| {
        row.data().iter().map(|datum| datum.var_char_value().map(str::to_owned)).collect()
    });
    Table {
        columns: columns
            .iter()
            .map(|each| (each.name().to_owned(), each.r#type().to_owned()))
            .collect(),
        // The first row of the first page are the columns' names.
        rows: texts.skip(1).collect(),
    }
}

fn shown(error: impl std::error::Error) -> String {
    DisplayErrorContext(&error).to_string()
}

#[cfg(test)]
mod tests {
    use aws_sdk_athena::types::{ColumnInfo, Datum, QueryExecutionStatus, Row};

    use super::*;

    fn execution(state: QueryExecutionState) -> QueryExecution {
        let status = QueryExecutionStatus::builder().state(state).state_change_reason("too much");
        let statistics = QueryExecutionStatistics::builder()
            .data_scanned_in_bytes(1_000)
            .total_execution_time_in_millis(70);
        QueryExecution::builder().status(status.build()).statistics(statistics.build()).build()
    }

    #[test]
    fn a_status_says_how_far_a_query_is_and_why_it_failed() {
        let done = status(&execution(QueryExecutionState::Succeeded));
        assert_eq!(done.state, State::Succeeded);
        assert_eq!((done.scanned_bytes, done.took), (1_000, Duration::from_millis(70)));
        for state in [QueryExecutionState::Queued, QueryExecutionState::Running] {
            assert_eq!(status(&execution(state)).state, State::Running);
        }
        let failed = status(&execution(QueryExecutionState::Failed)).state;
        assert_eq!(failed, State::Failed("too much".to_owned()));
        let cancelled = status(&execution(QueryExecutionState::Cancelled)).state;
        assert_eq!(cancelled, State::Failed("cancelled: too much".to_owned()));
    }

    #[test]
    fn only_the_first_row_of_the_first_page_is_the_head() {
        let row = |texts: [Option<&str>; 2]| {
            let datum =
                |text: Option<&str>| Datum::builder().set_var_char_value(text.map(str::to_owned));
            let data = texts.map(|text| datum(text).build()).to_vec();
            Row::builder().set_data(Some(data)).build()
        };
        let column = |name, kind| ColumnInfo::builder().name(name).r#type(kind).build().unwrap();
        let columns = vec![column("model", "varchar"), column("n", "bigint")];
        let page = |rows| {
            let metadata =
                ResultSetMetadata::builder().set_column_info(Some(columns.clone())).build();
            ResultSet::builder().set_rows(Some(rows)).result_set_metadata(metadata).build()
        };
        let found = table(&[
            page(vec![row([Some("model"), Some("n")]), row([Some("a@1"), Some("1")])]),
            page(vec![row([None, Some("2")])]),
        ]);
        let text = |text: &str| text.to_owned();
        assert_eq!(found.columns, [(text("model"), text("varchar")), (text("n"), text("bigint"))]);
        assert_eq!(found.rows, [[Some(text("a@1")), Some(text("1"))], [None, Some(text("2"))]]);
    }
}
