use super::outage::Outage;
use crate::{
    clock::Timestamp,
    error::{Invalid, Unavailable},
    names::IdempotencySecret,
    ports::{Secrets, StackSecret},
    random,
};

/// A secret in memory.
#[derive(Debug)]
pub struct MemorySecrets {
    pub outage: Outage,
    secret: StackSecret,
}

impl MemorySecrets {
    /// A secret of at least 32 bytes that was generated at `created`.
    pub fn new(secret: &[u8], created: Timestamp) -> Result<Self, Invalid> {
        let secret = StackSecret { secret: IdempotencySecret::new(secret)?, created };
        Ok(Self { outage: Outage::default(), secret })
    }

    /// A new random secret. It counts as old, so that no ids of an earlier kind are looked up.
    pub fn random() -> Self {
        let secret = IdempotencySecret::of(random::bytes("idempotency secret", ""));
        let secret = StackSecret { secret, created: Timestamp::from_micros(0) };
        Self { outage: Outage::default(), secret }
    }
}

impl Secrets for MemorySecrets {
    async fn idempotency(&self) -> Result<StackSecret, Unavailable> {
        self.outage.check("secrets").await?;
        Ok(self.secret.clone())
    }
}
