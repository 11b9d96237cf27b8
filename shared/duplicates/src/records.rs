//! What lies in scratch files: one struct for each step, in the order the step needs.

use crate::external_sort::{Fields, Record};
use crate::image::Key;

/// An image with what later steps need of it. Sorted by content, the earliest row first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Content {
    pub(crate) sha256: [u8; 32],
    pub(crate) key: Key,
    /// The representative, where an earlier search has decided on it; else the key itself.
    pub(crate) group: Key,
    pub(crate) phash: u64,
    /// Whether `phash` says anything.
    pub(crate) is_comparable: bool,
    /// Whether `group` is decided already.
    pub(crate) is_settled: bool,
    pub(crate) bytes: u64,
    pub(crate) pixels: u64,
}

impl Record for Content {
    const SIZE: usize = 32 + 8 + 8 + 8 + 1 + 8 + 8;

    fn encode(&self, into: &mut Vec<u8>) {
        into.extend(self.sha256);
        into.extend(self.key.0.to_le_bytes());
        into.extend(self.group.0.to_le_bytes());
        into.extend(self.phash.to_le_bytes());
        into.push(u8::from(self.is_comparable) | u8::from(self.is_settled) << 1);
        into.extend(self.bytes.to_le_bytes());
        into.extend(self.pixels.to_le_bytes());
    }

    fn decode(from: &mut Fields<'_>) -> Self {
        let sha256 = from.array();
        let (key, group, phash) = (Key(from.u64()), Key(from.u64()), from.u64());
        let flags = from.u8();
        Self {
            sha256,
            key,
            group,
            phash,
            is_comparable: flags & 1 != 0,
            is_settled: flags & 2 != 0,
            bytes: from.u64(),
            pixels: from.u64(),
        }
    }
}

/// The first row of each content, sorted by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct First(pub(crate) Content);

impl Ord for First {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.key.cmp(&other.0.key)
    }
}

impl PartialOrd for First {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Record for First {
    const SIZE: usize = Content::SIZE;

    fn encode(&self, into: &mut Vec<u8>) {
        self.0.encode(into);
    }

    fn decode(from: &mut Fields<'_>) -> Self {
        Self(Content::decode(from))
    }
}

/// A row whose content an earlier row has, sorted by that row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Copy {
    pub(crate) first: Key,
    pub(crate) key: Key,
    pub(crate) bytes: u64,
    pub(crate) pixels: u64,
}

impl Record for Copy {
    const SIZE: usize = 32;

    fn encode(&self, into: &mut Vec<u8>) {
        for value in [self.first.0, self.key.0, self.bytes, self.pixels] {
            into.extend(value.to_le_bytes());
        }
    }

    fn decode(from: &mut Fields<'_>) -> Self {
        Self {
            first: Key(from.u64()),
            key: Key(from.u64()),
            bytes: from.u64(),
            pixels: from.u64(),
        }
    }
}

/// A row of a host, sorted by host and content. Half a SHA-256 tells the contents of one host apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OfHost {
    pub(crate) host: u64,
    pub(crate) content: [u8; 16],
    pub(crate) key: Key,
}

impl Record for OfHost {
    const SIZE: usize = 32;

    fn encode(&self, into: &mut Vec<u8>) {
        into.extend(self.host.to_le_bytes());
        into.extend(self.content);
        into.extend(self.key.0.to_le_bytes());
    }

    fn decode(from: &mut Fields<'_>) -> Self {
        Self {
            host: from.u64(),
            content: from.array(),
            key: Key(from.u64()),
        }
    }
}

/// What a step found out about a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// The earliest row with the same content.
    ExactDuplicateOf(Key),
    /// The representative of its group, which is not itself.
    NearDuplicateOf(Key),
    /// The representative of its group, which may be itself.
    InGroup(Key),
    /// A stand-in picture.
    Placeholder,
}

/// A mark on a row, sorted by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Marked {
    pub(crate) key: Key,
    pub(crate) mark: Mark,
}

impl Record for Marked {
    const SIZE: usize = 17;

    fn encode(&self, into: &mut Vec<u8>) {
        let (kind, of) = match self.mark {
            Mark::ExactDuplicateOf(key) => (0, key.0),
            Mark::NearDuplicateOf(key) => (1, key.0),
            Mark::InGroup(key) => (2, key.0),
            Mark::Placeholder => (3, 0),
        };
        into.extend(self.key.0.to_le_bytes());
        into.push(kind);
        into.extend(of.to_le_bytes());
    }

    fn decode(from: &mut Fields<'_>) -> Self {
        let (key, kind, of) = (Key(from.u64()), from.u8(), Key(from.u64()));
        let mark = match kind {
            0 => Mark::ExactDuplicateOf(of),
            1 => Mark::NearDuplicateOf(of),
            2 => Mark::InGroup(of),
            _ => Mark::Placeholder,
        };
        Self { key, mark }
    }
}

/// A row of a group that is not its representative, sorted by group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Member {
    pub(crate) group: Key,
    pub(crate) key: Key,
    pub(crate) is_exact: bool,
    pub(crate) bytes: u64,
    pub(crate) pixels: u64,
}

impl Record for Member {
    const SIZE: usize = 33;

    fn encode(&self, into: &mut Vec<u8>) {
        into.extend(self.group.0.to_le_bytes());
        into.extend(self.key.0.to_le_bytes());
        into.push(u8::from(self.is_exact));
        into.extend(self.bytes.to_le_bytes());
        into.extend(self.pixels.to_le_bytes());
    }

    fn decode(from: &mut Fields<'_>) -> Self {
        Self {
            group: Key(from.u64()),
            key: Key(from.u64()),
            is_exact: from.u8() != 0,
            bytes: from.u64(),
            pixels: from.u64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::external_sort::Spool;

    fn comes_back<R: Record + Debug>(records: &[R]) {
        let scratch = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(scratch.path()).unwrap();
        for record in records {
            spool.push(record).unwrap();
        }
        let read: Vec<R> = spool.read().unwrap().map(Result::unwrap).collect();
        assert_eq!(read.len(), records.len());
        for (read, record) in read.iter().zip(records) {
            assert_eq!(format!("{read:?}"), format!("{record:?}"));
        }
    }

    #[test]
    fn every_record_survives_its_file() {
        let content = Content {
            sha256: std::array::from_fn(|byte| byte as u8),
            key: Key(1),
            group: Key(2),
            phash: 3,
            is_comparable: true,
            is_settled: false,
            bytes: 4,
            pixels: 5,
        };
        let settled = Content {
            is_comparable: false,
            is_settled: true,
            ..content
        };
        comes_back(&[content, settled]);
        comes_back(&[First(content), First(settled)]);
        comes_back(&[Copy {
            first: Key(1),
            key: Key(2),
            bytes: 3,
            pixels: 4,
        }]);
        comes_back(&[OfHost {
            host: 1,
            content: [2; 16],
            key: Key(3),
        }]);
        let marks = [
            Mark::ExactDuplicateOf(Key(1)),
            Mark::NearDuplicateOf(Key(2)),
            Mark::InGroup(Key(3)),
            Mark::Placeholder,
        ];
        comes_back(&marks.map(|mark| Marked { key: Key(9), mark }));
        comes_back(&[true, false].map(|is_exact| Member {
            group: Key(1),
            key: Key(2),
            is_exact,
            bytes: 3,
            pixels: 4,
        }));
    }
}
