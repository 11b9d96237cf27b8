//! A server for the time of a measurement: this command again, as a process of its own, on a folder of its own.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use http_api::new_secret;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long it may take to say where it listens.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ends with this value.
pub(super) struct OwnServer {
    endpoint: String,
    token: String,
    child: Child,
    _folder: TempDir,
}

impl OwnServer {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("imgsweep-bench-")
            .tempdir()?;
        let (token, _) = new_secret().context("no random numbers for a token")?;
        let program = std::env::current_exe().context("this program cannot be found")?;
        let mut child = Command::new(program)
            .args(["serve", "--port", "0", "--allow-private", "127.0.0.0/8"])
            .arg("--data")
            .arg(folder.path())
            .env("IMGSWEEP_TOKEN", &token)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("the server could not be started")?;
        let stdout = child.stdout.take().context("the server has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let line = line.context("the server does not say where it listens")??;
        let Some(address) = line
            .as_deref()
            .and_then(|line| line.strip_prefix("address: "))
        else {
            bail!("the server ended before it listened");
        };
        Ok(Self {
            endpoint: address.trim().to_owned(),
            token,
            child,
            _folder: folder,
        })
    }

    /// Its process.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }
}
