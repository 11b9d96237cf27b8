//! One deployment: a stack of its own, every function, its event sources, and a client of its API.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use adapters_aws::{Aws, Settings};
use aws_emulators::Stack;
use bytes::Bytes;
use domain::ports::Queue;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use imgsweep_tests::lambda::{EventSource, Function, FunctionSettings, Gateway};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::task::JoinSet;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const FUNCTIONS: [&str; 7] = [
    "upload",
    "api",
    "fan-out",
    "analyze",
    "emit-metrics",
    "finalize",
    "janitor",
];
/// The token of the tests; it must not be found in any log.
const TOKEN: &str = "canary-of-a-token";
/// Longer than any journey takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(420);

/// What is different from a deployment on a good day.
#[derive(Default)]
pub(crate) struct Circumstances {
    /// How long every message stays hidden; six times the time-out of its function when unset.
    pub(crate) visibility: Option<Duration>,
    /// Where functions ask for a service, such as `DYNAMODB`; event sources ask it directly.
    pub(crate) endpoints: Vec<(&'static str, String)>,
    /// Invocations of the analyser at once; two when unset.
    pub(crate) analyzers: Option<usize>,
}

pub(crate) struct Deployment {
    pub(crate) janitor: Arc<Function>,
    /// Every function, by name.
    pub(crate) functions: BTreeMap<&'static str, Arc<Function>>,
    gateway: Gateway,
    client: Client<HttpConnector, Full<Bytes>>,
    logs: TempDir,
    /// Ends the event sources.
    _sources: JoinSet<()>,
}

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after_s: Option<u64>,
    pub(crate) body: Value,
}

impl Deployment {
    pub(crate) async fn start() -> Self {
        Self::start_in(Circumstances::default()).await
    }

    pub(crate) async fn start_in(circumstances: Circumstances) -> Self {
        let binaries = binaries();
        let stack = Stack::create().await;
        let digest = Sha256::digest(TOKEN);
        let hash = digest
            .iter()
            .fold(String::new(), |hash, byte| hash + &format!("{byte:02x}"));
        let tokens = json!({ "tests": hash }).to_string();
        let secret = stack.create_secret(&tokens).await;
        stack.announce_uploads().await;

        let direct = stack.variables().clone();
        let mut environment = direct.clone();
        for (service, address) in circumstances.endpoints {
            environment.insert(format!("AWS_ENDPOINT_URL_{service}"), address);
        }
        for (name, value) in [
            ("ENVIRONMENT", "production"),
            ("API_TOKENS_SECRET", secret.as_str()),
            ("ALLOW_PRIVATE", "127.0.0.0/8"),
            ("MAX_CONCURRENT_REQUESTS", "64"),
            ("MAX_CONCURRENT_PER_HOST", "64"),
        ] {
            environment.insert(name.to_owned(), value.to_owned());
        }
        let logs = tempfile::tempdir().unwrap();
        let function = |name: &str, timeout_s, concurrency| {
            Function::new(FunctionSettings {
                name: name.to_owned(),
                binary: binaries.join(name),
                environment: environment.clone(),
                timeout: Duration::from_secs(timeout_s),
                memory_mib: 1_769,
                concurrency,
                log: Some(logs.path().join(name)),
            })
        };
        let mut functions = BTreeMap::new();
        let mut sources = JoinSet::new();
        let queue = Aws::new(settings(&direct)).unwrap().queue();
        let analyzers = circumstances.analyzers.unwrap_or(2);
        for (from, name, timeout_s, concurrency, batch_size, window_s) in [
            (Queue::Split, "fan-out", 300, 1, 1, 0),
            (Queue::Chunks, "analyze", 120, analyzers, 1, 0),
            (Queue::Metrics, "emit-metrics", 30, 1, 10, 1),
            (Queue::Finalize, "finalize", 900, 1, 1, 0),
        ] {
            let handler = function(name, timeout_s, concurrency);
            functions.insert(name, Arc::clone(&handler));
            let visibility = Duration::from_secs(timeout_s * 6);
            let source = EventSource {
                queue: Arc::clone(&queue),
                from,
                dead_letters: false,
                queue_name: format!("test-{from}"),
                function: handler,
                batch_size,
                window: Duration::from_secs(window_s),
                visibility: circumstances.visibility.unwrap_or(visibility),
            };
            for _ in 0..concurrency {
                sources.spawn(source.clone().run());
            }
        }
        let janitor = function("janitor", 300, 1);
        for from in [Queue::Split, Queue::Chunks, Queue::Metrics, Queue::Finalize] {
            let url = &direct[&format!("{}_DEAD_LETTERS_URL", from.as_str().to_uppercase())];
            let source = EventSource {
                queue: Arc::clone(&queue),
                from,
                dead_letters: true,
                queue_name: url.rsplit('/').next().unwrap_or_default().to_owned(),
                function: Arc::clone(&janitor),
                batch_size: 10,
                window: Duration::ZERO,
                visibility: circumstances
                    .visibility
                    .unwrap_or(Duration::from_secs(1_800)),
            };
            sources.spawn(source.run());
        }
        let (upload, api) = (function("upload", 30, 1), function("api", 30, 1));
        for (name, function) in [("janitor", &janitor), ("upload", &upload), ("api", &api)] {
            functions.insert(name, Arc::clone(function));
        }
        let gateway = Gateway::start(upload, api).await;
        Self {
            janitor,
            functions,
            gateway: gateway.unwrap(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            logs,
            _sources: sources,
        }
    }

    /// A request of the API, as its owner.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.gateway.url()))
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-type", content_type)
            .body(Full::from(body.into()));
        let (status, retry_after_s, body) = self.send(request.unwrap()).await;
        Answer {
            status,
            retry_after_s,
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        }
    }

    /// Puts a list at the address that was given out for it.
    pub(crate) async fn put(&self, url: &str, list: String) -> StatusCode {
        let request = Request::put(url).body(Full::from(list)).unwrap();
        let (status, _, body) = self.send(request).await;
        assert!(body.is_empty() || status.is_success(), "{body:?}");
        status
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> (StatusCode, Option<u64>, Bytes) {
        let response = self.client.request(request).await.unwrap();
        let status = response.status();
        let retry_after = response.headers().get("retry-after");
        let retry_after_s = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, retry_after_s, body)
    }

    async fn get(&self, path: &str) -> Value {
        let mut answer = self.ask(Method::GET, path, "text/plain", "").await;
        // A reader whose answer was lost asks again, here when the function was killed while it answered.
        while answer.status.is_server_error() && self.functions["api"].kills() > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            answer = self.ask(Method::GET, path, "text/plain", "").await;
        }
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer.body
    }

    /// Waits until the batch ended and its report is written.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        let begun = Instant::now();
        loop {
            let batch = self.get(&format!("/api/v1/batches/{id}")).await;
            if batch["report_ready"] == true || batch["status"] == "FAILED" {
                return batch;
            }
            let waited = begun.elapsed();
            assert!(waited < PATIENCE, "{batch:#}\n{}", self.log("analyze"));
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    pub(crate) async fn report(&self, id: &str) -> Value {
        self.get(&format!("/api/v1/batches/{id}/report")).await
    }

    /// Every result row, by its number.
    pub(crate) async fn results(&self, id: &str) -> BTreeMap<u64, Value> {
        let mut rows = BTreeMap::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/v1/batches/{id}/results?limit=1000{cursor}");
            let mut page = self.get(&path).await;
            for row in page["data"].as_array_mut().unwrap() {
                let number = row["row"].as_u64().unwrap();
                let before = rows.insert(number, row.take());
                assert!(before.is_none(), "row {number} came twice");
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return rows,
            }
        }
    }

    /// Everything that a function's processes wrote so far.
    pub(crate) fn log(&self, function: &str) -> String {
        std::fs::read_to_string(self.logs.path().join(function)).unwrap_or_default()
    }

    /// No function wrote a token or the signature of an address into its log.
    pub(crate) fn assert_secrets_are_kept(&self) {
        for function in FUNCTIONS {
            let log = self.log(function);
            for secret in [TOKEN, "X-Amz-Signature"] {
                assert!(!log.contains(secret), "{function} wrote {secret}");
            }
        }
    }
}

fn settings(environment: &BTreeMap<String, String>) -> Settings {
    Settings::from_lookup(|name| environment.get(name).cloned()).unwrap()
}

/// Builds every function, once, and answers with the folder of the binaries. It asks for all that `make test` asks for: of fewer crates,
/// cargo would build the libraries below them once more, with fewer features.
fn binaries() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.current_dir(ROOT).args([
            "build",
            "--quiet",
            "--locked",
            "--workspace",
            "--bins",
            "--tests",
        ]);
        assert!(build.status().unwrap().success(), "the functions are built");
        // target/<profile>/deps/<this test>
        let this = std::env::current_exe().unwrap();
        this.ancestors().nth(2).unwrap().to_owned()
    })
}
