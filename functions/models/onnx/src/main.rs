//! An ONNX model as a Lambda function. The environment variable `CARD` is the path of its model
//! card in the function's package.

use std::{path::Path, process::ExitCode};

use rendezvous_aws::lambda;
use rendezvous_onnx::OnnxModel;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(async |aws| {
        let package = aws.environment().required("LAMBDA_TASK_ROOT")?;
        let card = Path::new(package).join(aws.environment().required("CARD")?);
        rendezvous_model::aws::run(aws, OnnxModel::load(&card).await?).await
    })
    .await
}
