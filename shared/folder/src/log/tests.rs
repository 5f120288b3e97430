use std::fs;

use rendezvous_core::Timestamp;
use tempfile::TempDir;

use super::*;

fn log() -> (TempDir, FolderLog) {
    let directory = tempfile::tempdir().unwrap();
    let data = DataFolder::serve(directory.path()).unwrap();
    let log = FolderLog::new(&data).unwrap();
    (directory, log)
}

fn frame(entries: &[(u8, &str)]) -> Frame {
    let mut frame = Frame::default();
    for (kind, data) in entries {
        frame.push(*kind, Timestamp::from_micros(-7), b"key", data.as_bytes());
    }
    frame
}

/// What three frames hold, and where each ends.
fn segment(log: &FolderLog) -> (Vec<Kept>, Vec<usize>) {
    let mut appender = log.append_to(Part::Streams, 7);
    let frames = [&[(1, "a"), (2, "")][..], &[(3, "longer than the others")], &[(4, "b")]];
    let ends = frames.map(|entries| {
        appender.append(&mut frame(entries)).unwrap();
        usize::try_from(appender.length()).unwrap()
    });
    (log.read(Part::Streams, 7).unwrap().entries, ends.to_vec())
}

#[test]
fn entries_come_back_in_their_order_and_segments_by_their_numbers() {
    let (_directory, log) = log();
    let (entries, _) = segment(&log);
    let shown: Vec<_> = entries.iter().map(|entry| (entry.kind, &entry.data[..])).collect();
    assert_eq!(shown, [(1, &b"a"[..]), (2, b""), (3, b"longer than the others"), (4, b"b")]);
    assert!(entries.iter().all(|entry| entry.key == "key" && entry.arrived.as_micros() == -7));
    assert_eq!(log.read(Part::Streams, 7).unwrap().torn, None);
    log.append_to(Part::Streams, 0x10).append(&mut frame(&[(1, "")])).unwrap();
    log.append_to(Part::Ledger, 9).append(&mut frame(&[(1, "")])).unwrap();
    fs::write(log.folder().join("note.txt"), "x").unwrap();
    assert_eq!(log.segments(Part::Streams).unwrap(), [7, 0x10]);
    assert_eq!(log.segments(Part::Ledger).unwrap(), [9]);
    log.delete(Part::Streams, 7).unwrap();
    log.delete(Part::Streams, 7).expect("it is gone already");
    assert_eq!(log.segments(Part::Streams).unwrap(), [0x10]);
}

#[test]
fn a_segment_that_is_cut_anywhere_has_the_frames_before_the_cut() {
    let (_directory, log) = log();
    let (entries, ends) = segment(&log);
    let path = log.path(Part::Streams, 7);
    let whole = fs::read(&path).unwrap();
    // How many entries there are at the end of each frame.
    let counts = [2, 3, 4];
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let read = log.read(Part::Streams, 7).unwrap();
        let frames = ends.iter().filter(|end| **end <= length).count();
        let count = frames.checked_sub(1).map_or(0, |last| counts[last]);
        assert_eq!(read.entries, entries[..count], "{length}");
        let is_end = length <= HEAD.len() || ends.contains(&length);
        assert_eq!(read.torn.is_none(), is_end, "{length}: {:?}", read.torn);
    }
}

#[test]
fn a_segment_with_a_wrong_byte_has_the_frames_before_it() {
    let (_directory, log) = log();
    let (entries, ends) = segment(&log);
    let path = log.path(Part::Streams, 7);
    let whole = fs::read(&path).unwrap();
    let counts = [0, 2, 3];
    for place in 0..whole.len() {
        for bit in 0..8 {
            let mut wrong = whole.clone();
            wrong[place] ^= 1 << bit;
            fs::write(&path, wrong).unwrap();
            let read = log.read(Part::Streams, 7);
            if place < HEAD.len() {
                assert!(read.unwrap_err().to_string().contains("no log of this version"));
                continue;
            }
            let read = read.unwrap();
            let frame = ends.iter().filter(|end| **end <= place).count();
            assert_eq!(read.entries, entries[..counts[frame]], "{place} {bit}");
            assert!(read.torn.is_some_and(|torn| torn.contains("ends at byte")), "{place} {bit}");
        }
    }
}

#[test]
fn what_is_no_entry_is_not_read_whatever_its_sum() {
    let (_directory, log) = log();
    let path = log.path(Part::Streams, 7);
    let sealed = |entries: &[u8]| {
        let length = u32::try_from(entries.len()).unwrap().to_le_bytes();
        let sum = crc32fast::hash(entries).to_le_bytes();
        [&HEAD[..], &length, &sum, entries].concat()
    };
    let zeros = [&HEAD[..], &[0; 4096]].concat();
    let mut beyond = vec![0; 17];
    beyond[9] = 200;
    for bytes in [zeros, sealed(&[1; 5]), sealed(&beyond)] {
        fs::write(&path, bytes).unwrap();
        let read = log.read(Part::Streams, 7).unwrap();
        assert_eq!((read.entries, read.torn.is_some()), (Vec::new(), true));
    }
}

#[test]
#[cfg(unix)]
fn a_file_that_was_deleted_is_made_again() {
    let (_directory, log) = log();
    let mut appender = log.append_to(Part::Ledger, 1);
    appender.append(&mut frame(&[(1, "lost")])).unwrap();
    fs::remove_dir_all(log.folder()).unwrap();
    appender.append(&mut frame(&[(2, "kept")])).unwrap();
    let read = log.read(Part::Ledger, 1).unwrap();
    assert_eq!((read.entries.len(), read.entries[0].kind, read.torn), (1, 2, None));
}

#[test]
#[cfg(target_os = "linux")]
fn what_could_not_be_appended_is_appended_again() {
    let (_directory, log) = log();
    let path = log.path(Part::Streams, 1);
    // Every write to it fails: the disk is full.
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let mut appender = log.append_to(Part::Streams, 1);
    let mut entries = frame(&[(1, "a")]);
    let error = appender.append(&mut entries).unwrap_err().to_string();
    assert!(error.contains("No space left"), "{error}");
    assert_eq!(appender.length(), 0);
    fs::remove_file(&path).unwrap();
    appender.append(&mut entries).unwrap();
    assert_eq!(log.read(Part::Streams, 1).unwrap().entries.len(), 1);
}
