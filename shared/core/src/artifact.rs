//! From which artefact a model scores: which file, image or version was loaded under its id.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    error::Invalid,
    names::{name, shown},
};

name! {
    /// Names the artefact from which a model scores, e.g. `sha256:` and the hash of its file in
    /// lower-case hexadecimal, or `version:3`.
    ///
    /// 1 to 128 of `A-Z a-z 0-9 . _ : / + @ -`, beginning with a letter or digit.
    Artifact, check
}

const MAX: usize = 128;

fn check(text: &str) -> Result<(), Invalid> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"._:/+@-".contains(&c);
    let begins = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if begins && text.len() <= MAX && text.bytes().all(allowed) {
        return Ok(());
    }
    Err(Invalid::new(format!(
        "artifact {} must be 1 to {MAX} of A-Z, a-z, 0-9, '.', '_', ':', '/', '+', '@', '-', beginning with \
         a letter or digit",
        shown(text)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artifact_is_a_short_text_of_a_few_characters() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for good in [digest.as_str(), "version:3", "models:/fraud/3", "1", &"a".repeat(MAX)] {
            assert_eq!(good.parse::<Artifact>().unwrap().as_str(), good);
        }
        for bad in ["", ":3", "a b", "a\"", "ä", "a\n", &"a".repeat(MAX + 1)] {
            assert!(bad.parse::<Artifact>().unwrap_err().to_string().contains("1 to 128"), "{bad}");
        }
    }
}
