//! Files of an archive that others may have written.

use bytes::Bytes;
use rendezvous_archive::{
    DecisionRow, OutcomeRow, ReplayRow, RequestRow, Row, ScoreRow,
    join::{Wanted, join as join_tables},
    read as read_file, write,
};
use rendezvous_core::{memory::MemoryArchive, ports::Archive};

use crate::system::run;

/// A file of any table: what was read is written, and read as the same.
pub(crate) fn read(bytes: &[u8]) {
    same::<RequestRow<'_>>(bytes);
    same::<ScoreRow<'_>>(bytes);
    same::<DecisionRow<'_>>(bytes);
    same::<OutcomeRow<'_>>(bytes);
    same::<ReplayRow<'_>>(bytes);
}

fn same<R: Row + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(rows) = read_file::<R>(Bytes::copy_from_slice(bytes)) else { return };
    let written = write(&rows.iter().collect::<Vec<_>>()).unwrap();
    let again = read_file::<R>(written).unwrap();
    assert_eq!(again.len(), rows.len());
    // Not a number is not equal to itself.
    let texts = |rows: &[R]| {
        let mut texts: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
        texts.sort_unstable();
        texts
    };
    assert_eq!(texts(&again), texts(&rows));
}

/// One file in each table of an archive whose requests are joined.
pub(crate) fn join(bytes: &[u8]) {
    run(async {
        let archive = MemoryArchive::default();
        for table in ["requests", "scores", "decisions", "outcomes"] {
            let name = format!("{table}/date=2025-11-22/hour=06/f.parquet");
            archive.put(&name, Bytes::copy_from_slice(bytes)).await.unwrap();
        }
        let mut wanted = Wanted::all("e".parse().unwrap());
        wanted.segment = Some("/carrier".to_owned());
        let Ok(requests) = join_tables(&archive, &wanted, |_| {}).await else { return };
        requests.each(|_| Ok(())).unwrap();
        if let Ok(by_outcome) = requests.by_outcome() {
            by_outcome
                .each(|joined| {
                    assert!(joined.outcome.is_some());
                    Ok(())
                })
                .unwrap();
        }
    });
}
