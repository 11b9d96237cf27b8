//! `imgsweep serve`, spoken to over a socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Scene, imgsweep};

pub(crate) const TOKEN: &str = "a-token-for-this-test";
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Server {
    child: Child,
    address: String,
}

impl Server {
    pub(crate) fn start(scene: &Scene) -> Self {
        Self::start_with(scene, |_| {})
    }

    pub(crate) fn start_with(scene: &Scene, tell: impl FnOnce(&mut Command)) -> Self {
        let mut command = imgsweep();
        tell(&mut command);
        command.args([
            "serve",
            "--port",
            "0",
            "--allow-private",
            "127.0.0.0/8",
            "--data",
        ]);
        command.arg(scene.path("data")).env("IMGSWEEP_TOKEN", TOKEN);
        command.args([
            "--request-timeout",
            "2",
            "--read-timeout",
            "1",
            "--attempts",
            "2",
        ]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the address is printed");
        let address = line
            .trim()
            .rsplit("http://")
            .next()
            .expect("an address")
            .to_owned();
        Self { child, address }
    }

    /// Sends one request; status and body of the answer.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        token: &str,
        content_type: &str,
        body: &[u8],
    ) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a time-out");
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
             Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("it reads");
        stream.write_all(body).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        let chunked = head
            .to_ascii_lowercase()
            .contains("transfer-encoding: chunked");
        let body = if chunked {
            dechunked(body)
        } else {
            body.to_owned()
        };
        (status, serde_json::from_str(&body).expect("JSON"))
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts bytes at an address that was given for them.
    pub(crate) fn put(&self, path: &str, body: &[u8]) {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("it reads");
        stream.write_all(body).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, TOKEN, "", b"");
        assert_eq!(status, 200, "{body}");
        body
    }

    pub(crate) fn upload(&self, list: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        let mut form = Vec::new();
        for (name, value) in fields {
            form.push(format!(
                "--frontier\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            ));
        }
        form.push(format!(
            "--frontier\r\nContent-Disposition: form-data; name=\"file\"; filename=\"list.csv\"\r\n\
             Content-Type: text/csv\r\n\r\n{list}\r\n--frontier--\r\n"
        ));
        self.ask(
            "POST",
            "/upload",
            TOKEN,
            "multipart/form-data; boundary=frontier",
            form.concat().as_bytes(),
        )
    }

    pub(crate) fn wait_until_ended(&self, id: &str) -> Value {
        let started = Instant::now();
        let mut last_done = 0;
        while started.elapsed() < PATIENCE {
            let detail = self.get(&format!("/api/v1/batches/{id}"));
            let done = detail["progress"]["rows_done"].as_u64().expect("a number");
            assert!(done >= last_done, "progress went back");
            last_done = done;
            let is_open = ["PENDING", "QUEUED", "SPLITTING", "PROCESSING"]
                .map(Value::from)
                .contains(&detail["status"]);
            if !is_open {
                return detail;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the batch did not end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
    }
}

fn dechunked(body: &str) -> String {
    let mut whole = String::new();
    let mut rest = body;
    while let Some((length, tail)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("a length");
        if length == 0 {
            break;
        }
        whole += &tail[..length];
        rest = &tail[length + 2..];
    }
    whole
}

#[test]
fn an_uploaded_list_is_worked_off_and_its_results_page_through_a_cursor() {
    const ROWS: usize = 700;
    let scene = Scene::new();
    let server = Server::start(&scene);
    let list = scene.mixed_list(ROWS);
    let (status, accepted) =
        server.upload(&list, &[("batch_name", "first"), ("auto_start", "true")]);
    assert_eq!(status, 202, "{accepted}");
    let id = accepted["batch_id"].as_str().expect("an id");

    let detail = server.wait_until_ended(id);
    assert_eq!(detail["status"], "COMPLETED", "{detail}");
    assert_eq!(detail["name"], "first");
    assert_eq!(detail["progress"]["rows_total"], ROWS);
    assert_eq!(detail["progress"]["rows_done"], ROWS);

    let mut numbers = Vec::new();
    let mut path = format!("/api/v1/batches/{id}/results?limit=64");
    loop {
        let page = server.get(&path);
        let rows = page["data"].as_array().expect("rows");
        numbers.extend(
            rows.iter()
                .map(|row| row["row"].as_u64().expect("a number")),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        assert_eq!(rows.len(), 64);
        path = format!("/api/v1/batches/{id}/results?limit=64&cursor={cursor}");
    }
    // The order is that of chunk and part, and a row may have been left over to a later part.
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..ROWS as u64), "each row once");

    let repeated = server.get(&format!(
        "/api/v1/batches/{id}/results?outcome=duplicate_url&limit=1000"
    ));
    let repeated = repeated["data"].as_array().expect("rows").len() as u64;
    assert_eq!(detail["progress"]["by_outcome"]["duplicate_url"], repeated);
    assert!(repeated > 0);
    let stats = server.get("/api/v1/system/stats");
    assert_eq!(stats["data"]["queue_stats"]["pending"], 0, "{stats}");
}

#[test]
fn a_list_waits_for_its_start_when_asked_to() {
    let scene = Scene::new();
    let server = Server::start(&scene);
    let (_, accepted) = server.upload("url\nhttp://10.0.0.1/a.jpg\n", &[("auto_start", "false")]);
    let id = accepted["batch_id"].as_str().expect("an id");
    let path = format!("/api/v1/batches/{id}");
    assert_eq!(server.get(&path)["status"], "PENDING");
    let (status, _) = server.ask("POST", &format!("{path}/start"), TOKEN, "", b"");
    assert_eq!(status, 200);
    assert_eq!(server.wait_until_ended(id)["status"], "COMPLETED");
}

#[test]
fn a_list_that_cannot_be_read_fails_its_batch_with_the_reason() {
    let scene = Scene::new();
    let server = Server::start(&scene);
    let (status, accepted) = server.upload("sku,price\nA,1\n", &[]);
    assert_eq!(status, 202);
    let detail = server.wait_until_ended(accepted["batch_id"].as_str().expect("an id"));
    assert_eq!(detail["status"], "FAILED");
    assert!(
        detail["failure"]
            .as_str()
            .expect("a reason")
            .contains("price"),
        "{detail}"
    );
}

#[test]
fn a_wrong_token_is_refused() {
    let scene = Scene::new();
    let server = Server::start(&scene);
    let (status, problem) = server.ask("GET", "/api/v1/batches", "wrong", "", b"");
    assert_eq!(status, 401);
    assert_eq!(problem["type"], "/problems/unauthorized");
}
