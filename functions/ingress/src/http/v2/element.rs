//! The elements of tensors. Their text is carried as it came; it is only checked.

use rendezvous_core::Datatype;
use serde_json::value::RawValue;

/// Checks that JSON text is an element of this datatype; otherwise says what is wrong, without quoting
/// the text.
pub(super) fn check(datatype: Datatype, text: &str) -> Result<(), String> {
    let expected = datatype.as_str();
    let found = kind(text);
    let wanted = match datatype {
        Datatype::Bool => "a boolean",
        Datatype::Bytes => "a string",
        _ => "a number",
    };
    if found != wanted {
        return Err(format!("is {found}; {expected} is {wanted}"));
    }
    let (least, most) = match datatype {
        Datatype::Bool | Datatype::Bytes => return Ok(()),
        Datatype::Fp16 => return float(text, expected, 65_504.0),
        Datatype::Fp32 => return float(text, expected, f32::MAX.into()),
        Datatype::Fp64 => return float(text, expected, f64::MAX),
        Datatype::Uint8 => (0, u8::MAX.into()),
        Datatype::Uint16 => (0, u16::MAX.into()),
        Datatype::Uint32 => (0, u32::MAX.into()),
        Datatype::Uint64 => (0, u64::MAX.into()),
        Datatype::Int8 => (i8::MIN.into(), i8::MAX.into()),
        Datatype::Int16 => (i16::MIN.into(), i16::MAX.into()),
        Datatype::Int32 => (i32::MIN.into(), i32::MAX.into()),
        Datatype::Int64 => (i64::MIN.into(), i64::MAX.into()),
    };
    if text.contains(['.', 'e', 'E']) {
        return Err(format!("is not written as a whole number, as {expected} must be"));
    }
    // What is too long for the type of the parser is out of range, too.
    match text.parse::<i128>() {
        Ok(number) if (least..=most).contains(&number) => Ok(()),
        _ => Err(format!("is out of the range of {expected}")),
    }
}

fn float(text: &str, expected: &str, most: f64) -> Result<(), String> {
    match text.parse::<f64>() {
        Ok(number) if number.abs() <= most => Ok(()),
        _ => Err(format!("is out of the range of {expected}")),
    }
}

/// What JSON text is.
fn kind(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        Some(b'[') => "an array",
        Some(b'{') => "an object",
        _ => "a number",
    }
}

/// Adds the elements of nested arrays of exactly this shape.
pub(super) fn nested<'a>(
    raw: &'a RawValue,
    shape: &[usize],
    elements: &mut Vec<&'a RawValue>,
) -> Result<(), String> {
    let Some((length, inner)) = shape.split_first() else {
        elements.push(raw);
        return Ok(());
    };
    let Some(list) = array(raw) else {
        return Err(format!("is {} where the shape has an array", kind(raw.get())));
    };
    if list.len() != *length {
        return Err(format!("has {} elements where the shape has {length}", list.len()));
    }
    list.into_iter().try_for_each(|each| nested(each, inner, elements))
}

/// The elements of an array, each as it is written.
pub(super) fn array(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_datatype_takes_its_range_and_nothing_else() {
        use Datatype::{
            Bool, Bytes, Fp16, Fp32, Fp64, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64,
        };
        for (datatype, good, out_of_range) in [
            (Int8, "-128 127 0 -0", "-129 128"),
            (Int16, "-32768 32767", "-32769 32768"),
            (Int32, "-2147483648 2147483647", "-2147483649 2147483648"),
            (
                Int64,
                "-9223372036854775808 9223372036854775807",
                "-9223372036854775809 9223372036854775808",
            ),
            (Uint8, "0 255 -0", "-1 256"),
            (Uint16, "0 65535", "-1 65536"),
            (Uint32, "0 4294967295", "-1 4294967296"),
            (
                Uint64,
                "0 18446744073709551615",
                "-1 18446744073709551616 999999999999999999999999999999999999999999",
            ),
            (Fp16, "65504 -65504.0 7", "65505 -65505"),
            (Fp32, "3.4028234663852886e38 -1 0.1", "3.5e38 -3.5e38"),
            (Fp64, "1.7976931348623157e308 5", "1e309 -1e309"),
        ] {
            for text in good.split(' ') {
                assert_eq!(check(datatype, text), Ok(()), "{datatype:?} {text}");
            }
            for text in out_of_range.split(' ') {
                let wrong = check(datatype, text).unwrap_err();
                assert!(wrong.contains("out of the range"), "{datatype:?} {text}: {wrong}");
            }
            for text in ["null", "true", "\"1\"", "[1]", "{}"] {
                assert!(check(datatype, text).unwrap_err().contains("is a number"), "{text}");
            }
        }
        for text in ["1.0", "1e2", "1E2"] {
            assert!(check(Int64, text).unwrap_err().contains("whole number"), "{text}");
        }
        assert_eq!(check(Bool, "false"), Ok(()));
        assert_eq!(check(Bool, "1"), Err("is a number; BOOL is a boolean".to_owned()));
        assert_eq!(check(Bytes, "\"é\""), Ok(()));
        assert_eq!(check(Bytes, "null"), Err("is null; BYTES is a string".to_owned()));
    }
}
