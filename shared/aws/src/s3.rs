//! The port `Archive` on S3.

use aws_sdk_s3::{Client, primitives::ByteStream, types::ChecksumAlgorithm};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use bytes::Bytes;
use rendezvous_core::{
    Unavailable,
    ports::{Archive, Stored},
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
