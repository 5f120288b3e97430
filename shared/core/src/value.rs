//! The number in an opaque JSON text at which a configuration points.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::text::Text;

/// The number at `pointer` (RFC 6901); none where there is no number.
pub fn number(json: &str, pointer: &str) -> Option<f64> {
    parse(at(json, pointer)?)
}

/// The same for a truth, which may also be `true` or `false`, for 1 and 0.
pub fn truth(json: &str, pointer: &str) -> Option<f64> {
    match at(json, pointer)? {
        "true" => Some(1.0),
        "false" => Some(0.0),
        text => parse(text),
    }
}

/// What stands at a pointer, where it is neither an array nor an object nor `null`.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'j> {
    Number(f64),
    /// A string, or `true` or `false`.
    Text(Cow<'j, str>),
}

/// The scalars at several pointers (RFC 6901), in their order. An object is read once.
pub fn scalars<'j>(json: &'j str, pointers: &[String]) -> Vec<Option<Scalar<'j>>> {
    if !json.starts_with('{') {
        return pointers.iter().map(|pointer| scalar(at(json, pointer)?)).collect();
    }
    // A pointer without a name leads to the object, which is no scalar.
    let paths: Vec<Option<(Cow<'_, str>, &str)>> = pointers.iter().map(|p| first(p)).collect();
    let names: Vec<&str> = paths.iter().flatten().map(|(name, _)| &**name).collect();
    let mut found = vec![None; names.len()];
    if members(json, &names, &mut found).is_none() {
        return vec![None; pointers.len()];
    }
    let mut found = found.into_iter();
    let at_path = |path: &Option<(_, &str)>| {
        let (_, rest) = path.as_ref()?;
        scalar(at(found.next()??, rest)?)
    };
    paths.iter().map(at_path).collect()
}

fn scalar(text: &str) -> Option<Scalar<'_>> {
    let text = match text.as_bytes().first()? {
        b'"' => match text.get(1..text.len() - 1) {
            Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
            _ => Cow::Owned(serde_json::from_str(text).ok()?),
        },
        b't' | b'f' => Cow::Borrowed(text),
        _ => return parse(text).map(Scalar::Number),
    };
    Some(Scalar::Text(text))
}

/// The nearest double: `serde_json` without its feature `float_roundtrip` may miss it by one.
fn parse(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The text at `pointer`. All other values are skipped without being converted, so that one that no
/// type can hold, such as 1e999, is no error.
fn at<'j>(json: &'j str, pointer: &str) -> Option<&'j str> {
    let mut text = json;
    for token in pointer.split('/').skip(1) {
        text = if text.starts_with('{') {
            let mut found = [None];
            members(text, &[name(token)], &mut found)?;
            found[0]?
        } else {
            let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            elements.get(index(token)?)?.get()
        };
    }
    Some(text)
}

/// The first name in a pointer, and the pointer that follows.
fn first(pointer: &str) -> Option<(Cow<'_, str>, &str)> {
    let path = pointer.strip_prefix('/')?;
    let (token, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
    Some((name(token), rest))
}

/// The name of a member in a pointer.
fn name(token: &str) -> Cow<'_, str> {
    if token.contains('~') {
        return token.replace("~1", "/").replace("~0", "~").into();
    }
    token.into()
}

/// Finds the members of an object that have these names. Of two members with the same name the last counts.
fn members<'j>(
    object: &'j str,
    names: &[impl AsRef<str>],
    found: &mut [Option<&'j str>],
) -> Option<()> {
    let mut json = serde_json::Deserializer::from_str(object);
    json.deserialize_map(Members { names, found }).ok()?;
    json.end().ok()
}

struct Members<'n, 'f, 'j, N> {
    names: &'n [N],
    found: &'f mut [Option<&'j str>],
}

impl<'j, N: AsRef<str>> Visitor<'j> for Members<'_, '_, 'j, N> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'j>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(Text(name)) = members.next_key()? {
            if !self.names.iter().any(|wanted| wanted.as_ref() == name) {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            let value: &'j RawValue = members.next_value()?;
            for (wanted, found) in self.names.iter().zip(&mut *self.found) {
                if wanted.as_ref() == name {
                    *found = Some(value.get());
                }
            }
        }
        Ok(())
    }
}

/// "The array index is digits without a leading zero."
fn index(token: &str) -> Option<usize> {
    let canonical = token == "0" || token.starts_with(|c: char| ('1'..='9').contains(&c));
    if canonical { token.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_finds_its_number_whatever_surrounds_it() {
        for (json, pointer, expected) in [
            ("0.25", "", Some(0.25)),
            (r#"{"p":0.1187}"#, "/p", Some(0.1187)),
            (r#"{ "x" : [1e999, {"p" : -2E-1}] }"#, "/x/1/p", Some(-0.2)),
            (r#"{"a/b":{"m~n":7}}"#, "/a~1b/m~0n", Some(7.0)),
            (r#"{"":3}"#, "/", Some(3.0)),
            (r#"{"\u0070":4}"#, "/p", Some(4.0)),
            (r#"{"p":1,"p":2}"#, "/p", Some(2.0)),
            ("123456789012345678901234567890", "", Some(123_456_789_012_345_678_901_234_567_890.0)),
            ("-0", "", Some(-0.0)),
            ("[0,1,2,3,4,5,6,7,8,9,0.5]", "/10", Some(0.5)),
        ] {
            assert_eq!(number(json, pointer), expected, "{json} {pointer}");
            assert_eq!(truth(json, pointer), expected, "{json} {pointer}");
        }
    }

    #[test]
    fn an_absent_value_or_one_that_is_no_number_is_null() {
        for (json, pointer) in [
            (r#"{"p":"0.5"}"#, "/p"),
            (r#"{"p":null}"#, "/p"),
            (r#"{"p":1e999}"#, "/p"),
            (r#"{"p":{}}"#, "/p"),
            (r#"{"p":1}"#, "/q"),
            (r#"{"p":1}"#, "/p/q"),
            (r#"{"p":1}"#, ""),
            ("[1]", "/1"),
            ("[1]", "/00"),
            ("[1,2]", "/01"),
            ("[1]", "/+0"),
            ("[1]", "/-"),
            ("\"p\"", "/p"),
        ] {
            assert_eq!(number(json, pointer), None, "{json} {pointer}");
            assert_eq!(truth(json, pointer), None, "{json} {pointer}");
        }
    }

    #[test]
    fn scalars_are_found_wherever_pointers_lead() {
        let json = r#"{"n":-2E1,"s":"WN","e":"a\"\u0062","t":true,"z":null,"o":{"p":[7,{"q":"x"}]},"a/b":1}"#;
        let pointers = [
            "/n", "/s", "/e", "/t", "/z", "/o", "/o/p/0", "/o/p/1/q", "/a~1b", "/none", "", "/o/p",
        ];
        let text = |text: &'static str| Some(Scalar::Text(text.into()));
        let number = |number| Some(Scalar::Number(number));
        let expected = [
            number(-20.0),
            text("WN"),
            text("a\"b"),
            text("true"),
            None,
            None,
            number(7.0),
            text("x"),
            number(1.0),
            None,
            None,
            None,
        ];
        assert_eq!(scalars(json, &pointers.map(str::to_owned)), expected);
        assert_eq!(scalars("3", &[String::new(), "/x".to_owned()]), [number(3.0), None]);
        assert_eq!(scalars(r#"["u"]"#, &["/0".to_owned()]), [text("u")]);
    }

    #[test]
    fn a_truth_may_be_true_or_false_and_a_score_may_not() {
        assert_eq!(truth(r#"{"late":true}"#, "/late"), Some(1.0));
        assert_eq!(truth(" false", ""), None, "white space is no part of a JSON text here");
        assert_eq!(truth("false", ""), Some(0.0));
        assert_eq!(number("true", ""), None);
    }
}
