//! An ONNX model, or a panel of them, as a Lambda function. The environment variable `CARD` is the path of
//! the model card in the function's package; for a panel, the paths of the cards, separated by commas.

use std::process::ExitCode;

use rendezvous_aws::lambda;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(async |aws| {
        let models = rendezvous_onnx::aws::models(aws).await?;
        rendezvous_model::aws::run(aws, models).await
    })
    .await
}
