//! Operators on categories: `OneHotEncoder`, `LabelEncoder` and the conversion of numbers to text.
//! A text is its code, see [`Texts`].

use std::collections::HashMap;

use rten::Value;

use crate::graph::{
    attributes::Attributes,
    kind::Kind,
    tensors::{floats, size, tensor, whole},
    texts::Texts,
};

/// One column per category: 1 in that of the value, 0 in the others.
#[derive(Debug)]
pub(in crate::graph) struct OneHotEncoder {
    columns: HashMap<i32, usize>,
    count: usize,
    /// Whether a value that is no category is a failure.
    strict: bool,
}

impl OneHotEncoder {
    /// Returns whether it takes texts, too.
    pub(super) fn read(
        attributes: Attributes<'_>,
        texts: &mut Texts,
    ) -> Result<(Self, bool), String> {
        let text = attributes.has("cats_strings");
        let categories = if text {
            attributes.codes("cats_strings", texts)?
        } else {
            attributes.small_ints("cats_int64s")?
        };
        let count = categories.len();
        if count == 0 {
            return Err("has no categories".to_owned());
        }
        let columns = categories.into_iter().enumerate().map(|(i, category)| (category, i));
        let strict = attributes.int("zeros", 1) == 0;
        Ok((Self { columns: columns.collect(), count, strict }, text))
    }

    pub(super) fn run(&self, x: &Value, sample: bool) -> Result<Value, String> {
        let mut x = whole(x)?;
        let mut data = vec![0.0_f32; size(x.data.len(), self.count)?];
        for (x, hot) in x.data.iter().zip(data.chunks_exact_mut(self.count)) {
            match self.columns.get(x) {
                Some(column) => hot[*column] = 1.0,
                None if self.strict && !sample => {
                    return Err("a value is none of its categories".to_owned());
                }
                None => {}
            }
        }
        x.shape.push(self.count);
        tensor(&x.shape, data)
    }
}

/// Replaces each key by its value, and everything else by one other value.
#[derive(Debug)]
pub(in crate::graph) struct LabelEncoder {
    keys: Keys,
    values: Values,
}

#[derive(Debug)]
enum Keys {
    /// The places of whole numbers or of codes.
    Whole(HashMap<i32, usize>),
    /// The places of floats, by their bits.
    Floats(HashMap<u32, usize>),
}

/// Values and what stands for everything else.
#[derive(Debug)]
enum Values {
    Whole(Vec<i32>, i32),
    Floats(Vec<f32>, f32),
}

impl LabelEncoder {
    /// Returns the kinds of its keys and values, too.
    pub(super) fn read(
        attributes: Attributes<'_>,
        texts: &mut Texts,
    ) -> Result<(Self, [Kind; 2]), String> {
        if attributes.has("classes_strings") {
            return Self::read_classes(attributes, texts);
        }
        let (keys, key, count) = Self::read_keys(attributes, texts)?;
        let (values, value) = Self::read_values(attributes, texts)?;
        let length = match &values {
            Values::Whole(values, _) => values.len(),
            Values::Floats(values, _) => values.len(),
        };
        if count != length {
            return Err(format!("has {count} keys and {length} values"));
        }
        Ok((Self { keys, values }, [key, value]))
    }

    /// Its first version: from texts to their places.
    fn read_classes(
        attributes: Attributes<'_>,
        texts: &mut Texts,
    ) -> Result<(Self, [Kind; 2]), String> {
        let classes = attributes.codes("classes_strings", texts)?;
        let places = (0..).take(classes.len()).collect();
        let other = attributes.small_int("default_int64", -1)?;
        let keys =
            Keys::Whole(classes.into_iter().enumerate().map(|(i, code)| (code, i)).collect());
        Ok((Self { keys, values: Values::Whole(places, other) }, [Kind::Text, Kind::Whole]))
    }

    #[expect(clippy::cast_possible_truncation, reason = "tensors are of f32")]
    fn read_keys(
        attributes: Attributes<'_>,
        texts: &mut Texts,
    ) -> Result<(Keys, Kind, usize), String> {
        let floats = attributes.floats("keys_floats")?;
        if !floats.is_empty() {
            let keys = floats.iter().enumerate().map(|(i, key)| (bits(*key as f32), i));
            return Ok((Keys::Floats(keys.collect()), Kind::Float, floats.len()));
        }
        let (keys, kind) = if attributes.has("keys_strings") {
            (attributes.codes("keys_strings", texts)?, Kind::Text)
        } else {
            (attributes.small_ints("keys_int64s")?, Kind::Whole)
        };
        if keys.is_empty() {
            return Err("has no keys_strings, keys_int64s or keys_floats".to_owned());
        }
        let count = keys.len();
        Ok((
            Keys::Whole(keys.into_iter().enumerate().map(|(i, key)| (key, i)).collect()),
            kind,
            count,
        ))
    }

    #[expect(clippy::cast_possible_truncation, reason = "tensors are of f32")]
    fn read_values(
        attributes: Attributes<'_>,
        texts: &mut Texts,
    ) -> Result<(Values, Kind), String> {
        let floats = attributes.floats("values_floats")?;
        if !floats.is_empty() {
            let floats = floats.into_iter().map(|value| value as f32).collect();
            return Ok((
                Values::Floats(floats, attributes.float("default_float", -0.0)),
                Kind::Float,
            ));
        }
        if attributes.has("values_strings") {
            let other = texts.intern(attributes.text("default_string", "_Unused")?);
            return Ok((
                Values::Whole(attributes.codes("values_strings", texts)?, other),
                Kind::Text,
            ));
        }
        let values = attributes.small_ints("values_int64s")?;
        Ok((Values::Whole(values, attributes.small_int("default_int64", -1)?), Kind::Whole))
    }

    pub(super) fn run(&self, x: &Value) -> Result<Value, String> {
        let (shape, places): (_, Vec<Option<usize>>) = match &self.keys {
            Keys::Whole(keys) => {
                let x = whole(x)?;
                (x.shape, x.data.iter().map(|x| keys.get(x).copied()).collect())
            }
            Keys::Floats(keys) => {
                let x = floats(x)?;
                (x.shape, x.data.iter().map(|x| keys.get(&bits(*x)).copied()).collect())
            }
        };
        match &self.values {
            Values::Whole(values, other) => {
                let values = places.iter().map(|place| place.map_or(*other, |i| values[i]));
                tensor(&shape, values.collect())
            }
            Values::Floats(values, other) => {
                let values = places.iter().map(|place| place.map_or(*other, |i| values[i]));
                tensor(&shape, values.collect())
            }
        }
    }
}

/// The bits of a number, with one zero and one NaN.
fn bits(x: f32) -> u32 {
    if x == 0.0 {
        0
    } else if x.is_nan() {
        f32::NAN.to_bits()
    } else {
        x.to_bits()
    }
}

/// `Cast` of numbers to texts.
pub(super) fn to_text(x: &Value, texts: &Texts) -> Result<Value, String> {
    if let Value::FloatTensor(_) = x {
        let x = floats(x)?;
        let codes = x.data.iter().map(|x| texts.code(&x.to_string())).collect();
        return tensor(&x.shape, codes);
    }
    let x = whole(x)?;
    let codes = x.data.iter().map(|x| texts.code(&x.to_string())).collect();
    tensor(&x.shape, codes)
}
