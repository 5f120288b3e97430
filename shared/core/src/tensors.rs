//! How tensors become a request and a score becomes tensors, for clients of the Open Inference Protocol.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::{
    error::Invalid,
    limits::{MAX_DIMENSIONS, MAX_POINTER_PARTS, MAX_ROW_ELEMENTS, MAX_TENSOR_NAME, MAX_TENSORS},
    mistakes::Mistakes,
};

/// The tensors of an endpoint: each row of the inputs is one request, and one row of the outputs is
/// what its score holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensors {
    pub inputs: Vec<Tensor>,
    pub outputs: Vec<Tensor>,
}

/// One tensor, and where its elements are in a payload or in a score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    pub name: String,
    pub datatype: Datatype,
    /// -1, the number of rows, and behind it the dimensions of one row.
    pub shape: Vec<i64>,
    /// Where one row is (RFC 6901): a scalar if it has one element, else an array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Instead of `field`: where each column of a row is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Vec<String>>,
}

/// The datatypes of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Fp32,
    Fp64,
    Bytes,
}

impl Datatype {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp16 => "FP16",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }
}

/// The outputs that every answer has beside those of the endpoint: who answered each row, how and
/// why, and the id of its request.
pub const ROW_OUTPUTS: [&str; 4] = ["model", "kind", "reason", "request"];

impl Tensor {
    /// The dimensions of one row.
    pub fn row_shape(&self) -> Vec<usize> {
        let dimensions = self.shape.iter().skip(1);
        dimensions.map(|dimension| usize::try_from(*dimension).unwrap_or(0)).collect()
    }

    /// How many elements one row has.
    pub fn row_elements(&self) -> usize {
        self.row_shape().iter().product()
    }

    /// Where its values are: one pointer, or one for each column.
    pub fn pointers(&self) -> &[String] {
        match (&self.field, &self.fields) {
            (Some(field), _) => std::slice::from_ref(field),
            (None, Some(fields)) => fields,
            (None, None) => &[],
        }
    }

    fn check(&self, place: &str, mistakes: &mut Mistakes) {
        let Self { name, shape, field, fields, .. } = self;
        let length = name.chars().count();
        if length == 0 || length > MAX_TENSOR_NAME || name.chars().any(char::is_control) {
            let rule = format_args!(
                "must be 1 to {MAX_TENSOR_NAME} characters, none of them a control character"
            );
            mistakes.add(format_args!("{place}/name"), rule);
        }
        if let Some(wrong) = wrong_shape(shape) {
            mistakes.add(format_args!("{place}/shape"), wrong);
        } else if let Some(fields) = fields
            && i64::try_from(fields.len()).ok()
                != shape.get(1).copied().filter(|_| shape.len() == 2)
        {
            let what =
                format_args!("lists {} columns, so that the shape must be [-1, {0}]", fields.len());
            mistakes.add(format_args!("{place}/fields"), what);
        }
        if field.is_some() == fields.is_some() {
            mistakes.add(place, "must have either field or fields");
        }
        for (i, pointer) in self.pointers().iter().enumerate() {
            let Some(wrong) = wrong_pointer(pointer) else { continue };
            match field {
                Some(_) => mistakes.add(format_args!("{place}/field"), wrong),
                None => mistakes.add(format_args!("{place}/fields/{i}"), wrong),
            }
        }
    }
}

fn wrong_shape(shape: &[i64]) -> Option<String> {
    let (rows, row) = shape.split_first().unwrap_or((&0, &[]));
    if *rows != -1 {
        return Some("must begin with -1, the number of rows".to_owned());
    }
    if shape.len() > MAX_DIMENSIONS {
        let dimensions = shape.len();
        return Some(format!("has {dimensions} dimensions; at most {MAX_DIMENSIONS} are allowed"));
    }
    if row.iter().any(|dimension| *dimension < 1) {
        return Some("must have dimensions of at least 1 behind the first".to_owned());
    }
    let elements = row.iter().try_fold(1_i64, |product, each| product.checked_mul(*each));
    if elements.is_none_or(|elements| elements > MAX_ROW_ELEMENTS) {
        return Some(format!("a row must have at most {MAX_ROW_ELEMENTS} elements"));
    }
    None
}

fn wrong_pointer(pointer: &str) -> Option<String> {
    match pointer_parts(pointer) {
        None => Some(format!(
            "{pointer:?} is not a JSON pointer: it must begin with '/', and '~' must be ~0, '/' in a name ~1"
        )),
        Some(parts) if parts.len() > MAX_POINTER_PARTS => {
            Some(format!("has {} parts; at most {MAX_POINTER_PARTS} are allowed", parts.len()))
        }
        Some(_) => None,
    }
}

/// The names that a JSON pointer (RFC 6901) goes through; none if it is not one.
pub fn pointer_parts(pointer: &str) -> Option<Vec<String>> {
    let Some(parts) = pointer.strip_prefix('/') else {
        return pointer.is_empty().then(Vec::new);
    };
    // Each '~' is the beginning of ~0 or ~1.
    if parts.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        return None;
    }
    Some(parts.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect())
}

impl Tensors {
    /// What is wrong with the tensors of a model that another server serves. Mistakes begin with their
    /// JSON pointers, below `/tensors`.
    pub fn check_of_model(&self) -> Result<(), Invalid> {
        let mut mistakes = Mistakes::default();
        self.check_mapping(&mut mistakes);
        mistakes.check()
    }

    /// Notes what is wrong with the tensors of an endpoint.
    pub(crate) fn check(&self, mistakes: &mut Mistakes) {
        self.check_mapping(mistakes);
        for (i, Tensor { name, .. }) in self.outputs.iter().enumerate() {
            if ROW_OUTPUTS.contains(&name.as_str()) {
                let what =
                    format_args!("{name} is an output that every answer has; choose another");
                mistakes.add(format_args!("/tensors/outputs/{i}/name"), what);
            }
        }
        self.check_places(mistakes);
    }

    /// Notes what is wrong with the tensors, each alone, and with their names.
    fn check_mapping(&self, mistakes: &mut Mistakes) {
        for (which, tensors) in [("inputs", &self.inputs), ("outputs", &self.outputs)] {
            let place = format!("/tensors/{which}");
            if tensors.is_empty() || tensors.len() > MAX_TENSORS {
                let what = format_args!(
                    "lists {} tensors; it must list 1 to {MAX_TENSORS}",
                    tensors.len()
                );
                mistakes.add(&place, what);
            }
            let mut names = HashSet::new();
            for (i, tensor) in tensors.iter().enumerate() {
                let place = format!("{place}/{i}");
                tensor.check(&place, mistakes);
                if !names.insert(&tensor.name) {
                    mistakes.add(
                        format_args!("{place}/name"),
                        "is the name of a tensor before it in this list",
                    );
                }
            }
        }
    }

    /// No input may overwrite another one in the payload, or a part of it.
    fn check_places(&self, mistakes: &mut Mistakes) {
        let mut before: Vec<Vec<String>> = Vec::new();
        for (i, tensor) in self.inputs.iter().enumerate() {
            for (j, pointer) in tensor.pointers().iter().enumerate() {
                let Some(parts) = pointer_parts(pointer) else { continue };
                if before.iter().any(|other| other.starts_with(&parts) || parts.starts_with(other))
                {
                    let what = format_args!(
                        "{pointer:?} is filled by an input before it, or is within one"
                    );
                    match tensor.field {
                        Some(_) => mistakes.add(format_args!("/tensors/inputs/{i}/field"), what),
                        None => mistakes.add(format_args!("/tensors/inputs/{i}/fields/{j}"), what),
                    }
                }
                before.push(parts);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::configuration::Configuration;

    const EXAMPLE: &str = include_str!("../../../infra/contract/examples/endpoint-tensors.json");

    fn example() -> Value {
        serde_json::from_str(EXAMPLE).unwrap()
    }

    fn refused(configuration: &Value) -> String {
        Configuration::parse(&configuration.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn tensors_are_written_as_they_were_read() {
        let read = Configuration::parse(EXAMPLE).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), example());
        let tensors = read.tensors().unwrap();
        let weather = &tensors.inputs[2];
        assert_eq!((weather.row_shape(), weather.row_elements()), (vec![3], 3));
        assert_eq!(weather.pointers()[1], "/weather/wind_speed");
        assert_eq!(tensors.outputs[0].pointers(), ["/delay_probability"]);
        for datatype in [Datatype::Bool, Datatype::Uint16, Datatype::Fp16, Datatype::Bytes] {
            assert_eq!(serde_json::to_value(datatype).unwrap(), datatype.as_str());
        }
    }

    #[test]
    fn every_mistake_is_named_with_its_pointer() {
        for (pointer, wrong, mistake) in [
            ("/tensors/inputs", json!([]), "lists 0 tensors; it must list 1 to"),
            ("/tensors/inputs/0/name", json!(""), "must be 1 to 256 characters"),
            ("/tensors/inputs/1/name", json!("distance"), "is the name of a tensor before it"),
            ("/tensors/outputs/0/name", json!("kind"), "is an output that every answer has"),
            ("/tensors/inputs/0/datatype", json!("FP8"), "unknown variant `FP8`"),
            ("/tensors/inputs/0/shape", json!([]), "must begin with -1"),
            ("/tensors/inputs/0/shape", json!([1, 1]), "must begin with -1"),
            ("/tensors/inputs/0/shape", json!([-1, 0]), "at least 1 behind the first"),
            ("/tensors/inputs/0/shape", json!([-1, -1]), "at least 1 behind the first"),
            ("/tensors/inputs/0/shape", json!([-1, 65_537]), "at most 65536 elements"),
            ("/tensors/inputs/0/shape", json!([-1, i64::MAX, 2]), "at most 65536 elements"),
            ("/tensors/inputs/0/shape", json!([-1, 1, 1, 1, 1, 1, 1, 1, 1]), "has 9 dimensions"),
            ("/tensors/inputs/0/field", json!("distance"), "not a JSON pointer"),
            ("/tensors/inputs/0/field", json!("/a~2"), "not a JSON pointer"),
            ("/tensors/inputs/0/field", json!("/a".repeat(33)), "has 33 parts; at most 32"),
            ("/tensors/inputs/1/field", json!("/distance"), "is filled by an input before it"),
            ("/tensors/inputs/1/field", json!("/distance/km"), "is filled by an input before it"),
            ("/tensors/inputs/1/field", json!(""), "is filled by an input before it"),
            ("/tensors/inputs/2/fields/1", json!("/weather/temp"), "is filled by an input before"),
            ("/tensors/inputs/2/fields/1", json!("/carrier"), "is filled by an input before"),
            ("/tensors/inputs/2/fields", json!(["/a", "/b"]), "the shape must be [-1, 2]"),
            ("/tensors/inputs/2/fields/0", json!("x"), "not a JSON pointer"),
        ] {
            let mut configuration = example();
            *configuration.pointer_mut(pointer).unwrap() = wrong.clone();
            let error = refused(&configuration);
            assert!(error.starts_with(pointer), "{pointer} {wrong}: {error}");
            assert!(error.contains(mistake), "{mistake:?} is not in {error}");
        }
        for (both, place) in [(true, "/tensors/inputs/0"), (false, "/tensors/inputs/1")] {
            let mut configuration = example();
            let tensor = configuration.pointer_mut(place).unwrap().as_object_mut().unwrap();
            if both {
                tensor.insert("fields".to_owned(), json!(["/x"]));
            } else {
                tensor.remove("field");
            }
            let error = refused(&configuration);
            assert!(
                error.contains(&format!("{place}: must have either field or fields")),
                "{error}"
            );
        }
        let mut configuration = example();
        configuration["tensors"]["inputs"][0]["filed"] = json!("/x");
        assert_eq!(refused(&configuration), "/tensors/inputs/0/filed: unknown field");
    }

    #[test]
    fn a_pointer_has_its_names_unescaped() {
        assert_eq!(pointer_parts("").unwrap(), Vec::<String>::new());
        assert_eq!(pointer_parts("/").unwrap(), [""]);
        assert_eq!(pointer_parts("/a~1b/~0c/~01").unwrap(), ["a/b", "~c", "~1"]);
        for wrong in ["a", "/~", "/a~", "/~2", "/~0~", "/~~01", "/~/0"] {
            assert_eq!(pointer_parts(wrong), None, "{wrong}");
        }
    }
}
