//! Images that are the same: found when a batch has ended, shown wherever its rows are.

use std::collections::BTreeMap;

use domain::{BatchId, BatchOptions, Counters, DuplicateOptions, Issue, Outcome, ResultRow, keys};
use exports::export;
use pipeline::export::ExportFormat;
use pipeline::finalize::{finalize, read_report};
use pipeline::results::{ResultFilter, results_page};
use pipeline::retry::retry;

use crate::support::Scene;

/// Row 0 and its copies (2, 3, 5, 6), a near copy of it (1), a picture of its own (4), and one that is not there (7).
fn list(scene: &Scene) -> String {
    let paths = [
        "/image/plain.jpeg?0",
        "/image/near-copy.jpeg",
        "/image/plain.jpeg?2",
        "/image/plain.jpeg?3",
        "/image/flat.jpeg",
        "/image/plain.jpeg?5",
        "/image/plain.jpeg?6",
        "/status/404",
    ];
    let urls = paths.map(|path| scene.origin.url(path));
    format!("url\n{}\n", urls.join("\n"))
}

async fn ended(scene: &Scene) -> BatchId {
    let id = scene.start(list(scene), 3).await;
    scene.drain().await;
    assert!(scene.batch(id).await.report_ready);
    id
}

/// The objects with what is known of rows, without the index for later batches.
async fn annotations(scene: &Scene, id: BatchId) -> Vec<String> {
    let mut keys = scene.keys_below(&keys::annotations(id)).await;
    keys.retain(|key| *key != keys::duplicate_index(id, 0));
    keys
}

async fn exported(scene: &Scene, id: BatchId) -> Vec<ResultRow> {
    let mut sink = Vec::new();
    export(&scene.ports, id, ExportFormat::Ndjson, &mut sink)
        .await
        .unwrap();
    let text = String::from_utf8(sink).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Of each row: what it repeats, its group, and what is wrong with it as one of many.
fn relations(rows: &[ResultRow]) -> Vec<(Option<u64>, Option<u64>, Vec<Issue>)> {
    let of_many = [
        Issue::Placeholder,
        Issue::ExactDuplicate,
        Issue::NearDuplicate,
    ];
    rows.iter()
        .map(|row| {
            let issues = row.issues.iter().copied();
            let issues = issues.filter(|issue| of_many.contains(issue)).collect();
            (row.duplicate_of, row.duplicate_group, issues)
        })
        .collect()
}

fn expected() -> Vec<(Option<u64>, Option<u64>, Vec<Issue>)> {
    let copy = || {
        let issues = vec![Issue::Placeholder, Issue::ExactDuplicate];
        (Some(0), Some(0), issues)
    };
    vec![
        (None, Some(0), vec![Issue::Placeholder]),
        (Some(0), Some(0), vec![Issue::NearDuplicate]),
        copy(),
        copy(),
        (None, None, vec![]),
        copy(),
        copy(),
        (None, None, vec![]),
    ]
}

#[tokio::test]
async fn duplicates_are_shown_in_tables_pages_and_the_report() {
    let scene = Scene::new();
    let id = ended(&scene).await;
    let rows = exported(&scene, id).await;
    assert_eq!(relations(&rows), expected());

    let mut csv = Vec::new();
    export(&scene.ports, id, ExportFormat::Csv, &mut csv)
        .await
        .unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_slice());
    let records: Vec<BTreeMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
    for (record, row) in records.iter().zip(&rows) {
        let issues: Vec<&str> = row.issues.iter().map(|issue| issue.as_str()).collect();
        assert_eq!(record["issues"], issues.join(";"));
        let group = row.duplicate_group.map(|group| group.to_string());
        assert_eq!(record["duplicate_group"], group.unwrap_or_default());
    }

    for (issue, numbers) in [
        (Issue::ExactDuplicate, vec![2, 3, 5, 6]),
        (Issue::NearDuplicate, vec![1]),
        (Issue::Placeholder, vec![0, 2, 3, 5, 6]),
    ] {
        let filter = ResultFilter {
            issue: Some(issue),
            ..ResultFilter::default()
        };
        let page = results_page(&scene.ports, id, &filter, None, 100)
            .await
            .unwrap();
        let found: Vec<u64> = page.rows.iter().map(|row| row.row).collect();
        assert_eq!(found, numbers, "{issue}");
        for row in &page.rows {
            assert_eq!(*row, rows[row.row as usize]);
        }
    }

    let report = finalize(&scene.ports, id).await.unwrap().unwrap();
    let recount: Counters = rows.iter().collect();
    assert_eq!(report.counters, recount);
    let found = &report.duplicates;
    assert_eq!((found.groups, found.placeholder_rows), (1, 5));
    assert_eq!((found.exact_rows, found.near_rows), (4, 1));
    assert_eq!(found.exact_bytes, 4 * rows[0].bytes.unwrap());
    assert_eq!(found.near_bytes, rows[1].bytes.unwrap());
    let group = &found.largest_groups[0];
    assert_eq!((group.representative, group.rows), (0, 6));
    assert_eq!(group.exact_rows, 4);
    assert_eq!(group.url, rows[0].url);
    assert_eq!(group.largest, 0, "the near copy is smaller");
    assert_eq!(group.examples, [1, 2, 3, 5, 6]);
}

#[tokio::test]
async fn a_second_finalize_writes_the_same() {
    let scene = Scene::new();
    let id = ended(&scene).await;
    let everything = async || {
        let mut objects = BTreeMap::new();
        for key in annotations(&scene, id).await {
            let lines = scene.lines(&key).await;
            objects.insert(key, lines);
        }
        objects
    };
    let first = everything().await;
    assert_eq!(first.len(), 1);
    finalize(&scene.ports, id).await.unwrap().unwrap();
    assert_eq!(everything().await, first);
    assert_eq!(relations(&exported(&scene, id).await), expected());
}

#[tokio::test]
async fn nothing_is_said_of_the_whole_while_rows_are_done_again() {
    let scene = Scene::new();
    let id = ended(&scene).await;
    retry(&scene.ports, id, &[Outcome::NotFound]).await.unwrap();
    let page = results_page(&scene.ports, id, &ResultFilter::default(), None, 100)
        .await
        .unwrap();
    let nothing = vec![(None, None, vec![]); page.rows.len()];
    assert_eq!(relations(&page.rows), nothing);
    scene.drain().await;
    assert_eq!(scene.batch(id).await.generation(), 1);
    assert_eq!(relations(&exported(&scene, id).await), expected());
}

#[tokio::test]
async fn annotations_are_sorted_by_row_and_go_with_their_batch() {
    let scene = Scene::new();
    let id = ended(&scene).await;
    let below = keys::annotations(id);
    let [key] = annotations(&scene, id).await.try_into().unwrap();
    assert_eq!(key, keys::annotation(id, 0, 0));
    let all = scene.keys_below(&below).await;
    assert!(all.contains(&keys::duplicate_index(id, 0)), "{all:?}");
    let lines = scene.lines(&key).await;
    assert_eq!(
        lines[0],
        r#"{"row":0,"duplicate_group":0,"issues":["placeholder"]}"#
    );
    let rows: Vec<serde_json::Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(rows.is_sorted_by_key(|row| row["row"].as_u64()));
    pipeline::delete::delete(&scene.ports, id).await.unwrap();
    assert!(scene.keys_below(&below).await.is_empty());
}

/// Options that match a batch against an earlier one.
fn against(earlier: BatchId, distance: u32) -> BatchOptions {
    BatchOptions {
        chunk_size: Some(3),
        duplicates: Some(DuplicateOptions {
            distance,
            against: Some(earlier),
            ..DuplicateOptions::default()
        }),
        ..BatchOptions::default()
    }
}

async fn ended_with(scene: &Scene, paths: &[&str], options: BatchOptions) -> BatchId {
    let urls: Vec<String> = paths.iter().map(|path| scene.origin.url(path)).collect();
    let list = format!("url\n{}\n", urls.join("\n"));
    let id = scene.start_with(list, options).await;
    scene.drain().await;
    assert!(scene.batch(id).await.report_ready);
    id
}

#[tokio::test]
async fn a_batch_is_matched_with_an_earlier_one_and_a_third_with_both() {
    let scene = Scene::new();
    let paths = ["/image/plain.jpeg?0", "/image/near-copy.jpeg"];
    let first = ended_with(&scene, &paths, BatchOptions::default()).await;
    // New, a copy of the first batch's row 0, its near copy, and a copy of the new one.
    let paths = [
        "/image/flat.jpeg",
        "/image/plain.jpeg?8",
        "/image/near-copy.jpeg?9",
        "/image/flat.jpeg?10",
    ];
    let second = ended_with(&scene, &paths, against(first, 6)).await;
    let rows = exported(&scene, second).await;
    let of = |row: &ResultRow| {
        let of = row.duplicate_of.map(|of| (row.duplicate_of_batch, of));
        let group = row
            .duplicate_group
            .map(|group| (row.duplicate_group_batch, group));
        (of, group)
    };
    let earlier = |row| Some((Some(first), row));
    let own = |row| Some((None, row));
    assert_eq!(of(&rows[0]), (None, own(0)));
    assert_eq!(of(&rows[1]), (earlier(0), earlier(0)));
    // The first batch had the same near copy, as its row 1; both look like its row 0.
    assert_eq!(of(&rows[2]), (earlier(1), earlier(0)));
    assert_eq!(of(&rows[3]), (own(0), own(0)));
    assert!(rows[1].issues.contains(&Issue::ExactDuplicate));

    let report = read_report(&scene.ports, second).await.unwrap().unwrap();
    let found = report.duplicates;
    assert_eq!((found.earlier_batches, found.not_compared), (1, None));
    assert_eq!((found.groups, found.exact_rows, found.near_rows), (2, 3, 0));
    let group = &found.largest_groups[0];
    assert_eq!((group.batch, group.representative), (Some(first), 0));
    assert_eq!((group.rows, group.exact_rows), (2, 2));
    assert_eq!(group.url, scene.origin.url("/image/plain.jpeg?0"));

    // A group is asked for with its batch: row 0 of this one is in another.
    for (group_batch, numbers) in [(None, vec![0, 3]), (Some(first), vec![1, 2])] {
        let filter = ResultFilter {
            group: Some(0),
            group_batch,
            ..ResultFilter::default()
        };
        let page = results_page(&scene.ports, second, &filter, None, 100).await;
        let page: Vec<u64> = page.unwrap().rows.iter().map(|row| row.row).collect();
        assert_eq!(page, numbers);
    }

    let third = ended_with(&scene, &["/image/flat.jpeg?11"], against(second, 6)).await;
    let rows = exported(&scene, third).await;
    assert_eq!(
        of(&rows[0]),
        (Some((Some(second), 0)), Some((Some(second), 0)))
    );
}

#[tokio::test]
async fn what_cannot_be_matched_leaves_a_report_that_says_so() {
    let scene = Scene::new();
    let first = ended(&scene).await;
    let paths = ["/image/plain.jpeg?8", "/image/plain.jpeg?9"];
    let other_distance = ended_with(&scene, &paths, against(first, 5)).await;
    let report = read_report(&scene.ports, other_distance).await.unwrap();
    let found = report.unwrap().duplicates;
    assert_eq!((found.earlier_batches, found.exact_rows), (0, 1));
    let said = found.not_compared.unwrap();
    assert!(said.contains("distance"), "{said}");

    let id = scene
        .start_with(
            format!("url\n{}\n", scene.origin.url(paths[0])),
            against(first, 6),
        )
        .await;
    pipeline::delete::delete(&scene.ports, first).await.unwrap();
    scene.drain().await;
    let report = read_report(&scene.ports, id).await.unwrap().unwrap();
    let said = report.duplicates.not_compared.unwrap();
    assert!(said.contains("no index"), "{said}");
}

#[tokio::test]
async fn a_smaller_distance_finds_fewer() {
    let scene = Scene::new();
    let options = BatchOptions {
        duplicates: Some(DuplicateOptions {
            distance: 0,
            ..DuplicateOptions::default()
        }),
        ..BatchOptions::default()
    };
    let paths = ["/image/plain.jpeg?0", "/image/near-copy.jpeg"];
    let strict = ended_with(&scene, &paths, options).await;
    let usual = ended_with(&scene, &paths, BatchOptions::default()).await;
    for (id, near_rows) in [(strict, 0), (usual, 1)] {
        let report = read_report(&scene.ports, id).await.unwrap().unwrap();
        assert_eq!(report.duplicates.near_rows, near_rows);
    }
}
