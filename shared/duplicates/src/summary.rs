//! What the groups of a batch come to.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;

use crate::external_sort::{Sorted, SpoolReader};
use crate::image::{Key, Origin};
use crate::records::{First, Member};
use crate::{DuplicatesError, DuplicatesResult};

/// Largest groups that a summary names.
const GROUPS_NAMED: usize = 10;
/// Rows it names of each.
const ROWS_NAMED: usize = 5;

/// Counts over the rows of the batch at hand; rows of earlier batches are none of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows added.
    pub images: u64,
    /// Of them, rows whose perceptual hash says nothing.
    pub flat: u64,
    /// Groups of two rows or more.
    pub groups: u64,
    /// Rows that are exact duplicates of an earlier row.
    pub exact: Repeated,
    /// Rows that are near duplicates of an earlier row, and exact ones of none.
    pub near: Repeated,
    /// Rows that are placeholders; most of them are exact duplicates too.
    pub placeholders: u64,
    /// The largest groups, by rows, the largest first.
    pub largest_groups: Vec<Group>,
}

/// Rows that could be done without.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repeated {
    /// How many.
    pub rows: u64,
    /// Bytes of their bodies together.
    pub bytes: u64,
}

/// Rows that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The earliest row, which all others are like.
    pub representative: Origin,
    /// Rows of the batch at hand that belong to it, the representative not counted.
    pub members: u64,
    /// Of them, exact duplicates.
    pub exact: u64,
    /// Bytes of the members' bodies together.
    pub bytes: u64,
    /// The row with the most pixels, the representative included; the earliest of several.
    pub largest: Origin,
    /// The first members.
    pub examples: Vec<Origin>,
}

/// Counts members, which are sorted by group; `firsts`, sorted by key, has the representatives.
pub(crate) fn of_members(
    members: Sorted<Member>,
    mut firsts: SpoolReader<First, File>,
) -> DuplicatesResult<Summary> {
    let mut summary = Summary::default();
    // The smallest of the largest groups on top: fewest members, then the latest.
    let mut largest: BinaryHeap<Reverse<(u64, Reverse<Key>, Ranked)>> = BinaryHeap::new();
    let mut current: Option<(Group, u64)> = None;
    let mut end_group = |group: Group| {
        let origin = group.representative;
        if let Ok(key) = Key::new(origin.batch, origin.row) {
            largest.push(Reverse((group.members, Reverse(key), Ranked(group))));
        }
        if largest.len() > GROUPS_NAMED {
            largest.pop();
        }
    };
    for member in members {
        let member = member.map_err(DuplicatesError::Scratch)?;
        let repeated = if member.is_exact {
            &mut summary.exact
        } else {
            &mut summary.near
        };
        repeated.rows += 1;
        repeated.bytes += member.bytes;
        let is_same = current
            .as_ref()
            .is_some_and(|(group, _)| group.representative == member.group.origin());
        if !is_same {
            summary.groups += 1;
            let pixels = pixels_of(&mut firsts, member.group)?;
            let started = (Group::of(member.group.origin()), pixels);
            if let Some((ended, _)) = current.replace(started) {
                end_group(ended);
            }
        }
        if let Some((group, most_pixels)) = &mut current {
            group.add(&member, most_pixels);
        }
    }
    if let Some((ended, _)) = current {
        end_group(ended);
    }
    let ranked = largest.into_sorted_vec().into_iter();
    summary.largest_groups = ranked.map(|Reverse((_, _, Ranked(group)))| group).collect();
    Ok(summary)
}

/// The pixels of the image with this key, read on from where the last look-up ended.
fn pixels_of(firsts: &mut SpoolReader<First, File>, key: Key) -> DuplicatesResult<u64> {
    for first in firsts {
        let First(first) = first.map_err(DuplicatesError::Scratch)?;
        if first.key == key {
            return Ok(first.pixels);
        }
    }
    Ok(0)
}

impl Group {
    const fn of(representative: Origin) -> Self {
        Self {
            representative,
            members: 0,
            exact: 0,
            bytes: 0,
            largest: representative,
            examples: Vec::new(),
        }
    }

    fn add(&mut self, member: &Member, most_pixels: &mut u64) {
        self.members += 1;
        self.exact += u64::from(member.is_exact);
        self.bytes += member.bytes;
        if member.pixels > *most_pixels {
            *most_pixels = member.pixels;
            self.largest = member.key.origin();
        }
        if self.examples.len() < ROWS_NAMED {
            self.examples.push(member.key.origin());
        }
    }
}

/// A group in a heap, where what stands before it decides.
struct Ranked(Group);

impl PartialEq for Ranked {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}
