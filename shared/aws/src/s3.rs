//! The ports `Archive`, `ArchiveFiles` and `Erase` on S3.

use std::ops::Range;

use aws_sdk_s3::{Client, primitives::ByteStream, types::ChecksumAlgorithm};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bytes::Bytes;
use rendezvous_core::{
    Timestamp, Unavailable,
    ports::{Archive, ArchiveFiles, Erase, Stored, StoredFile},
};

use crate::unavailable;

/// A bucket whose files are written once: a conditional put, with a checksum that S3 verifies
/// before it confirms.
#[derive(Clone, Debug)]
pub struct S3Archive {
    client: Client,
    bucket: String,
}

impl S3Archive {
    pub fn new(client: Client, bucket: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into() }
    }

    /// The file of that name, for tests and tools.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>, Unavailable> {
        let got = self.client.get_object().bucket(&self.bucket).key(name).send().await;
        match got {
            Ok(output) => match output.body.collect().await {
                Ok(body) => Ok(Some(body.into_bytes())),
                Err(_) => Err(Unavailable::down("archive", "a file ended early")),
            },
            Err(error) if error.code() == Some("NoSuchKey") => Ok(None),
            Err(error) => Err(unavailable("archive", &error)),
        }
    }
}

impl Archive for S3Archive {
    async fn put(&self, name: &str, body: Bytes) -> Result<Stored, Unavailable> {
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(name)
            .if_none_match("*")
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(ByteStream::from(body));
        match put.send().await {
            Ok(_) => Ok(Stored::New),
            Err(error) if error.code() == Some("PreconditionFailed") => Ok(Stored::Already),
            // Among them ConditionalRequestConflict: another put of this name is under way.
            Err(error) => Err(unavailable("archive", &error)),
        }
    }
}

impl ArchiveFiles for S3Archive {
    async fn folders(&self, folder: &str) -> Result<Vec<String>, Unavailable> {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(folder);
        let mut pages = list.delimiter("/").into_paginator().send();
        let mut folders = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| unavailable("archive", &error))?;
            let common = page.common_prefixes.unwrap_or_default();
            folders.extend(common.into_iter().filter_map(|common| common.prefix));
        }
        Ok(folders)
    }

    async fn list(&self, folder: &str) -> Result<Vec<StoredFile>, Unavailable> {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(folder);
        let mut pages = list.into_paginator().send();
        let mut files = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| unavailable("archive", &error))?;
            for object in page.contents.unwrap_or_default() {
                let Some(name) = object.key else { continue };
                let bytes = object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
                let written = object.last_modified.map_or(0, |at| at.secs() * 1_000_000);
                files.push(StoredFile { name, bytes, written: Timestamp::from_micros(written) });
            }
        }
        Ok(files)
    }

    async fn read(&self, name: &str, range: Range<u64>) -> Result<Bytes, Unavailable> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let get = self.client.get_object().bucket(&self.bucket).key(name);
        let get = get.range(format!("bytes={}-{}", range.start, range.end - 1));
        let got = get.send().await.map_err(|error| unavailable("archive", &error))?;
        let ended = |what: String| Unavailable::down("archive", format!("{name}: {what}"));
        let body = got.body.collect().await.map_err(|error| ended(error.to_string()))?;
        let body = body.into_bytes();
        // S3 shortens a range that goes beyond the end.
        if body.len() as u64 != range.end - range.start {
            return Err(ended(format!("no bytes {range:?}")));
        }
        Ok(body)
    }
}

impl Erase for S3Archive {
    async fn erase(&self, name: &str) -> Result<u64, Unavailable> {
        erase(&self.client, &self.bucket, name, "archive").await
    }
}

/// Deletes an object with all its versions and delete markers, and returns how many versions it had.
pub(crate) async fn erase(
    client: &Client,
    bucket: &str,
    key: &str,
    dependency: &'static str,
) -> Result<u64, Unavailable> {
    let list = client.list_object_versions().bucket(bucket).prefix(key);
    let (mut versions, mut next): (u64, Option<(String, String)>) = (0, None);
    loop {
        let (key_marker, version_marker) = next.clone().unzip();
        let list = list.clone().set_key_marker(key_marker).set_version_id_marker(version_marker);
        let page = list.send().await.map_err(|error| unavailable(dependency, &error))?;
        let of_versions = page.versions().iter().map(|each| (each.key(), each.version_id(), 1));
        let of_markers =
            page.delete_markers().iter().map(|each| (each.key(), each.version_id(), 0));
        for (listed, version, counts) in of_versions.chain(of_markers) {
            // An object whose name begins with this one is another.
            if listed != Some(key) {
                continue;
            }
            let delete = client.delete_object().bucket(bucket).key(key);
            let delete = delete.set_version_id(version.map(str::to_owned));
            delete.send().await.map_err(|error| unavailable(dependency, &error))?;
            versions += counts;
        }
        // Objects are listed in the order of their names, this one first.
        let is_last = page.next_key_marker() != Some(key) || page.is_truncated() != Some(true);
        match (page.next_key_marker, page.next_version_id_marker) {
            (Some(key), Some(version)) if !is_last => next = Some((key, version)),
            _ => return Ok(versions),
        }
    }
}
