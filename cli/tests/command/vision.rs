//! Labels by a model that stands in on loop-back.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use test_support::vision_provider::{KeyRules, StandInProvider};
use test_support::vision_server::VisionServer;
use tokio::runtime::Runtime;

use crate::serve::Server;
use crate::support::{Scene, image_names, imgsweep, output, read_ndjson, run_command};

/// The provider, for as long as its runtime is there.
struct Model {
    provider: Arc<StandInProvider>,
    server: VisionServer,
    _runtime: Runtime,
}

impl Model {
    fn start(latency: Duration) -> Self {
        let rules = KeyRules {
            per_minute: 100_000,
            ..KeyRules::default()
        };
        let provider = StandInProvider::new([("good".to_owned(), rules)], latency);
        let provider = Arc::new(provider);
        let runtime = Runtime::new().expect("a runtime");
        let server = runtime.block_on(VisionServer::start(Arc::clone(&provider)));
        Self {
            provider,
            server,
            _runtime: runtime,
        }
    }

    /// Tells `command` where to ask, and how fast.
    fn tell<'c>(&self, command: &'c mut Command, scene: &Scene) -> &'c mut Command {
        command
            .env("VISION_PROVIDER", "openai")
            .env("VISION_MODEL", "stand-in")
            .env("VISION_KEYS", "good")
            .env("VISION_BASE_URL", self.server.base_url())
            .env("VISION_START_RPM", "60000")
            .env("VISION_MAX_RPM", "60000")
            .env("VISION_BURST", "100")
            .env("VISION_PRICE_PER_CALL", "0.001")
            .env("CACHE_DIR", scene.path("cache"))
    }
}

fn distinct(rows: &[Value]) -> BTreeSet<&str> {
    rows.iter()
        .filter(|row| row["outcome"] == "ok")
        .map(|row| row["sha256"].as_str().expect("a hash"))
        .collect()
}

fn report(output: &Path) -> Value {
    let text = std::fs::read_to_string(output.join("report.json")).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn runs_at_the_same_time_and_later_ones_pay_for_each_image_once() {
    let scene = Scene::new();
    let model = Model::start(Duration::from_millis(50));
    let list = scene.write("list.csv", scene.good_list(80, &image_names()));
    let outputs = ["first", "second"].map(|name| scene.path(name));
    let running = outputs.each_ref().map(|output| {
        let mut command = run_command(&list, output);
        let command = model.tell(&mut command, &scene);
        command.args(["--vision-budget", "5"]);
        command.spawn().expect("it starts")
    });
    for mut child in running {
        assert!(child.wait().expect("it ends").success());
    }
    let rows = read_ndjson(&outputs[0].join("results.ndjson"));
    let paid = distinct(&rows).len() as u64;
    assert!(paid > 20, "{paid}");
    for row in rows.iter().filter(|row| row["outcome"] == "ok") {
        assert_eq!(row["vision"]["labels"][0]["name"], "shoe", "{row}");
        assert_eq!(row["vision"]["provider"], "openai/stand-in");
    }
    assert_eq!(model.provider.paid_calls(), paid, "both runs together");
    let calls = outputs
        .each_ref()
        .map(|output| report(output)["vision"].clone());
    let sum = |name: &str| {
        calls
            .iter()
            .filter_map(|vision| vision[name].as_u64())
            .sum::<u64>()
    };
    assert_eq!(sum("calls"), paid);
    assert_eq!(sum("micro_usd"), paid * 1_000);

    let later = scene.path("later");
    let ran = output(model.tell(&mut run_command(&list, &later), &scene));
    assert!(ran.status.success());
    assert_eq!(model.provider.paid_calls(), paid, "nothing is paid again");
    let vision = &report(&later)["vision"];
    assert_eq!(vision["reused"], vision["expected"]);
    let shown = String::from_utf8(ran.stdout).expect("text");
    assert!(shown.contains("What images show: "), "{shown}");

    let mut forget = imgsweep();
    forget.args(["cache", "invalidate", "V#*"]);
    forget.env("CACHE_DIR", scene.path("cache"));
    assert!(output(&mut forget).status.success());
    let anew = scene.path("anew");
    let ran = output(model.tell(&mut run_command(&list, &anew), &scene));
    assert!(ran.status.success());
    assert_eq!(model.provider.paid_calls(), 2 * paid, "all is paid anew");
}

#[test]
fn a_budget_without_prices_is_refused() {
    let scene = Scene::new();
    let list = scene.write("list.csv", "url\n");
    let mut command = run_command(&list, &scene.path("out"));
    command
        .env("VISION_PROVIDER", "openai")
        .env("VISION_MODEL", "stand-in")
        .env("VISION_KEYS", "good")
        .args(["--vision-budget", "5"]);
    let refused = output(&mut command);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).expect("text");
    assert!(said.contains("VISION_PRICE_INPUT"), "{said}");
}

#[test]
fn a_server_that_lost_its_model_ends_the_batches_that_wait_for_it() {
    let scene = Scene::new();
    // Longer than the test takes: nothing is labelled before the server is killed.
    let model = Model::start(Duration::from_secs(600));
    let list = scene.good_list(30, &image_names());
    let server = Server::start_with(&scene, |command| {
        model.tell(command, &scene);
    });
    let (status, accepted) = server.upload(&list, &[("vision", r#"{"priority":"high"}"#)]);
    assert_eq!(status, 202, "{accepted}");
    let id = accepted["batch_id"].as_str().expect("an id").to_owned();
    let started = Instant::now();
    while model.provider.paid_calls() == 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "nobody asks");
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(server);

    let server = Server::start(&scene);
    let (status, refused) = server.upload(&list, &[("vision", "true")]);
    assert_eq!(status, 400, "{refused}");
    let ended = server.wait_until_ended(&id);
    assert_eq!(ended["status"], "COMPLETED", "{ended}");
    // What is known of rows once all are done comes with the report.
    let started = Instant::now();
    let mut results = Value::Null;
    while results["data"][0]["vision"].is_null() && started.elapsed() < Duration::from_secs(30) {
        results = server.get(&format!("/api/v1/batches/{id}/results?limit=5"));
        std::thread::sleep(Duration::from_millis(50));
    }
    let error = &results["data"][0]["vision"]["error"];
    assert_eq!(error, "there is no vision provider any more", "{results}");
}
