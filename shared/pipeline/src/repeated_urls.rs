//! Which URLs of a list were there before, in bounded memory: a hash table in an unlinked scratch file.
//!
//! Fifteen million URLs do not fit into a small function's memory, and a sorted second pass would read the list twice.
//! So the table lies on disk and the operating system's page cache does the rest: one read a row, one write a new URL.
//!
//! A URL is known by 88 bits of its keyed 128-bit `SipHash`: two URLs of a list of 15 million are taken for one with a
//! probability below 10⁻¹², and nobody who does not know the key can make it happen. The high bits of the tag pick
//! the page, so growing is one sweep from front to back.

use std::fs::File;
use std::hash::Hasher;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use domain::RowNumber;
use siphasher::sip128::{Hasher128, SipHasher13};

const SLOT_BYTES: usize = 16;
/// A kibibyte: small enough to read for every row, large enough that few pages overflow into their neighbour.
const PAGE_BYTES: usize = 64 * SLOT_BYTES;
/// The file starts with a mebibyte.
const FIRST_PAGES: u64 = 1024;
/// The table grows above this share of slots in use.
const MAX_LOAD_PERCENT: u64 = 60;
/// A list of more rows than this (a million million) is not one we could read.
const ROW_BITS: u32 = 40;

/// The URLs seen so far, and the row each was first seen in.
pub(crate) struct RepeatedUrls {
    table: Table,
    key: (u64, u64),
    scratch: PathBuf,
}

impl RepeatedUrls {
    /// An empty set whose file lies in the folder `scratch`.
    pub(crate) fn new(scratch: &Path, key: (u64, u64)) -> io::Result<Self> {
        Ok(Self {
            table: Table::new(scratch, FIRST_PAGES)?,
            key,
            scratch: scratch.to_owned(),
        })
    }

    /// The row in which `url` was seen first, or `None` when `row` is the first; the set then remembers it.
    pub(crate) fn first_row(&mut self, url: &str, row: RowNumber) -> io::Result<Option<RowNumber>> {
        if self.table.is_crowded() {
            self.table = self.table.grown(&self.scratch)?;
        }
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write(url.as_bytes());
        let hash = hasher.finish128();
        let entry = Entry {
            tag: hash.h1.max(1),
            check: hash.h2 >> ROW_BITS,
            row,
        };
        self.table.find_or_insert(entry)
    }
}

/// A used slot. Tag 0 marks a free one.
#[derive(Clone, Copy)]
struct Entry {
    tag: u64,
    check: u64,
    row: RowNumber,
}

impl Entry {
    fn decode(slot: &[u8]) -> Option<Self> {
        let (tag, rest) = slot.split_first_chunk::<8>()?;
        let (value, _) = rest.split_first_chunk::<8>()?;
        let value = u64::from_le_bytes(*value);
        let entry = Self {
            tag: u64::from_le_bytes(*tag),
            check: value >> ROW_BITS,
            row: value & ((1 << ROW_BITS) - 1),
        };
        (entry.tag != 0).then_some(entry)
    }

    fn encode(self) -> [u8; SLOT_BYTES] {
        let value = (self.check << ROW_BITS) | self.row;
        let mut slot = [0; SLOT_BYTES];
        slot[..8].copy_from_slice(&self.tag.to_le_bytes());
        slot[8..].copy_from_slice(&value.to_le_bytes());
        slot
    }

    fn is_same_url(self, other: Self) -> bool {
        self.tag == other.tag && self.check == other.check
    }
}

/// Open addressing by pages: a full page overflows into the next.
struct Table {
    file: File,
    pages: u64,
    used: u64,
}

impl Table {
    fn new(scratch: &Path, pages: u64) -> io::Result<Self> {
        let file = tempfile::tempfile_in(scratch)?;
        file.set_len(pages * PAGE_BYTES as u64)?;
        Ok(Self {
            file,
            pages,
            used: 0,
        })
    }

    fn is_crowded(&self) -> bool {
        let slots = self.pages * (PAGE_BYTES / SLOT_BYTES) as u64;
        self.used * 100 >= slots * MAX_LOAD_PERCENT
    }

    fn read_page(&self, page: u64) -> io::Result<[u8; PAGE_BYTES]> {
        let mut bytes = [0; PAGE_BYTES];
        self.file
            .read_exact_at(&mut bytes, page * PAGE_BYTES as u64)?;
        Ok(bytes)
    }

    fn find_or_insert(&mut self, entry: Entry) -> io::Result<Option<RowNumber>> {
        let mut page = ((u128::from(entry.tag) * u128::from(self.pages)) >> 64) as u64;
        loop {
            let bytes = self.read_page(page)?;
            for (position, slot) in bytes.chunks_exact(SLOT_BYTES).enumerate() {
                let Some(there) = Entry::decode(slot) else {
                    let offset = page * PAGE_BYTES as u64 + (position * SLOT_BYTES) as u64;
                    self.file.write_all_at(&entry.encode(), offset)?;
                    self.used += 1;
                    return Ok(None);
                };
                if there.is_same_url(entry) {
                    return Ok(Some(there.row));
                }
            }
            page = (page + 1) % self.pages;
        }
    }

    /// The same entries in a file of twice the size.
    fn grown(&self, scratch: &Path) -> io::Result<Self> {
        let mut larger = Self::new(scratch, self.pages * 2)?;
        for page in 0..self.pages {
            let bytes = self.read_page(page)?;
            for entry in bytes.chunks_exact(SLOT_BYTES).filter_map(Entry::decode) {
                larger.find_or_insert(entry)?;
            }
        }
        Ok(larger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_url_is_traced_to_its_first_row_across_growth() {
        let scratch = tempfile::tempdir().unwrap();
        let mut urls = RepeatedUrls::new(scratch.path(), (1, 2)).unwrap();
        let rows = 100_000;
        for row in 0..rows {
            let url = format!("https://example.com/{row}");
            assert_eq!(urls.first_row(&url, row).unwrap(), None);
        }
        assert!(urls.table.pages > FIRST_PAGES, "the table must have grown");
        for row in 0..rows {
            let url = format!("https://example.com/{row}");
            assert_eq!(urls.first_row(&url, rows + row).unwrap(), Some(row));
        }
    }

    #[test]
    fn the_file_leaves_nothing_behind() {
        let scratch = tempfile::tempdir().unwrap();
        let _urls = RepeatedUrls::new(scratch.path(), (1, 2)).unwrap();
        assert_eq!(scratch.path().read_dir().unwrap().count(), 0);
    }
}
