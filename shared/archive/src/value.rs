//! The types that a column can hold, and how their values are stored in a Parquet column.

use std::{borrow::Cow, io::Write, mem};

use bytes::Bytes;
use parquet::{
    column::writer::ColumnWriter,
    data_type::ByteArray,
    errors::{ParquetError, Result},
};
use rendezvous_core::{
    Arm, Artifact, EndpointName, FailureKind, Invalid, Json, Key, Kind, ModelId, Reason, RequestId,
    Timestamp,
};
use serde::{
    Deserialize,
    de::{IntoDeserializer, value::StrDeserializer},
};

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type {
    pub scalar: ScalarType,
    pub shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalarType {
    /// UTF-8.
    Text,
    /// 64 bits, signed.
    Integer,
    /// 64 bits, IEEE 754.
    Double,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Exactly one value in each row.
    Required,
    /// One value or null.
    Optional,
    /// A list, which may be empty.
    List,
}

impl Type {
    /// The type in the catalog of Glue, in Hive's terms.
    pub fn hive(self) -> &'static str {
        match (self.scalar, self.shape) {
            (ScalarType::Text, Shape::List) => "array<string>",
            (ScalarType::Integer, Shape::List) => "array<bigint>",
            (ScalarType::Double, Shape::List) => "array<double>",
            (ScalarType::Text, _) => "string",
            (ScalarType::Integer, _) => "bigint",
            (ScalarType::Double, _) => "double",
        }
    }

    /// The type in Athena's SQL.
    pub fn sql(self) -> &'static str {
        match (self.scalar, self.shape) {
            (ScalarType::Text, Shape::List) => "array(varchar)",
            (ScalarType::Integer, Shape::List) => "array(bigint)",
            (ScalarType::Double, Shape::List) => "array(double)",
            (ScalarType::Text, _) => "varchar",
            (ScalarType::Integer, _) => "bigint",
            (ScalarType::Double, _) => "double",
        }
    }
}

/// A single value as it is stored.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'a> {
    Text(&'a str),
    Integer(i64),
    Double(f64),
}

/// A type of single values.
pub trait Scalar: Sized {
    const TYPE: ScalarType;

    #[doc(hidden)]
    fn append(&self, to: &mut Portion);

    /// The value that is stored so.
    fn from_cell(cell: Cell<'_>) -> std::result::Result<Self, Invalid>;
}

/// A type of values of a column: a [`Scalar`], an `Option` or a `Vec` of it.
pub trait Value: Sized {
    const TYPE: Type;

    #[doc(hidden)]
    fn append(&self, to: &mut Portion);

    /// The values of a column, from its cells. Each comes with whether a row begins with it; a row
    /// without a value has one cell, `None`.
    #[doc(hidden)]
    fn collect<'c>(
        cells: impl Iterator<Item = (bool, Option<Cell<'c>>)>,
    ) -> std::result::Result<Vec<Self>, Invalid>;

    /// What a row has whose file lacks the column; `None` where it must not.
    fn absent() -> Option<Self> {
        None
    }
}

impl<T: Scalar> Value for T {
    const TYPE: Type = Type { scalar: T::TYPE, shape: Shape::Required };

    fn append(&self, to: &mut Portion) {
        Scalar::append(self, to);
    }

    fn collect<'c>(
        cells: impl Iterator<Item = (bool, Option<Cell<'c>>)>,
    ) -> std::result::Result<Vec<Self>, Invalid> {
        let present = |cell: Option<_>| cell.ok_or_else(|| Invalid::new("null"));
        cells.map(|(_, cell)| T::from_cell(present(cell)?)).collect()
    }
}

impl<T: Scalar> Value for Option<T> {
    const TYPE: Type = Type { scalar: T::TYPE, shape: Shape::Optional };

    fn append(&self, to: &mut Portion) {
        to.definition.push(i16::from(self.is_some()));
        if let Some(value) = self {
            value.append(to);
        }
    }

    fn collect<'c>(
        cells: impl Iterator<Item = (bool, Option<Cell<'c>>)>,
    ) -> std::result::Result<Vec<Self>, Invalid> {
        cells.map(|(_, cell)| cell.map(T::from_cell).transpose()).collect()
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Scalar> Value for Vec<T> {
    const TYPE: Type = Type { scalar: T::TYPE, shape: Shape::List };

    fn append(&self, to: &mut Portion) {
        for (i, value) in self.iter().enumerate() {
            to.definition.push(1);
            to.repetition.push(i16::from(i > 0));
            value.append(to);
        }
        if self.is_empty() {
            to.definition.push(0);
            to.repetition.push(0);
        }
    }

    fn collect<'c>(
        cells: impl Iterator<Item = (bool, Option<Cell<'c>>)>,
    ) -> std::result::Result<Vec<Self>, Invalid> {
        let mut lists: Vec<Self> = Vec::new();
        for (begins, cell) in cells {
            if begins || lists.is_empty() {
                lists.push(Self::new());
            }
            if let (Some(list), Some(cell)) = (lists.last_mut(), cell) {
                list.push(T::from_cell(cell)?);
            }
        }
        Ok(lists)
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }
}

/// Writes a column.
pub(crate) fn write<'r, V: Value + 'r>(
    values: impl Iterator<Item = &'r V>,
    to: &mut ColumnWriter<'_>,
) -> Result<()> {
    let mut portion = Portion::default();
    for value in values {
        if portion.is_full() {
            portion.flush(V::TYPE.shape, to)?;
            if V::TYPE.scalar == ScalarType::Text {
                // A little more than what makes it full: the last text may be long.
                portion.bytes.reserve(Portion::BYTES + Portion::BYTES / 4);
            }
        }
        value.append(&mut portion);
    }
    portion.flush(V::TYPE.shape, to)
}

/// Values of a column on their way to the writer, many at a time. Texts share one allocation,
/// which the writer releases before the next portion is made, so that a batch's payloads are never
/// all in memory a second time.
#[derive(Default)]
pub struct Portion {
    bytes: Vec<u8>,
    /// Where each text ends in `bytes`.
    ends: Vec<usize>,
    integers: Vec<i64>,
    doubles: Vec<f64>,
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

impl Portion {
    /// How many bytes of text are handed over at a time.
    const BYTES: usize = 32 * 1024;
    /// How many numbers.
    const NUMBERS: usize = Self::BYTES / size_of::<i64>();

    fn text(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len());
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= Self::BYTES
            || self.integers.len() >= Self::NUMBERS
            || self.doubles.len() >= Self::NUMBERS
    }

    fn flush(&mut self, shape: Shape, to: &mut ColumnWriter<'_>) -> Result<()> {
        let definition = (shape != Shape::Required).then_some(&*self.definition);
        let repetition = (shape == Shape::List).then_some(&*self.repetition);
        match to {
            ColumnWriter::ByteArrayColumnWriter(to) => {
                let bytes = Bytes::from(mem::take(&mut self.bytes));
                let mut start = 0;
                let value = |end| ByteArray::from(bytes.slice(mem::replace(&mut start, end)..end));
                let values: Vec<ByteArray> = self.ends.drain(..).map(value).collect();
                to.write_batch(&values, definition, repetition)?;
            }
            ColumnWriter::Int64ColumnWriter(to) => {
                to.write_batch(&self.integers, definition, repetition)?;
                self.integers.clear();
            }
            ColumnWriter::DoubleColumnWriter(to) => {
                to.write_batch(&self.doubles, definition, repetition)?;
                self.doubles.clear();
            }
            _ => return Err(ParquetError::General("the column is of another type".to_owned())),
        }
        self.definition.clear();
        self.repetition.clear();
        Ok(())
    }
}

fn text(cell: Cell<'_>) -> std::result::Result<&str, Invalid> {
    if let Cell::Text(text) = cell { Ok(text) } else { Err(Invalid::new("not a text")) }
}

fn integer(cell: Cell<'_>) -> std::result::Result<i64, Invalid> {
    if let Cell::Integer(number) = cell { Ok(number) } else { Err(Invalid::new("not an integer")) }
}

/// Types that are stored as a text: how they are written, and how they are read.
macro_rules! texts {
    ($($type:ty: |$value:ident| $write:expr, $read:expr;)+) => { $(
        impl Scalar for $type {
            const TYPE: ScalarType = ScalarType::Text;

            fn append(&self, to: &mut Portion) {
                let $value = self;
                to.text($write);
            }

            fn from_cell(cell: Cell<'_>) -> std::result::Result<Self, Invalid> {
                $read(text(cell)?)
            }
        }
    )+ };
}

texts! {
    String: |text| text, |text: &str| Ok(text.to_owned());
    Cow<'_, str>: |text| text, |text: &str| Ok(text.to_owned().into());
    EndpointName: |name| name.as_str(), str::parse;
    ModelId: |id| id.as_str(), str::parse;
    Arm: |arm| arm.as_str(), str::parse;
    Artifact: |artifact| artifact.as_str(), str::parse;
    Key: |key| key.as_str(), str::parse;
    Kind: |kind| kind.as_str(), word;
    Reason: |reason| reason.as_str(), word;
    FailureKind: |kind| failure_kind(*kind), word;
    Json: |json| json.as_str(), json;
}

/// The word for it in the messages.
const fn failure_kind(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Failed => "failed",
        FailureKind::TimedOut => "timed_out",
        FailureKind::Expired => "expired",
        FailureKind::Invalid => "invalid",
    }
}

/// Reads one of a few words, as it is read in a message.
fn word<T: for<'a> Deserialize<'a>>(text: &str) -> std::result::Result<T, Invalid> {
    let word: StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    T::deserialize(word).map_err(|error| Invalid::new(error.to_string()))
}

fn json(text: &str) -> std::result::Result<Json, Invalid> {
    serde_json::from_str(text).map_err(|error| Invalid::new(error.to_string()))
}

impl Scalar for RequestId {
    const TYPE: ScalarType = ScalarType::Text;

    fn append(&self, to: &mut Portion) {
        // Writing to a vector cannot fail.
        let _ = write!(to.bytes, "{self}");
        to.ends.push(to.bytes.len());
    }

    fn from_cell(cell: Cell<'_>) -> std::result::Result<Self, Invalid> {
        text(cell)?.parse()
    }
}

impl Scalar for Timestamp {
    const TYPE: ScalarType = ScalarType::Integer;

    fn append(&self, to: &mut Portion) {
        to.integers.push(self.as_micros());
    }

    fn from_cell(cell: Cell<'_>) -> std::result::Result<Self, Invalid> {
        integer(cell).map(Self::from_micros)
    }
}

/// A number that only counts up. The tables' integers are signed: a larger one is written as the
/// largest of them.
impl Scalar for u64 {
    const TYPE: ScalarType = ScalarType::Integer;

    fn append(&self, to: &mut Portion) {
        to.integers.push(i64::try_from(*self).unwrap_or(i64::MAX));
    }

    fn from_cell(cell: Cell<'_>) -> std::result::Result<Self, Invalid> {
        Self::try_from(integer(cell)?).map_err(|_| Invalid::new("a negative number"))
    }
}

impl Scalar for f64 {
    const TYPE: ScalarType = ScalarType::Double;

    fn append(&self, to: &mut Portion) {
        to.doubles.push(*self);
    }

    fn from_cell(cell: Cell<'_>) -> std::result::Result<Self, Invalid> {
        if let Cell::Double(number) = cell { Ok(number) } else { Err(Invalid::new("not a double")) }
    }
}
