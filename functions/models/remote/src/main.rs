//! A model on another server as a Lambda function. The environment variable `CARD` is the path of its
//! model card in the function's package.

use std::{path::Path, process::ExitCode};

use rendezvous_aws::lambda;
use rendezvous_remote::{RemoteCard, RemoteModel};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    lambda::main(async |aws| {
        let package = aws.environment().required("LAMBDA_TASK_ROOT")?;
        let card = Path::new(package).join(aws.environment().required("CARD")?);
        let model = RemoteModel::new(RemoteCard::read(&card)?)?;
        rendezvous_model::aws::run(aws, vec![model]).await
    })
    .await
}
