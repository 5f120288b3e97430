//! An object of S3 that a function reads whole, e.g. at its cold start.

use std::{fmt, str::FromStr};

use aws_sdk_s3::{Client, operation::get_object::GetObjectError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use rendezvous_core::{Invalid, Unavailable};

use crate::unavailable;

/// The name of the dependency in errors.
const S3: &str = "S3";

/// Where an object is: `s3://BUCKET/KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Address {
    bucket: String,
    key: String,
}

impl FromStr for S3Address {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let address = text.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
        match address {
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() => {
                Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
            }
            _ => Err(Invalid::new(format!("must be s3://BUCKET/KEY, not {text}"))),
        }
    }
}

impl fmt::Display for S3Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// Why an object was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    #[error("there is no such object")]
    NoSuchKey,
    #[error("there is no such bucket")]
    NoSuchBucket,
    #[error("the bucket is in another region than the function")]
    OtherRegion,
    /// Without the permission `s3:ListBucket` S3 answers so for an object that is not there, too.
    #[error("S3 refuses access")]
    Refused,
    #[error("it has {bytes} bytes, and at most {at_most} may be read")]
    TooLarge { bytes: u64, at_most: u64 },
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// An object of S3.
#[derive(Clone, Debug)]
pub struct S3Object {
    client: Client,
    address: S3Address,
}

impl S3Object {
    pub fn new(client: Client, address: S3Address) -> Self {
        Self { client, address }
    }

    /// All its bytes. Of an object with more than `at_most` none are read.
    pub async fn read(&self, at_most: u64) -> Result<Vec<u8>, ObjectError> {
        let S3Address { bucket, key } = &self.address;
        let got = self.client.get_object().bucket(bucket).key(key).send().await;
        let output = got.map_err(|error| refused(&error))?;
        let length = output.content_length.and_then(|length| u64::try_from(length).ok());
        let bytes = length.ok_or_else(|| Unavailable::down(S3, "an answer without a length"))?;
        if bytes > at_most {
            return Err(ObjectError::TooLarge { bytes, at_most });
        }
        let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
        let mut body = output.body;
        while let Some(part) = body.next().await {
            let ended = |error: aws_smithy_types::byte_stream::error::Error| {
                Unavailable::down(S3, format!("the object ended early: {error}"))
            };
            content.extend_from_slice(&part.map_err(ended)?);
        }
        Ok(content)
    }
}

fn refused<R: fmt::Debug>(error: &SdkError<GetObjectError, R>) -> ObjectError {
    match error.as_service_error().and_then(ProvideErrorMetadata::code) {
        Some("NoSuchKey") => ObjectError::NoSuchKey,
        Some("NoSuchBucket") => ObjectError::NoSuchBucket,
        Some("PermanentRedirect" | "AuthorizationHeaderMalformed") => ObjectError::OtherRegion,
        Some("AccessDenied") => ObjectError::Refused,
        _ => unavailable(S3, error).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_bucket_and_a_key() {
        let address: S3Address = "s3://models/fraud/3/model.onnx".parse().unwrap();
        assert_eq!((&*address.bucket, &*address.key), ("models", "fraud/3/model.onnx"));
        assert_eq!(address.to_string(), "s3://models/fraud/3/model.onnx");
        for wrong in ["", "model.onnx", "s3://models", "s3://models/", "s3:///a", "https://a/b"] {
            let error = wrong.parse::<S3Address>().unwrap_err().to_string();
            assert_eq!(error, format!("must be s3://BUCKET/KEY, not {wrong}"));
        }
    }
}
