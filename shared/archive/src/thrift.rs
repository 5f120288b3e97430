//! The Thrift structures of a Parquet file, looked at before the library reads them.
//!
//! The library skips a field that it does not know. Booleans in a list or in a map have no bytes where it skips them, so that a
//! few bytes, which say that there are billions of them, would keep it busy for minutes. And it does not look whether a field that it
//! knows has the type that it should have: what it takes for the next field would depend on that. So both are looked at here, in the
//! [compact protocol](https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md).

use parquet::errors::{ParquetError, Result};

use self::Type::{Binary, Bool, Byte, Double, I16, I32, I64, List, Struct};

/// The type of a field.
#[derive(Debug)]
enum Type {
    Bool,
    Byte,
    I16,
    I32,
    I64,
    Double,
    Binary,
    List(&'static Self),
    /// The fields that are known, by number.
    Struct(Fields),
}

type Fields = &'static [(i16, Type)];

// What the library reads: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift

const EMPTY: Type = Struct(&[]);

const STATISTICS: Type = Struct(&[
    (1, Binary),
    (2, Binary),
    (3, I64),
    (4, I64),
    (5, Binary),
    (6, Binary),
    (7, Bool),
    (8, Bool),
    (9, I64),
]);

/// Of times and of timestamps.
const TIME: Type = Struct(&[(1, Bool), (2, Struct(&[(1, EMPTY), (2, EMPTY), (3, EMPTY)]))]);

const LOGICAL_TYPE: Type = Struct(&[
    (1, EMPTY),
    (2, EMPTY),
    (3, EMPTY),
    (4, EMPTY),
    (5, Struct(&[(1, I32), (2, I32)])),
    (6, EMPTY),
    (7, TIME),
    (8, TIME),
    (10, Struct(&[(1, Byte), (2, Bool)])),
    (11, EMPTY),
    (12, EMPTY),
    (13, EMPTY),
    (14, EMPTY),
    (15, EMPTY),
    (16, Struct(&[(1, Byte)])),
    (17, Struct(&[(1, Binary)])),
    (18, Struct(&[(1, Binary), (2, I32)])),
    (19, EMPTY),
]);

const SCHEMA_ELEMENT: Type = Struct(&[
    (1, I32),
    (2, I32),
    (3, I32),
    (4, Binary),
    (5, I32),
    (6, I32),
    (7, I32),
    (8, I32),
    (9, I32),
    (10, LOGICAL_TYPE),
]);

const KEY_VALUE: Type = Struct(&[(1, Binary), (2, Binary)]);

const ENCODING_STATISTICS: Type = Struct(&[(1, I32), (2, I32), (3, I32)]);

const SIZE_STATISTICS: Type = Struct(&[(1, I64), (2, List(&I64)), (3, List(&I64))]);

const BOUNDING_BOX: Type = Struct(&[
    (1, Double),
    (2, Double),
    (3, Double),
    (4, Double),
    (5, Double),
    (6, Double),
    (7, Double),
    (8, Double),
]);

const COLUMN: Type = Struct(&[
    (1, I32),
    (2, List(&I32)),
    (3, List(&Binary)),
    (4, I32),
    (5, I64),
    (6, I64),
    (7, I64),
    (8, List(&KEY_VALUE)),
    (9, I64),
    (10, I64),
    (11, I64),
    (12, STATISTICS),
    (13, List(&ENCODING_STATISTICS)),
    (14, I64),
    (15, I32),
    (16, SIZE_STATISTICS),
    (17, Struct(&[(1, BOUNDING_BOX), (2, List(&I32))])),
]);

const COLUMN_CHUNK: Type = Struct(&[
    (1, Binary),
    (2, I64),
    (3, COLUMN),
    (4, I64),
    (5, I32),
    (6, I64),
    (7, I32),
    (9, Binary),
]);

const SORTING: Type = Struct(&[(1, I32), (2, Bool), (3, Bool)]);

const ROW_GROUP: Type = Struct(&[
    (1, List(&COLUMN_CHUNK)),
    (2, I64),
    (3, I64),
    (4, List(&SORTING)),
    (5, I64),
    (6, I64),
    (7, I16),
]);

const FILE: Fields = &[
    (1, I32),
    (2, List(&SCHEMA_ELEMENT)),
    (3, I64),
    (4, List(&ROW_GROUP)),
    (5, List(&KEY_VALUE)),
    (6, Binary),
    (7, List(&Struct(&[(1, EMPTY), (2, EMPTY)]))),
    (9, Binary),
];

const PAGE: Fields = &[
    (1, I32),
    (2, I32),
    (PAGE_BYTES, I32),
    (4, I32),
    (5, Struct(&[(1, I32), (2, I32), (3, I32), (4, I32), (5, STATISTICS)])),
    (6, EMPTY),
    (7, Struct(&[(1, I32), (2, I32), (3, Bool)])),
    (
        8,
        Struct(&[
            (1, I32),
            (2, I32),
            (3, I32),
            (4, I32),
            (5, I32),
            (6, I32),
            (7, Bool),
            (8, STATISTICS),
        ]),
    ),
];

/// The number of the field that says how many bytes follow the header of a page.
const PAGE_BYTES: i16 = 3;

/// How deep structures, lists and maps are in each other at most.
const DEPTH: usize = 32;

/// Fails where the metadata at the end of a file cannot be read in a time that depends on their length alone. `tail` is the end of the file;
/// of metadata that begin before it nothing is said.
pub(crate) fn check_footer(tail: &[u8]) -> Result<()> {
    let Some((rest, [a, b, c, d, _, _, _, _])) = tail.split_last_chunk() else { return Ok(()) };
    let length = u32::from_le_bytes([*a, *b, *c, *d]);
    let begin = usize::try_from(length).ok().and_then(|length| rest.len().checked_sub(length));
    let Some(begin) = begin else { return Ok(()) };
    let metadata = &rest[begin..];
    Input { left: metadata, empty: metadata.len() }.structure(FILE, DEPTH)?;
    Ok(())
}

/// Fails where a header of a page cannot. `bytes` begin with the pages, which have so many bytes.
pub(crate) fn check_pages(bytes: &[u8], pages: usize) -> Result<()> {
    let mut input = Input { left: bytes, empty: pages };
    while bytes.len() - input.left.len() < pages {
        let size = input.structure(PAGE, DEPTH)?.and_then(|size| usize::try_from(size).ok());
        input.bytes(size.ok_or_else(|| damaged("a page has no size"))?)?;
    }
    Ok(())
}

fn damaged(what: &str) -> ParquetError {
    ParquetError::General(what.to_owned())
}

/// What is not read yet.
struct Input<'b> {
    left: &'b [u8],
    /// How many values without bytes lists and maps may still have.
    empty: usize,
}

impl<'b> Input<'b> {
    fn bytes(&mut self, count: usize) -> Result<&'b [u8]> {
        let taken = self.left.split_at_checked(count);
        let (taken, left) = taken.ok_or_else(|| damaged("a structure is cut off"))?;
        self.left = left;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.bytes(1)?[0])
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged("a number is too long"))
    }

    fn integer(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    /// A structure. Returns the number in its field [`PAGE_BYTES`], if it has one.
    fn structure(&mut self, fields: Fields, depth: usize) -> Result<Option<i64>> {
        let (mut number, mut found) = (0_i16, None);
        loop {
            let head = self.byte()?;
            let (delta, wire) = (head >> 4, head & 0x0f);
            if wire == 0 {
                return Ok(found);
            }
            let next = match delta {
                0 => i16::try_from(self.integer()?).ok(),
                delta => number.checked_add(delta.into()),
            };
            number = next.ok_or_else(|| damaged("a field has no number"))?;
            let known = fields.iter().find(|(known, _)| *known == number).map(|(_, known)| known);
            let value = match wire {
                // Their value is in the type.
                1 | 2 => {
                    check_type(known, wire)?;
                    None
                }
                _ => self.value(wire, known, depth)?,
            };
            if number == PAGE_BYTES {
                found = value;
            }
        }
    }

    /// A value other than a boolean of a field. Returns it when it is an integer.
    fn value(&mut self, wire: u8, known: Option<&Type>, depth: usize) -> Result<Option<i64>> {
        check_type(known, wire)?;
        let depth = depth.checked_sub(1).ok_or_else(|| damaged("a structure is too deep"))?;
        match wire {
            3 => {
                self.byte()?;
            }
            4..=6 => return self.integer().map(Some),
            7 => {
                self.bytes(8)?;
            }
            8 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                self.bytes(length)?;
            }
            9 | 10 => {
                let head = self.byte()?;
                let (count, element) = (head >> 4, head & 0x0f);
                let count = if count == 0x0f { self.varint()? } else { count.into() };
                let known = if let Some(List(known)) = known { Some(*known) } else { None };
                if count > 0 {
                    check_type(known, element)?;
                }
                self.elements(count, &[(element, known)], depth)?;
            }
            11 => {
                let count = self.varint()?;
                let types = if count == 0 { 0 } else { self.byte()? };
                self.elements(count, &[(types >> 4, None), (types & 0x0f, None)], depth)?;
            }
            12 => {
                let fields = if let Some(Struct(fields)) = known { fields } else { &[][..] };
                self.structure(fields, depth)?;
            }
            13 => {
                self.bytes(16)?;
            }
            _ => return Err(damaged("a field has an unknown type")),
        }
        Ok(None)
    }

    /// So many elements, each of values of these types.
    fn elements(&mut self, count: u64, types: &[(u8, Option<&Type>)], depth: usize) -> Result<()> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if types.iter().all(|(wire, _)| matches!(wire, 1 | 2)) {
            let empty = self.empty.checked_sub(count);
            self.empty = empty.ok_or_else(|| damaged("a list is longer than its structure"))?;
            return Ok(());
        }
        for _ in 0..count {
            for (wire, known) in types {
                if !matches!(wire, 1 | 2) {
                    self.value(*wire, *known, depth)?;
                }
            }
        }
        Ok(())
    }
}

/// Fails where a field or an element that is known has another type.
fn check_type(known: Option<&Type>, wire: u8) -> Result<()> {
    let is_so = known.is_none_or(|known| match known {
        Bool => matches!(wire, 1 | 2),
        Byte => wire == 3,
        I16 => wire == 4,
        I32 => wire == 5,
        I64 => wire == 6,
        Double => wire == 7,
        Binary => wire == 8,
        List(_) => wire == 9,
        Struct(_) => wire == 12,
    });
    is_so.then_some(()).ok_or_else(|| damaged("a field has another type"))
}

#[cfg(test)]
mod tests;
