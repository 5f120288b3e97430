//! Names from outside, valid by construction: who holds one need not check it again.

use std::{
    borrow::Borrow,
    fmt,
    str::FromStr,
    sync::{Arc, LazyLock},
};

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{clock::now, error::Invalid, limits::MAX_KEY_CHARS, random};

/// Declares a cheaply cloned text type whose every value has passed `$check`.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                $check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let $crate::text::Text(text) = Deserialize::deserialize(from)?;
                $check(&text).map_err(de::Error::custom)?;
                Ok(Self(text.into()))
            }
        }
    };
}
pub(crate) use name;

name! {
    /// A decision that clients ask for by name, e.g. `flight-delay`.
    ///
    /// 1 to 64 of `a-z 0-9 -`, beginning and ending with a letter or digit.
    EndpointName, check_endpoint
}

name! {
    /// A model and its version, `name@version`, e.g. `gbt@2`.
    ///
    /// The name is 1 to 64 of `a-z 0-9 . _ -`, the version 1 to 32 of `A-Z a-z 0-9 . _ -`; both
    /// begin with a letter or digit.
    ModelId, check_model
}

name! {
    /// What a request is about, e.g. a customer: requests of one key go to one shard, in order.
    ///
    /// 1 to 256 characters (Kinesis: "a partition key ... maximum length limit of 256
    /// characters"), none of them a control character.
    Key, check_key
}

name! {
    /// One of several schedules of an endpoint, e.g. `main`.
    ///
    /// Same alphabet as an endpoint's name.
    Arm, check_arm
}

impl Arm {
    /// The arm that every endpoint has.
    pub fn main() -> Self {
        static MAIN: LazyLock<Arm> = LazyLock::new(|| Arm("main".into()));
        MAIN.clone()
    }
}

const MAX_NAME: usize = 64;
const MAX_VERSION: usize = 32;

fn check_endpoint(text: &str) -> Result<(), Invalid> {
    check_slug("endpoint name", text)
}

fn check_arm(text: &str) -> Result<(), Invalid> {
    check_slug("arm", text)
}

fn check_slug(what: &str, text: &str) -> Result<(), Invalid> {
    let edge = |c: Option<&u8>| c.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    let allowed = |c: &u8| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == b'-';
    if bytes.len() <= MAX_NAME
        && bytes.iter().all(allowed)
        && edge(bytes.first())
        && edge(bytes.last())
    {
        return Ok(());
    }
    Err(Invalid::new(format!(
        "{what} {} must be 1 to {MAX_NAME} of a-z, 0-9 and '-', with a letter or digit at both ends",
        shown(text)
    )))
}

fn check_model(text: &str) -> Result<(), Invalid> {
    let part = |text: &str, max: usize, capitals: bool| {
        let allowed = |c: u8| {
            c.is_ascii_lowercase()
                || c.is_ascii_digit()
                || b"._-".contains(&c)
                || (capitals && c.is_ascii_uppercase())
        };
        text.len() <= max
            && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
            && text.bytes().all(allowed)
    };
    match text.split_once('@') {
        Some((name, version))
            if part(name, MAX_NAME, false) && part(version, MAX_VERSION, true) =>
        {
            Ok(())
        }
        _ => Err(Invalid::new(format!(
            "model id {} must be name@version: a name of 1 to {MAX_NAME} of a-z, 0-9, '.', '_', '-' \
             and a version of 1 to {MAX_VERSION} of the same and A-Z",
            shown(text)
        ))),
    }
}

fn check_key(text: &str) -> Result<(), Invalid> {
    if text.is_empty() || text.chars().count() > MAX_KEY_CHARS || text.chars().any(char::is_control)
    {
        return Err(Invalid::new(format!(
            "key must be 1 to {MAX_KEY_CHARS} characters, none of them a control character"
        )));
    }
    Ok(())
}

/// A rejected text for an error message: quoted, escaped and cut.
pub fn shown(text: &str) -> String {
    const SHOWN: usize = 80;
    let short: String = text.chars().take(SHOWN).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{dots}")
}

/// A request's id: a UUID of version 7, or of version 8 for a request with an idempotency key.
///
/// Nobody takes a time from it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(Uuid);

impl RequestId {
    /// A new id that no other request has (UUID version 7).
    pub fn random() -> Self {
        Self::new("")
    }

    /// A new id (UUID version 7). A simulation keys its random bits by `subject`, which names the
    /// call that the id is for; empty: the next one.
    pub fn new(subject: &str) -> Self {
        let millis = u64::try_from(now().as_micros() / 1_000).unwrap_or(0);
        let random = random::bytes("request id", subject);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// The id that `caller` always gets for `key` on `endpoint`: an HMAC-SHA-256 under `secret`, so
    /// that no other caller can compute it, as a UUID of version 8 (RFC 9562).
    pub fn from_idempotency_key(
        secret: &IdempotencySecret,
        caller: &str,
        endpoint: &EndpointName,
        key: &str,
    ) -> Self {
        let name = unambiguous(caller, endpoint, key);
        Self(uuid::Builder::from_custom_bytes(secret.tag("request id", &name)).into_uuid())
    }

    /// The id that versions before 0.2 gave to an idempotency key (UUID version 5). A caller that knows
    /// caller, endpoint and key can compute it, so that it is only read, never written.
    pub fn from_idempotency_key_before_0_2(
        caller: &str,
        endpoint: &EndpointName,
        key: &str,
    ) -> Self {
        const NAMESPACE: Uuid = Uuid::from_u128(0x5b0d_6f2e_91c4_4c1b_8a3e_2f6d_7e55_a001);
        let name = unambiguous(caller, endpoint, key);
        Self(Uuid::new_v5(&NAMESPACE, name.as_bytes()))
    }

    /// The id of these bytes, which [`Self::as_bytes`] has given.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The key of a request whose client set none.
    pub fn to_key(self) -> Key {
        let mut buffer = Uuid::encode_buffer();
        Key((&*self.0.hyphenated().encode_lower(&mut buffer)).into())
    }
}

/// Lengths in front keep ("ab", "c") apart from ("a", "bc").
fn unambiguous(caller: &str, endpoint: &EndpointName, key: &str) -> String {
    format!("{}:{caller}{}:{endpoint}{key}", caller.len(), endpoint.as_str().len())
}

/// The secret of a stack from which the ids of requests with an idempotency key are derived.
#[derive(Clone)]
pub struct IdempotencySecret(Hmac<Sha256>);

impl IdempotencySecret {
    /// The shortest secret that is taken, in bytes: the output size of SHA-256 (RFC 2104, section 3).
    pub const MIN_BYTES: usize = 32;

    pub fn new(secret: &[u8]) -> Result<Self, Invalid> {
        if secret.len() < Self::MIN_BYTES {
            return Err(Invalid::new("the idempotency secret must have at least 32 bytes"));
        }
        // Hashed, so that a secret of any length makes a key of one length.
        Ok(Self::of(Sha256::digest(secret).into()))
    }

    pub(crate) fn of(key: [u8; 32]) -> Self {
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        block[..key.len()].copy_from_slice(&key);
        Self(Hmac::new(&block))
    }

    /// Identifies `caller` in a mailbox without naming it.
    pub fn owner(&self, caller: &str) -> [u8; 16] {
        self.tag("owner", caller)
    }

    fn tag(&self, purpose: &str, text: &str) -> [u8; 16] {
        let mut mac = self.0.clone();
        mac.update(purpose.as_bytes());
        mac.update(b":");
        mac.update(text.as_bytes());
        let mut tag = [0; 16];
        tag.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        tag
    }
}

impl fmt::Debug for IdempotencySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencySecret")
    }
}

impl FromStr for RequestId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse()
            .map(Self)
            .map_err(|_| Invalid::new(format!("request id {} is not a UUID", shown(text))))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejects<T: FromStr<Err = Invalid>>(text: &str) -> String {
        text.parse::<T>().err().unwrap_or_else(|| panic!("{text:?} was accepted")).to_string()
    }

    #[test]
    fn names_are_checked_and_the_message_says_what_is_allowed() {
        for good in ["flight-delay", "a", "x2", &"a".repeat(64)] {
            assert_eq!(good.parse::<EndpointName>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "Flight", "a_b", "a/b", "ä", &"a".repeat(65)] {
            assert!(rejects::<EndpointName>(bad).contains("a-z, 0-9 and '-'"), "{bad}");
        }
        assert!(rejects::<Arm>("Main").starts_with("arm"));
        let longest = format!("{}@{}", "n".repeat(64), "V".repeat(32));
        for good in ["gbt@2", "a.b_c-d@2024-01.rc_1", "x@A1", "0@0", &longest] {
            assert_eq!(good.parse::<ModelId>().unwrap().as_str(), good);
        }
        let longer = ["n".repeat(65) + "@1", "n@".to_owned() + &"v".repeat(33)];
        let bad = ["", "gbt", "gbt@", "@2", "gbt@2@3", "GBT@2", ".a@1", "a@-1", "a b@1"];
        for bad in bad.into_iter().chain(longer.iter().map(String::as_str)) {
            assert!(rejects::<ModelId>(bad).contains("name@version"), "{bad}");
        }
        let bad = ["", "a\nb", &"k".repeat(257)];
        assert!(bad.iter().all(|bad| rejects::<Key>(bad).contains("256")));
        for good in ["ключ 7", &"к".repeat(256)] {
            assert_eq!(good.parse::<Key>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_rejected_name_is_shown_short_and_escaped() {
        let message = rejects::<EndpointName>(&format!("\n{}", "z".repeat(5_000)));
        assert!(message.len() < 300, "{message}");
        assert!(message.contains("\\n") && message.contains('…'), "{message}");
        assert!(!rejects::<EndpointName>("A").contains('…'), "nothing is left out");
    }

    #[test]
    fn one_caller_endpoint_and_key_make_one_id_and_any_other_makes_another() {
        let endpoint: EndpointName = "flight-delay".parse().unwrap();
        let other: EndpointName = "flight-delays".parse().unwrap();
        let secret = IdempotencySecret::new(&[1; 32]).unwrap();
        let another = IdempotencySecret::new(&[2; 32]).unwrap();
        let id = |secret, caller, endpoint, key| {
            RequestId::from_idempotency_key(secret, caller, endpoint, key)
        };
        let first = id(&secret, "ann", &endpoint, "k");
        assert_eq!(first, id(&secret, "ann", &endpoint, "k"));
        assert_ne!(first, id(&secret, "annf", &endpoint, "k"));
        assert_ne!(first, id(&secret, "ann", &other, "k"));
        assert_ne!(first, id(&secret, "ann", &endpoint, "k2"));
        assert_ne!(first, id(&another, "ann", &endpoint, "k"), "the secret matters");
        assert_ne!(secret.owner("ann"), secret.owner("bob"));
        assert!(IdempotencySecret::new(&[1; 31]).is_err());
    }
}
