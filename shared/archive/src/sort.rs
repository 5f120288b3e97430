//! Sorting more than fits into memory: an external merge sort (Knuth, The Art of Computer
//! Programming, volume 3, section 5.4).

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
};

use serde::Serialize;

/// How much a sorter keeps in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of records. Their index takes at most as much again.
    pub(crate) run: usize,
    /// How many runs are merged at a time.
    pub(crate) runs: usize,
    /// Bytes of each run that are read at a time.
    pub(crate) chunk: usize,
}

impl Limits {
    /// At most 16 MiB of records and 16 MiB of index while records come, and 16 MiB of chunks while
    /// they are merged.
    pub(crate) const USUAL: Self = Self { run: 16 << 20, runs: 256, chunk: 64 << 10 };
    #[cfg(test)]
    pub(crate) const SMALL: Self = Self { run: 2_000, runs: 4, chunk: 100 };
}

/// Takes records in any order. What does not fit into memory is in a temporary file that has no
/// name, so that it is gone with the process, however that ends.
pub(crate) struct Sorter {
    limits: Limits,
    /// Records that are not in the file, and where each begins and ends.
    records: Vec<u8>,
    index: Vec<Entry>,
    file: Option<File>,
    /// Where in the file each run is: records in order, one after the other.
    runs: Vec<Range<u64>>,
}

/// Ordered by key, then by place, so that records of one key keep their order within a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    key: u128,
    start: u32,
    end: u32,
}

/// What stands before a record in the file: its key and its length.
const HEAD: usize = 16 + 4;

impl Sorter {
    pub(crate) fn new(limits: Limits) -> Self {
        let (records, index, runs) = (Vec::new(), Vec::new(), Vec::new());
        Self { limits, records, index, file: None, runs }
    }

    /// Adds a record.
    pub(crate) fn push(&mut self, key: u128, record: &impl Serialize) -> io::Result<()> {
        if self.records.len() >= self.limits.run
            || self.index.len() * size_of::<Entry>() >= self.limits.run
        {
            self.write_run()?;
        }
        let start = offset(self.records.len())?;
        postcard::to_io(record, &mut self.records).map_err(io::Error::other)?;
        self.index.push(Entry { key, start, end: offset(self.records.len())? });
        Ok(())
    }

    /// All records are there.
    pub(crate) fn finish(mut self) -> io::Result<Sorted> {
        if self.file.is_some() {
            self.write_run()?;
            // Not needed while the runs are merged.
            (self.records, self.index) = (Vec::new(), Vec::new());
        } else {
            self.index.sort_unstable();
        }
        Ok(Sorted(self))
    }

    fn write_run(&mut self) -> io::Result<()> {
        if self.runs.len() >= self.limits.runs {
            self.merge_runs()?;
        }
        self.index.sort_unstable();
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile()?);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut run = RunWriter::new(file, self.limits.chunk)?;
        for Entry { key, start, end } in self.index.drain(..) {
            run.write(key, &self.records[start as usize..end as usize])?;
        }
        self.runs.push(run.finish()?);
        self.records.clear();
        Ok(())
    }

    /// Makes one run of all, so that no more than the limit are ever merged.
    fn merge_runs(&mut self) -> io::Result<()> {
        let Some(old) = self.file.take() else { return Ok(()) };
        let mut merged = tempfile::tempfile()?;
        let mut run = RunWriter::new(&mut merged, self.limits.chunk)?;
        let mut merge = Merge::new(&old, &self.runs, self.limits.chunk)?;
        while let Some((key, record)) = merge.next()? {
            run.write(key, record)?;
        }
        self.runs = vec![run.finish()?];
        self.file = Some(merged);
        Ok(())
    }
}

fn offset(at: usize) -> io::Result<u32> {
    u32::try_from(at).map_err(|_| io::Error::other("a record of more than 4 GiB"))
}

/// Appends a run to a file.
struct RunWriter<'f> {
    file: &'f mut File,
    buffer: Vec<u8>,
    range: Range<u64>,
    chunk: usize,
}

impl<'f> RunWriter<'f> {
    fn new(file: &'f mut File, chunk: usize) -> io::Result<Self> {
        let end = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, buffer: Vec::with_capacity(chunk), range: end..end, chunk })
    }

    fn write(&mut self, key: u128, record: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(&key.to_be_bytes());
        self.buffer.extend_from_slice(&offset(record.len())?.to_be_bytes());
        self.buffer.extend_from_slice(record);
        if self.buffer.len() >= self.chunk {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.range.end += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<Range<u64>> {
        self.flush()?;
        Ok(self.range)
    }
}

/// Records in the order of their keys. They can be read any number of times.
pub(crate) struct Sorted(Sorter);

impl Sorted {
    /// Hands over each record with its key.
    pub(crate) fn each<E: From<io::Error>>(
        &self,
        mut each: impl FnMut(u128, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Sorter { limits, records, index, file, runs } = &self.0;
        let Some(file) = file else {
            let mut entries = index.iter();
            return entries.try_for_each(|Entry { key, start, end }| {
                each(*key, &records[*start as usize..*end as usize])
            });
        };
        let mut merge = Merge::new(file, runs, limits.chunk)?;
        while let Some((key, record)) = merge.next()? {
            each(key, record)?;
        }
        Ok(())
    }

    /// How many bytes are in a temporary file.
    pub(crate) fn spilled(&self) -> u64 {
        self.0.runs.iter().map(|run| run.end - run.start).sum()
    }
}

/// The runs of a file as one.
struct Merge<'f> {
    file: &'f File,
    runs: Vec<RunReader>,
    /// The next key of each run, and which run it is.
    next: BinaryHeap<Reverse<(u128, usize)>>,
    /// The run whose record was handed over last.
    taken: Option<usize>,
}

/// Where a run is read.
struct RunReader {
    buffer: Vec<u8>,
    /// Where in the buffer the next record begins.
    at: usize,
    /// What is not in the buffer yet.
    left: Range<u64>,
    chunk: usize,
}

impl<'f> Merge<'f> {
    fn new(file: &'f File, runs: &[Range<u64>], chunk: usize) -> io::Result<Self> {
        let reader =
            |run: &Range<u64>| RunReader { buffer: Vec::new(), at: 0, left: run.clone(), chunk };
        let runs: Vec<RunReader> = runs.iter().map(reader).collect();
        let mut merge = Self { file, next: BinaryHeap::new(), runs, taken: None };
        for run in 0..merge.runs.len() {
            merge.queue(run)?;
        }
        Ok(merge)
    }

    fn queue(&mut self, run: usize) -> io::Result<()> {
        if let Some(key) = self.runs[run].key(self.file)? {
            self.next.push(Reverse((key, run)));
        }
        Ok(())
    }

    fn next(&mut self) -> io::Result<Option<(u128, &[u8])>> {
        if let Some(run) = self.taken.take() {
            self.queue(run)?;
        }
        let Some(Reverse((key, run))) = self.next.pop() else { return Ok(None) };
        self.taken = Some(run);
        Ok(Some((key, self.runs[run].take(self.file)?)))
    }
}

impl RunReader {
    /// The key of the next record, if there is one.
    fn key(&mut self, file: &File) -> io::Result<Option<u128>> {
        if self.at == self.buffer.len() && self.left.is_empty() {
            return Ok(None);
        }
        self.fill(file, HEAD)?;
        let mut key = [0; 16];
        key.copy_from_slice(&self.buffer[self.at..self.at + 16]);
        Ok(Some(u128::from_be_bytes(key)))
    }

    /// The record, after its key was looked at.
    fn take(&mut self, file: &File) -> io::Result<&[u8]> {
        let mut length = [0; 4];
        length.copy_from_slice(&self.buffer[self.at + 16..self.at + HEAD]);
        let length = u32::from_be_bytes(length) as usize;
        self.fill(file, HEAD + length)?;
        let start = self.at + HEAD;
        self.at = start + length;
        Ok(&self.buffer[start..self.at])
    }

    /// Reads on until that many bytes follow.
    fn fill(&mut self, mut file: &File, bytes: usize) -> io::Result<()> {
        if self.buffer.len() - self.at >= bytes {
            return Ok(());
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        let wanted = bytes.max(self.chunk) - self.buffer.len();
        let left = self.left.end - self.left.start;
        let read = left.min(wanted as u64);
        file.seek(SeekFrom::Start(self.left.start))?;
        file.take(read).read_to_end(&mut self.buffer)?;
        self.left.start += read;
        if self.buffer.len() < bytes {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a temporary file is cut"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(keys: &[u128], limits: Limits) -> (Sorted, Vec<(u128, u128)>) {
        let mut records = Sorter::new(limits);
        for key in keys {
            // Records of very different lengths, some longer than a chunk.
            let text = "x".repeat(usize::try_from(key % 301).unwrap());
            records.push(*key, &(*key, text)).unwrap();
        }
        let sorted = records.finish().unwrap();
        (sorted, keys.iter().map(|key| (*key, *key)).collect())
    }

    fn read(sorted: &Sorted) -> Vec<(u128, u128)> {
        let mut found = Vec::new();
        let each = |key, record: &[u8]| {
            let (number, text): (u128, String) = postcard::from_bytes(record).unwrap();
            assert_eq!(text.len(), usize::try_from(number % 301).unwrap());
            found.push((key, number));
            Ok::<_, io::Error>(())
        };
        sorted.each(each).unwrap();
        found
    }

    /// Numbers without an order, the same each time.
    fn scattered(count: u128) -> Vec<u128> {
        (0..count).map(|i| i * 0x9E37_79B9_7F4A_7C15 % 100_003).collect()
    }

    #[test]
    fn records_come_in_the_order_of_their_keys_each_time_they_are_read() {
        // In memory, in a few runs, and in more runs than are merged at a time.
        for (count, spills) in [(0, false), (10, false), (60, true), (3_000, true)] {
            let keys = scattered(count);
            let (sorted, mut expected) = sorted(&keys, Limits::SMALL);
            expected.sort_unstable();
            assert_eq!(read(&sorted), expected, "{count} records");
            assert_eq!(read(&sorted), expected, "{count} records, read again");
            assert_eq!(sorted.spilled() > 0, spills, "{count} records");
        }
    }

    #[test]
    fn no_more_is_in_memory_than_the_limits_say() {
        let mut sorter = Sorter::new(Limits::SMALL);
        for key in scattered(3_000) {
            sorter.push(key, &"y".repeat(50)).unwrap();
            assert!(sorter.records.len() <= Limits::SMALL.run + 100);
            assert!(sorter.index.len() * size_of::<Entry>() <= Limits::SMALL.run + 100);
            assert!(sorter.runs.len() <= Limits::SMALL.runs);
        }
    }
}
