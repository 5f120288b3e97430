use bytes::Bytes;
use rendezvous_core::{Sha256Digest, Unavailable, ports::Payloads};

use super::{Link, tables::hash};
use crate::{fault::Fault, step::Step};

/// What a payload is replaced by.
const REPLACED: Bytes = Bytes::from_static(b"{\"replaced\": true}");

impl<P: Payloads> Payloads for Link<P> {
    fn url(&self) -> &str {
        self.port.url()
    }

    fn is_at(&self, url: &str, key: &str) -> bool {
        self.port.is_at(url, key)
    }

    async fn put(&self, key: &str, body: Bytes, sha256: Sha256Digest) -> Result<(), Unavailable> {
        if self.is_plain() {
            return self.port.put(key, body, sha256).await;
        }
        if let Some(witness) = &self.conditions.witness {
            witness.stores(sha256, &body);
        }
        let make = || {
            let (port, key, body) = (self.port.clone(), key.to_owned(), body.clone());
            async move { port.put(&key, body, sha256).await }
        };
        let occasion = self.occasion(Some(Step::StorePayload), || hash(key));
        self.call(occasion, || format!("payloads.put {key}"), make, |cause| cause).await
    }

    async fn get(&self, key: &str, at_most: u64) -> Result<Option<Bytes>, Unavailable> {
        if self.is_plain() {
            return self.port.get(key, at_most).await;
        }
        let subject = || hash((self.actor.function(), key));
        let occasion = self.occasion(Step::payload(self.actor.role()), subject);
        if occasion.is_some_and(|occasion| occasion.meets(Fault::LostPayload)) {
            self.say(Fault::LostPayload);
            if let Some(witness) = &self.conditions.witness {
                witness.loses(key);
            }
            self.port.put(key, REPLACED, Sha256Digest::of(REPLACED)).await?;
        }
        let make = || {
            let (port, key) = (self.port.clone(), key.to_owned());
            async move { port.get(&key, at_most).await }
        };
        self.call(occasion, || format!("payloads.get {key}"), make, |cause| cause).await
    }
}
