//! All 64-bit hashes within a distance of a query, by multi-index hashing (Norouzi, Punjani & Fleet, *Fast Search in Hamming
//! Space with Multi-Index Hashing*, CVPR 2012).
//!
//! A hash is cut into `m` parts. Two hashes within distance `d` differ in at most `rᵢ` bits of some part `i` whenever the radii
//! satisfy `Σ (rᵢ + 1) > d`: were each part beyond its radius, the differences would add up to more than `d`. So it is enough to
//! look, for every part, at the hashes whose part is within `rᵢ`, and to compare those in full. Nothing is missed.
//!
//! An index never changes: tables are packed one after the other, so that a bucket is read as one run of memory.

/// Largest number of bits that address a table: 2²² buckets of 4 bytes stay small beside the hashes of a list that needs them.
const MAX_PART_BITS: u32 = 22;
/// What it costs to look into a bucket, in comparisons of hashes: a cache miss and a mispredicted branch.
const PROBE_COST: f64 = 6.0;

/// Bits `shift .. shift + bits` of a hash, and how many of them may differ.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    shift: u32,
    bits: u32,
    /// Every value with at most `radius` bits set, those with fewer first.
    differences: Vec<u32>,
}

impl Part {
    fn of(&self, hash: u64) -> usize {
        (hash >> self.shift) as usize & ((1 << self.bits) - 1)
    }
}

/// The cheapest cut for `hashes` evenly spread hashes.
fn plan(hashes: usize, max_distance: u32) -> Vec<Part> {
    let useful_bits = (hashes.max(256) as f64).log2().ceil() as u32;
    let mut best: Option<(f64, u32)> = None;
    for parts in 1..=max_distance + 1 {
        let mut cost = 0.0;
        for (_, bits, radius) in cut(parts, max_distance, useful_bits) {
            let probes: f64 = (0..=radius).map(|ones| binomial(bits, ones)).sum();
            cost += probes * (PROBE_COST + hashes as f64 / f64::from(1_u32 << bits));
        }
        if best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, parts));
        }
    }
    let (_, parts) = best.unwrap_or((0.0, max_distance + 1));
    cut(parts, max_distance, useful_bits)
        .map(|(shift, bits, radius)| Part {
            shift,
            bits,
            differences: differences(bits, radius),
        })
        .collect()
}

/// Shift, bits and radius of each part. The radii add up to `max_distance + 1 − parts`; one that would exceed its bits, with
/// which the part matches everything, is as large as them.
fn cut(parts: u32, max_distance: u32, useful_bits: u32) -> impl Iterator<Item = (u32, u32, u32)> {
    let share = 64 / parts;
    let bits = share.min(useful_bits).min(MAX_PART_BITS);
    let radii = max_distance + 1 - parts;
    (0..parts).map(move |part| {
        let radius = radii / parts + u32::from(part < radii % parts);
        (part * share, bits, radius.min(bits))
    })
}

fn binomial(of: u32, taken: u32) -> f64 {
    (0..taken).fold(1.0, |product, step| {
        product * f64::from(of - step) / f64::from(step + 1)
    })
}

/// Every value of `bits` bits with at most `radius` ones, by their number.
fn differences(bits: u32, radius: u32) -> Vec<u32> {
    let mut all = vec![0];
    let mut start = 0;
    for _ in 0..radius {
        let end = all.len();
        for position in start..end {
            let value: u32 = all[position];
            // Only bits above the highest one: every value comes up once.
            for bit in 32 - value.leading_zeros()..bits {
                all.push(value | 1 << bit);
            }
        }
        start = end;
    }
    all
}

/// Hashes in the order of one of their parts, and where each bucket starts.
#[derive(Debug, Default)]
struct Table {
    starts: Vec<u32>,
    hashes: Vec<u64>,
}

impl Table {
    /// Sorts by bucket in two passes over the hashes; `place` hears where each of them, in order, went.
    fn new(
        part: &Part,
        hashes: impl Iterator<Item = u64> + Clone,
        mut place: impl FnMut(usize),
    ) -> Self {
        let buckets = 1_usize << part.bits;
        let mut starts = vec![0_u32; buckets + 1];
        let mut count = 0;
        for hash in hashes.clone() {
            starts[part.of(hash)] += 1;
            count += 1;
        }
        let mut end = 0;
        for start in &mut starts {
            end += *start;
            *start = end;
        }
        // Filled from the end of each bucket downwards, after which its end has become its start.
        let mut packed = vec![0; count];
        for hash in hashes {
            let start = &mut starts[part.of(hash)];
            *start -= 1;
            packed[*start as usize] = hash;
            place(*start as usize);
        }
        Self {
            starts,
            hashes: packed,
        }
    }

    fn bucket(&self, value: usize) -> std::ops::Range<usize> {
        self.starts[value] as usize..self.starts[value + 1] as usize
    }
}

/// An unchanging set of distinct hashes, each with a key.
#[derive(Debug, Default)]
pub(crate) struct MultiIndex {
    parts: Vec<Part>,
    /// One for each part.
    tables: Vec<Table>,
    /// Keys in the order of the first table.
    keys: Vec<u64>,
}

impl MultiIndex {
    pub(crate) const fn len(&self) -> usize {
        self.keys.len()
    }

    /// The entries of `self` and of `added`, `(hash, key)`, for queries of up to `max_distance`. At most 2³² entries.
    pub(crate) fn with(mut self, added: &[(u64, u64)], max_distance: u32) -> Self {
        let parts = plan(self.len() + added.len(), max_distance);
        // The other tables hold the same hashes: without them, memory peaks at half of what it would.
        self.tables.truncate(1);
        let first = self.tables.pop().unwrap_or_default();
        let hashes = first
            .hashes
            .iter()
            .copied()
            .chain(added.iter().map(|(hash, _)| *hash));
        let old_keys = self.keys;
        let mut old_and_new = old_keys
            .iter()
            .copied()
            .chain(added.iter().map(|(_, key)| *key));
        let mut keys = vec![0; old_keys.len() + added.len()];
        let mut tables = Vec::with_capacity(parts.len());
        for (position, part) in parts.iter().enumerate() {
            tables.push(Table::new(part, hashes.clone(), |place| {
                if position == 0
                    && let Some(key) = old_and_new.next()
                {
                    keys[place] = key;
                }
            }));
        }
        Self {
            parts,
            tables,
            keys,
        }
    }

    /// Every entry, `(hash, key)`.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u64, u64)> {
        let hashes = self.tables.first().map(|table| table.hashes.iter());
        hashes
            .into_iter()
            .flatten()
            .copied()
            .zip(self.keys.iter().copied())
    }

    /// Calls `found` with the distance and the key of entries within `within` of `query`, which `found` may make smaller as it
    /// goes; an entry may come up several times. Complete up to the distance that the index was built for.
    pub(crate) fn search(
        &self,
        query: u64,
        within: &mut u32,
        mut found: impl FnMut(u32, u64) -> u32,
    ) {
        for (part, table) in self.parts.iter().zip(&self.tables) {
            let value = part.of(query);
            for difference in &part.differences {
                let bucket = &table.hashes[table.bucket(value ^ *difference as usize)];
                for hash in bucket {
                    let distance = (hash ^ query).count_ones();
                    if distance <= *within
                        && let Some(key) = self.key(*hash)
                    {
                        *within = found(distance, key).min(*within);
                        if distance == 0 {
                            // Entries are distinct: there is none nearer, and no other as near.
                            return;
                        }
                    }
                }
            }
        }
    }

    /// The key of a hash that is in the index.
    fn key(&self, hash: u64) -> Option<u64> {
        let (part, table) = (self.parts.first()?, self.tables.first()?);
        let bucket = table.bucket(part.of(hash));
        let position = table.hashes[bucket.clone()]
            .iter()
            .position(|there| *there == hash)?;
        self.keys.get(bucket.start + position).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_each_value_once_those_of_fewer_bits_first() {
        let all = differences(10, 3);
        assert_eq!(all.len(), 1 + 10 + 45 + 120);
        assert!(all.is_sorted_by_key(|value| value.count_ones()));
        let distinct: std::collections::BTreeSet<u32> = all.iter().copied().collect();
        assert_eq!(distinct.len(), all.len());
        assert!(all.iter().all(|value| *value < 1 << 10));
    }

    #[test]
    fn the_radii_of_every_plan_leave_no_gap() {
        for max_distance in 0..=12 {
            for hashes in [0, 1, 1_000, 100_000, 1_000_000, 15_000_000] {
                let parts = plan(hashes, max_distance);
                let radius = |part: &Part| part.differences.last().unwrap().count_ones();
                let covered: u32 = parts.iter().map(|part| radius(part) + 1).sum();
                let matches_all = parts.iter().any(|part| radius(part) == part.bits);
                assert!(covered == max_distance + 1 || matches_all);
                let ends: Vec<u32> = parts.iter().map(|part| part.shift + part.bits).collect();
                for (end, next) in ends.iter().zip(&parts[1..]) {
                    assert!(*end <= next.shift, "parts overlap");
                }
                assert!(ends.iter().all(|end| *end <= 64));
            }
        }
    }

    #[test]
    fn keys_stay_with_their_hashes_when_an_index_grows() {
        let mut rng = fastrand::Rng::with_seed(1);
        let entries: Vec<(u64, u64)> = (0..5_000).map(|key| (rng.u64(..), key)).collect();
        let mut index = MultiIndex::default();
        for added in entries.chunks(700) {
            index = index.with(added, 6);
        }
        for (hash, key) in &entries {
            let mut nearest = None;
            index.search(*hash, &mut 0, |distance, key| {
                nearest = Some((distance, key));
                0
            });
            assert_eq!(nearest, Some((0, *key)));
        }
        let mut listed: Vec<(u64, u64)> = index.entries().collect();
        listed.sort_unstable_by_key(|(_, key)| *key);
        assert_eq!(listed, entries);
    }
}
