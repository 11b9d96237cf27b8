//! The processes.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde::Deserialize;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Where the stand-ins answer, and their processes.
#[derive(Debug)]
pub struct Emulators {
    addresses: Addresses,
    /// Its standard input stays open as long as this process lives; when it ends, the stand-ins do.
    _process: Child,
}

#[derive(Debug, Deserialize)]
struct Addresses {
    dynamodb: String,
    others: String,
}

impl Emulators {
    /// The stand-ins of this process, started by the first caller.
    ///
    /// # Panics
    ///
    /// When they are not installed, with a sentence that says how to, or do not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Emulators> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let installed = Path::new(ROOT).join(".venv/emulators/bin");
        let program = |name: &str| -> PathBuf {
            let path = installed.join(name);
            assert!(
                path.exists(),
                "{} is missing: `make .venv/emulators/.installed` installs the stand-ins for AWS, and `make test` does that first",
                path.display()
            );
            path
        };
        let mut process = Command::new(program("python"))
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("emulators.py"))
            .arg(program("dynoxide"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert!(!line.is_empty(), "the stand-ins for AWS did not start");
        Self {
            addresses: serde_json::from_str(&line).unwrap(),
            _process: process,
        }
    }

    /// Where DynamoDB is asked.
    pub fn dynamodb(&self) -> &str {
        &self.addresses.dynamodb
    }

    /// Where SQS, S3 and Secrets Manager are asked.
    pub fn others(&self) -> &str {
        &self.addresses.others
    }
}
