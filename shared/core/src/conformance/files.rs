//! The rules of an archive's files.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    clock::now,
    names::RequestId,
    ports::{Archive, ArchiveFiles, Erase, Stored},
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

/// The rules of an archive whose files can be deleted for good.
pub async fn erase(archive: &(impl Archive + ArchiveFiles + Erase)) {
    let root = format!("conformance/{}/", RequestId::random());
    let (file, neighbour) = (format!("{root}a"), format!("{root}ab"));
    let put = async |name: &str| {
        let body = Bytes::from_static(b"the file");
        archive.put(name, body).await.expect("stored")
    };
    let erase = async |name: &str| archive.erase(name).await.expect("erased");
    assert_eq!((put(&file).await, put(&neighbour).await), (Stored::New, Stored::New));
    assert_eq!(erase(&file).await, 1);
    assert_eq!(erase(&file).await, 0, "no version is left, and none says that there was one");
    archive.read(&file, 0..1).await.expect_err("it is deleted");
    let left = archive.list(&root).await.expect("listed");
    let left: Vec<_> = left.into_iter().map(|file| file.name).collect();
    assert_eq!(left, [neighbour], "a file whose name begins with that of another stays");
    assert_eq!(put(&file).await, Stored::New, "the name is free again");
    assert_eq!(erase(&file).await, 1);
}
