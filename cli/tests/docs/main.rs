//! Every command in README.md and docs/ is run, every example parses, every link leads somewhere.
//!
//! A fence's word says what becomes of it:
//!
//! | word | what |
//! |---|---|
//! | `sh` | run by bash, fence after fence of a document in one folder, with a list, a server and a batch at hand |
//! | `sql` | run over the `results.sqlite` that the commands before it wrote |
//! | `json`, `toml` | parsed |
//! | none, `text` | a picture: no line of it may look like a command |
//!
//! `imgsweep` is the program itself. What would reach beyond this machine, or take minutes, is a stand-in in `shims/` that checks how it is
//! called: `aws`, `make` (which says whether the verb is there), `cargo`, `rustup`, `sam`.

#![expect(
    clippy::expect_used,
    reason = "a test stops where something is not as expected"
)]

mod fences;
mod links;
mod stage;

use fences::{Fence, documents};
use stage::Stage;

/// Looks like a command where none is expected.
const COMMANDS: [&str; 7] = [
    "imgsweep ",
    "curl ",
    "make ",
    "aws ",
    "cargo ",
    "export ",
    "$ ",
];

/// Runs every fence of the documents for which `is_meant` holds.
fn run_commands_of(is_meant: impl Fn(&str) -> bool) {
    let documents = documents();
    let meant: Vec<_> = documents
        .iter()
        .filter(|document| is_meant(&document.name))
        .collect();
    assert!(!meant.is_empty(), "there is no such document");
    let mut faults = Vec::new();
    for document in meant {
        let is_run = |fence: &&Fence| fence.word == "sh" || fence.word == "sql";
        let fences: Vec<&Fence> = document.fences.iter().filter(is_run).collect();
        if fences.is_empty() {
            continue;
        }
        let stage = Stage::new();
        for fence in fences {
            faults.extend(stage.run(document, fence));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_commands_of_the_readme_work() {
    run_commands_of(|name| name == "README.md");
}

#[test]
fn the_commands_for_operators_work() {
    run_commands_of(|name| name == "docs/OPERATIONS.md");
}

#[test]
fn the_commands_of_all_other_documents_work() {
    run_commands_of(|name| name != "README.md" && name != "docs/OPERATIONS.md");
}

#[test]
fn every_other_fence_is_what_it_says() {
    let mut faults = Vec::new();
    for document in documents() {
        for fence in &document.fences {
            let fault = match fence.word.as_str() {
                "sh" | "sql" => None,
                "json" => serde_json::from_str::<serde_json::Value>(&fence.text)
                    .err()
                    .map(|error| format!("is no JSON: {error}")),
                "toml" => toml::from_str::<toml::Table>(&fence.text)
                    .err()
                    .map(|error| format!("is no TOML: {error}")),
                "" | "text" => fence
                    .text
                    .lines()
                    .find(|line| COMMANDS.iter().any(|command| line.starts_with(command)))
                    .map(|line| format!("looks like commands; begin it with ```sh: {line}")),
                word => Some(format!(
                    "nothing checks fences of {word}: use sh, sql, json, toml or text"
                )),
            };
            faults.extend(fault.map(|fault| format!("{}:{}: {fault}", document.name, fence.line)));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_link_leads_somewhere() {
    let faults = links::broken(&documents());
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
