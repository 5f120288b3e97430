//! Files that take the place of others.

use rendezvous_archive::{
    OutcomeRow, layouts, read,
    rewrite::{Copies, RewriteError, Rewritten, rewrite},
    write,
};
use rendezvous_core::{Json, RequestId, Timestamp};

fn row(request: RequestId, sequence: u64, value: Option<f64>) -> OutcomeRow<'static> {
    OutcomeRow {
        request_id: request,
        endpoint: "e".parse().unwrap(),
        reported_us: Timestamp::from_micros(1),
        outcome: Json::parse("{ }").unwrap(),
        value,
        sequence_number: sequence.to_string().into(),
        arrived_us: Timestamp::from_micros(7),
    }
}

#[test]
fn every_table_is_known() {
    for layout in layouts() {
        let nothing = rewrite(layout.table, Vec::new(), |_, _| true, Copies::Once).unwrap();
        assert_eq!(nothing, Rewritten::default(), "{}", layout.table);
    }
}

#[test]
fn the_same_rows_become_the_same_bytes_in_whatever_files_they_are() {
    let [a, b, c] = ["a", "b", "c"].map(RequestId::new);
    // One outcome whose value was computed twice, under two configurations.
    let rows =
        [row(a, 1, None), row(b, 2, None), row(b, 2, Some(1.0)), row(b, 3, None), row(c, 4, None)];
    let file = |numbers: &[usize]| {
        write(&numbers.iter().map(|number| &rows[*number]).collect::<Vec<_>>()).unwrap()
    };
    let merge = |files, copies| rewrite("outcomes", files, |_, id| id != c, copies).unwrap();
    let once = merge(vec![file(&[0, 1, 4]), file(&[2, 3]), file(&[3, 1])], Copies::Once);
    assert_eq!((once.rows, once.dropped, once.copies), (4, 1, 2));
    let other = merge(vec![file(&[3, 2, 1, 0])], Copies::Once);
    assert_eq!(other.body, once.body);
    let read: Vec<OutcomeRow<'_>> = read(once.body.unwrap()).unwrap();
    assert_eq!(read.len(), 4);
    assert!(rows[..4].iter().all(|row| read.contains(row)), "{read:?}");
    let all = merge(vec![file(&[0, 1, 4]), file(&[2, 3]), file(&[3, 1])], Copies::All);
    assert_eq!((all.rows, all.dropped, all.copies), (6, 1, 0));
    let none = rewrite("outcomes", vec![file(&[4])], |_, id| id != c, Copies::All).unwrap();
    assert_eq!((none.body, none.dropped), (None, 1));
}

#[test]
fn a_file_with_a_column_that_is_not_known_is_not_rewritten() {
    let file = write(&[&row(RequestId::new("a"), 1, None)]).unwrap();
    let error = rewrite("decisions", vec![file], |_, _| true, Copies::All).unwrap_err();
    assert!(matches!(&error, RewriteError::Column(column) if column == "reported_us"), "{error}");
    let error = rewrite("unknown", Vec::new(), |_, _| true, Copies::All).unwrap_err();
    assert_eq!(error.to_string(), "table unknown is not known");
}
