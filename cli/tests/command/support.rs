//! What the tests of the command share: the binary itself, and an origin for it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sample_origin::{Corpus, Origin, OriginOptions};
use serde_json::Value;
use tempfile::TempDir;

/// An origin with a small corpus, and a folder for lists and results.
pub(crate) struct Scene {
    pub(crate) origin: Origin,
    pub(crate) folder: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::at_a_distance(Duration::ZERO)
    }

    /// A scene whose origin waits so long before every answer.
    pub(crate) fn at_a_distance(latency: Duration) -> Self {
        let options = OriginOptions {
            record_paths: true,
            record_loads: true,
            latency,
            ..OriginOptions::default()
        };
        let corpus = Arc::new(Corpus::generate(7, 60));
        Self {
            origin: Origin::start_with(corpus, options).expect("the origin starts"),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).expect("the list is written");
        path
    }

    /// The list of the demo: good, broken and hostile rows.
    pub(crate) fn mixed_list(&self, rows: usize) -> String {
        self.origin.demo_list(rows, 3)
    }

    /// Distinct URLs of good images.
    pub(crate) fn good_list(&self, rows: usize, names: &[String]) -> String {
        let mut list = "url\n".to_owned();
        for row in 0..rows {
            let name = &names[row % names.len()];
            writeln!(
                list,
                "{}",
                self.origin.url(&format!("/image/{name}?row={row}"))
            )
            .expect("strings take everything");
        }
        list
    }
}

/// The names of the corpus that [`Scene`] serves.
pub(crate) fn image_names() -> Vec<String> {
    Corpus::generate(7, 60)
        .images
        .iter()
        .map(|sample| sample.name.clone())
        .collect()
}

/// `imgsweep run LIST -o OUT`, with short limits and loop-back opened.
pub(crate) fn run_command(list: &Path, output: &Path) -> Command {
    let mut command = imgsweep();
    command.arg("run").arg(list).arg("-o").arg(output);
    command.args(["--allow-private", "127.0.0.0/8", "--format", "ndjson,csv"]);
    command.args([
        "--request-timeout",
        "2",
        "--connect-timeout",
        "2",
        "--read-timeout",
        "1",
        "--attempts",
        "2",
    ]);
    command
}

/// The command that this package builds.
pub(crate) fn imgsweep() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgsweep"));
    command
        .env_clear()
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

pub(crate) fn output(command: &mut Command) -> Output {
    command.output().expect("the command starts")
}

/// The rows of an NDJSON file.
pub(crate) fn read_ndjson(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("results are there");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("every line is JSON"))
        .collect()
}

/// How many rows have each outcome.
pub(crate) fn outcomes(rows: &[Value]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts
            .entry(row["outcome"].as_str().expect("an outcome").to_owned())
            .or_default() += 1;
    }
    counts
}

/// The outcome counts of a report.
pub(crate) fn report_outcomes(report: &Value) -> BTreeMap<String, u64> {
    serde_json::from_value(report["by_outcome"].clone()).expect("the report has counts")
}
