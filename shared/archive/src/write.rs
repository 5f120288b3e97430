//! Writing a file.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use bytes::Bytes;
use parquet::{
    basic::{Compression, Encoding, ZstdLevel},
    column::writer::{ColumnCloseResult, get_column_writer},
    errors::{ParquetError, Result},
    file::{
        metadata::SortingColumn,
        properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr},
        writer::{SerializedFileWriter, TrackedWrite},
    },
    schema::{
        parser::parse_message_type,
        types::{ColumnDescPtr, ColumnPath, Type as Schema},
    },
};
use rendezvous_core::EndpointName;

use crate::{
    layout::{Column, EncodingHint, Row},
    pages::{Pages, Repetition, ZSTD_LEVEL},
    value::{ScalarType, Shape},
};

/// Rows that cannot be written. The same rows never can.
#[derive(Debug, thiserror::Error)]
#[error("cannot be written as Parquet: {0}")]
pub struct Unwritable(#[from] ParquetError);

/// One Parquet file of all `rows`, sorted by endpoint and request, in one row group.
pub fn write<R: Row>(rows: &[&R]) -> std::result::Result<Bytes, Unwritable> {
    let rows = sorted(rows);
    let columns = R::columns();
    let properties = Arc::new(properties(&columns, rows.len()));
    let schema = Arc::new(schema(&columns)?);
    let mut file = SerializedFileWriter::new(Vec::new(), schema, properties.clone())?;
    let places = file.schema_descr().columns().to_vec();
    let mut group = file.next_row_group()?;
    for (column, place) in columns.iter().zip(places) {
        let (bytes, closed) = chunk(column, &rows, place, &properties)?;
        group.append_column(&bytes, closed)?;
    }
    group.close()?;
    Ok(file.into_inner()?.into())
}

/// The values of a column, and what the file says of them.
fn chunk<R>(
    column: &Column<R>,
    rows: &[&R],
    place: ColumnDescPtr,
    properties: &WriterPropertiesPtr,
) -> Result<(Bytes, ColumnCloseResult)> {
    let is_long = column.hint != EncodingHint::Few && column.r#type.scalar == ScalarType::Text;
    let shortest = match column.hint {
        EncodingHint::Distinct => Repetition::Six,
        EncodingHint::Near | EncodingHint::Few => Repetition::Seven,
    };
    let compress = (is_long || rows.len() > SMALL).then_some(shortest);
    let mut bytes = TrackedWrite::new(Vec::new());
    let pages = Box::new(Pages::new(&mut bytes, compress));
    let mut writer = get_column_writer(place, properties.clone(), pages);
    (column.write)(rows, &mut writer)?;
    let mut closed = writer.close()?;
    if compress.is_some() {
        // The writer of the column does not know what becomes of its pages.
        let zstd = Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?);
        closed.metadata = closed.metadata.into_builder().set_compression(zstd).build()?;
    }
    Ok((bytes.into_inner()?.into(), closed))
}

/// By endpoint and request. There are few endpoints, so most comparisons are of numbers.
fn sorted<'r, R: Row>(rows: &[&'r R]) -> Vec<&'r R> {
    let mut endpoints: BTreeMap<&EndpointName, Vec<&R>> = BTreeMap::new();
    for row in rows {
        endpoints.entry(row.endpoint()).or_default().push(row);
    }
    for rows in endpoints.values_mut() {
        rows.sort_by_cached_key(|row| u128::from_be_bytes(*row.request_id().as_bytes()));
    }
    endpoints.into_values().flatten().collect()
}

fn schema<R: Row>(columns: &[Column<R>]) -> Result<Schema> {
    let mut text = format!("message {} {{", R::TABLE);
    for Column { name, r#type, .. } in columns {
        let (scalar, annotation) = match r#type.scalar {
            ScalarType::Text => ("binary", " (STRING)"),
            ScalarType::Integer => ("int64", ""),
            ScalarType::Double => ("double", ""),
        };
        // Writing to a string cannot fail.
        let _ = match r#type.shape {
            Shape::Required => write!(text, "required {scalar} {name}{annotation};"),
            Shape::Optional => write!(text, "optional {scalar} {name}{annotation};"),
            Shape::List => write!(
                text,
                "required group {name} (LIST) {{ repeated group list {{ required {scalar} element{annotation}; }} }}"
            ),
        };
    }
    parse_message_type(&(text + "}"))
}

/// The column by which analysts look up one row.
const KEY: &str = "request_id";

/// In a file of at most so many rows, only columns of long values are compressed. To compress a small
/// one takes longer than to write it. A year of hourly files becomes 5 % larger.
const SMALL: usize = 128;

/// The part of the files without a request that its bloom filter does not exclude.
const BLOOM_FILTER_FPP: f64 = 0.01;

fn properties<R>(columns: &[Column<R>], rows: usize) -> WriterProperties {
    let ascending =
        |column_idx| SortingColumn { column_idx, descending: false, nulls_first: false };
    let key = ColumnPath::from(KEY);
    let mut builder = WriterProperties::builder()
        // Some readers ignore the statistics of a file whose writer's name they cannot parse.
        .set_created_by(concat!("rendezvous version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_sorting_columns(Some(vec![ascending(1), ascending(0)]))
        .set_column_bloom_filter_fpp(key.clone(), BLOOM_FILTER_FPP)
        .set_column_bloom_filter_max_ndv(key, rows as u64);
    for Column { name, hint, r#type, .. } in columns {
        let path = ColumnPath::from(match r#type.shape {
            Shape::List => vec![(*name).to_owned(), "list".to_owned(), "element".to_owned()],
            _ => vec![(*name).to_owned()],
        });
        let encoding = match (hint, r#type.scalar) {
            (EncodingHint::Few, _) => continue,
            (EncodingHint::Near, ScalarType::Text) => Encoding::DELTA_BYTE_ARRAY,
            (EncodingHint::Near, ScalarType::Integer) => Encoding::DELTA_BINARY_PACKED,
            (EncodingHint::Near, ScalarType::Double) | (EncodingHint::Distinct, _) => {
                Encoding::PLAIN
            }
        };
        builder = builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path.clone(), encoding);
        if *hint == EncodingHint::Distinct {
            builder = builder.set_column_statistics_enabled(path, EnabledStatistics::None);
        }
    }
    builder.build()
}
