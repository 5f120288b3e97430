//! An ONNX model as a Lambda function: the card that `CARD` names, a path in its package, says
//! which.

use std::path::Path;

use rendezvous_aws::{Aws, Environment, lambda};
use rendezvous_model::aws::run;
use rendezvous_onnx::OnnxModel;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let environment = Environment::of_process();
    lambda::start_logging(&environment);
    let aws = Aws::new(environment)?;
    let package = aws.environment().required("LAMBDA_TASK_ROOT")?;
    let card = Path::new(package).join(aws.environment().required("CARD")?);
    run(&aws, OnnxModel::load(&card).await?).await
}
