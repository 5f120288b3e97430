//! Segments of the log on disk, behind their heads.

use rendezvous_folder::{Frame, Kept, read_frames};

/// Bytes as a segment, and as the entries of a frame whose sum is right: what is read is written as the same,
/// and of a frame that is cut off there is nothing.
pub(crate) fn read(bytes: &[u8]) {
    same(bytes);
    let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let sum = crc32fast::hash(bytes).to_le_bytes();
    same(&[&length[..], &sum, bytes].concat());
}

fn same(segment: &[u8]) {
    let (entries, read) = read_frames(segment);
    assert!(read <= segment.len());
    assert_eq!(entries.is_empty(), read == 0);
    if entries.is_empty() {
        return;
    }
    let mut frame = Frame::default();
    for Kept { kind, arrived, key, data } in &entries {
        frame.push(*kind, *arrived, key, data);
    }
    let written = frame.finish().unwrap();
    assert_eq!(read_frames(written), (entries, written.len()));
    assert_eq!(read_frames(&written[..written.len() - 1]), (Vec::new(), 0));
}
