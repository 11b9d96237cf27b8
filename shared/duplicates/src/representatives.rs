//! Which images stand for others: in the order of their keys, an image that is near no representative becomes one, any other
//! image belongs to the nearest (of several as near, to the earliest).
//!
//! So no two representatives are alike, every other image is like its representative, and what comes later changes nothing
//! before it. Only representatives are ever looked up: a million images that are all alike cost a million short look-ups, and
//! never each other.

use std::hash::{BuildHasher, RandomState};
use std::thread;

use crate::Orientation;
use crate::image::Key;
use crate::multi_index::MultiIndex;
use crate::orientation::positions;

/// Images that are looked up together.
pub(crate) const TOGETHER: usize = 2048;
/// New representatives that are compared one by one, before they get an index of their own.
const COMPARED_SINGLY: usize = 128;
/// The recent index is rebuilt for every [`TOGETHER`] images, the old one whenever the recent one has become so large that both
/// rebuilds cost the same: at the square root of the old one's length times this.
const REBUILD_BALANCE: usize = 4 * TOGETHER;

/// An image that can be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) key: Key,
    pub(crate) phash: u64,
}

/// The representatives found so far.
pub(crate) struct Representatives {
    max_distance: u32,
    orientation: Orientation,
    threads: usize,
    shuffle: BitShuffle,
    old: MultiIndex,
    recent: MultiIndex,
}

/// Distance and key of the nearest, the earliest of several.
type Nearest = Option<(u32, u64)>;

impl Representatives {
    pub(crate) fn new(max_distance: u32, orientation: Orientation, threads: usize) -> Self {
        Self {
            max_distance,
            orientation,
            threads: threads.max(1),
            shuffle: BitShuffle::random(),
            old: MultiIndex::default(),
            recent: MultiIndex::default(),
        }
    }

    /// Takes over representatives of an earlier search, which are not near each other.
    pub(crate) fn restore(&mut self, earlier: &[Candidate]) {
        let entries: Vec<(u64, u64)> = earlier
            .iter()
            .map(|candidate| (self.shuffle.apply(candidate.phash), candidate.key.0))
            .collect();
        self.old = std::mem::take(&mut self.old).with(&entries, self.max_distance);
    }

    /// For each of up to [`TOGETHER`] images, in ascending order of their keys, its representative: its own key if it is one.
    pub(crate) fn assign(&mut self, images: &[Candidate]) -> Vec<Key> {
        let known = self.nearest_known(images);
        let mut indexed = MultiIndex::default();
        let mut single: Vec<(u64, u64)> = Vec::with_capacity(COMPARED_SINGLY);
        let mut assigned = Vec::with_capacity(images.len());
        for (image, known) in images.iter().zip(known) {
            let mut nearest = Best::new(known, self.max_distance);
            for position in self.positions(image) {
                nearest.search(&indexed, position);
                for (hash, key) in &single {
                    let distance = (hash ^ position).count_ones();
                    if distance <= nearest.within {
                        nearest.offer(distance, *key);
                    }
                }
            }
            if let Some((_, key)) = nearest.found {
                assigned.push(Key(key));
                continue;
            }
            assigned.push(image.key);
            single.push((self.shuffle.apply(image.phash), image.key.0));
            if single.len() == COMPARED_SINGLY {
                indexed = indexed.with(&single, self.max_distance);
                single.clear();
            }
        }
        single.extend(indexed.entries());
        self.remember(&single);
        assigned
    }

    fn positions(&self, image: &Candidate) -> impl Iterator<Item = u64> {
        positions(image.phash, self.orientation).map(|hash| self.shuffle.apply(hash))
    }

    fn nearest_known(&self, images: &[Candidate]) -> Vec<Nearest> {
        if self.old.len() + self.recent.len() == 0 {
            return vec![None; images.len()];
        }
        let share = images.len().div_ceil(self.threads).max(1);
        let look_up = |share: &[Candidate]| -> Vec<Nearest> {
            share.iter().map(|image| self.nearest(image)).collect()
        };
        if share >= images.len() {
            return look_up(images);
        }
        thread::scope(|scope| {
            let handles: Vec<_> = images
                .chunks(share)
                .map(|share| scope.spawn(move || look_up(share)))
                .collect();
            let mut nearest = Vec::with_capacity(images.len());
            for handle in handles {
                match handle.join() {
                    Ok(found) => nearest.extend(found),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            nearest
        })
    }

    fn nearest(&self, image: &Candidate) -> Nearest {
        let mut nearest = Best::new(None, self.max_distance);
        for position in self.positions(image) {
            nearest.search(&self.old, position);
            nearest.search(&self.recent, position);
        }
        nearest.found
    }

    fn remember(&mut self, fresh: &[(u64, u64)]) {
        if fresh.is_empty() {
            return;
        }
        let recent = std::mem::take(&mut self.recent).with(fresh, self.max_distance);
        let most = self
            .old
            .len()
            .max(TOGETHER)
            .saturating_mul(REBUILD_BALANCE)
            .isqrt();
        if recent.len() <= most {
            self.recent = recent;
            return;
        }
        let moved: Vec<(u64, u64)> = recent.entries().collect();
        drop(recent);
        self.old = std::mem::take(&mut self.old).with(&moved, self.max_distance);
    }
}

/// The nearest entry seen so far, and how near the next one must be.
struct Best {
    found: Nearest,
    within: u32,
}

impl Best {
    fn new(known: Nearest, max_distance: u32) -> Self {
        Self {
            found: known,
            within: known.map_or(max_distance, |(distance, _)| distance),
        }
    }

    fn search(&mut self, index: &MultiIndex, query: u64) {
        let mut within = self.within;
        index.search(query, &mut within, |distance, key| {
            self.offer(distance, key);
            distance
        });
    }

    fn offer(&mut self, distance: u32, key: u64) {
        if self.found.is_none_or(|best| (distance, key) < best) {
            self.found = Some((distance, key));
            self.within = distance;
        }
    }
}

/// The bits of a hash in another order: distances stay, but neighbouring frequencies, which go together in pictures, fall into
/// different parts of the index. The order is drawn anew for each search, so that no list can be made to fill one bucket.
struct BitShuffle {
    /// For each byte of a hash and each of its values, where its bits go.
    tables: Box<[[u64; 256]; 8]>,
}

impl BitShuffle {
    fn random() -> Self {
        let seed = RandomState::new().hash_one(0_u64);
        Self::with_seed(seed)
    }

    fn with_seed(seed: u64) -> Self {
        let mut target: Vec<u32> = (0..64).collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut target);
        let mut tables = Box::new([[0; 256]; 8]);
        for (byte, table) in tables.iter_mut().enumerate() {
            for (value, moved) in table.iter_mut().enumerate() {
                for bit in 0..8 {
                    *moved |= (value as u64 >> bit & 1) << target[8 * byte + bit];
                }
            }
        }
        Self { tables }
    }

    fn apply(&self, hash: u64) -> u64 {
        let bytes = hash.to_le_bytes();
        let parts = self.tables.iter().zip(bytes);
        parts.fold(0, |moved, (table, byte)| moved | table[usize::from(byte)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_keeps_every_bit_once() {
        let shuffle = BitShuffle::with_seed(7);
        let all = (0..64).fold(0, |all, bit| all ^ shuffle.apply(1 << bit));
        assert_eq!(all, u64::MAX);
        assert_eq!(shuffle.apply(u64::MAX), u64::MAX);
    }

    /// Hashes in clusters: random centres, and copies of them with some bits turned.
    fn clustered(seed: u64, count: usize, centres: usize) -> Vec<Candidate> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let centres: Vec<u64> = (0..centres).map(|_| rng.u64(..)).collect();
        (0..count)
            .map(|row| {
                let turned = rng.u32(0..12);
                let phash = (0..turned).fold(centres[rng.usize(0..centres.len())], |hash, _| {
                    hash ^ 1 << rng.u32(0..64)
                });
                Candidate {
                    key: Key(row as u64),
                    phash,
                }
            })
            .collect()
    }

    /// The rule, spelled out over all pairs.
    fn by_comparing_all(images: &[Candidate], within: u32, orientation: Orientation) -> Vec<Key> {
        let mut chosen: Vec<Candidate> = Vec::new();
        let mut assigned = Vec::new();
        for image in images {
            let near = chosen.iter().filter_map(|there| {
                let distances = positions(image.phash, orientation)
                    .map(|hash| (hash ^ there.phash).count_ones());
                let distance = distances.min().filter(|distance| *distance <= within)?;
                Some((distance, there.key))
            });
            if let Some((_, key)) = near.min() {
                assigned.push(key);
            } else {
                chosen.push(*image);
                assigned.push(image.key);
            }
        }
        assigned
    }

    fn by_index(images: &[Candidate], within: u32, orientation: Orientation) -> Vec<Key> {
        let mut representatives = Representatives::new(within, orientation, 2);
        let assigned = images
            .chunks(TOGETHER)
            .map(|share| representatives.assign(share));
        assigned.collect::<Vec<_>>().concat()
    }

    #[test]
    fn every_distance_gives_what_comparing_all_gives() {
        let images = clustered(1, 6_000, 600);
        for within in 0..=12 {
            let expected = by_comparing_all(&images, within, Orientation::Upright);
            assert_eq!(
                by_index(&images, within, Orientation::Upright),
                expected,
                "{within}"
            );
        }
    }

    #[test]
    fn every_orientation_gives_what_comparing_all_gives() {
        let mut images = clustered(2, 5_000, 800);
        let mut rng = fastrand::Rng::with_seed(3);
        for image in &mut images {
            let all: Vec<u64> = positions(image.phash, Orientation::Turned).collect();
            image.phash = all[rng.usize(0..8)];
        }
        for orientation in [Orientation::Mirrored, Orientation::Turned] {
            let expected = by_comparing_all(&images, 4, orientation);
            assert_eq!(by_index(&images, 4, orientation), expected);
        }
    }

    #[test]
    fn the_old_index_grows_and_nothing_is_lost() {
        let images = clustered(4, 40_000, 30_000);
        let mut representatives = Representatives::new(3, Orientation::Upright, 2);
        for share in images.chunks(TOGETHER) {
            representatives.assign(share);
        }
        assert!(representatives.old.len() > 2 * TOGETHER);
        for image in &images {
            let (distance, _) = representatives.nearest(image).unwrap();
            assert!(distance <= 3);
        }
    }
}
