//! One deployment: a stack of its own, every function, its event sources, and a client of its API.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use adapters_aws::{Aws, Settings};
use aws_emulators::{Access, Proxy, Stack, Subscription};
use bytes::Bytes;
use domain::ports::Queue;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use imgsweep_tests::lambda::{EventSource, Function, FunctionSettings, Gateway};
use imgsweep_tests::rights::{allows, covers, rights_of};
use imgsweep_tests::template::{self, Template, target};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::task::JoinSet;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// The token of the tests; it must not be found in any log.
const TOKEN: &str = "canary-of-a-token";
/// What webhooks are signed with, as a stack makes it.
const WEBHOOK_SECRET: &str = "canaryOfASecretThatIsMadeOfSixtyFourLettersAsTheTemplateHasItSet";
/// Longer than any journey takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(420);

/// What is different from a deployment on a good day.
#[derive(Default)]
pub(crate) struct Circumstances {
    /// How long every message stays hidden; as the template says when unset.
    pub(crate) visibility: Option<Duration>,
    /// Where a service is asked, such as `DYNAMODB`, by functions and by event sources.
    pub(crate) endpoints: Vec<(&'static str, String)>,
    /// Variables of every function, in place of what the template says.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// Keys of the vision provider.
    pub(crate) vision_keys: Vec<&'static str>,
    /// Invocations of the analyser at once; two when unset.
    pub(crate) analyzers: Option<usize>,
    /// How often the janitor looks, and how long it leaves a batch alone; never when unset.
    pub(crate) schedule: Option<Duration>,
}

pub(crate) struct Deployment {
    pub(crate) janitor: Arc<Function>,
    /// Every function, by name.
    pub(crate) functions: BTreeMap<String, Arc<Function>>,
    /// Hears of batches that ended.
    pub(crate) ends: Subscription,
    template: Template,
    /// What the variables of functions hold.
    known: BTreeMap<String, String>,
    /// What each function asks of the table, and of everything else.
    wires: BTreeMap<String, [Proxy; 2]>,
    gateway: Gateway,
    client: Client<HttpConnector, Full<Bytes>>,
    logs: TempDir,
    _disk: TempDir,
    /// Ends the event sources and the schedule.
    _sources: JoinSet<()>,
}

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after_s: Option<u64>,
    pub(crate) location: Option<String>,
    pub(crate) body: Value,
}

impl Deployment {
    pub(crate) async fn start() -> Self {
        Self::start_in(Circumstances::default()).await
    }

    /// Every function of the template with its time-out, its memory and its variables, and every event source with its batches.
    #[expect(
        clippy::too_many_lines,
        reason = "a stack is put together in one place"
    )]
    pub(crate) async fn start_in(circumstances: Circumstances) -> Self {
        let template = Template::of_the_product().unwrap();
        let stack = Stack::create().await;
        stack.announce_uploads().await;
        let ends = stack.create_topic().await;
        let mut known = stack.variables().clone();
        let digest = Sha256::digest(TOKEN);
        let hash = digest
            .iter()
            .fold(String::new(), |hash, byte| hash + &format!("{byte:02x}"));
        for (name, text) in [
            ("API_TOKENS_SECRET", json!({ "tests": hash })),
            ("WEBHOOK_SECRET", json!({ "whsec": WEBHOOK_SECRET })),
            ("VISION_KEYS_SECRET", json!(circumstances.vision_keys)),
        ] {
            let secret = stack.create_secret(&text.to_string()).await;
            known.insert(name.to_owned(), secret);
        }
        known.insert("COMPLETION_TOPIC_ARN".to_owned(), ends.arn().to_owned());
        let mut overridden = vec![
            ("ENVIRONMENT", "production".to_owned()),
            ("ALLOW_PRIVATE", "127.0.0.0/8".to_owned()),
            ("MAX_CONCURRENT_REQUESTS", "64".to_owned()),
            ("MAX_CONCURRENT_PER_HOST", "64".to_owned()),
            // Tests ask how far a batch is more often than people do.
            ("REQUESTS_PER_MINUTE", "1000000".to_owned()),
        ];
        // What a function keeps on its disk is no other stack's.
        let disk = tempfile::tempdir().unwrap();
        overridden.push(("TMPDIR", disk.path().display().to_string()));
        if let Some(period) = circumstances.schedule {
            overridden.push(("REPAIR_AFTER_SECONDS", period.as_secs().to_string()));
        }
        overridden.extend(circumstances.variables);
        for (service, address) in circumstances.endpoints {
            known.insert(format!("AWS_ENDPOINT_URL_{service}"), address);
        }

        let binaries = binaries();
        let logs = tempfile::tempdir().unwrap();
        let queue = Aws::new(settings(&known)).unwrap().queue();
        let (mut functions, mut wires) = (BTreeMap::new(), BTreeMap::new());
        let mut sources = JoinSet::new();
        for declared in template.functions().unwrap() {
            let name = declared.name;
            let wire = [
                Proxy::before(&known["AWS_ENDPOINT_URL_DYNAMODB"]).await,
                Proxy::before(&known["AWS_ENDPOINT_URL_SQS"]).await,
            ];
            let mut environment = variables_of(&template, &declared, &known);
            for (name, value) in &overridden {
                environment.insert((*name).to_owned(), value.clone());
            }
            let [table, others] = &wire;
            for (service, wire) in [("DYNAMODB", table), ("SQS", others)] {
                environment.insert(format!("AWS_ENDPOINT_URL_{service}"), wire.address());
            }
            for service in ["SNS", "S3", "SECRETS_MANAGER"] {
                let variable = format!("AWS_ENDPOINT_URL_{service}");
                // A service that is asked elsewhere than the others has a wire of its own already.
                if known[&variable] == known["AWS_ENDPOINT_URL_SQS"] {
                    environment.insert(variable, others.address());
                }
            }
            let concurrency = match name {
                "analyze" => circumstances.analyzers.unwrap_or(2),
                _ => 1,
            };
            let function = Function::new(FunctionSettings {
                name: name.to_owned(),
                binary: binaries.join(name),
                environment,
                timeout: Duration::from_secs(declared.timeout_seconds),
                memory_mib: u32::try_from(declared.memory_mb).unwrap(),
                concurrency,
                log: Some(logs.path().join(name)),
            });
            for source in declared.event_sources().unwrap() {
                let declared_queue = template.properties(source.queue);
                let visibility = declared_queue["VisibilityTimeout"].as_u64().unwrap();
                let visibility = Duration::from_secs(visibility);
                let (from, dead_letters) = queue_of(source.queue);
                let source = EventSource {
                    queue: Arc::clone(&queue),
                    from,
                    dead_letters,
                    queue_name: queue_name(&known, from, dead_letters),
                    function: Arc::clone(&function),
                    batch_size: usize::try_from(source.batch_size).unwrap(),
                    window: Duration::from_secs(source.window_seconds),
                    visibility: circumstances.visibility.unwrap_or(visibility),
                };
                for _ in 0..concurrency {
                    sources.spawn(source.clone().run());
                }
            }
            functions.insert(name.to_owned(), function);
            wires.insert(name.to_owned(), wire);
        }
        if let Some(period) = circumstances.schedule {
            sources.spawn(keep_looking(Arc::clone(&functions["janitor"]), period));
        }
        let (upload, api) = (&functions["upload"], &functions["api"]);
        let gateway = Gateway::start(Arc::clone(upload), Arc::clone(api)).await;
        Self {
            janitor: Arc::clone(&functions["janitor"]),
            functions,
            ends,
            template,
            known,
            wires,
            gateway: gateway.unwrap(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            logs,
            _disk: disk,
            _sources: sources,
        }
    }

    /// The name of a queue's dead-letter queue.
    pub(crate) fn dead_letters_of(&self, queue: &str) -> String {
        let queue = Queue::ALL.iter().find(|known| known.as_str() == queue);
        queue_name(&self.known, *queue.unwrap(), true)
    }

    /// What functions asked of the table and of the other services so far, by what they needed the right to.
    pub(crate) fn accesses(&self, function: &str) -> [BTreeMap<Access, usize>; 2] {
        self.wires[function].each_ref().map(Proxy::accesses)
    }

    /// Requests that a function made so far, by service.
    pub(crate) fn requests(&self, function: &str) -> [usize; 2] {
        let [table, others] = &self.wires[function];
        [table, others].map(|wire| wire.counts().values().sum())
    }

    /// No function asked for anything that its role does not allow. Answers with the rights that were not used.
    pub(crate) fn assert_rights_suffice(&self) -> BTreeSet<(String, String, String)> {
        let mut unused = BTreeSet::new();
        for declared in self.template.functions().unwrap() {
            let rights = rights_of(&self.template, &declared).unwrap();
            let name = declared.name;
            let mut used = BTreeSet::new();
            for access in self.accesses(name).iter().flat_map(BTreeMap::keys) {
                let resource = self.logical_id(&declared, &access.resource);
                let is_allowed = allows(&rights, &access.action, &resource);
                assert!(is_allowed, "{name} needs {} of {resource}", access.action);
                used.insert((access.action.clone(), resource));
            }
            for (action, resource) in rights {
                let is_used =
                    |(done, what): &(String, String)| *done == action && covers(&resource, what);
                if !used.iter().any(is_used) {
                    unused.insert((name.to_owned(), action, resource));
                }
            }
        }
        unused
    }

    /// Whether a function's role allows an action, with anything.
    pub(crate) fn may(&self, function: &str, action: &str) -> bool {
        let mut declared = self.template.functions().unwrap().into_iter();
        let declared = declared.find(|declared| declared.name == function).unwrap();
        let rights = rights_of(&self.template, &declared).unwrap();
        rights.iter().any(|(allowed, _)| allowed == action)
    }

    /// The resource of the template that a variable of the function names like this.
    fn logical_id(&self, function: &template::Function<'_>, resource: &str) -> String {
        let mut named = function.environment.iter().filter(|(name, _)| {
            let value = self.known.get(**name);
            value.is_some_and(|value| value == resource)
        });
        let target = named.find_map(|(_, value)| target(value));
        target.unwrap_or(resource).to_owned()
    }

    /// A request of the API, as its owner.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        self.ask_once(method, path, content_type, body, None).await
    }

    /// The same, with a key that makes repeats of it one.
    pub(crate) async fn ask_once(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
        key: Option<&str>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.gateway.url()))
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-type", content_type);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(Full::from(body.into()));
        let (status, headers, body) = self.send(request.unwrap()).await;
        let field = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
        Answer {
            status,
            retry_after_s: field("retry-after").and_then(|value| value.parse().ok()),
            location: field("location"),
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

    /// What lies at an address that was given out for it.
    pub(crate) async fn fetch(&self, url: &str) -> String {
        let request = Request::get(url).body(Full::default()).unwrap();
        let (status, headers, body) = self.send(request).await;
        assert_eq!(status, StatusCode::OK, "{body:?}");
        let disposition = headers["content-disposition"].to_str().unwrap();
        assert!(disposition.starts_with("attachment"), "{disposition}");
        String::from_utf8(body.to_vec()).unwrap()
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> (StatusCode, HeaderMap, Bytes) {
        let response = self.client.request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, head.headers, body)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
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
        for function in self.functions.keys() {
            let log = self.log(function);
            for secret in [TOKEN, WEBHOOK_SECRET, "X-Amz-Signature"] {
                assert!(!log.contains(secret), "{function} wrote {secret}");
            }
        }
    }
}

/// The variables that the template gives a function: of a stack with every parameter at its default, in production.
fn variables_of(
    template: &Template,
    function: &template::Function<'_>,
    known: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let services = known.iter().filter(|(name, _)| name.starts_with("AWS_"));
    let mut variables: BTreeMap<String, String> = services
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    for (name, value) in &function.environment {
        let parameter = target(value).unwrap_or_default();
        let default = &template.root()["Parameters"][parameter]["Default"];
        let mapped = value["Fn::FindInMap"][2].as_str().unwrap_or_default();
        let mapped = &template.root()["Mappings"]["Profile"]["production"][mapped];
        let said = [*value, default, mapped].into_iter().find_map(scalar);
        // What is made of several things, such as the hosts to refuse, is left out.
        if let Some(value) = known.get(*name).cloned().or(said) {
            variables.insert((*name).to_owned(), value);
        }
    }
    variables
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The queue behind a name such as `ChunksQueue` or `ChunksDeadLetters`, and whether it is that of its dead letters.
fn queue_of(logical_id: &str) -> (Queue, bool) {
    let dead = logical_id.strip_suffix("DeadLetters");
    let name = dead.or_else(|| logical_id.strip_suffix("Queue"));
    let name = name.unwrap().to_lowercase();
    let queue = Queue::ALL.iter().find(|queue| queue.as_str() == name);
    (*queue.unwrap(), dead.is_some())
}

/// The name of a queue of this stack: the last part of its address.
fn queue_name(known: &BTreeMap<String, String>, queue: Queue, dead_letters: bool) -> String {
    let kind = if dead_letters {
        "DEAD_LETTERS"
    } else {
        "QUEUE"
    };
    let url = &known[&format!("{}_{kind}_URL", queue.as_str().to_uppercase())];
    url.rsplit('/').next().unwrap().to_owned()
}

/// What `EventBridge` does.
async fn keep_looking(janitor: Arc<Function>, period: Duration) {
    let schedule = json!({"detail-type": "Scheduled Event", "source": "aws.events"});
    loop {
        tokio::time::sleep(period).await;
        // One that was killed is followed by the next.
        if let Err(error) = janitor.invoke(&schedule).await {
            eprintln!("janitor: {error}");
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
        // What cargo tells this test about its own crate: build scripts that look at it would run anew, now and once more after the test.
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
                build.env_remove(&name);
            }
        }
        assert!(build.status().unwrap().success(), "the functions are built");
        // target/<profile>/deps/<this test>
        let this = std::env::current_exe().unwrap();
        this.ancestors().nth(2).unwrap().to_owned()
    })
}
