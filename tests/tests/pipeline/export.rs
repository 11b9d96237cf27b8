//! What a person gets to read: pages of results and the whole table.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use domain::{BatchId, Issue, Outcome, ResultRow, keys};
use exports::export;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use pipeline::analyze_chunk::Budget;
use pipeline::export::ExportFormat;
use pipeline::results::{ResultFilter, results_page};

use crate::support::Scene;

/// Two chunks, the first in two parts: a slow row in its middle belongs to a later part than its neighbours.
async fn a_batch_in_several_parts(scene: &Scene) -> BatchId {
    let url = |path: &str| scene.origin.url(path);
    let list = [
        format!("{},plain", url("/image/plain.jpeg")),
        format!("{},=1+1", url("/slow/1500/dark.jpeg")),
        format!("{},dark", url("/image/dark.jpeg")),
        format!("{},again", url("/image/plain.jpeg")),
        "not a url,\"quoted \"\"cell\"\", with comma\"".to_owned(),
        format!("{},", url("/image/plain.jpeg?5")),
        format!("{},dark too", url("/image/dark.jpeg?2")),
        format!("{},-5", url("/status/404")),
    ];
    let list = format!("url,note\n{}\n", list.join("\n"));
    let (id, messages) = scene.start_and_split(list, 4).await;
    let budget = Budget {
        soft_deadline: Some(Instant::now() + Duration::from_millis(1_000)),
        ..Budget::default()
    };
    scene.analyze_within(messages[0], budget).await;
    scene.analyze(messages[1]).await;
    assert_eq!(scene.counters(id).await.rows, 7);
    scene.drain().await;
    scene.assert_completed(id, 8).await;
    let numbers = |part: &Vec<ResultRow>| part.iter().map(|row| row.row).collect();
    let parts: Vec<Vec<u64>> = scene.parts(id).await.iter().map(numbers).collect();
    assert_eq!(parts, [vec![0, 2, 3], vec![1], vec![4, 5, 6, 7]]);
    id
}

async fn table(scene: &Scene, id: BatchId, format: ExportFormat, rows: u64) -> String {
    let mut sink = Vec::new();
    let written = export(&scene.ports, id, format, &mut sink).await.unwrap();
    assert_eq!(written, rows);
    String::from_utf8(sink).unwrap()
}

/// Rows without what the end of their batch added to them: which others they are the same as.
fn as_stored(mut rows: Vec<ResultRow>) -> Vec<ResultRow> {
    for row in &mut rows {
        row.duplicate_group = None;
        if row.outcome != Outcome::DuplicateUrl {
            row.duplicate_of = None;
        }
        row.issues.retain(|issue| {
            let of_many = [
                Issue::Placeholder,
                Issue::ExactDuplicate,
                Issue::NearDuplicate,
            ];
            !of_many.contains(issue)
        });
    }
    rows
}

/// Every page of a listing in turn.
async fn pages(
    scene: &Scene,
    id: BatchId,
    filter: &ResultFilter,
    limit: usize,
) -> Vec<Vec<ResultRow>> {
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = results_page(&scene.ports, id, filter, after.as_ref(), limit)
            .await
            .unwrap();
        pages.push(page.rows);
        if page.next.is_none() {
            return pages;
        }
        assert_ne!(page.next, after, "a page leads on");
        after = page.next;
    }
}

#[tokio::test]
async fn both_tables_hold_the_same_rows_in_list_order_whatever_part_they_came_in() {
    let scene = Scene::new();
    let id = a_batch_in_several_parts(&scene).await;
    let ndjson = table(&scene, id, ExportFormat::Ndjson, 8).await;
    let rows: Vec<ResultRow> = ndjson
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(as_stored(rows.clone()), scene.results(id).await);

    let csv = table(&scene, id, ExportFormat::Csv, 8).await;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let records: Vec<BTreeMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
    assert_eq!(records.len(), rows.len());
    let shown = |number: Option<u64>| number.map_or(String::new(), |number| number.to_string());
    for (record, row) in records.iter().zip(&rows) {
        assert_eq!(record["batch"], id.to_string());
        assert_eq!(record["row"], row.row.to_string());
        assert_eq!(record["url"], row.url);
        assert_eq!(record["outcome"], row.outcome.as_str());
        assert_eq!(record["detail"], row.detail.clone().unwrap_or_default());
        assert_eq!(record["width"], shown(row.width.map(u64::from)));
        assert_eq!(record["bytes"], shown(row.bytes));
        assert_eq!(record["sha256"], row.sha256.clone().unwrap_or_default());
        assert_eq!(record["duplicate_of"], shown(row.duplicate_of));
        let issues: Vec<&str> = row.issues.iter().map(|issue| issue.as_str()).collect();
        assert_eq!(record["issues"], issues.join(";"));
    }
    // Carried columns: as they are in NDJSON, safe to open in a spreadsheet in CSV.
    let note = |row: usize| rows[row].extra["note"].as_str();
    assert_eq!((note(1), note(7)), (Some("=1+1"), Some("-5")));
    assert_eq!(note(4), Some("quoted \"cell\", with comma"));
    assert_eq!(records[1]["extra_note"], "'=1+1");
    assert_eq!(records[7]["extra_note"], "-5");
    assert_eq!(records[4]["extra_note"], "quoted \"cell\", with comma");
}

#[tokio::test]
async fn pages_of_any_length_show_every_row_once() {
    let scene = Scene::new();
    let id = a_batch_in_several_parts(&scene).await;
    let everything = scene.parts(id).await.concat();
    let dark = ResultFilter {
        issue: Some(Issue::Dark),
        ..ResultFilter::default()
    };
    let outcome = |outcome| ResultFilter {
        outcome: Some(outcome),
        ..ResultFilter::default()
    };
    let both = ResultFilter {
        outcome: Some(Outcome::NotFound),
        issue: Some(Issue::Dark),
        ..ResultFilter::default()
    };
    let cases = [
        (ResultFilter::default(), 8),
        (outcome(Outcome::Ok), 5),
        (outcome(Outcome::NotFound), 1),
        (outcome(Outcome::Timeout), 0),
        (dark, 3),
        (both, 0),
    ];
    for (filter, count) in cases {
        let mut expected = everything.clone();
        expected.retain(|row| filter.outcome.is_none_or(|outcome| row.outcome == outcome));
        expected.retain(|row| filter.issue.is_none_or(|issue| row.issues.contains(&issue)));
        assert_eq!(expected.len(), count, "{filter:?}");
        for limit in [1, 2, 3, 5, 8, 100] {
            let pages = pages(&scene, id, &filter, limit).await;
            let shown = as_stored(pages.concat());
            assert_eq!(shown, expected, "{filter:?}, {limit} a page");
            for page in &pages[..pages.len() - 1] {
                assert_eq!(page.len(), limit, "{filter:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_batch_that_is_not_finished_shows_what_is_committed() {
    let scene = Scene::new();
    let (id, messages) = scene.start_and_split(scene.good_list(5), 2).await;
    let all = ResultFilter::default();
    assert_eq!(pages(&scene, id, &all, 10).await, [vec![]]);
    assert_eq!(table(&scene, id, ExportFormat::Ndjson, 0).await, "");
    scene.analyze(messages[1]).await;
    let rows = pages(&scene, id, &all, 1).await.concat();
    let numbers: Vec<u64> = rows.iter().map(|row| row.row).collect();
    assert_eq!(numbers, [2, 3]);
    let csv = table(&scene, id, ExportFormat::Csv, 2).await;
    assert_eq!(csv.lines().count(), 3);
}

#[tokio::test]
async fn what_no_row_is_like_is_found_without_reading_them() {
    let scene = Scene::new();
    let id = a_batch_in_several_parts(&scene).await;
    for key in scene.keys_below(&keys::results(id)).await {
        let garbage = PutPayload::from("no result");
        let path = Path::from(key);
        scene.ports.objects.put(&path, garbage).await.unwrap();
    }
    let of_outcome = |outcome| ResultFilter {
        outcome: Some(outcome),
        ..ResultFilter::default()
    };
    let none = of_outcome(Outcome::Timeout);
    assert_eq!(pages(&scene, id, &none, 10).await, [vec![]]);
    let small = ResultFilter {
        issue: Some(Issue::TypeMismatch),
        ..ResultFilter::default()
    };
    assert_eq!(pages(&scene, id, &small, 10).await, [vec![]]);
    // Where there is one, and where nobody counts, they are read.
    let duplicates = ResultFilter {
        issue: Some(Issue::NearDuplicate),
        ..ResultFilter::default()
    };
    for filter in [of_outcome(Outcome::Ok), duplicates] {
        let page = results_page(&scene.ports, id, &filter, None, 10).await;
        assert!(page.is_err());
    }
}
