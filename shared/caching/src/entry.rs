//! What is kept, and how it is written down.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use domain::ports::CacheEntry;
use jiff::Timestamp;

/// Answers longer than this are compressed on disk and in the shared store.
const COMPRESS_ABOVE: usize = 1_000;
/// Levels above gain little on a kilobyte of JSON.
const ZSTD_LEVEL: i32 = 3;
/// Longest answer read back, so that a damaged entry cannot ask for more.
const MAX_BYTES: usize = 16 * 1024 * 1024;

const IS_NEGATIVE: u8 = 1;
const IS_COMPRESSED: u8 = 2;

/// A kind of answers, and how long each is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// Sets its keys apart from those of others: `<prefix>#<key>`.
    pub prefix: &'static str,
    /// How long an answer is good for at all; the shared level keeps it that long.
    pub lifetime: Duration,
    /// How long "there is none" is good for.
    pub negative_lifetime: Duration,
    /// What an answer has to cost, in millionths of a US dollar, to be kept for longer: what is dear to work out is worth its place.
    pub dear_from_micro_usd: u64,
    /// How many times as long such an answer is good for.
    pub dear_factor: u32,
}

impl Kind {
    /// What its keys look like at every level.
    pub fn full_key(&self, key: &str) -> String {
        format!("{}#{key}", self.prefix)
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// As its user wrote it.
    pub value: Bytes,
    /// Whether it says that there is no answer. Such are kept for a shorter time.
    pub is_negative: bool,
    /// What it cost to work out, in millionths of a US dollar.
    pub cost_micro_usd: u64,
}

/// An answer with its times.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) cached: Cached,
    pub(crate) stored_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

impl Kept {
    pub(crate) fn new(kind: &Kind, cached: Cached, now: Timestamp) -> Self {
        let lifetime = if cached.is_negative {
            kind.negative_lifetime
        } else if cached.cost_micro_usd >= kind.dear_from_micro_usd {
            kind.lifetime * kind.dear_factor.max(1)
        } else {
            kind.lifetime
        };
        let now = whole_milliseconds(now);
        Self {
            cached,
            stored_at: now,
            expires_at: whole_milliseconds(now + lifetime),
        }
    }

    /// As the shared level and the disk hold it.
    pub(crate) fn encode(&self) -> CacheEntry {
        let value = &self.cached.value;
        let mut flags = if self.cached.is_negative {
            IS_NEGATIVE
        } else {
            0
        };
        let mut payload = Cow::Borrowed(value.as_ref());
        if value.len() > COMPRESS_ABOVE
            && let Ok(compressed) = zstd::bulk::compress(value, ZSTD_LEVEL)
            && compressed.len() < value.len()
        {
            flags |= IS_COMPRESSED;
            payload = Cow::Owned(compressed);
        }
        let mut bytes = Vec::with_capacity(payload.len() + 1);
        bytes.push(flags);
        bytes.extend_from_slice(&payload);
        CacheEntry {
            value: bytes,
            stored_at: self.stored_at,
            expires_at: self.expires_at,
            cost_micro_usd: self.cached.cost_micro_usd,
        }
    }

    /// `None` for what nobody of ours wrote.
    pub(crate) fn decode(entry: &CacheEntry) -> Option<Self> {
        let (flags, payload) = entry.value.split_first()?;
        let value = match flags & !IS_NEGATIVE {
            0 => Bytes::copy_from_slice(payload),
            IS_COMPRESSED => Bytes::from(zstd::bulk::decompress(payload, MAX_BYTES).ok()?),
            _ => return None,
        };
        Some(Self {
            cached: Cached {
                value,
                is_negative: flags & IS_NEGATIVE != 0,
                cost_micro_usd: entry.cost_micro_usd,
            },
            stored_at: entry.stored_at,
            expires_at: entry.expires_at,
        })
    }
}

/// Stores keep no finer times.
pub(crate) fn whole_milliseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KIND: Kind = Kind {
        prefix: "T",
        lifetime: Duration::from_secs(100),
        negative_lifetime: Duration::from_secs(10),
        dear_from_micro_usd: 1_000,
        dear_factor: 4,
    };

    fn kept(value: Vec<u8>, is_negative: bool) -> Kept {
        let cached = Cached {
            value: Bytes::from(value),
            is_negative,
            cost_micro_usd: 7,
        };
        Kept::new(
            &KIND,
            cached,
            Timestamp::from_second(1_800_000_000).unwrap(),
        )
    }

    #[test]
    fn what_is_longer_than_the_threshold_is_compressed() {
        let text = "it shows a shoe; ".repeat(200).into_bytes();
        let length = text.len();
        assert!(kept(text.clone(), false).encode().value.len() < length / 10);
        let short = kept(text[..COMPRESS_ABOVE].to_vec(), false).encode();
        assert_eq!(short.value.len(), COMPRESS_ABOVE + 1);
    }

    #[test]
    fn a_negative_answer_is_kept_for_a_shorter_time() {
        let lifetime = |is_negative| {
            let kept = kept(vec![1], is_negative);
            kept.expires_at.duration_since(kept.stored_at).as_secs()
        };
        assert_eq!((lifetime(false), lifetime(true)), (100, 10));
    }

    #[test]
    fn an_answer_that_was_dear_is_kept_for_longer() {
        let lifetime = |cost_micro_usd, is_negative| {
            let cached = Cached {
                value: Bytes::new(),
                is_negative,
                cost_micro_usd,
            };
            let kept = Kept::new(
                &KIND,
                cached,
                Timestamp::from_second(1_800_000_000).unwrap(),
            );
            kept.expires_at.duration_since(kept.stored_at).as_secs()
        };
        assert_eq!(lifetime(999, false), 100);
        assert_eq!(lifetime(1_000, false), 400);
        assert_eq!(lifetime(1_000, true), 10);
    }

    proptest! {
        #[test]
        fn every_answer_comes_back_as_it_was(
            value in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..3_000),
                proptest::collection::vec(0_u8..2, 900..3_000),
            ],
            is_negative: bool,
        ) {
            let kept = kept(value, is_negative);
            let decoded = Kept::decode(&kept.encode()).unwrap();
            prop_assert_eq!(decoded.cached, kept.cached);
            prop_assert_eq!(decoded.expires_at, kept.expires_at);
        }

        #[test]
        fn bytes_of_others_are_no_answer_and_no_panic(value: Vec<u8>) {
            let entry = CacheEntry { value, ..kept(Vec::new(), false).encode() };
            let _ = Kept::decode(&entry);
        }
    }
}
