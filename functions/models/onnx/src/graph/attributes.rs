//! The attributes of a node. Errors name the attribute.

use super::{
    proto::{Attribute, Node, Tensor, element},
    texts::Texts,
};

/// Reads the attributes of one node.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'n>(pub(super) &'n Node);

impl<'n> Attributes<'n> {
    fn find(self, name: &str) -> Option<&'n Attribute> {
        self.0.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub(super) fn has(self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A list of numbers. Exports of models in double precision have it as the tensor `NAME_as_tensor`.
    pub(super) fn floats(self, name: &str) -> Result<Vec<f64>, String> {
        if let Some(tensor) = self.find(&format!("{name}_as_tensor")).and_then(|a| a.t.as_ref()) {
            return numbers(tensor).map_err(|what| format!("{name}_as_tensor: {what}"));
        }
        let list = self.find(name).map_or(&[][..], |attribute| &attribute.floats);
        Ok(list.iter().copied().map(f64::from).collect())
    }

    pub(super) fn ints(self, name: &str) -> &'n [i64] {
        self.find(name).map_or(&[], |attribute| &attribute.ints)
    }

    /// A list of whole numbers that have the size of the engine's.
    pub(super) fn small_ints(self, name: &str) -> Result<Vec<i32>, String> {
        self.ints(name).iter().map(|number| small(name, *number)).collect()
    }

    pub(super) fn texts(self, name: &str) -> Result<Vec<&'n str>, String> {
        let list = self.find(name).map_or(&[][..], |attribute| &attribute.strings);
        let utf8 = |text: &'n [u8]| str::from_utf8(text).map_err(|_| format!("{name}: not UTF-8"));
        list.iter().map(|text| utf8(text)).collect()
    }

    /// A list of texts as their codes.
    pub(super) fn codes(self, name: &str, texts: &mut Texts) -> Result<Vec<i32>, String> {
        Ok(self.texts(name)?.into_iter().map(|text| texts.intern(text)).collect())
    }

    pub(super) fn float(self, name: &str, default: f32) -> f32 {
        self.find(name).and_then(|attribute| attribute.f).unwrap_or(default)
    }

    pub(super) fn int(self, name: &str, default: i64) -> i64 {
        self.find(name).and_then(|attribute| attribute.i).unwrap_or(default)
    }

    pub(super) fn small_int(self, name: &str, default: i64) -> Result<i32, String> {
        small(name, self.int(name, default))
    }

    pub(super) fn text(self, name: &str, default: &'n str) -> Result<&'n str, String> {
        match self.find(name).and_then(|attribute| attribute.s.as_deref()) {
            Some(text) => str::from_utf8(text).map_err(|_| format!("{name}: not UTF-8")),
            None => Ok(default),
        }
    }
}

fn small(name: &str, number: i64) -> Result<i32, String> {
    i32::try_from(number).map_err(|_| format!("{name}: {number} needs more than 32 bits"))
}

/// The numbers of a tensor of floats.
fn numbers(tensor: &Tensor) -> Result<Vec<f64>, String> {
    let raw = tensor.raw_data.as_deref();
    match (tensor.data_type, raw) {
        (Some(element::FLOAT), Some(raw)) => {
            Ok(little_endian(raw)?.map(f32::from_le_bytes).map(f64::from).collect())
        }
        (Some(element::FLOAT), None) => {
            Ok(tensor.float_data.iter().copied().map(f64::from).collect())
        }
        (Some(element::DOUBLE), Some(raw)) => {
            Ok(little_endian(raw)?.map(f64::from_le_bytes).collect())
        }
        (Some(element::DOUBLE), None) => Ok(tensor.double_data.clone()),
        _ => Err("not a tensor of floats".to_owned()),
    }
}

fn little_endian<const N: usize>(raw: &[u8]) -> Result<impl Iterator<Item = [u8; N]>, String> {
    let (numbers, rest) = raw.as_chunks::<N>();
    if rest.is_empty() {
        Ok(numbers.iter().copied())
    } else {
        Err("has a part of a number".to_owned())
    }
}
