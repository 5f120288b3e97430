//! The rules of an archive's files.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    clock::now,
    names::RequestId,
    ports::{Archive, ArchiveFiles},
};

/// The rules of an archive whose files can be listed and read in parts.
pub async fn archive_files(archive: &(impl Archive + ArchiveFiles)) {
    let root = format!("conformance/{}/", RequestId::random());
    let before = now() - Duration::from_mins(2);
    for name in ["b/2/z", "b/2/y", "a", "b/1/x", "c/w", "b2/v"] {
        let body = Bytes::from(format!("the file {name}"));
        archive.put(&format!("{root}{name}"), body).await.expect("stored");
    }
    let names = |folder: &str| {
        let folder = format!("{root}{folder}");
        async move {
            let files = archive.list(&folder).await.expect("listed");
            assert!(files.iter().all(|file| file.written >= before), "{files:?}");
            files.into_iter().map(|file| (file.name, file.bytes)).collect::<Vec<_>>()
        }
    };
    let full =
        |names: &[&str]| names.iter().map(|name| format!("{root}{name}")).collect::<Vec<_>>();
    let b: Vec<_> = full(&["b/1/x", "b/2/y", "b/2/z"]).into_iter().map(|name| (name, 14)).collect();
    assert_eq!(names("b/").await, b, "the files of a folder and of those below it");
    assert_eq!(names("").await.len(), 6);
    assert_eq!(names("d/").await, [], "there is no such folder");
    let folders = async |folder: &str| archive.folders(folder).await.expect("listed");
    assert_eq!(folders(&root).await, full(&["b/", "b2/", "c/"]));
    assert_eq!(folders(&format!("{root}b/")).await, full(&["b/1/", "b/2/"]));
    assert!(folders(&format!("{root}d/")).await.is_empty());

    let file = format!("{root}c/w");
    assert_eq!(archive.read(&file, 4..8).await.expect("read"), "file");
    assert_eq!(archive.read(&file, 0..12).await.expect("read"), "the file c/w");
    archive.read(&file, 4..13).await.expect_err("a range beyond the end");
    archive.read(&format!("{root}c/none"), 0..1).await.expect_err("there is no such file");
}
