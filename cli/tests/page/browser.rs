//! Chromium behind its driver, and what it saw: console messages, requests, accessibility faults.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

/// How long anything on the page may take to appear.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const NEEDED: &str =
    "chromedriver cannot be started: install the Debian packages chromium and chromium-driver";
const AXE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/page/node_modules/axe-core/axe.min.js"
);
const AXE_NEEDED: &str = "axe-core is missing: npm ci --prefix tests/page";

/// One browser at a time: two would slow each other down beyond patience.
static TURN: Mutex<()> = Mutex::const_new(());

pub(crate) struct Browser {
    pub(crate) client: Client,
    pub(crate) downloads: PathBuf,
    driver: Child,
    port: u16,
    _profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// A command of the driver that is not in the standard.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(
        &self,
        base_url: &url::Url,
        session_id: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        let session = session_id.unwrap_or_default();
        base_url.join(&format!("session/{session}/{}", self.path))
    }

    fn method_and_body(&self, _request_url: &url::Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let turn = TURN.lock().await;
        let profile = tempfile::tempdir().unwrap();
        let downloads = profile.path().join("downloads");
        std::fs::create_dir(&downloads).unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect(NEEDED);
        let port = port_of(&mut driver);
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--window-size=1280,900",
            &format!(
                "--user-data-dir={}",
                profile.path().join("profile").display()
            ),
        ];
        let capabilities = json!({
            "goog:chromeOptions": {
                "args": arguments,
                "prefs": {"download.default_directory": downloads},
            },
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        });
        let Value::Object(capabilities) = capabilities else {
            unreachable!("an object is an object");
        };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("the browser starts");
        Self {
            client,
            downloads,
            driver,
            port,
            _profile: profile,
            _turn: turn,
        }
    }

    async fn extension(&self, path: &'static str, body: Value) -> Value {
        self.client
            .issue_cmd(Extension { path, body })
            .await
            .unwrap()
    }

    /// Waits for an element.
    pub(crate) async fn find(&self, css: &str) -> fantoccini::elements::Element {
        let found = self
            .client
            .wait()
            .at_most(PATIENCE)
            .for_element(Locator::Css(css))
            .await;
        match found {
            Ok(element) => element,
            Err(error) => panic!("{css} is not on the page: {error}\n{}", self.text().await),
        }
    }

    pub(crate) async fn click(&self, css: &str) {
        // What is drawn anew while it is clicked is clicked again.
        let started = Instant::now();
        while let Err(error) = self.find(css).await.click().await {
            assert!(started.elapsed() < PATIENCE, "{css}: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the page says.
    pub(crate) async fn text(&self) -> String {
        let text = self.run("return document.body.innerText").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// Runs a script until it answers with something but false and null.
    pub(crate) async fn until(&self, script: &str) -> Value {
        let started = Instant::now();
        loop {
            let value = self.run(script).await;
            if !matches!(value, Value::Null | Value::Bool(false)) {
                return value;
            }
            let text = self.text().await;
            assert!(started.elapsed() < PATIENCE, "never true: {script}\n{text}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Looks at the page as a screen of this width shows it.
    pub(crate) async fn set_width(&self, width: u32, height: u32) {
        let params = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        let body = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": params});
        self.extension("goog/cdp/execute", body).await;
    }

    /// Cuts the page off from every network, or lets it back.
    pub(crate) async fn set_offline(&self, is_offline: bool) {
        let params = json!({"offline": is_offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
        let body = json!({"cmd": "Network.emulateNetworkConditions", "params": params});
        self.extension("goog/cdp/execute", body).await;
    }

    /// Asks for dark colours, as a system in the dark does.
    pub(crate) async fn set_dark(&self) {
        let dark = json!([{"name": "prefers-color-scheme", "value": "dark"}]);
        let body = json!({"cmd": "Emulation.setEmulatedMedia", "params": {"features": dark}});
        self.extension("goog/cdp/execute", body).await;
    }

    /// Prints the page and returns how many sheets it took.
    pub(crate) async fn print(&self) -> usize {
        let body = json!({"cmd": "Page.printToPDF", "params": {"printBackground": true}});
        let printed = self.extension("goog/cdp/execute", body).await;
        let printed = STANDARD.decode(printed["data"].as_str().unwrap()).unwrap();
        assert!(printed.starts_with(b"%PDF"));
        let text = String::from_utf8_lossy(&printed);
        text.matches("/Type /Page\n").count() + text.matches("/Type /Page ").count()
    }

    /// Keeps a picture of the page at both widths, if a folder for them is set; nothing is wider than the screen in either case.
    pub(crate) async fn picture(&self, name: &str) {
        for (width, height) in [(1_280, 900), (390, 844)] {
            self.set_width(width, height).await;
            self.run("scrollTo(0, 0)").await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            let overflow = self
                .run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
                .await;
            assert_eq!(overflow, 0, "{name} is wider than {width} pixels");
            if let Some(folder) = std::env::var_os("IMGSWEEP_SCREENSHOTS") {
                let picture = self.client.screenshot().await.unwrap();
                let file = Path::new(&folder).join(format!("{name}-{width}.png"));
                std::fs::write(file, picture).unwrap();
            }
        }
        self.set_width(1_280, 900).await;
    }

    /// Serious and critical faults that axe finds on the page as it is.
    pub(crate) async fn check_accessibility(&self, name: &str) {
        let axe = std::fs::read_to_string(AXE).expect(AXE_NEEDED);
        self.client.execute(&axe, Vec::new()).await.unwrap();
        let script = "const done = arguments[arguments.length - 1];
            axe.run(document, { resultTypes: ['violations'] }).then((found) => done(found.violations
                .filter((fault) => ['serious', 'critical'].includes(fault.impact))
                .map((fault) => `${fault.id}: ${fault.help} ${fault.nodes.map((node) => node.html).join(' ')}`)), (error) => done([String(error)]));";
        let faults = self.client.execute_async(script, Vec::new()).await.unwrap();
        assert_eq!(faults, json!([]), "{name}");
    }

    /// No message of the console says that something is wrong.
    pub(crate) async fn check_console(&self) {
        let messages = self.extension("se/log", json!({"type": "browser"})).await;
        let wrong: Vec<&Value> = messages
            .as_array()
            .unwrap()
            .iter()
            .filter(|message| message["level"] != "INFO" && message["level"] != "DEBUG")
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// Every request so far went to `origin`.
    pub(crate) async fn check_origin(&self, origin: &str) {
        let events = self
            .extension("se/log", json!({"type": "performance"}))
            .await;
        let mut requests = 0;
        for event in events.as_array().unwrap() {
            let message: Value = serde_json::from_str(event["message"].as_str().unwrap()).unwrap();
            let message = &message["message"];
            if message["method"] != "Network.requestWillBeSent" {
                continue;
            }
            let url = message["params"]["request"]["url"].as_str().unwrap();
            let is_ours = url.starts_with(&format!("{origin}/"));
            let is_inside = ["data:", "blob:", "chrome:", "about:", "file:"]
                .iter()
                .any(|scheme| url.starts_with(scheme));
            assert!(is_ours || is_inside, "a request to {url}");
            requests += u32::from(is_ours);
        }
        assert!(requests > 10, "{requests} requests were seen");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A driver that is killed leaves its browser behind; one that is asked to shut down takes it with it.
        let _ = shut_down(self.port);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn shut_down(port: u16) -> std::io::Result<usize> {
    let mut driver = TcpStream::connect(("127.0.0.1", port))?;
    driver.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        driver,
        "GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    )?;
    driver.read_to_end(&mut Vec::new())
}

fn port_of(driver: &mut Child) -> u16 {
    let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        let port = line
            .rsplit_once("on port ")
            .map(|(_, port)| port.trim_end_matches('.').parse());
        if let Some(Ok(port)) = port
            && port > 0
        {
            return port;
        }
    }
    panic!("chromedriver does not say which port it listens on");
}
