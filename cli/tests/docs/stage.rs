//! What the commands find: a folder with lists, a server with a batch, a model to ask, and stand-ins on the path.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sample_origin::{Corpus, Origin};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fences::{Document, Fence, root};

const IMGSWEEP: &str = env!("CARGO_BIN_EXE_imgsweep");
/// The stand-ins, by their name.
const SHIMS: [(&str, &str); 8] = [
    ("imgsweep", include_str!("shims/imgsweep.sh")),
    ("curl", include_str!("shims/curl.sh")),
    ("make", include_str!("shims/make.sh")),
    ("aws", include_str!("shims/aws.sh")),
    ("sam", include_str!("shims/sam.sh")),
    ("cargo", include_str!("shims/cargo.sh")),
    ("rustup", include_str!("shims/rustup.sh")),
    ("apt-get", include_str!("shims/apt-get.sh")),
];
const TOKEN: &str = "docs-0123456789abcdef0123456789abcdef";
/// Rows of the lists.
const ROWS: usize = 12;
/// A fence takes no longer.
const PATIENCE: Duration = Duration::from_secs(90);

/// Where a document's commands run. Its server and its folder end with it.
pub(crate) struct Stage {
    folder: TempDir,
    shims: TempDir,
    server: Server,
    batch: String,
    model: String,
    _origin: Origin,
}

/// `imgsweep serve`, killed when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn corpus() -> Arc<Corpus> {
    static CORPUS: OnceLock<Arc<Corpus>> = OnceLock::new();
    Arc::clone(CORPUS.get_or_init(|| Arc::new(Corpus::generate(7, ROWS))))
}

impl Stage {
    pub(crate) fn new() -> Self {
        let corpus = corpus();
        let origin = Origin::start(Arc::clone(&corpus)).expect("the origin starts");
        let folder = tempfile::tempdir().expect("a folder");
        let mut list = "sku,url\n".to_owned();
        for (number, image) in corpus.images.iter().enumerate() {
            let url = origin.url(&format!("/image/{}", image.name));
            list.extend([number.to_string().as_str(), ",", url.as_str(), "\n"]);
        }
        // A row to be tried again: nobody listens there.
        let served = format!("{list}{ROWS},http://127.0.0.1:9/none.jpg\n");
        fs::write(folder.path().join("served.csv"), served).expect("written");
        let template = root().join("template.yaml");
        fs::copy(template, folder.path().join("template.yaml")).expect("copied");
        for name in ["list.csv", "products.csv"] {
            fs::write(folder.path().join(name), &list).expect("written");
        }
        fs::write(folder.path().join("variables.json"), "{}").expect("written");
        let shims = tempfile::tempdir().expect("a folder");
        for (name, script) in SHIMS {
            let path = shims.path().join(name);
            fs::write(&path, script).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("runnable");
        }
        // Where the documents say that programs lie.
        for (path, shim) in [
            ("target/release/imgsweep", "imgsweep"),
            (".venv/aws/bin/sam", "sam"),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            symlink(shims.path().join(shim), path).expect("linked");
        }
        symlink(root().join("events"), folder.path().join("events")).expect("linked");
        let server = serve(folder.path());
        let mut stage = Self {
            folder,
            shims,
            server,
            batch: String::new(),
            model: model(),
            _origin: origin,
        };
        stage.batch = stage.submit();
        stage
    }

    /// Hands a list in and waits for its end.
    fn submit(&self) -> String {
        let output = self.bash("imgsweep submit served.csv --wait 2>&1");
        let text = String::from_utf8_lossy(&output.1).into_owned();
        let is_id =
            |word: &&str| word.len() == 26 && word.chars().all(|c| c.is_ascii_alphanumeric());
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
        let id = words.find(is_id).map(str::to_owned);
        id.unwrap_or_else(|| panic!("no batch was made: {text}"))
    }

    /// Runs a fence; what is wrong with it, if anything.
    pub(crate) fn run(&self, document: &Document, fence: &Fence) -> Option<String> {
        let script = if fence.word == "sql" {
            let quoted = fence.text.replace('\'', "'\\''");
            format!(
                "python3 -c 'import sqlite3, sys; print(sqlite3.connect(\"file:checked/results.sqlite?mode=ro\", uri=True).execute(sys.argv[1].strip().rstrip(\";\")).fetchall())' '{quoted}'"
            )
        } else {
            fence.text.clone()
        };
        let (is_fine, said) = self.bash(&script);
        if is_fine {
            return None;
        }
        Some(format!(
            "{}:{}: these commands fail:\n{}\nThey say:\n{}",
            document.name,
            fence.line,
            fence.text,
            String::from_utf8_lossy(&said)
        ))
    }

    fn bash(&self, script: &str) -> (bool, Vec<u8>) {
        let log = self.folder.path().join(".said");
        let said = fs::File::create(&log).expect("a log");
        let path = format!(
            "{}:{}",
            self.shims.path().display(),
            std::env::var("PATH").expect("a path")
        );
        let variables = [
            ("SERVER", self.server.address.as_str()),
            ("Endpoint", &self.server.address),
            ("IMGSWEEP_ENDPOINT", &self.server.address),
            ("TOKEN", TOKEN),
            ("token", TOKEN),
            ("IMGSWEEP_TOKEN", TOKEN),
            ("BATCH", &self.batch),
            ("VISION_BASE_URL", &self.model),
            ("REAL_IMGSWEEP", IMGSWEEP),
            ("ApiTokensSecret", "a-secret"),
            ("JanitorFunction", "a-function"),
            ("Uuid", "an-uuid"),
            ("DeadLettersArn", "an-arn"),
            ("TableName", "a-table"),
            ("BucketName", "a-bucket"),
            ("StackName", "a-stack"),
        ];
        let mut child = Command::new("bash")
            // What is not set is a fault of the document: whoever copies the command has nothing there.
            .args(["-e", "-u", "-o", "pipefail", "-c", script])
            .current_dir(self.folder.path())
            .env_clear()
            .envs(variables)
            .env("PATH", path)
            .env("HOME", std::env::var("HOME").unwrap_or_default())
            .env("XDG_CACHE_HOME", self.folder.path().join(".cache"))
            .env("NO_COLOR", "1")
            .env("REPOSITORY", root())
            .stdin(Stdio::null())
            .stdout(said.try_clone().expect("a second handle"))
            .stderr(said)
            .spawn()
            .expect("bash starts");
        let started = Instant::now();
        let is_fine = loop {
            if let Some(status) = child.try_wait().expect("a status") {
                break status.success();
            }
            if started.elapsed() > PATIENCE {
                let _ = child.kill();
                let _ = child.wait();
                break false;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        (is_fine, fs::read(&log).expect("the log"))
    }
}

fn serve(folder: &Path) -> Server {
    let mut child = Command::new(IMGSWEEP)
        .args([
            "serve",
            "--port",
            "0",
            "--allow-private",
            "127.0.0.0/8",
            "--data",
            "served",
            "--attempts",
            "1",
        ])
        .current_dir(folder)
        .env("IMGSWEEP_TOKEN", TOKEN)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the server starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let first = lines.next().expect("a line").expect("text");
    let address = first
        .strip_prefix("address: ")
        .expect("an address")
        .trim()
        .to_owned();
    // Its output is read on, so that it never waits for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    Server { child, address }
}

/// A model on loop-back that says the same of every image; it ends with the process. Returns its address.
fn model() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || answer(connection));
        }
    });
    format!("http://{address}/v1")
}

/// Answers one request. Whoever breaks off is left alone.
fn answer(mut connection: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        let header = line.to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let said = json!({"caption": "A shoe.", "labels": [{"name": "shoe", "confidence": 0.9}], "text": [],
        "safety": {"safe": true, "concerns": []}});
    let message = json!({"role": "assistant", "content": said.to_string()});
    let answer: Value = json!({"choices": [{"message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20}});
    let answer = answer.to_string();
    let length = answer.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    connection.write_all((head + &answer).as_bytes()).ok()
}
