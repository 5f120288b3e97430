//! Texts as numbers. A graph only compares texts with constants of its file, so that each constant gets
//! a code when the file is loaded, and no tensor of texts is ever needed.

use std::collections::HashMap;

/// The texts of a file.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    codes: HashMap<Box<str>, i32>,
    texts: Vec<Box<str>>,
}

impl Texts {
    /// The code of every text that is not in the file. It equals no constant.
    const UNKNOWN: i32 = -1;

    #[cfg(test)]
    pub(crate) fn of(texts: &[&str]) -> Self {
        let mut of = Self::default();
        for text in texts {
            of.intern(text);
        }
        of
    }

    /// The code of a text of the file.
    pub(super) fn intern(&mut self, text: &str) -> i32 {
        let known = self.code(text);
        if known != Self::UNKNOWN {
            return known;
        }
        // A file of so many texts would be larger than any that can be read.
        let Ok(code) = i32::try_from(self.texts.len()) else { return Self::UNKNOWN };
        self.codes.insert(text.into(), code);
        self.texts.push(text.into());
        code
    }

    /// The code of a text of a payload.
    pub(crate) fn code(&self, text: &str) -> i32 {
        self.codes.get(text).copied().unwrap_or(Self::UNKNOWN)
    }

    pub(crate) fn text(&self, code: i32) -> Option<&str> {
        usize::try_from(code).ok().and_then(|i| self.texts.get(i)).map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_the_file_has_one_code_and_another_text_equals_none() {
        let mut texts = Texts::default();
        let codes = ["a", "b", "a", ""].map(|text| texts.intern(text));
        assert_eq!(codes, [0, 1, 0, 2]);
        assert_eq!((texts.code("b"), texts.code("c")), (1, Texts::UNKNOWN));
        assert_eq!((texts.text(1), texts.text(Texts::UNKNOWN)), (Some("b"), None));
    }
}
