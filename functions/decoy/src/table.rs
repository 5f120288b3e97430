//! A table of the archive: its columns, and one file of it.

use std::{borrow::Cow, collections::BTreeMap, fmt::Write, mem, sync::Arc};

use bytes::Bytes;
use parquet::{
    basic::{Compression, Encoding, ZstdLevel},
    column::writer::{ColumnWriter, ColumnWriterImpl},
    data_type::{ByteArray, ByteArrayType},
    errors::{ParquetError, Result},
    file::{
        metadata::SortingColumn,
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
    schema::{
        parser::parse_message_type,
        types::{ColumnPath, Type},
    },
};
use rendezvous_aws::batch::Place;
use rendezvous_core::{Configuration, EndpointName, ModelId, RequestId};

/// A row of a table, as it was read off a record.
pub trait Row: Sized + Send + Sync {
    /// The table's name, first part of the names of its files.
    const TABLE: &'static str;

    /// The columns in order. The first is `request_id`, the second `endpoint`.
    fn columns() -> Vec<Column<Self>>;

    fn endpoint(&self) -> &EndpointName;

    fn request(&self) -> RequestId;

    fn place(&self) -> &Place<'_>;

    /// Which configuration says where the row's value stands; none in a table without values.
    fn version(&self) -> Option<Version> {
        None
    }

    /// Takes the value: the number that the configuration points at.
    fn evaluate(&mut self, _: &Configuration) {}
}

/// A version of an endpoint's configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// The one that is stamped on the request.
    Pinned(u64),
    /// Whichever holds now: an outcome names none.
    Current,
}

/// A column: its name, how its values resemble each other, and how they are read off a row.
pub struct Column<R>(pub &'static str, pub Likeness, pub Value<R>);

/// What is known of the values of a column. It decides the encoding: one that does not suit costs
/// time or space, and no more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// There are few different ones: each is written once, in a dictionary.
    Few,
    /// Neighbours begin alike, or are numbers not far apart: the differences are written.
    Near,
    /// No two are alike, and nobody looks for the least and the largest.
    None,
}

/// How the value of a column is read off a row.
pub enum Value<R> {
    Text(fn(&R) -> Cow<'_, str>),
    MaybeText(fn(&R) -> Option<&str>),
    Models(fn(&R) -> &[ModelId]),
    Number(fn(&R) -> i64),
    MaybeDouble(fn(&R) -> Option<f64>),
}

/// The column that analysts look one row up by.
const KEY: &str = "request_id";

/// One Parquet file of all `rows`, sorted by endpoint and request, in one row group.
pub fn write<R: Row>(rows: &[&R]) -> Result<Bytes> {
    let rows = sorted(rows);
    let columns = R::columns();
    let properties = Arc::new(properties(&columns, rows.len())?);
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema(&columns)?), properties)?;
    let mut group = file.next_row_group()?;
    for Column(_, _, value) in &columns {
        let Some(mut writer) = group.next_column()? else {
            return Err(ParquetError::General("the schema lacks a column".to_owned()));
        };
        write_column(value, &rows, writer.untyped())?;
        writer.close()?;
    }
    group.close()?;
    Ok(file.into_inner()?.into())
}

/// By endpoint and request. There are few endpoints, so most comparisons are of numbers.
fn sorted<'r, R: Row>(rows: &[&'r R]) -> Vec<&'r R> {
    let mut endpoints: BTreeMap<&EndpointName, Vec<&R>> = BTreeMap::new();
    for row in rows {
        endpoints.entry(row.endpoint()).or_default().push(row);
    }
    for rows in endpoints.values_mut() {
        rows.sort_by_cached_key(|row| u128::from_be_bytes(*row.request().as_bytes()));
    }
    endpoints.into_values().flatten().collect()
}

fn schema<R: Row>(columns: &[Column<R>]) -> Result<Type> {
    let mut text = format!("message {} {{", R::TABLE);
    for Column(name, _, value) in columns {
        // Writing to a string cannot fail.
        let _ = match value {
            Value::Text(_) => write!(text, "required binary {name} (STRING);"),
            Value::MaybeText(_) => write!(text, "optional binary {name} (STRING);"),
            Value::Models(_) => write!(
                text,
                "required group {name} (LIST) {{ repeated group list {{ required binary element (STRING); }} }}"
            ),
            Value::Number(_) => write!(text, "required int64 {name};"),
            Value::MaybeDouble(_) => write!(text, "optional double {name};"),
        };
    }
    parse_message_type(&(text + "}"))
}

fn properties<R>(columns: &[Column<R>], rows: usize) -> Result<WriterProperties> {
    let ascending =
        |column_idx| SortingColumn { column_idx, descending: false, nulls_first: false };
    let key = ColumnPath::from(KEY);
    let mut builder = WriterProperties::builder()
        // Readers that know of a writer's faulty statistics trust them only of whom they can parse.
        .set_created_by(concat!("rendezvous version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_sorting_columns(Some(vec![ascending(1), ascending(0)]))
        .set_column_bloom_filter_fpp(key.clone(), BLOOM_FILTER_FPP)
        .set_column_bloom_filter_max_ndv(key, rows as u64);
    for Column(name, likeness, value) in columns {
        let column = ColumnPath::from(match value {
            Value::Models(_) => vec![(*name).to_owned(), "list".to_owned(), "element".to_owned()],
            _ => vec![(*name).to_owned()],
        });
        let encoding = match (likeness, value) {
            (Likeness::Few, _) => continue,
            (Likeness::Near, Value::Number(_)) => Encoding::DELTA_BINARY_PACKED,
            (Likeness::Near, _) => Encoding::DELTA_BYTE_ARRAY,
            (Likeness::None, _) => Encoding::PLAIN,
        };
        builder = builder
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column.clone(), encoding);
        if *likeness == Likeness::None {
            builder = builder.set_column_statistics_enabled(column, EnabledStatistics::None);
        }
    }
    Ok(builder.build())
}

/// Beyond it files shrink little and take much longer.
const ZSTD_LEVEL: i32 = 3;

/// How often the bloom filter sends a reader to a file in vain.
const BLOOM_FILTER_FPP: f64 = 0.01;

fn write_column<R>(value: &Value<R>, rows: &[&R], to: &mut ColumnWriter) -> Result<()> {
    match (value, to) {
        (Value::Text(text), ColumnWriter::ByteArrayColumnWriter(to)) => {
            let mut texts = Texts::new(to, Levels::None);
            for row in rows {
                texts.push(Some(&text(row)), 0, 0)?;
            }
            texts.flush()
        }
        (Value::MaybeText(text), ColumnWriter::ByteArrayColumnWriter(to)) => {
            let mut texts = Texts::new(to, Levels::Definition);
            for row in rows {
                let text = text(row);
                texts.push(text, i16::from(text.is_some()), 0)?;
            }
            texts.flush()
        }
        (Value::Models(models), ColumnWriter::ByteArrayColumnWriter(to)) => {
            let mut texts = Texts::new(to, Levels::DefinitionAndRepetition);
            for row in rows {
                let models = models(row);
                for (i, model) in models.iter().enumerate() {
                    texts.push(Some(model.as_str()), 1, i16::from(i > 0))?;
                }
                if models.is_empty() {
                    texts.push(None, 0, 0)?;
                }
            }
            texts.flush()
        }
        (Value::Number(number), ColumnWriter::Int64ColumnWriter(to)) => {
            let values: Vec<i64> = rows.iter().map(|row| number(row)).collect();
            to.write_batch(&values, None, None).map(drop)
        }
        (Value::MaybeDouble(double), ColumnWriter::DoubleColumnWriter(to)) => {
            let levels: Vec<i16> =
                rows.iter().map(|row| i16::from(double(row).is_some())).collect();
            let values: Vec<f64> = rows.iter().filter_map(|row| double(row)).collect();
            to.write_batch(&values, Some(&levels), None).map(drop)
        }
        _ => Err(ParquetError::General("a column is not of its type".to_owned())),
    }
}

/// Which of Dremel's levels a column has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Levels {
    None,
    Definition,
    DefinitionAndRepetition,
}

/// Hands texts to a column, many at a time: they share one allocation, which the column lets go of
/// before the next is made, so that a batch's payloads are never all in memory a second time.
struct Texts<'w, 'p> {
    to: &'w mut ColumnWriterImpl<'p, ByteArrayType>,
    levels: Levels,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

impl<'w, 'p> Texts<'w, 'p> {
    /// How many bytes are handed over at a time.
    const PORTION: usize = 32 * 1024;

    fn new(to: &'w mut ColumnWriterImpl<'p, ByteArrayType>, levels: Levels) -> Self {
        let (bytes, ends) = (Vec::new(), Vec::new());
        Self { to, levels, bytes, ends, definition: Vec::new(), repetition: Vec::new() }
    }

    fn push(&mut self, text: Option<&str>, definition: i16, repetition: i16) -> Result<()> {
        // A portion ends where a row ends.
        if self.bytes.len() >= Self::PORTION && repetition == 0 {
            self.flush()?;
        }
        if let Some(text) = text {
            self.bytes.extend_from_slice(text.as_bytes());
            self.ends.push(self.bytes.len());
        }
        if self.levels != Levels::None {
            self.definition.push(definition);
        }
        if self.levels == Levels::DefinitionAndRepetition {
            self.repetition.push(repetition);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let next = Vec::with_capacity(Self::PORTION + Self::PORTION / 4);
        let bytes = Bytes::from(mem::replace(&mut self.bytes, next));
        let mut start = 0;
        let value = |end| ByteArray::from(bytes.slice(mem::replace(&mut start, end)..end));
        let values: Vec<ByteArray> = self.ends.drain(..).map(value).collect();
        let definition = (self.levels != Levels::None).then_some(&*self.definition);
        let repetition =
            (self.levels == Levels::DefinitionAndRepetition).then_some(&*self.repetition);
        self.to.write_batch(&values, definition, repetition)?;
        self.definition.clear();
        self.repetition.clear();
        Ok(())
    }
}
