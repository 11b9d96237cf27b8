//! `imgsweep doctor`: on this machine, on a planned stack, on a server that is there and one that is not.

use serde_json::Value;

use crate::support::{imgsweep, output};

fn findings(arguments: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = output(imgsweep().args(["doctor", "--json"]).args(arguments));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let found = answer["findings"].as_array().expect("findings").clone();
    (output.status.code(), found)
}

fn titled<'f>(found: &'f [Value], title: &str) -> &'f Value {
    let finding = found.iter().find(|finding| finding["title"] == title);
    finding.unwrap_or_else(|| panic!("{title}: {found:#?}"))
}

#[test]
fn the_worst_comes_first_and_decides_the_exit_status() {
    let (code, found) = findings(&["--environment", "production", "--account-concurrency", "10"]);
    assert_eq!(code, Some(1));
    assert_eq!(found[0]["severity"], "grave");
    assert!(
        !titled(&found, "concurrent executions")["remedy"]
            .as_str()
            .expect("text")
            .is_empty()
    );
    for finding in &found {
        let is_fine = finding["severity"] == "fine";
        assert_eq!(is_fine, finding["remedy"] == "", "{finding}");
    }
}

#[test]
fn a_server_that_is_not_there_is_grave() {
    // Port 9 on loop-back is not listened on.
    let (code, found) = findings(&["--endpoint", "http://127.0.0.1:9", "--token", "t"]);
    assert_eq!(code, Some(1));
    assert_eq!(titled(&found, "alive")["severity"], "grave");
}
