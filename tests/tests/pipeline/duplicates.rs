//! Images that are the same: found when a batch has ended, shown wherever its rows are.

use std::collections::BTreeMap;

use domain::{BatchId, Counters, Issue, Outcome, ResultRow, keys};
use exports::export;
use pipeline::export::ExportFormat;
use pipeline::finalize::finalize;
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
        for key in scene.keys_below(&keys::annotations(id)).await {
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
    let [key] = scene.keys_below(&below).await.try_into().unwrap();
    assert_eq!(key, keys::annotation(id, 0, 0));
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
