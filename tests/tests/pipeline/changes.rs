//! A list that is analysed again, compared with the batch before.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::{BatchOptions, BatchStatus, Change, Earlier, Outcome, ResultRow};
use http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use http::{HeaderMap, StatusCode, Uri};
use parking_lot::Mutex;
use pipeline::delete::{Deletion, delete};
use pipeline::split::{SplitEnd, SplitSettings, split};
use tokio::net::TcpListener;

use crate::support::{Scene, split_message};

const DATE: &str = "Tue, 24 Nov 2026 12:00:00 GMT";

/// A GIF of one pixel of this colour.
fn image(color: u8) -> Vec<u8> {
    let mut gif = b"GIF89a\x01\x00\x01\x00\x80\x00\x00".to_vec();
    gif.extend([color, color, color, 255, 255, 255]);
    gif.extend(b"\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b");
    gif
}

/// A host whose images have moved on by the second day.
#[derive(Default)]
struct Host {
    is_second_day: bool,
    /// Whole images sent, by path.
    sent: HashMap<String, usize>,
}

async fn answer(State(host): State<Arc<Mutex<Host>>>, uri: Uri, headers: HeaderMap) -> Response {
    let mut host = host.lock();
    let asked = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let path = uri.path();
    let later = host.is_second_day;
    if asked(IF_NONE_MATCH) == Some("\"1\"") && path != "/changed.gif" {
        return (StatusCode::NOT_MODIFIED, [(ETAG, "\"1\"")]).into_response();
    }
    if asked(IF_MODIFIED_SINCE) == Some(DATE) && path == "/dated.gif" {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let answer = match path {
        "/tagged.gif" => ([(ETAG, "\"1\"")], image(1)).into_response(),
        "/dated.gif" => ([(LAST_MODIFIED, DATE)], image(2)).into_response(),
        "/changed.gif" => {
            let tag = if later { "\"2\"" } else { "\"1\"" };
            ([(ETAG, tag)], image(3 + u8::from(later))).into_response()
        }
        "/untagged.gif" => image(5).into_response(),
        "/gone.gif" if !later => image(6).into_response(),
        "/new.gif" => image(7).into_response(),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    *host.sent.entry(path.to_owned()).or_default() += 1;
    answer
}

fn change_of(rows: &[ResultRow], path: &str) -> Option<Change> {
    let row = rows.iter().find(|row| row.url.ends_with(path)).unwrap();
    row.change
}

#[tokio::test]
async fn only_what_changed_is_sent_again_and_every_row_says_what_became_of_it() {
    let scene = Scene::new();
    let host = Arc::new(Mutex::new(Host::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(Arc::clone(&host));
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let list = |paths: &[&str]| {
        let urls: Vec<String> = paths
            .iter()
            .map(|path| format!("{address}{path}"))
            .collect();
        format!("url\n{}\n", urls.join("\n"))
    };

    let before = [
        "/tagged.gif",
        "/dated.gif",
        "/changed.gif",
        "/untagged.gif",
        "/gone.gif",
        "/never.gif",
    ];
    let first = scene.start(list(&before), 2).await;
    scene.drain().await;
    let old = scene.results(first).await;
    assert!(
        old.iter().all(|row| row.change.is_none()),
        "there was nothing to compare with"
    );
    assert_eq!(old[0].etag.as_deref(), Some("\"1\""));
    assert_eq!(old[1].last_modified.as_deref(), Some(DATE));

    host.lock().is_second_day = true;
    // In another order, with one more and one less.
    let now = [
        "/new.gif",
        "/gone.gif",
        "/untagged.gif",
        "/changed.gif",
        "/dated.gif",
        "/tagged.gif",
        "/never.gif",
    ];
    let options = BatchOptions {
        chunk_size: Some(3),
        since: Some(first),
        ..BatchOptions::default()
    };
    let second = scene.start_with(list(&now), options).await;
    scene.drain().await;
    scene.assert_completed(second, 7).await;
    let rows = scene.results(second).await;
    for (path, expected) in [
        ("/tagged.gif", Change::Unchanged),
        ("/dated.gif", Change::Unchanged),
        ("/changed.gif", Change::Changed),
        ("/untagged.gif", Change::Unchanged),
        ("/gone.gif", Change::Gone),
        ("/never.gif", Change::Unchanged),
        ("/new.gif", Change::New),
    ] {
        assert_eq!(change_of(&rows, path), Some(expected), "{path}");
    }
    for (path, times) in [
        ("/tagged.gif", 1),
        ("/dated.gif", 1),
        ("/changed.gif", 2),
        ("/untagged.gif", 2),
    ] {
        assert_eq!(host.lock().sent[path], times, "{path}");
    }
    // What was not sent again is as it was measured then.
    for path in ["/tagged.gif", "/dated.gif"] {
        let of = |rows: &[ResultRow]| rows.iter().find(|row| row.url.ends_with(path)).cloned();
        let (then, now) = (of(&old).unwrap(), of(&rows).unwrap());
        assert_eq!((now.outcome, now.http_status), (Outcome::Ok, Some(304)));
        assert_eq!(
            (now.sha256, now.phash, now.bytes),
            (then.sha256, then.phash, then.bytes)
        );
        assert_eq!(
            (now.etag, now.last_modified),
            (then.etag, then.last_modified)
        );
        assert_eq!((now.width, now.issues), (then.width, then.issues));
    }
    server.abort();
}

#[tokio::test]
async fn a_batch_that_cannot_be_compared_fails_and_says_why() {
    let scene = Scene::new();
    let options = BatchOptions {
        since: Some(domain::ports::Ids::batch_id(&domain::ports::UlidIds)),
        ..BatchOptions::default()
    };
    let id = scene.start_with(scene.good_list(2), options).await;
    scene.drain().await;
    let batch = scene.batch(id).await;
    assert_eq!(batch.status, BatchStatus::Failed);
    assert!(batch.failure.unwrap().contains("compare"));
}

#[tokio::test]
async fn a_process_that_continues_its_split_does_not_gather_the_earlier_rows_again() {
    let scene = Scene::new();
    let first = scene.start(scene.good_list(3), 10).await;
    scene.drain().await;
    let options = BatchOptions {
        chunk_size: Some(1),
        since: Some(first),
        ..BatchOptions::default()
    };
    let second = scene.start_with(scene.good_list(110), options).await;
    let settings = SplitSettings {
        soft_deadline: Some(Instant::now()),
        ..scene.split_settings()
    };
    let message = split_message(second);
    let end = split(&scene.ports, &settings, &message).await.unwrap();
    assert!(matches!(end, SplitEnd::Continued(_)), "{end:?}");
    // Whoever gathers now finds nothing.
    let deleted = delete(&scene.ports, first).await.unwrap();
    assert_eq!(deleted, Deletion::Deleted);
    let end = split(&scene.ports, &settings, &message).await.unwrap();
    assert!(matches!(end, SplitEnd::Done(_)), "{end:?}");
    let rows = scene.chunks(second).await.concat();
    assert_eq!(rows.len(), 110);
    for row in rows {
        let is_known = matches!(row.earlier, Some(Earlier::Known(_)));
        assert_eq!(is_known, row.row < 3, "row {}", row.row);
        assert!(row.earlier.is_some(), "row {}", row.row);
    }
}
