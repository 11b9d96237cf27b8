//! The directories of a TIFF structure, which EXIF shares (TIFF 6.0 section 2; `BigTIFF`; CIPA DC-008 section 4.6).
//!
//! Values are read in place, one tag at a time. A library that reads a whole EXIF block into a list follows every
//! pointer it meets, and a block of 64 KB can hold enough pointers to one another for thousands of millions of entries.

use crate::view::{Fault, Parsed, View};

/// Most entries of a directory that are looked at: what 16 bits can count.
const MAX_ENTRIES: u64 = 65_535;

/// A TIFF structure: bytes, order and width of offsets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tiff<'a> {
    view: View<'a>,
    is_little_endian: bool,
    has_wide_offsets: bool,
    /// Where the first directory starts.
    pub(crate) first: u64,
}

/// One directory: where its entries are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Directory {
    entries_at: usize,
    count: usize,
}

/// One entry of a directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    kind: u16,
    count: u64,
    value_at: usize,
}

impl<'a> Tiff<'a> {
    pub(crate) fn open(bytes: &'a [u8]) -> Parsed<Self> {
        let view = View(bytes);
        let is_little_endian = match view.slice(0, 2)? {
            b"II" => true,
            b"MM" => false,
            _ => return Err(Fault::Bad("the byte order is neither II nor MM")),
        };
        let mut tiff = Self {
            view,
            is_little_endian,
            has_wide_offsets: false,
            first: 0,
        };
        match tiff.u16(2)? {
            42 => tiff.first = u64::from(tiff.u32(4)?),
            43 => {
                tiff.has_wide_offsets = true;
                tiff.first = tiff.u64(8)?;
            }
            _ => return Err(Fault::Bad("the version is neither 42 nor 43")),
        }
        Ok(tiff)
    }

    fn u16(&self, at: usize) -> Parsed<u16> {
        if self.is_little_endian {
            self.view.le16(at)
        } else {
            self.view.be16(at)
        }
    }

    fn u32(&self, at: usize) -> Parsed<u32> {
        if self.is_little_endian {
            self.view.le32(at)
        } else {
            self.view.be32(at)
        }
    }

    fn u64(&self, at: usize) -> Parsed<u64> {
        if self.is_little_endian {
            self.view.le64(at)
        } else {
            self.view.be64(at)
        }
    }

    const fn entry_bytes(&self) -> usize {
        if self.has_wide_offsets { 20 } else { 12 }
    }

    /// The directory at `offset`, all of whose entries are there.
    pub(crate) fn directory(&self, offset: u64) -> Parsed<Directory> {
        let at = usize::try_from(offset).map_err(|_| Fault::Short { needed: offset })?;
        let (count, entries_at) = if self.has_wide_offsets {
            (self.u64(at)?, at.saturating_add(8))
        } else {
            (u64::from(self.u16(at)?), at.saturating_add(2))
        };
        if count > MAX_ENTRIES {
            return Err(Fault::Bad("a directory has more entries than any file"));
        }
        let count = count as usize;
        self.view.slice(entries_at, count * self.entry_bytes())?;
        Ok(Directory { entries_at, count })
    }

    /// Offset of the directory after this one; 0 at the last.
    pub(crate) fn next(&self, directory: Directory) -> Parsed<u64> {
        let at = directory.entries_at + directory.count * self.entry_bytes();
        if self.has_wide_offsets {
            self.u64(at)
        } else {
            self.u32(at).map(u64::from)
        }
    }

    /// The first entry with this tag.
    pub(crate) fn find(&self, directory: Directory, tag: u16) -> Option<Entry> {
        for index in 0..directory.count {
            let at = directory.entries_at + index * self.entry_bytes();
            if self.u16(at).ok()? != tag {
                continue;
            }
            let kind = self.u16(at + 2).ok()?;
            let (count, field_at, inline) = if self.has_wide_offsets {
                (self.u64(at + 4).ok()?, at + 12, 8)
            } else {
                (u64::from(self.u32(at + 4).ok()?), at + 8, 4)
            };
            let value_at = if count.checked_mul(unit_bytes(kind)?)? <= inline {
                field_at
            } else if self.has_wide_offsets {
                usize::try_from(self.u64(field_at).ok()?).ok()?
            } else {
                self.u32(field_at).ok()? as usize
            };
            return Some(Entry {
                kind,
                count,
                value_at,
            });
        }
        None
    }

    /// The `index`th whole number of an entry.
    pub(crate) fn number(&self, entry: Entry, index: u64) -> Option<u64> {
        if index >= entry.count {
            return None;
        }
        let skip = usize::try_from(index * unit_bytes(entry.kind)?).ok()?;
        let at = entry.value_at.checked_add(skip)?;
        match entry.kind {
            1 => self.view.u8(at).ok().map(u64::from),
            3 => self.u16(at).ok().map(u64::from),
            4 | 13 => self.u32(at).ok().map(u64::from),
            16 | 18 => self.u64(at).ok(),
            _ => None,
        }
    }

    /// The first whole number of the entry with this tag.
    pub(crate) fn number_of(&self, directory: Directory, tag: u16) -> Option<u64> {
        self.number(self.find(directory, tag)?, 0)
    }

    /// At most `longest` bytes of the text with this tag, up to its NUL.
    pub(crate) fn text_of(
        &self,
        directory: Directory,
        tag: u16,
        longest: usize,
    ) -> Option<&'a [u8]> {
        let entry = self.find(directory, tag)?;
        if entry.kind != 2 {
            return None;
        }
        let length = usize::try_from(entry.count).ok()?.min(longest);
        let text = self.view.slice(entry.value_at, length).ok()?;
        text.split(|byte| *byte == 0).next()
    }
}

/// Bytes one value of a field type takes (TIFF 6.0 page 15, `BigTIFF`).
const fn unit_bytes(kind: u16) -> Option<u64> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16..=18 => Some(8),
        _ => None,
    }
}
