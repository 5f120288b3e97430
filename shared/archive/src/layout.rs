//! How a table is described: a row type, and from it the columns.

use parquet::column::writer::ColumnWriter;
use rendezvous_core::{EndpointName, RequestId, Timestamp};

use crate::{
    row_group::{RowGroup, Unreadable},
    value::Type,
};

/// Columns of a table, read as a struct whose fields are named after them: all of them ([`Row`]), or
/// those that a purpose needs (the macro `select`). Other columns of a file are not read.
pub trait Select: Sized {
    /// The table's name, first part of the names of its files.
    const TABLE: &'static str;

    /// The names of the columns.
    const COLUMNS: &'static [&'static str];

    /// Reads all rows of a row group.
    #[doc(hidden)]
    fn read(group: &RowGroup<'_>) -> Result<Vec<Self>, Unreadable>;
}

/// A row of a table. The macro `table` implements it for a struct whose fields are the columns.
pub trait Row: Select + Send + Sync {
    /// What the table holds.
    const ABOUT: &'static str;

    /// The columns in order. The first is `request_id`, the second `endpoint`.
    fn columns() -> Vec<Column<Self>>;

    fn endpoint(&self) -> &EndpointName;

    fn request_id(&self) -> RequestId;

    /// When its record arrived, and the record's sequence number.
    fn place(&self) -> (Timestamp, &str);
}

/// A column of a table whose rows are `R`.
pub struct Column<R> {
    pub name: &'static str,
    /// For analysts, in the catalog.
    pub comment: String,
    pub hint: EncodingHint,
    pub r#type: Type,
    pub(crate) write: fn(&[&R], &mut ColumnWriter<'_>) -> parquet::errors::Result<()>,
}

/// What is known of the values of a column. It chooses the encoding; a hint that does not suit
/// costs time or space and changes no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodingHint {
    /// There are few distinct values: each is written once, in a dictionary.
    Few,
    /// Neighbouring values have a common beginning, or are numbers close to each other: the
    /// differences are written.
    Near,
    /// All values differ, and no query filters by a range of them: they are written as they are,
    /// without minimum and maximum.
    Distinct,
}

/// A table as a catalog describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub table: &'static str,
    pub about: &'static str,
    /// Name, type and comment of each column, in order.
    pub columns: Vec<(&'static str, Type, String)>,
}

impl Layout {
    pub(crate) fn of<R: Row>() -> Self {
        let columns = R::columns();
        Self {
            table: R::TABLE,
            about: R::ABOUT,
            columns: columns.into_iter().map(|c| (c.name, c.r#type, c.comment)).collect(),
        }
    }
}

/// Declares a row type, and with it a table: each field is a column, its documentation the
/// column's comment, the word before its name the [`EncodingHint`].
macro_rules! table {
    (
        #[doc = $about:literal]
        $row:ident<$life:lifetime> is $table:literal {
            $( $(#[doc = $comment:literal])* $hint:ident $column:ident: $type:ty, )+
        }
    ) => {
        #[doc = $about]
        #[derive(Clone, Debug, PartialEq)]
        pub struct $row<$life> {
            $( $(#[doc = $comment])* pub $column: $type, )+
        }

        $crate::layout::columns! { impl<$life> for $row<$life>, $table, $( $column: $type, )+ }

        impl<$life> $crate::layout::Row for $row<$life> {
            const ABOUT: &'static str = $about.trim_ascii();

            fn columns() -> Vec<$crate::layout::Column<Self>> {
                vec![ $( $crate::layout::Column {
                    name: stringify!($column),
                    comment: concat!($($comment),*).trim().to_owned(),
                    hint: $crate::layout::EncodingHint::$hint,
                    r#type: <$type as $crate::value::Value>::TYPE,
                    write: |rows, to| $crate::value::write(rows.iter().map(|row| &row.$column), to),
                } ),+ ]
            }

            fn endpoint(&self) -> &rendezvous_core::EndpointName {
                &self.endpoint
            }

            fn request_id(&self) -> rendezvous_core::RequestId {
                self.request_id
            }

            fn place(&self) -> (rendezvous_core::Timestamp, &str) {
                (self.arrived_us, &self.sequence_number)
            }
        }
    };
}

/// Declares some columns of a table, by the table's row type: see [`Select`].
macro_rules! select {
    (
        #[doc = $about:literal]
        $name:ident of $row:ty { $( $column:ident: $type:ty, )+ }
    ) => {
        #[doc = $about]
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct $name {
            $( pub(crate) $column: $type, )+
        }

        $crate::layout::columns! {
            impl<> for $name, <$row as $crate::layout::Select>::TABLE, $( $column: $type, )+
        }
    };
}

macro_rules! columns {
    (impl<$($life:lifetime)?> for $name:ty, $table:expr, $( $column:ident: $type:ty, )+) => {
        impl<$($life)?> $crate::layout::Select for $name {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [&'static str] = &[ $( stringify!($column), )+ ];

            fn read(
                group: &$crate::row_group::RowGroup<'_>,
            ) -> Result<Vec<Self>, $crate::row_group::Unreadable> {
                $( let mut $column = group.column::<$type>(stringify!($column))?.into_iter(); )+
                let mut rows = Vec::with_capacity(group.rows());
                // Every column has as many values as the row group has rows.
                while let ($(Some($column),)+) = ($($column.next(),)+) {
                    rows.push(Self { $($column),+ });
                }
                Ok(rows)
            }
        }
    };
}

pub(crate) use {columns, select, table};
