//! Rendezvous on AWS: what a batch of stream records is and what is told to Lambda about it
//! ([`batch`]), what the items of the tables hold ([`items`]), and, with the feature `sdk`, the
//! ports on Kinesis, DynamoDB and S3 and all that a function's `main` needs to connect them
//! ([`Aws`], [`lambda`], [`metrics`]).

pub mod batch;
pub mod items;

#[cfg(test)]
#[cfg(feature = "sdk")]
mod answers;
#[cfg(feature = "sdk")]
mod clients;
#[cfg(feature = "sdk")]
mod dynamodb;
#[cfg(feature = "sdk")]
mod environment;
#[cfg(feature = "sdk")]
mod kinesis;
#[cfg(feature = "sdk")]
pub mod lambda;
#[cfg(feature = "sdk")]
pub mod metrics;
#[cfg(feature = "sdk")]
mod object;
#[cfg(feature = "sdk")]
mod payloads;
#[cfg(feature = "sdk")]
mod s3;
#[cfg(feature = "sdk")]
mod secrets;
#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "sdk")]
pub use {
    clients::{Aws, http_client},
    dynamodb::{
        endpoints::DynamoEndpoints,
        ledger::{Calls, CallsSince, DynamoLedger},
        outcomes::DynamoOutcomes,
        windows::DynamoWindows,
    },
    environment::{BadVariable, Environment},
    kinesis::KinesisStream,
    object::{ObjectError, S3Address, S3Object},
    payloads::S3Payloads,
    s3::S3Archive,
    secrets::StackSecrets,
};

/// An error of an SDK as the error of the port.
#[cfg(feature = "sdk")]
fn unavailable<E, R>(
    dependency: &'static str,
    error: &aws_smithy_runtime_api::client::result::SdkError<E, R>,
) -> rendezvous_core::Unavailable
where
    E: aws_smithy_types::error::metadata::ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    use aws_smithy_runtime_api::client::result::SdkError;
    use aws_smithy_types::error::display::DisplayErrorContext;
    use rendezvous_core::Unavailable;

    // The chain of causes is for the operator.
    tracing::warn!(dependency, error = %DisplayErrorContext(error), "a call to AWS failed");
    let throttled = |code: &str| {
        ["Throttl", "LimitExceeded", "ThroughputExceeded", "SlowDown", "TooManyRequests"]
            .iter()
            .any(|sign| code.contains(sign))
    };
    let timed_out = match error {
        SdkError::TimeoutError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_timeout(),
        _ => false,
    };
    if timed_out {
        return Unavailable::timed_out(dependency, "");
    }
    match error.as_service_error().and_then(|error| error.code()) {
        Some(code) if throttled(code) => Unavailable::throttled(dependency, code.to_owned()),
        code => Unavailable::down(dependency, code.unwrap_or_default().to_owned()),
    }
}
