//! A saved query in Athena: awaited, read, stopped. Athena is a list of what it says, one after the
//! other.

use std::{cell::RefCell, future::pending, time::Duration};

use rendezvousctl::{
    failure::Failure,
    query::{
        athena::{Athena, State, Status, Table, answer},
        rows::Rows,
    },
};
use serde_json::json;
use tokio::time::Instant;

/// An Athena in which a query goes through these states, the last of them for ever.
struct Said {
    states: RefCell<Vec<State>>,
    stopped: RefCell<Vec<String>>,
}

impl Said {
    fn new(states: &[State]) -> Self {
        let states = states.iter().rev().cloned().collect();
        Self { states: RefCell::new(states), stopped: RefCell::default() }
    }

    async fn answer(&self) -> Result<(Rows, Status), Failure> {
        answer(self, "SELECT 1", pending(), |_| ()).await
    }
}

impl Athena for Said {
    async fn start(&self, sql: &str) -> Result<String, String> {
        assert_eq!(sql, "SELECT 1");
        Ok("id-1".to_owned())
    }

    async fn status(&self, id: &str) -> Result<Status, String> {
        assert_eq!(id, "id-1");
        let mut states = self.states.borrow_mut();
        let state = if states.len() > 1 { states.pop().unwrap() } else { states[0].clone() };
        Ok(Status { state, scanned_bytes: 5_000, took: Duration::from_millis(70) })
    }

    async fn result(&self, _: &str) -> Result<Table, String> {
        let columns =
            [("model", "varchar"), ("n", "bigint"), ("brier", "double"), ("won", "boolean")];
        let row = |cells: [Option<&str>; 4]| cells.map(|cell| cell.map(str::to_owned)).to_vec();
        Ok(Table {
            columns: columns.map(|(name, kind)| (name.to_owned(), kind.to_owned())).to_vec(),
            rows: vec![
                row([Some("1"), Some("12"), Some("0.25"), Some("true")]),
                row([None, Some("3"), Some("NaN"), None]),
            ],
        })
    }

    async fn stop(&self, id: &str) -> Result<(), String> {
        self.stopped.borrow_mut().push(id.to_owned());
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_is_awaited_and_its_values_have_their_types() {
    let athena = Said::new(&[State::Running, State::Running, State::Succeeded]);
    let (rows, status) = athena.answer().await.unwrap();
    assert_eq!(rows.columns, ["model", "n", "brier", "won"]);
    assert_eq!(rows.rows[0], [json!("1"), json!(12), json!(0.25), json!(true)]);
    assert_eq!(rows.rows[1], [json!(null), json!(3), json!("NaN"), json!(null)]);
    assert_eq!((status.scanned_bytes, status.took), (5_000, Duration::from_millis(70)));
    assert!(athena.stopped.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_pauses_between_two_looks_grow_to_a_few_seconds() {
    let mut states = vec![State::Running; 20];
    states.push(State::Succeeded);
    let athena = Said::new(&states);
    let begun = Instant::now();
    let mut looks = Vec::new();
    answer(&athena, "SELECT 1", pending(), |_| looks.push(begun.elapsed())).await.unwrap();
    assert_eq!(looks.len(), 20);
    assert!(looks[1].saturating_sub(looks[0]) < Duration::from_millis(300), "{looks:?}");
    let last = looks[19].saturating_sub(looks[18]);
    assert!(last > Duration::from_secs(2) && last < Duration::from_secs(4), "{looks:?}");
}

#[tokio::test(start_paused = true)]
async fn a_query_that_fails_says_why() {
    let reason = "SYNTAX_ERROR: line 3:8: Column 'x' cannot be resolved";
    let athena = Said::new(&[State::Running, State::Failed(reason.to_owned())]);
    let failure = athena.answer().await.unwrap_err();
    assert_eq!(failure.code(), 1);
    assert_eq!(failure.to_string(), format!("Athena: {reason} (query id-1)"));
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_query_is_stopped() {
    let athena = Said::new(&[State::Running]);
    let soon = tokio::time::sleep(Duration::from_secs(10));
    let failure = answer(&athena, "SELECT 1", soon, |_| ()).await.unwrap_err();
    assert!(failure.to_string().contains("query id-1 was stopped"), "{failure}");
    assert_eq!(*athena.stopped.borrow(), ["id-1"]);
}
