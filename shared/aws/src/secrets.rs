//! The port `Secrets` on AWS Secrets Manager.

use aws_sdk_secretsmanager::Client;
use rendezvous_core::{
    IdempotencySecret, Timestamp, Unavailable,
    ports::{Secrets, StackSecret},
};
use tokio::sync::OnceCell;

use crate::unavailable;

/// The name of the dependency in errors.
const SECRETS: &str = "secret store";

/// The secret that the stack has generated. It is read at its first use and then kept: a cold start
/// does not wait for it, and a request without an idempotency key never needs it.
#[derive(Debug)]
pub struct StackSecrets {
    client: Client,
    arn: String,
    read: OnceCell<StackSecret>,
}

impl StackSecrets {
    /// The secret of this ARN.
    pub fn new(client: Client, arn: impl Into<String>) -> Self {
        Self { client, arn: arn.into(), read: OnceCell::new() }
    }

    async fn get(&self) -> Result<StackSecret, Unavailable> {
        let get = self.client.get_secret_value().secret_id(&self.arn);
        let got = get.send().await.map_err(|error| unavailable(SECRETS, &error))?;
        let secret = IdempotencySecret::new(got.secret_string().unwrap_or_default().as_bytes());
        let secret = secret.map_err(|invalid| Unavailable::down(SECRETS, invalid.to_string()))?;
        let created = got.created_date().map_or(0, aws_smithy_types::DateTime::secs);
        let created = Timestamp::from_micros(created.saturating_mul(1_000_000));
        Ok(StackSecret { secret, created })
    }
}

impl Secrets for StackSecrets {
    async fn idempotency(&self) -> Result<StackSecret, Unavailable> {
        self.read.get_or_try_init(|| self.get()).await.cloned()
    }
}
