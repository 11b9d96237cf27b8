//! Which URLs of a list were there before, in bounded memory: recent ones in a table, all others in an unlinked scratch file, with
//! a Bloom filter in front of it. A million URLs take some 7 MB, fifteen million some 90 MB, and more than that no more.
//!
//! Fifteen million URLs do not fit into a small function's memory, and a sorted second pass would read the list twice.
//! So whenever the table of recent URLs is full, it is merged into the file, in the file's own order: one sweep from front to back.
//! A list of less than [`FEWEST_RECENT`] URLs never touches the file. In a longer one, the filter knows nearly every URL that is
//! not in the file, and only repeated ones cost a read. The table may hold an eighth of what the file holds: each merge then adds
//! enough to be worth its sweep, and memory follows the length of the list slowly.
//!
//! A URL is known by 88 bits of its keyed 128-bit `SipHash`: two URLs of a list of 15 million are taken for one with a
//! probability below 10⁻¹², and nobody who does not know the key can make it happen.

use std::fs::File;
use std::hash::Hasher;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use domain::RowNumber;
use hashbrown::HashTable;
use siphasher::sip128::{Hasher128, SipHasher13};

/// URLs kept in memory however small the file is: as many as a table of 2¹⁶ slots (1.1 MB) takes before it would grow.
const FEWEST_RECENT: usize = (1 << 16) / 8 * 7;
/// URLs kept in memory however large the file is: 2²¹ slots (36 MB).
const MOST_RECENT: usize = (1 << 21) / 8 * 7;
/// Bits of the filter for a URL of the file: of the URLs that are not in the file, at most one in twenty is looked for in it.
const FILTER_BITS_PER_URL: u64 = 10;
/// The filter grows no further: 32 MiB. Of 100 million URLs that are not in the file, one in three is looked for in it.
const MOST_FILTER_WORDS: usize = 1 << 22;
const SLOT_BYTES: usize = 16;
/// What is read to look a URL up.
const PAGE_BYTES: usize = 64 * SLOT_BYTES;
/// What is read and written at once by a merge. A full page overflows into the next one of its block.
const BLOCK_BYTES: usize = 64 * PAGE_BYTES;
const SLOTS_PER_BLOCK: u64 = (BLOCK_BYTES / SLOT_BYTES) as u64;
/// The file holds at most this share of its slots, so that a block, which holds 4,096, never runs over.
const MAX_LOAD_PERCENT: u64 = 60;
/// A list of more rows than this (a million million) is not one we could read.
const ROW_BITS: u32 = 40;

/// The URLs seen so far, and the row each was first seen in.
pub(crate) struct RepeatedUrls {
    recent: HashTable<Entry>,
    fewest_recent: usize,
    older: Option<Table>,
    key: (u64, u64),
    scratch: PathBuf,
}

impl RepeatedUrls {
    /// An empty set whose file will lie in the folder `scratch`.
    pub(crate) fn new(scratch: &Path, key: (u64, u64)) -> Self {
        Self::with_fewest_recent(scratch, key, FEWEST_RECENT)
    }

    fn with_fewest_recent(scratch: &Path, key: (u64, u64), fewest_recent: usize) -> Self {
        Self {
            recent: HashTable::new(),
            fewest_recent,
            older: None,
            key,
            scratch: scratch.to_owned(),
        }
    }

    /// The row in which `url` was seen first, or `None` when `row` is the first; the set then remembers it.
    pub(crate) fn first_row(&mut self, url: &str, row: RowNumber) -> io::Result<Option<RowNumber>> {
        let entry = self.entry(url, row);
        if let Some(row) = self.find_entry(entry)? {
            return Ok(Some(row));
        }
        if self.recent.len() >= self.most_recent() {
            self.merge()?;
        }
        self.recent
            .insert_unique(entry.tag, entry, |there| there.tag);
        Ok(None)
    }

    /// The row in which `url` was seen first; the set stays as it is.
    pub(crate) fn find(&self, url: &str) -> io::Result<Option<RowNumber>> {
        self.find_entry(self.entry(url, 0))
    }

    fn entry(&self, url: &str, row: RowNumber) -> Entry {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write(url.as_bytes());
        let hash = hasher.finish128();
        Entry {
            tag: hash.h1.max(1),
            check_and_row: ((hash.h2 >> ROW_BITS) << ROW_BITS) | row,
        }
    }

    fn find_entry(&self, entry: Entry) -> io::Result<Option<RowNumber>> {
        if let Some(there) = self
            .recent
            .find(entry.tag, |there| there.is_same_url(entry))
        {
            return Ok(Some(there.row()));
        }
        match &self.older {
            Some(older) => older.find(entry),
            None => Ok(None),
        }
    }

    /// URLs the table may hold before they are merged into the file.
    fn most_recent(&self) -> usize {
        let older = self.older.as_ref().map_or(0, |older| older.used) as usize;
        (older / 8).min(MOST_RECENT).max(self.fewest_recent)
    }

    /// Moves the recent URLs into the file, which grows as needed.
    fn merge(&mut self) -> io::Result<()> {
        let mut entries: Vec<Entry> = self.recent.drain().collect();
        entries.sort_unstable_by_key(|entry| entry.tag);
        let used = self.older.as_ref().map_or(0, |older| older.used) + entries.len() as u64;
        let blocks = Table::blocks_for(used);
        self.older = Some(match self.older.take() {
            Some(mut older) if older.blocks >= blocks => {
                older.insert_sorted(&entries)?;
                older
            }
            older => {
                let mut larger = Table::new(&self.scratch, blocks * 2)?;
                if let Some(mut older) = older {
                    older.filter = Filter::new(0);
                    older.copy_into(&mut larger)?;
                }
                larger.insert_sorted(&entries)?;
                larger
            }
        });
        Ok(())
    }
}

/// A used slot. Tag 0 marks a free one.
#[derive(Clone, Copy)]
struct Entry {
    tag: u64,
    /// 24 more bits of the hash, then 40 bits of the row number.
    check_and_row: u64,
}

impl Entry {
    fn decode(slot: &[u8]) -> Option<Self> {
        let (tag, rest) = slot.split_first_chunk::<8>()?;
        let (check_and_row, _) = rest.split_first_chunk::<8>()?;
        let entry = Self {
            tag: u64::from_le_bytes(*tag),
            check_and_row: u64::from_le_bytes(*check_and_row),
        };
        (entry.tag != 0).then_some(entry)
    }

    fn encode(self, slot: &mut [u8]) {
        slot[..8].copy_from_slice(&self.tag.to_le_bytes());
        slot[8..].copy_from_slice(&self.check_and_row.to_le_bytes());
    }

    fn is_same_url(self, other: Self) -> bool {
        self.tag == other.tag && self.check_and_row >> ROW_BITS == other.check_and_row >> ROW_BITS
    }

    const fn row(self) -> RowNumber {
        self.check_and_row & ((1 << ROW_BITS) - 1)
    }
}

/// A Bloom filter whose bits for one entry are in one word: a look-up costs one cache line.
struct Filter {
    words: Vec<u64>,
}

impl Filter {
    /// An empty filter for a file of at most `urls` URLs.
    fn new(urls: u64) -> Self {
        let words = (urls * FILTER_BITS_PER_URL / u64::from(u64::BITS)) as usize;
        Self {
            words: vec![0; words.clamp(1, MOST_FILTER_WORDS)],
        }
    }

    fn add(&mut self, entries: &[Entry]) {
        for entry in entries {
            let (word, bits) = self.place(*entry);
            self.words[word] |= bits;
        }
    }

    /// `false` is certain.
    fn may_hold(&self, entry: Entry) -> bool {
        let (word, bits) = self.place(entry);
        self.words[word] & bits == bits
    }

    /// The high bits pick the word, so that sorted entries are added from front to back; the low ones pick two bits of it.
    fn place(&self, entry: Entry) -> (usize, u64) {
        let word = (u128::from(entry.tag) * self.words.len() as u128) >> 64;
        let bits = 1 << (entry.tag & 63) | 1 << ((entry.tag >> 6) & 63);
        (word as usize, bits)
    }
}

/// Blocks of pages of slots, and the filter of what is in them. The high bits of the tag pick block and page, so that entries
/// sorted by tag are in file order.
struct Table {
    file: File,
    filter: Filter,
    blocks: u64,
    used: u64,
}

impl Table {
    fn new(scratch: &Path, blocks: u64) -> io::Result<Self> {
        let file = tempfile::tempfile_in(scratch)?;
        file.set_len(blocks * BLOCK_BYTES as u64)?;
        let most = blocks * SLOTS_PER_BLOCK * MAX_LOAD_PERCENT / 100;
        Ok(Self {
            file,
            filter: Filter::new(most),
            blocks,
            used: 0,
        })
    }

    /// Blocks that `entries` need.
    const fn blocks_for(entries: u64) -> u64 {
        (entries * 100).div_ceil(SLOTS_PER_BLOCK * MAX_LOAD_PERCENT)
    }

    /// The page of the whole file that is an entry's home.
    fn home(&self, entry: Entry) -> u64 {
        let pages = self.blocks * (BLOCK_BYTES / PAGE_BYTES) as u64;
        ((u128::from(entry.tag) * u128::from(pages)) >> 64) as u64
    }

    fn find(&self, entry: Entry) -> io::Result<Option<RowNumber>> {
        if !self.filter.may_hold(entry) {
            return Ok(None);
        }
        let pages_per_block = (BLOCK_BYTES / PAGE_BYTES) as u64;
        let home = self.home(entry);
        let block = home / pages_per_block;
        for step in 0..pages_per_block {
            let page = block * pages_per_block + (home + step) % pages_per_block;
            let mut bytes = [0; PAGE_BYTES];
            self.file
                .read_exact_at(&mut bytes, page * PAGE_BYTES as u64)?;
            for slot in bytes.chunks_exact(SLOT_BYTES) {
                let Some(there) = Entry::decode(slot) else {
                    return Ok(None);
                };
                if there.is_same_url(entry) {
                    return Ok(Some(there.row()));
                }
            }
        }
        Ok(None)
    }

    /// Adds entries that are not there yet and are sorted by tag.
    fn insert_sorted(&mut self, entries: &[Entry]) -> io::Result<()> {
        let pages_per_block = (BLOCK_BYTES / PAGE_BYTES) as u64;
        let mut bytes = vec![0; BLOCK_BYTES];
        for run in entries.chunk_by(|left, right| {
            self.home(*left) / pages_per_block == self.home(*right) / pages_per_block
        }) {
            let offset = self.home(run[0]) / pages_per_block * BLOCK_BYTES as u64;
            self.file.read_exact_at(&mut bytes, offset)?;
            for entry in run {
                let page = (self.home(*entry) % pages_per_block) as usize;
                let (before, from_home) = bytes.split_at_mut(page * PAGE_BYTES);
                let free = from_home
                    .chunks_exact_mut(SLOT_BYTES)
                    .chain(before.chunks_exact_mut(SLOT_BYTES))
                    .find(|slot| Entry::decode(slot).is_none())
                    .ok_or_else(|| io::Error::other("a block of the table of URLs is full"))?;
                entry.encode(free);
            }
            self.file.write_all_at(&bytes, offset)?;
        }
        self.filter.add(entries);
        self.used += entries.len() as u64;
        Ok(())
    }

    /// Adds every entry to a table with more blocks.
    fn copy_into(&self, larger: &mut Self) -> io::Result<()> {
        let mut bytes = vec![0; BLOCK_BYTES];
        for block in 0..self.blocks {
            self.file
                .read_exact_at(&mut bytes, block * BLOCK_BYTES as u64)?;
            let mut entries: Vec<Entry> = bytes
                .chunks_exact(SLOT_BYTES)
                .filter_map(Entry::decode)
                .collect();
            entries.sort_unstable_by_key(|entry| entry.tag);
            larger.insert_sorted(&entries)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_url_is_traced_to_its_first_row_across_merges_and_growth() {
        let scratch = tempfile::tempdir().unwrap();
        let fewest_recent = 20_000;
        let mut urls = RepeatedUrls::with_fewest_recent(scratch.path(), (1, 2), fewest_recent);
        let rows = fewest_recent as u64 * 3 + 10;
        for row in 0..rows {
            let url = format!("https://example.com/{row}");
            assert_eq!(urls.first_row(&url, row).unwrap(), None);
        }
        assert_eq!(
            urls.older.as_ref().map(|older| older.used),
            Some(fewest_recent as u64 * 3)
        );
        for row in (0..rows).step_by(7) {
            let url = format!("https://example.com/{row}");
            assert_eq!(urls.first_row(&url, rows + row).unwrap(), Some(row));
        }
    }

    #[test]
    fn the_filter_lets_few_urls_through_that_are_not_in_the_file() {
        let mut state = 1_u64;
        let mut entries = |count: u64| -> Vec<Entry> {
            (0..count)
                .map(|row| {
                    let mut hasher = SipHasher13::new_with_keys(3, 4);
                    hasher.write_u64(state);
                    state += 1;
                    Entry {
                        tag: hasher.finish128().h1,
                        check_and_row: row,
                    }
                })
                .collect()
        };
        let (there, others) = (entries(1_000_000), entries(100_000));
        let mut filter = Filter::new(1_000_000);
        filter.add(&there);
        assert!(there.iter().all(|entry| filter.may_hold(*entry)));
        let passed = others.iter().filter(|entry| filter.may_hold(**entry));
        assert!(passed.count() < 5_000);
    }

    #[test]
    fn the_file_leaves_nothing_behind() {
        let scratch = tempfile::tempdir().unwrap();
        let _table = Table::new(scratch.path(), 1).unwrap();
        assert_eq!(scratch.path().read_dir().unwrap().count(), 0);
    }
}
