//! The port `Payloads` on S3.

use aws_sdk_s3::{Client, primitives::ByteStream, types::ChecksumAlgorithm};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use rendezvous_core::{
    Sha256Digest, Unavailable,
    payloads::PAYLOAD_STORE,
    ports::{Erase, Payloads},
};

use crate::{s3::erase, unavailable};

/// A bucket with a lifecycle rule that deletes what is under `payloads/`.
#[derive(Clone, Debug)]
pub struct S3Payloads {
    client: Client,
    bucket: String,
    url: String,
}

impl S3Payloads {
    pub fn new(client: Client, bucket: impl Into<String>) -> Self {
        let bucket = bucket.into();
        let url = format!("s3://{bucket}");
        Self { client, bucket, url }
    }
}

impl Payloads for S3Payloads {
    fn url(&self) -> &str {
        &self.url
    }

    async fn put(&self, key: &str, body: Bytes, sha256: Sha256Digest) -> Result<(), Unavailable> {
        let put = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type("application/json")
            // S3 stores nothing else than what has this digest.
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .checksum_sha256(BASE64_STANDARD.encode(sha256.as_bytes()))
            .body(ByteStream::from(body));
        put.send().await.map(drop).map_err(|error| unavailable(PAYLOAD_STORE, &error))
    }

    async fn get(&self, key: &str, at_most: u64) -> Result<Option<Bytes>, Unavailable> {
        let get = self.client.get_object().bucket(&self.bucket).key(key);
        let range = format!("bytes=0-{}", at_most.saturating_sub(1));
        let output = match get.range(range).send().await {
            Ok(output) => output,
            // Without the permission s3:ListBucket S3 answers AccessDenied instead.
            Err(error) if error.code() == Some("NoSuchKey") => return Ok(None),
            Err(error) => return Err(unavailable(PAYLOAD_STORE, &error)),
        };
        match output.body.collect().await {
            Ok(body) => Ok(Some(body.into_bytes())),
            Err(_) => Err(Unavailable::down(PAYLOAD_STORE, "an object ended early")),
        }
    }
}

impl Erase for S3Payloads {
    async fn erase(&self, key: &str) -> Result<u64, Unavailable> {
        erase(&self.client, &self.bucket, key, PAYLOAD_STORE).await
    }
}
