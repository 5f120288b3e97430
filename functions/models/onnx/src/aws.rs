//! The models of a function: cards in its package, and ONNX files beside them or in S3.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rendezvous_aws::{Aws, ObjectError, S3Address, lambda::Error};
use rendezvous_core::{Invalid, Unavailable};
use tokio::time::timeout;

use crate::{Card, OnnxModel};

/// How many bytes of the function's memory there must be for a byte of an ONNX file in S3. While it is loaded, a
/// forest takes 7.6 times its size, and a network twice its size. Where the memory ends, Lambda ends the process
/// without a word.
const MEMORY_FOR_A_BYTE: u64 = 8;

/// The part of the function's time-out that is left when the file must have been read.
const RESERVE: Duration = Duration::from_secs(1);

const MB: u64 = 1 << 20;

/// Loads the models of a function.
///
/// Reads the environment variables `LAMBDA_TASK_ROOT`, the folder of the package, and `CARD`, the paths of
/// the cards in it, separated by commas. The ONNX file is the one beside its card, or, where `ONNX_FILE` is set, the
/// object with this address, which is read once. Then there must be one card, and
/// `AWS_LAMBDA_FUNCTION_MEMORY_SIZE` and `FUNCTION_TIMEOUT_SECONDS` limit how large the object may be and how
/// long the read may take.
pub async fn models(aws: &Aws) -> Result<Vec<OnnxModel>, Error> {
    let environment = aws.environment();
    let package = Path::new(environment.required("LAMBDA_TASK_ROOT")?);
    let cards = environment.required("CARD")?.split(',');
    let cards: Vec<PathBuf> = cards.map(|card| package.join(card)).collect();
    let Some(address) = environment.optional("ONNX_FILE") else {
        let mut models = Vec::new();
        for card in cards {
            models.push(OnnxModel::load(&card).await?);
        }
        return Ok(models);
    };
    let [card] = &cards[..] else {
        return Err(format!(
            "OnnxFile is the file of one model, but Card names {} cards: put the files of a panel beside their \
             cards in the package, and leave OnnxFile empty",
            cards.len()
        )
        .into());
    };
    let card = Card::read(card)?;
    let wrong = |what: String| format!("the parameter OnnxFile, {address}: {what}");
    let stored = address.parse().map_err(|error: Invalid| wrong(error.to_string()))?;
    let bytes = fetch(aws, stored).await?.map_err(|error| wrong(advice(&error)))?;
    let model = OnnxModel::from_bytes(card, bytes).await;
    Ok(vec![model.map_err(|error| wrong(error.to_string()))?])
}

async fn fetch(aws: &Aws, address: S3Address) -> Result<Result<Vec<u8>, ObjectError>, Error> {
    let environment = aws.environment();
    let memory = u64::from(environment.number("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")?) * MB;
    let limit = Duration::from_secs(environment.number("FUNCTION_TIMEOUT_SECONDS")?.into());
    let limit = limit.saturating_sub(RESERVE);
    let object = aws.object(address);
    let read = timeout(limit, object.read(memory / MEMORY_FOR_A_BYTE)).await;
    Ok(read.unwrap_or_else(|_| {
        Err(Unavailable::timed_out("S3", format!("not all of it within {limit:?}")).into())
    }))
}

/// What is wrong, and what to do.
fn advice(error: &ObjectError) -> String {
    match error {
        ObjectError::NoSuchKey | ObjectError::NoSuchBucket => {
            format!("{error}: upload the file, or correct the address")
        }
        ObjectError::OtherRegion => {
            format!("{error}: copy the file into a bucket of the function's region")
        }
        ObjectError::Refused => format!(
            "{error}: either nothing is there, or a policy of the bucket or of its key denies the function's role \
             s3:GetObject or kms:Decrypt"
        ),
        ObjectError::TooLarge { bytes, .. } => {
            let needed = (bytes * MEMORY_FOR_A_BYTE).div_ceil(MB);
            format!(
                "{error} into the function's memory: set the parameter MemoryMB to {needed} or more"
            )
        }
        ObjectError::Unavailable(_) => {
            format!("{error}: Lambda starts the function again for the next batch")
        }
    }
}
