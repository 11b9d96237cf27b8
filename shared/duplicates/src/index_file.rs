//! The index of earlier batches, as it lies in a file: a header, then the first row of every content, ascending by key. All
//! numbers are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `imgswdup` |
//! | 4 | version, 1 |
//! | 1 | largest distance |
//! | 1 | orientation: 0 upright, 1 mirrored, 2 turned |
//! | 4, 4 | flat below this entropy, below this contrast (IEEE 754) |
//! | 4 | batches |
//! | 16 each | their labels |
//! | 8 | contents |
//! | 73 each | SHA-256, key, key of the representative, pHash, flags (1 comparable, 2 settled), bytes, pixels |
//!
//! A file is read as a whole or refused: settings that differ would make its representatives mean something else.

use std::io::{self, BufWriter, Read, Write};

use crate::external_sort::{Record, SpoolReader};
use crate::image::Key;
use crate::records::First;
use crate::{DuplicatesError, DuplicatesResult, Orientation, Settings};

const MAGIC: [u8; 8] = *b"imgswdup";
const VERSION: u32 = 1;
/// Batches of one index; labels are read into memory.
const MAX_BATCHES: u32 = 100_000;

/// The batches of an index.
#[derive(Debug, Default)]
pub(crate) struct EarlierBatches {
    pub(crate) labels: Vec<u128>,
}

const fn number(orientation: Orientation) -> u8 {
    match orientation {
        Orientation::Upright => 0,
        Orientation::Mirrored => 1,
        Orientation::Turned => 2,
    }
}

pub(crate) fn write(
    labels: &[u128],
    settings: &Settings,
    records: u64,
    firsts: impl Iterator<Item = io::Result<First>>,
    sink: impl Write,
) -> DuplicatesResult<()> {
    if labels.len() > MAX_BATCHES as usize {
        return Err(DuplicatesError::TooLarge {
            what: "batch",
            value: labels.len() as u64,
            most: u64::from(MAX_BATCHES),
        });
    }
    let mut header = Vec::with_capacity(64 + 16 * labels.len());
    header.extend(MAGIC);
    header.extend(VERSION.to_le_bytes());
    header.push(settings.max_distance as u8);
    header.push(number(settings.orientation));
    header.extend(settings.flat.entropy_below.to_le_bytes());
    header.extend(settings.flat.contrast_below.to_le_bytes());
    header.extend((labels.len() as u32).to_le_bytes());
    for label in labels {
        header.extend(label.to_le_bytes());
    }
    header.extend(records.to_le_bytes());
    let mut sink = BufWriter::new(sink);
    sink.write_all(&header).map_err(DuplicatesError::IndexIo)?;
    let mut buffer = Vec::with_capacity(First::SIZE);
    for first in firsts {
        buffer.clear();
        first.map_err(DuplicatesError::Scratch)?.encode(&mut buffer);
        sink.write_all(&buffer).map_err(DuplicatesError::IndexIo)?;
    }
    sink.flush().map_err(DuplicatesError::IndexIo)
}

/// The header, then the records one by one; the last is followed by a check that nothing comes after it.
pub(crate) fn read<S: Read>(
    mut source: S,
    settings: &Settings,
) -> DuplicatesResult<(EarlierBatches, Firsts<S>)> {
    let invalid = DuplicatesError::InvalidIndex;
    if take::<8>(&mut source)? != MAGIC {
        return Err(invalid("it does not begin like one"));
    }
    if u32::from_le_bytes(take(&mut source)?) != VERSION {
        return Err(invalid("it is of another version"));
    }
    let [max_distance, orientation] = take(&mut source)?;
    if u32::from(max_distance) != settings.max_distance {
        return Err(DuplicatesError::OtherSettings("distance"));
    }
    if orientation != number(settings.orientation) {
        return Err(DuplicatesError::OtherSettings("orientation"));
    }
    let entropy_below = f32::from_le_bytes(take(&mut source)?);
    let contrast_below = f32::from_le_bytes(take(&mut source)?);
    let flat = settings.flat;
    if entropy_below.to_bits() != flat.entropy_below.to_bits()
        || contrast_below.to_bits() != flat.contrast_below.to_bits()
    {
        return Err(DuplicatesError::OtherSettings("definition of flat images"));
    }
    let batches = u32::from_le_bytes(take(&mut source)?);
    if batches == 0 || batches > MAX_BATCHES {
        return Err(invalid("its number of batches is out of range"));
    }
    let mut labels = Vec::new();
    for _ in 0..batches {
        labels.push(u128::from_le_bytes(take(&mut source)?));
    }
    let records = u64::from_le_bytes(take(&mut source)?);
    let firsts = Firsts {
        records: SpoolReader::new(source, records),
        batches,
        last: None,
        is_ended: false,
    };
    Ok((EarlierBatches { labels }, firsts))
}

fn take<const N: usize>(source: &mut impl Read) -> DuplicatesResult<[u8; N]> {
    let mut bytes = [0; N];
    source.read_exact(&mut bytes).map_err(cut_short)?;
    Ok(bytes)
}

fn cut_short(error: io::Error) -> DuplicatesError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return DuplicatesError::InvalidIndex("it is cut short");
    }
    DuplicatesError::IndexIo(error)
}

/// The records of an index, each checked.
pub(crate) struct Firsts<S> {
    records: SpoolReader<First, S>,
    batches: u32,
    last: Option<Key>,
    is_ended: bool,
}

impl<S: Read> Iterator for Firsts<S> {
    type Item = DuplicatesResult<First>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_ended {
            return None;
        }
        let Some(read) = self.records.next() else {
            self.is_ended = true;
            let invalid = DuplicatesError::InvalidIndex("something follows its end");
            return self.records.has_more().then_some(Err(invalid));
        };
        let checked = read.map_err(cut_short).and_then(|first| self.check(first));
        self.is_ended = checked.is_err();
        Some(checked)
    }
}

impl<S> Firsts<S> {
    fn check(&mut self, first: First) -> DuplicatesResult<First> {
        let invalid = DuplicatesError::InvalidIndex;
        let First(content) = first;
        if self.last.is_some_and(|last| last >= content.key) {
            return Err(invalid("its rows are out of order"));
        }
        if content.key.batch() >= self.batches || content.group > content.key {
            return Err(invalid("a row belongs to none of its batches"));
        }
        if !content.is_settled {
            return Err(invalid("a row has no group"));
        }
        self.last = Some(content.key);
        Ok(first)
    }
}
