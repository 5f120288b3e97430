//! Small files that claim to hold much are errors, before memory is taken for it.

use std::{env, fs, path::Path, sync::Arc};

use bytes::Bytes;
use parquet::{
    basic::{Compression, Encoding, ZstdLevel},
    column::{
        page::{CompressedPage, Page, PageWriter},
        writer::ColumnCloseResult,
    },
    file::{
        metadata::ColumnChunkMetaData,
        writer::{SerializedFileWriter, SerializedPageWriter, TrackedWrite},
    },
    schema::parser::parse_message_type,
};
use rendezvous_archive::{OutcomeRow, read};

const MUCH: u32 = 0x7fff_ffff;

/// A file with a column of the ids of requests, of these pages. `page_bytes` is what each page says that it has.
fn file(pages: &[Page], compression: Compression, rows: u64, page_bytes: u32) -> Bytes {
    let schema = parse_message_type("message m { required binary request_id (STRING); }").unwrap();
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::default()).unwrap();
    let column = file.schema_descr().column(0);
    let mut written = TrackedWrite::new(Vec::new());
    let mut writer = SerializedPageWriter::new(&mut written);
    for page in pages {
        writer.write_page(CompressedPage::new(page.clone(), page_bytes as usize)).unwrap();
    }
    let chunk = Bytes::from(written.into_inner().unwrap());
    let size = i64::try_from(chunk.len()).unwrap();
    let metadata = ColumnChunkMetaData::builder(column)
        .set_compression(compression)
        .set_num_values(i64::try_from(rows).unwrap())
        .set_total_compressed_size(size)
        .set_total_uncompressed_size(size)
        .set_data_page_offset(0)
        .build()
        .unwrap();
    let closed = ColumnCloseResult {
        bytes_written: chunk.len() as u64,
        rows_written: rows,
        metadata,
        bloom_filter: None,
        column_index: None,
        offset_index: None,
    };
    let mut group = file.next_row_group().unwrap();
    group.append_column(&chunk, closed).unwrap();
    group.close().unwrap();
    file.into_inner().unwrap().into()
}

fn data(buf: &[u8], num_values: u32, encoding: Encoding) -> Page {
    Page::DataPage {
        buf: Bytes::copy_from_slice(buf),
        num_values,
        encoding,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
    }
}

fn dictionary(buf: &[u8], num_values: u32) -> Page {
    let buf = Bytes::copy_from_slice(buf);
    Page::DictionaryPage { buf, num_values, encoding: Encoding::PLAIN, is_sorted: false }
}

/// The magic number of Zstandard.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A frame that says it has so many bytes, and has none.
fn empty_frame(says: u64) -> Vec<u8> {
    [&MAGIC[..], &[0b1110_0000], &says.to_le_bytes(), &[1, 0, 0]].concat()
}

/// A frame that does not say how much it has: zeros, 128 KiB in four bytes.
fn zeros(blocks: u32) -> Vec<u8> {
    let mut frame = [&MAGIC[..], &[0, 0x58]].concat();
    for block in 0..blocks {
        let last = u32::from(block + 1 == blocks);
        frame.extend_from_slice(&(last + 2 + (0x2_0000 << 3)).to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

/// Deltas of which there are so many, in blocks of as many, all of them zero.
fn deltas(count: u32) -> Vec<u8> {
    let count = (0..5).map(|i| ((count >> (7 * i)) & 0x7f).to_le_bytes()[0] | 0x80);
    let count: Vec<u8> = count.collect();
    let mut bytes = [&[0x80, 0x80, 0x80, 0x80, 0x08, 0x04][..], &count, &[0x00, 0x00]].concat();
    bytes.extend([0x00; 5]);
    bytes
}

/// The most bytes of address space that this process has had.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_small_file_that_claims_much_is_an_error_that_takes_little_memory() {
    let plain = |page, rows| file(&[page], Compression::UNCOMPRESSED, rows, 100);
    let zstd = |frame: &[u8], says| {
        let page = data(frame, 1, Encoding::PLAIN);
        file(&[page], Compression::ZSTD(ZstdLevel::default()), 1, says)
    };
    let one = data(&[1, 0, 0, 0, b'a'], 1, Encoding::PLAIN);
    let index = data(&[0, 2, 0], 1, Encoding::RLE_DICTIONARY);
    let lengths = |encoding, bytes: &[u8]| plain(data(bytes, 1, encoding), 1);
    let bombs = [
        ("rows", plain(one.clone(), u64::from(MUCH) << 20)),
        ("values", plain(data(&[0; 100], MUCH, Encoding::PLAIN), 1)),
        ("page", zstd(&empty_frame(100), MUCH)),
        ("frame", zstd(&empty_frame(1 << 40), 100)),
        ("zeros", zstd(&zeros(1_000), 100)),
        ("dictionary", file(&[dictionary(&[0; 8], MUCH), index], Compression::UNCOMPRESSED, 1, 8)),
        ("lengths", lengths(Encoding::DELTA_LENGTH_BYTE_ARRAY, &deltas(MUCH))),
        ("prefixes", lengths(Encoding::DELTA_BYTE_ARRAY, &deltas(MUCH))),
        ("suffixes", lengths(Encoding::DELTA_BYTE_ARRAY, &[deltas(1), deltas(MUCH)].concat())),
    ];
    // What is there once, whatever is read.
    read::<OutcomeRow<'_>>(plain(one, 1)).unwrap_err();
    let before = peak();
    for (name, bomb) in bombs {
        // The corpora of tests/fuzz have these files.
        if let Some(folder) = env::var_os("CLAIMS") {
            fs::write(Path::new(&folder).join(format!("claims-{name}")), &bomb).unwrap();
        }
        let error = read::<OutcomeRow<'_>>(bomb).unwrap_err();
        println!("{name}: {error}");
        let taken = peak() - before;
        assert!(taken < 64 << 20, "{name}: {taken} bytes");
    }
}
