//! The table `requests`: one row a request, payload byte for byte.

use std::{borrow::Cow, fmt::Write, sync::Arc};

use bytes::Bytes;
use parquet::{
    basic::{Compression, Encoding, ZstdLevel},
    column::writer::ColumnWriter,
    data_type::ByteArray,
    errors::{ParquetError, Result},
    file::{
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
    schema::{
        parser::parse_message_type,
        types::{ColumnPath, Type},
    },
};

use super::Row;

/// How a column is read off a row.
enum Column {
    Text(for<'r> fn(&'r Row) -> Cow<'r, str>),
    MaybeText(for<'r> fn(&'r Row) -> Option<&'r str>),
    Number(fn(&Row) -> i64),
}

use Column::{MaybeText, Number, Text};

/// The columns, in order. Times are microseconds since the epoch.
const COLUMNS: [(&str, Column); 12] = [
    ("request_id", Text(|row| row.message.envelope.id.to_string().into())),
    ("endpoint", Text(|row| row.message.envelope.endpoint.as_str().into())),
    ("config", Number(|row| i64::try_from(row.message.envelope.config).unwrap_or(i64::MAX))),
    ("arm", Text(|row| row.message.envelope.arm.as_str().into())),
    ("key", Text(|row| row.message.envelope.key.as_str().into())),
    ("received_us", Number(|row| row.message.envelope.received.as_micros())),
    ("deadline_us", Number(|row| row.message.envelope.deadline.as_micros())),
    ("traceparent", MaybeText(|row| row.message.envelope.traceparent.as_deref())),
    (PAYLOAD, Text(|row| row.message.payload.get().into())),
    ("shard", Text(|row| row.place.shard.into())),
    ("sequence_number", Text(|row| row.place.sequence.into())),
    ("arrived_us", Number(|row| row.place.arrived.as_micros())),
];

/// The JSON text that the client sent.
const PAYLOAD: &str = "payload";

/// One Parquet file of all `rows`, sorted by endpoint and request, in one row group.
pub(super) fn write(mut rows: Vec<Row>) -> Result<Bytes> {
    rows.sort_by(|a, b| {
        let (a, b) = (&a.message.envelope, &b.message.envelope);
        (&a.endpoint, a.id).cmp(&(&b.endpoint, b.id))
    });
    let mut file =
        SerializedFileWriter::new(Vec::new(), Arc::new(schema()?), Arc::new(properties()?))?;
    let mut group = file.next_row_group()?;
    for (_, column) in &COLUMNS {
        let Some(mut writer) = group.next_column()? else {
            return Err(ParquetError::General("the schema lacks a column".to_owned()));
        };
        write_column(column, &rows, writer.untyped())?;
        writer.close()?;
    }
    group.close()?;
    Ok(file.into_inner()?.into())
}

fn schema() -> Result<Type> {
    let mut text = "message requests {".to_owned();
    for (name, column) in &COLUMNS {
        // Writing to a string cannot fail.
        let _ = match column {
            Text(_) => write!(text, "required binary {name} (UTF8);"),
            MaybeText(_) => write!(text, "optional binary {name} (UTF8);"),
            Number(_) => write!(text, "required int64 {name};"),
        };
    }
    parse_message_type(&(text + "}"))
}

fn properties() -> Result<WriterProperties> {
    // Hardly two payloads are alike: a dictionary of them would only cost time and memory.
    let payload = ColumnPath::from(PAYLOAD);
    Ok(WriterProperties::builder()
        .set_created_by(concat!("rendezvous ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_column_dictionary_enabled(payload.clone(), false)
        .set_column_encoding(payload.clone(), Encoding::PLAIN)
        .set_column_statistics_enabled(payload, EnabledStatistics::None)
        .build())
}

fn write_column(column: &Column, rows: &[Row], to: &mut ColumnWriter) -> Result<()> {
    match (column, to) {
        (Text(text), ColumnWriter::ByteArrayColumnWriter(to)) => {
            let bytes = |row| ByteArray::from(text(row).into_owned().into_bytes());
            let values: Vec<ByteArray> = rows.iter().map(bytes).collect();
            to.write_batch(&values, None, None)?;
        }
        (MaybeText(text), ColumnWriter::ByteArrayColumnWriter(to)) => {
            let levels: Vec<i16> = rows.iter().map(|row| i16::from(text(row).is_some())).collect();
            let values: Vec<ByteArray> =
                rows.iter().filter_map(text).map(ByteArray::from).collect();
            to.write_batch(&values, Some(&levels), None)?;
        }
        (Number(number), ColumnWriter::Int64ColumnWriter(to)) => {
            let values: Vec<i64> = rows.iter().map(number).collect();
            to.write_batch(&values, None, None)?;
        }
        _ => return Err(ParquetError::General("a column is not of its type".to_owned())),
    }
    Ok(())
}
