//! Sorts records of a fixed size in bounded memory: what does not fit goes to sorted runs in unlinked scratch files, which are
//! merged as they are read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// Runs that are merged at once: as many open files and read buffers.
const MAX_RUNS: usize = 64;
/// Bytes of a read or write buffer.
const BUFFER_BYTES: usize = 128 * 1024;

/// A record that can lie in a file. Its order is the order of the sort.
pub(crate) trait Record: Ord + Copy {
    /// Bytes of a record in a file.
    const SIZE: usize;
    /// Writes exactly `SIZE` bytes.
    fn encode(&self, into: &mut Vec<u8>);
    /// Reads what `encode` wrote.
    fn decode(from: &mut Fields<'_>) -> Self;
}

/// The bytes of one record, taken from the front. Bytes that are not there read as zero, so that a caller checks lengths once.
pub(crate) struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => [0; N],
        }
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    pub(crate) fn u8(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }
}

/// Records written one after the other, to be read back in that order.
pub(crate) struct Spool<R> {
    writer: BufWriter<File>,
    buffer: Vec<u8>,
    records: u64,
    kind: PhantomData<R>,
}

impl<R: Record> Spool<R> {
    /// An empty one in an unlinked file in the folder `scratch`.
    pub(crate) fn new(scratch: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(scratch)?;
        Ok(Self {
            writer: BufWriter::with_capacity(BUFFER_BYTES, file),
            buffer: Vec::with_capacity(R::SIZE),
            records: 0,
            kind: PhantomData,
        })
    }

    pub(crate) fn push(&mut self, record: &R) -> io::Result<()> {
        self.buffer.clear();
        record.encode(&mut self.buffer);
        self.records += 1;
        self.writer.write_all(&self.buffer)
    }

    pub(crate) const fn len(&self) -> u64 {
        self.records
    }

    /// Everything pushed so far, from the start. Ends the reading of an earlier reader: they share the position in the file.
    pub(crate) fn read(&mut self) -> io::Result<SpoolReader<R, File>> {
        self.writer.flush()?;
        let mut file = self.writer.get_ref().try_clone()?;
        file.rewind()?;
        Ok(SpoolReader::new(file, self.records))
    }
}

/// Reads records; ends after as many as were announced, and with an error where there are fewer.
pub(crate) struct SpoolReader<R, S> {
    source: BufReader<S>,
    buffer: Vec<u8>,
    left: u64,
    kind: PhantomData<R>,
}

impl<R: Record, S: Read> SpoolReader<R, S> {
    pub(crate) fn new(source: S, records: u64) -> Self {
        Self {
            source: BufReader::with_capacity(BUFFER_BYTES, source),
            buffer: vec![0; R::SIZE],
            left: records,
            kind: PhantomData,
        }
    }

    /// Whether the source goes on behind what was read. One that fails now would have failed a reader who asked for more.
    pub(crate) fn has_more(&mut self) -> bool {
        self.source.fill_buf().is_ok_and(|rest| !rest.is_empty())
    }
}

impl<R: Record, S: Read> Iterator for SpoolReader<R, S> {
    type Item = io::Result<R>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let read = self.source.read_exact(&mut self.buffer);
        Some(read.map(|()| R::decode(&mut Fields(&self.buffer))))
    }
}

/// Takes records in any order, and gives them back sorted.
pub(crate) struct Sorter<R> {
    memory: Vec<R>,
    /// Records held in memory at most.
    capacity: usize,
    runs: Vec<Spool<R>>,
    scratch: PathBuf,
}

impl<R: Record> Sorter<R> {
    /// An empty one that holds up to `bytes` of records in memory.
    pub(crate) fn new(scratch: &Path, bytes: usize) -> Self {
        Self {
            memory: Vec::new(),
            capacity: (bytes / size_of::<R>()).max(1),
            runs: Vec::new(),
            scratch: scratch.to_owned(),
        }
    }

    pub(crate) fn push(&mut self, record: R) -> io::Result<()> {
        if self.memory.len() == self.capacity {
            self.spill()?;
        }
        if self.memory.len() == self.memory.capacity() {
            // Doubling must not overshoot the bound.
            let room = self.capacity - self.memory.len();
            self.memory
                .reserve_exact(self.memory.len().clamp(64, room.max(64)));
        }
        self.memory.push(record);
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        if self.runs.len() == MAX_RUNS {
            let mut merged = Spool::new(&self.scratch)?;
            for record in Merged::new(std::mem::take(&mut self.runs))? {
                merged.push(&record?)?;
            }
            self.runs.push(merged);
        }
        self.memory.sort_unstable();
        let mut run = Spool::new(&self.scratch)?;
        for record in self.memory.drain(..) {
            run.push(&record)?;
        }
        self.runs.push(run);
        Ok(())
    }

    /// The records, sorted. What never left memory stays there.
    pub(crate) fn finish(mut self) -> io::Result<Sorted<R>> {
        if self.runs.is_empty() {
            self.memory.sort_unstable();
            return Ok(Sorted::Memory(self.memory.into_iter()));
        }
        self.spill()?;
        self.memory = Vec::new();
        Ok(Sorted::Files(Merged::new(self.runs)?))
    }
}

/// Sorted records.
pub(crate) enum Sorted<R> {
    Memory(std::vec::IntoIter<R>),
    Files(Merged<R>),
}

impl<R: Record> Iterator for Sorted<R> {
    type Item = io::Result<R>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Memory(records) => records.next().map(Ok),
            Self::Files(merged) => merged.next(),
        }
    }
}

/// Merges sorted runs.
pub(crate) struct Merged<R> {
    readers: Vec<SpoolReader<R, File>>,
    /// The next record of every run that has one, and the run it comes from.
    heads: BinaryHeap<Reverse<(R, usize)>>,
}

impl<R: Record> Merged<R> {
    fn new(runs: Vec<Spool<R>>) -> io::Result<Self> {
        let mut readers = Vec::with_capacity(runs.len());
        let mut heads = BinaryHeap::with_capacity(runs.len());
        for (position, mut run) in runs.into_iter().enumerate() {
            let mut reader = run.read()?;
            if let Some(first) = reader.next() {
                heads.push(Reverse((first?, position)));
            }
            readers.push(reader);
        }
        Ok(Self { readers, heads })
    }
}

impl<R: Record> Iterator for Merged<R> {
    type Item = io::Result<R>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut head = self.heads.peek_mut()?;
        let Reverse((smallest, position)) = *head;
        match self.readers.get_mut(position).and_then(Iterator::next) {
            Some(Ok(next)) => *head = Reverse((next, position)),
            Some(Err(error)) => return Some(Err(error)),
            None => {
                std::collections::binary_heap::PeekMut::pop(head);
            }
        }
        Some(Ok(smallest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    struct Number(u64);

    impl Record for Number {
        const SIZE: usize = 8;
        fn encode(&self, into: &mut Vec<u8>) {
            into.extend(self.0.to_le_bytes());
        }
        fn decode(from: &mut Fields<'_>) -> Self {
            Self(from.u64())
        }
    }

    fn sorted(count: u64, capacity: usize) -> Vec<u64> {
        let scratch = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(scratch.path(), capacity * size_of::<Number>());
        for index in 0..count {
            sorter
                .push(Number(index.wrapping_mul(0x9e37_79b9) % 1000))
                .unwrap();
        }
        assert_eq!(scratch.path().read_dir().unwrap().count(), 0);
        let numbers = sorter.finish().unwrap();
        numbers.map(|number| number.unwrap().0).collect()
    }

    #[test]
    fn what_spills_comes_back_sorted_and_complete() {
        // More runs than are merged at once, a last one that is not full, and none at all.
        for (count, capacity) in [(10_000, 100), (1_001, 10), (99, 100), (100, 100), (0, 1)] {
            let mut expected: Vec<u64> = (0..count)
                .map(|index: u64| index.wrapping_mul(0x9e37_79b9) % 1000)
                .collect();
            expected.sort_unstable();
            assert_eq!(sorted(count, capacity), expected);
        }
    }

    #[test]
    fn a_spool_can_be_read_twice() {
        let scratch = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(scratch.path()).unwrap();
        for value in 0..1000 {
            spool.push(&Number(value)).unwrap();
        }
        for _ in 0..2 {
            let read: Vec<u64> = spool.read().unwrap().map(|n| n.unwrap().0).collect();
            assert_eq!(read, (0..1000).collect::<Vec<u64>>());
        }
    }

    #[test]
    fn fewer_records_than_announced_are_an_error() {
        let mut reader = SpoolReader::<Number, _>::new(&[0_u8; 12][..], 2);
        assert!(reader.next().unwrap().is_ok());
        assert!(reader.next().unwrap().is_err());
    }
}
