//! `imgsweep serve` as a process, and an image host for its lists.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use sample_origin::{Corpus, Origin};
use tempfile::TempDir;

pub(crate) const TOKEN: &str = "a-token-for-the-page";

pub(crate) struct Server {
    pub(crate) address: String,
    folder: TempDir,
    child: Child,
}

impl Server {
    pub(crate) fn start(further: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_imgsweep"))
            .args(["serve", "--port", "0", "--allow-private", "127.0.0.0/8"])
            .args([
                "--request-timeout",
                "2",
                "--read-timeout",
                "1",
                "--attempts",
                "2",
            ])
            .args(further)
            .arg("--data")
            .arg(folder.path().join("data"))
            .env("IMGSWEEP_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("address: ").unwrap().to_owned();
        Self {
            address,
            folder,
            child,
        }
    }

    /// A file to hand in.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

pub(crate) fn an_origin() -> Origin {
    Origin::start(Arc::new(Corpus::generate(7, 120))).unwrap()
}
