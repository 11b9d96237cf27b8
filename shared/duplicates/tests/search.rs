//! The whole search against the rule spelled out over all pairs.
#![expect(clippy::unwrap_used, reason = "what fails here ends the test")]

use std::collections::BTreeMap;

use domain::Hash64;
use duplicates::{
    Duplicate, DuplicatesError, Finder, Finding, Findings, Image, Orientation, Origin, Settings,
    Summary, positions,
};
use proptest::prelude::*;

fn image(row: u64, content: u64, phash: u64) -> Image {
    let mut sha256 = [0; 32];
    sha256[..8].copy_from_slice(&content.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Image {
        row,
        sha256,
        phash: Some(Hash64(phash)),
        entropy: Some(7.0),
        contrast: Some(0.2),
        host: content % 7,
        pixels: content % 1000,
        bytes: 10 + content % 10,
    }
}

fn find(images: &[Image], settings: &Settings) -> (Summary, Vec<Finding>) {
    let scratch = tempfile::tempdir().unwrap();
    let mut finder = Finder::new(settings.clone(), scratch.path()).unwrap();
    for image in images {
        finder.add(image).unwrap();
    }
    let findings = finder.finish().unwrap();
    let summary = findings.summary().clone();
    (summary, findings.map(Result::unwrap).collect())
}

const fn here(row: u64) -> Origin {
    Origin { batch: 0, row }
}

/// For every row that belongs to a group: what it repeats, and the representative.
type Groups = BTreeMap<u64, (Option<Duplicate>, u64)>;

fn groups(findings: &[Finding]) -> Groups {
    let grouped = findings.iter().filter_map(|finding| {
        let group = finding.group?;
        Some((finding.row, (finding.duplicate, group.row)))
    });
    grouped.collect()
}

/// The rule, spelled out: firsts of each content in the order of rows; each belongs to the nearest representative within the
/// distance, the earliest of several, or becomes one.
fn by_comparing_all(images: &[Image], settings: &Settings) -> Groups {
    let mut sorted = images.to_vec();
    sorted.sort_by_key(|image| image.row);
    let mut first_of: BTreeMap<[u8; 32], u64> = BTreeMap::new();
    let mut group_of: BTreeMap<u64, u64> = BTreeMap::new();
    let mut representatives: Vec<(u64, u64)> = Vec::new();
    let mut duplicates: BTreeMap<u64, Duplicate> = BTreeMap::new();
    for image in &sorted {
        if let Some(first) = first_of.get(&image.sha256) {
            duplicates.insert(image.row, Duplicate::Exact(here(*first)));
            group_of.insert(image.row, group_of[first]);
            continue;
        }
        first_of.insert(image.sha256, image.row);
        group_of.insert(image.row, image.row);
        let is_flat = settings.flat.contains(image.entropy, image.contrast);
        let Some(Hash64(phash)) = image.phash.filter(|_| !is_flat) else {
            continue;
        };
        let near = representatives.iter().filter_map(|(hash, row)| {
            let distances =
                positions(phash, settings.orientation).map(|at| (at ^ hash).count_ones());
            let distance = distances.min()?;
            (distance <= settings.max_distance).then_some((distance, *row))
        });
        match near.min() {
            Some((_, row)) => {
                duplicates.insert(image.row, Duplicate::Near(here(row)));
                group_of.insert(image.row, row);
            }
            None => representatives.push((phash, image.row)),
        }
    }
    let mut sizes: BTreeMap<u64, u64> = BTreeMap::new();
    for group in group_of.values() {
        *sizes.entry(*group).or_default() += 1;
    }
    let grouped = group_of.into_iter().filter(|(_, group)| sizes[group] > 1);
    grouped
        .map(|(row, group)| (row, (duplicates.get(&row).copied(), group)))
        .collect()
}

/// Pictures in clusters: copies of some, and others with a few bits turned; a few flat, a few without a hash; in no order.
fn clustered(seed: u64, count: u64) -> Vec<Image> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let centres: Vec<u64> = (0..count / 8).map(|_| rng.u64(..)).collect();
    let mut images: Vec<Image> = Vec::new();
    for row in 0..count {
        let earlier = (row > 0 && rng.u8(0..5) == 0).then(|| images[rng.usize(0..images.len())]);
        if let Some(earlier) = earlier {
            images.push(Image { row, ..earlier });
            continue;
        }
        let turned = rng.u32(0..10);
        let centre = centres[rng.usize(0..centres.len())];
        let phash = (0..turned).fold(centre, |hash, _| hash ^ 1 << rng.u32(0..64));
        let mut made = image(row, row, phash);
        match rng.u8(0..20) {
            0 => made.entropy = Some(0.3),
            1 => made.contrast = Some(0.01),
            2 => made.phash = None,
            _ => {}
        }
        images.push(made);
    }
    rng.shuffle(&mut images);
    images
}

#[test]
fn twenty_thousand_rows_give_what_comparing_all_gives() {
    let images = clustered(1, 20_000);
    let settings = Settings::default();
    let (summary, found) = find(&images, &settings);
    let expected = by_comparing_all(&images, &settings);
    assert!(expected.len() > 10_000, "{}", expected.len());
    assert_eq!(groups(&found), expected);
    let repeats = expected.values().filter(|(of, _)| of.is_some()).count() as u64;
    assert_eq!(summary.exact.rows + summary.near.rows, repeats);
    assert_eq!(summary.groups, expected.len() as u64 - repeats);
}

#[test]
fn what_spills_to_disk_is_found_just_the_same() {
    let images = clustered(2, 10_000);
    let in_memory = find(&images, &Settings::default());
    let spilling = Settings {
        sort_bytes: 100_000,
        threads: 1,
        ..Settings::default()
    };
    assert_eq!(find(&images, &spilling), in_memory);
}

#[test]
fn representatives_are_never_near_each_other_and_members_always_near_theirs() {
    let images = clustered(3, 5_000);
    let settings = Settings::default();
    let (_, found) = find(&images, &settings);
    let phash: BTreeMap<u64, u64> = images
        .iter()
        .filter_map(|image| Some((image.row, image.phash?.0)))
        .collect();
    let mut representatives = Vec::new();
    for finding in &found {
        match finding.duplicate {
            Some(Duplicate::Near(of)) => {
                let distance = (phash[&finding.row] ^ phash[&of.row]).count_ones();
                assert!(distance <= 6, "{finding:?}");
            }
            None if finding.group == Some(here(finding.row)) => representatives.push(finding.row),
            _ => {}
        }
    }
    let comparable: Vec<u64> = representatives
        .into_iter()
        .filter_map(|row| {
            let image = images.iter().find(|image| image.row == row)?;
            let is_flat = settings.flat.contains(image.entropy, image.contrast);
            image.phash.filter(|_| !is_flat).map(|hash| hash.0)
        })
        .collect();
    for (position, left) in comparable.iter().enumerate() {
        for right in &comparable[..position] {
            assert!((left ^ right).count_ones() > 6);
        }
    }
}

#[test]
fn a_chain_of_small_changes_does_not_drift() {
    // Each picture differs from the one before it in four bits; the first and the last in 40.
    let images: Vec<Image> = (0..11)
        .map(|row| image(row, row, (1_u64 << (4 * row)) - 1))
        .collect();
    let (_, found) = find(&images, &Settings::default());
    let groups: Vec<u64> = found
        .iter()
        .map(|finding| finding.group.unwrap().row)
        .collect();
    // Row 2 is eight bits from row 0 and becomes a representative; row 3 is four bits from it; and so on.
    assert_eq!(groups, [0, 0, 2, 2, 4, 4, 6, 6, 8, 8]);
}

#[test]
fn an_exact_copy_of_a_near_duplicate_joins_its_group() {
    let images = [
        image(0, 100, 0),
        image(1, 101, 7),
        image(2, 101, 7),
        image(3, 102, !0),
    ];
    let (summary, found) = find(&images, &Settings::default());
    let expected = [
        (0, None),
        (1, Some(Duplicate::Near(here(0)))),
        (2, Some(Duplicate::Exact(here(1)))),
    ];
    let found: Vec<(u64, Option<Duplicate>)> = found
        .iter()
        .map(|finding| {
            assert_eq!(finding.group, Some(here(0)));
            (finding.row, finding.duplicate)
        })
        .collect();
    assert_eq!(found, expected);
    let group = &summary.largest_groups[0];
    assert_eq!((group.members, group.exact), (2, 1));
    assert_eq!((group.representative, group.largest), (here(0), here(1)));
    assert_eq!(group.examples, [here(1), here(2)]);
    assert_eq!((summary.exact.bytes, summary.near.bytes), (11, 11));
}

#[test]
fn flat_images_are_duplicates_of_the_same_bytes_only() {
    let mut images = [
        image(0, 1, 5),
        image(1, 2, 5),
        image(2, 1, 5),
        image(3, 4, 5),
    ];
    for image in &mut images {
        image.entropy = Some(0.2);
    }
    images[3].entropy = Some(7.0);
    let (summary, found) = find(&images, &Settings::default());
    let rows: Vec<u64> = found.iter().map(|finding| finding.row).collect();
    assert_eq!(rows, [0, 2]);
    assert_eq!(
        (summary.flat, summary.exact.rows, summary.near.rows),
        (3, 1, 0)
    );
}

#[test]
fn a_mirrored_image_is_found_only_when_asked_for() {
    let hash = 0x9cb4_1eac_1000_fff7;
    let all: Vec<u64> = positions(hash, Orientation::Turned).collect();
    let near = |at: usize, orientation| {
        let images = [image(0, 1, hash), image(1, 2, all[at] ^ 3)];
        let settings = Settings {
            orientation,
            ..Settings::default()
        };
        find(&images, &settings).0.near.rows
    };
    assert_eq!(near(1, Orientation::Upright), 0);
    assert_eq!(near(1, Orientation::Mirrored), 1);
    assert_eq!(near(5, Orientation::Mirrored), 0);
    for at in 0..8 {
        assert_eq!(near(at, Orientation::Turned), 1);
    }
}

#[test]
fn placeholders_are_the_same_bytes_for_many_rows_of_one_host() {
    let mut images: Vec<Image> = (0..6).map(|row| image(row, 1, 5)).collect();
    images.extend((6..10).map(|row| image(row, row, row << 20)));
    let (summary, found) = find(&images, &Settings::default());
    assert_eq!(summary.placeholders, 6);
    let marked: Vec<u64> = found
        .iter()
        .filter(|finding| finding.is_placeholder)
        .map(|finding| finding.row)
        .collect();
    assert_eq!(marked, [0, 1, 2, 3, 4, 5]);
    let hosts_of_their_own: Vec<Image> = images
        .iter()
        .map(|image| Image {
            host: image.row,
            ..*image
        })
        .collect();
    assert_eq!(
        find(&hosts_of_their_own, &Settings::default())
            .0
            .placeholders,
        0
    );
}

fn finished(images: &[Image], index: Option<&[u8]>) -> Findings {
    let scratch = tempfile::tempdir().unwrap();
    let mut finder = Finder::new(Settings::default(), scratch.path()).unwrap();
    if let Some(index) = index {
        finder.match_against(index).unwrap();
    }
    for image in images {
        finder.add(image).unwrap();
    }
    finder.finish().unwrap()
}

#[test]
fn batches_matched_one_after_the_other_group_as_they_would_together() {
    let all = {
        let mut images = clustered(5, 6_000);
        images.sort_by_key(|image| image.row);
        images
    };
    let (_, together) = find(&all, &Settings::default());
    let mut index: Option<Vec<u8>> = None;
    let mut found: BTreeMap<u64, (Option<Duplicate>, Option<u64>)> = BTreeMap::new();
    for (batch, share) in all.chunks(2_000).enumerate() {
        let offset = 2_000 * batch as u64;
        let renumbered: Vec<Image> = share
            .iter()
            .map(|image| Image {
                row: image.row - offset,
                ..*image
            })
            .collect();
        let mut findings = finished(&renumbered, index.as_deref());
        let labels: Vec<u128> = (0..batch as u128).collect();
        assert_eq!(findings.earlier_batches(), labels);
        let mut next = Vec::new();
        findings.write_index(batch as u128, &mut next).unwrap();
        index = Some(next);
        let global = |origin: Origin| origin.row + 2_000 * u64::from(origin.batch);
        for finding in findings {
            let finding = finding.unwrap();
            let duplicate = finding.duplicate.map(|duplicate| match duplicate {
                Duplicate::Exact(of) => Duplicate::Exact(here(global(of))),
                Duplicate::Near(of) => Duplicate::Near(here(global(of))),
            });
            found.insert(finding.row + offset, (duplicate, finding.group.map(global)));
        }
    }
    let mut expected = BTreeMap::new();
    for finding in together {
        let group = finding.group.map(|group| group.row);
        expected.insert(finding.row, (finding.duplicate, group));
    }
    // Rows that only later batches repeat are not known as representatives in their own; nor is the share of a host.
    let repeats = |all: &BTreeMap<u64, (Option<Duplicate>, Option<u64>)>| {
        let repeats = all.iter().filter(|(_, (duplicate, _))| duplicate.is_some());
        repeats
            .map(|(row, found)| (*row, *found))
            .collect::<BTreeMap<_, _>>()
    };
    assert!(repeats(&expected).len() > 2_000);
    assert_eq!(repeats(&found), repeats(&expected));
}

#[test]
fn a_damaged_index_is_refused_and_never_panics() {
    let mut index = Vec::new();
    let images: Vec<Image> = (0..20).map(|row| image(row, row, row << 33)).collect();
    finished(&images, None).write_index(7, &mut index).unwrap();
    let read = |bytes: &[u8]| {
        let scratch = tempfile::tempdir().unwrap();
        let mut finder = Finder::new(Settings::default(), scratch.path()).unwrap();
        finder.match_against(bytes)
    };
    assert!(read(&index).is_ok());
    for length in 0..index.len() {
        let error = read(&index[..length]).unwrap_err();
        assert!(
            matches!(error, DuplicatesError::InvalidIndex(_)),
            "{length}: {error}"
        );
    }
    let mut longer = index.clone();
    longer.push(0);
    assert!(matches!(
        read(&longer),
        Err(DuplicatesError::InvalidIndex(_))
    ));
    for position in 0..index.len() {
        let mut changed = index.clone();
        changed[position] ^= 0x80;
        // Hashes, labels and sizes may be anything; the rest is told.
        let _ = read(&changed);
    }
}

#[test]
fn an_index_of_other_settings_or_too_late_is_refused() {
    let mut index = Vec::new();
    finished(&[image(0, 0, 0)], None)
        .write_index(7, &mut index)
        .unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let other = Settings {
        max_distance: 5,
        ..Settings::default()
    };
    let mut finder = Finder::new(other, scratch.path()).unwrap();
    let refused = finder.match_against(&index[..]);
    assert!(matches!(refused, Err(DuplicatesError::OtherSettings(_))));
    let mut finder = Finder::new(Settings::default(), scratch.path()).unwrap();
    finder.add(&image(0, 0, 0)).unwrap();
    let refused = finder.match_against(&index[..]);
    assert!(matches!(refused, Err(DuplicatesError::IndexTooLate)));
}

#[test]
fn an_index_keeps_its_format() {
    let mut index = Vec::new();
    let images = [image(0, 1, 0xff), image(1, 2, 0xfe)];
    finished(&images, None)
        .write_index(0x0102, &mut index)
        .unwrap();
    let golden = include_bytes!("index-v1.bin");
    assert_eq!(index, golden, "written");
    let findings = finished(&[image(0, 2, 0)], Some(golden));
    let found: Vec<Finding> = findings.map(Result::unwrap).collect();
    assert_eq!(
        found[0].duplicate,
        Some(Duplicate::Exact(Origin { batch: 0, row: 1 }))
    );
    assert_eq!(found[0].group, Some(Origin { batch: 0, row: 0 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_rows_give_what_comparing_all_gives(
        rows in prop::collection::vec((0_u64..30, 0_u64..64, any::<bool>()), 0..60),
        max_distance in 0_u32..=12,
        turned in 0_usize..3,
    ) {
        let orientation = [Orientation::Upright, Orientation::Mirrored, Orientation::Turned][turned];
        let settings = Settings { max_distance, orientation, sort_bytes: 2_000, threads: 1, ..Settings::default() };
        let mut images: Vec<Image> = rows
            .iter()
            .enumerate()
            .map(|(row, (content, bits, is_flat))| {
                let mut image = image(row as u64, *content, (1 << ((content + bits) % 64)) - 1);
                if *is_flat {
                    image.contrast = Some(0.0);
                }
                image
            })
            .collect();
        images.reverse();
        let (_, found) = find(&images, &settings);
        prop_assert!(found.is_sorted_by_key(|finding| finding.row));
        prop_assert_eq!(groups(&found), by_comparing_all(&images, &settings));
    }
}
