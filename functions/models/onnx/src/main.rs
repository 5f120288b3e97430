//! An ONNX model, or a panel of them, as a Lambda function. The environment variable `CARD` is the path of
//! the model card in the function's package; for a panel, the paths of the cards, separated by commas.

use std::{path::Path, process::ExitCode};

use rendezvous_aws::lambda;
use rendezvous_onnx::OnnxModel;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(async |aws| {
        let package = aws.environment().required("LAMBDA_TASK_ROOT")?;
        let cards = aws.environment().required("CARD")?.split(',');
        let mut models = Vec::new();
        for card in cards {
            models.push(OnnxModel::load(&Path::new(package).join(card)).await?);
        }
        rendezvous_model::aws::run(aws, models).await
    })
    .await
}
