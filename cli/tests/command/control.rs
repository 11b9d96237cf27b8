//! What an owner can do to a batch that the engine is at work on, over a socket.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::serve::{Server, TOKEN};
use crate::support::{Scene, image_names};

const PATIENCE: Duration = Duration::from_secs(60);

impl Server {
    pub(crate) fn post(&self, path: &str, body: &str) -> Value {
        let json = "application/json";
        let (status, answer) = self.ask("POST", path, TOKEN, json, body.as_bytes());
        assert!((200..300).contains(&status), "{answer}");
        answer
    }

    /// Asks for a batch until `is_so`.
    fn wait_until(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let detail = self.get(&format!("/api/v1/batches/{id}"));
            if is_so(&detail) {
                return detail;
            }
            assert!(started.elapsed() < PATIENCE, "{detail}");
            sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn no_request_leaves_two_seconds_after_a_cancel_and_the_counts_add_up_to_the_list() {
    const ROWS: u64 = 50_000;
    let scene = Scene::new();
    let server = Server::start(&scene);
    let list = scene.good_list(ROWS as usize, &image_names());
    let (status, accepted) = server.upload(&list, &[("measure", "header")]);
    assert_eq!(status, 202, "{accepted}");
    let id = accepted["batch_id"].as_str().expect("an id");
    server.wait_until(id, |detail| detail["progress"]["ok"].as_u64() > Some(0));

    let answer = server.post(&format!("/api/v1/batches/{id}/cancel"), "");
    let acknowledged = Instant::now();
    assert_eq!(answer["status"], "CANCELLED");
    let detail = server.wait_until(id, |detail| detail["report_ready"] == true);
    let arrivals: Vec<Instant> = scene.origin.loads().remove(0).1.arrivals;
    assert_eq!(arrivals.len() as u64, scene.origin.requests());
    assert!(
        (arrivals.len() as u64) < ROWS,
        "it was cancelled too late to show anything"
    );
    let last = arrivals.iter().max().expect("a request");
    let after = last.saturating_duration_since(acknowledged);
    assert!(after < Duration::from_secs(2), "{after:?} after the cancel");
    assert_eq!(detail["status"], "CANCELLED");
    let progress = &detail["progress"];
    assert_eq!(progress["rows_total"], ROWS);
    assert_eq!(progress["rows_done"], ROWS);
    let by_outcome = progress["by_outcome"].as_object().expect("counts");
    let sum: u64 = by_outcome.values().filter_map(Value::as_u64).sum();
    assert_eq!(sum, ROWS);
    let cancelled = by_outcome["cancelled"].as_u64().expect("a count");
    assert!(cancelled > 0 && cancelled < ROWS, "{progress}");
    let report = server.get(&format!("/api/v1/batches/{id}/report"));
    assert_eq!(report["by_outcome"], progress["by_outcome"]);
}

#[test]
fn a_list_that_comes_during_a_pause_waits_for_its_end() {
    let scene = Scene::new();
    let server = Server::start(&scene);
    let intake = "/api/v1/system/intake";
    assert_eq!(server.post(intake, r#"{"paused": true}"#)["paused"], true);
    // Until the engine has looked, and the receive that was under way has ended.
    sleep(Duration::from_millis(2_500));
    let (status, accepted) = server.upload(&scene.good_list(5, &image_names()), &[]);
    assert_eq!(status, 202, "{accepted}");
    let id = accepted["batch_id"].as_str().expect("an id");
    sleep(Duration::from_millis(1_500));
    let detail = server.get(&format!("/api/v1/batches/{id}"));
    assert_eq!(detail["status"], "QUEUED");
    assert_eq!(scene.origin.requests(), 0);
    server.post(intake, r#"{"paused": false}"#);
    let detail = server.wait_until_ended(id);
    assert_eq!(detail["status"], "COMPLETED");
    assert_eq!(detail["progress"]["ok"], 5);
}
