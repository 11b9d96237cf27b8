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

#[test]
fn a_template_is_held_against_the_quotas_that_aws_prints() {
    let folder = tempfile::tempdir().expect("a folder");
    let quotas = folder.path().join("quotas.json");
    let printed = r#"{"Quotas":[{"QuotaName":"Concurrent executions","Value":500.0}]}"#;
    std::fs::write(&quotas, printed).expect("written");
    let template = concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml");
    let overrides = "Environment=production AnalyzeMaximumConcurrency=900";
    let given = ["--template", template, "--parameter-overrides", overrides];
    let quotas = quotas.to_str().expect("a name");
    let (code, found) = findings(&[given.as_slice(), &["--quotas", quotas]].concat());
    assert_eq!(code, Some(1));
    let finding = titled(&found, "template: executions at once");
    assert_eq!(finding["severity"], "grave", "{finding}");
    let (code, found) = findings(&[given.as_slice(), &["--account-concurrency", "1000"]].concat());
    let finding = titled(&found, "template: executions at once");
    assert_eq!(
        (code, &finding["severity"]),
        (Some(0), &"fine".into()),
        "{finding}"
    );
    assert_eq!(titled(&found, "template")["severity"], "fine");
    let (code, _) = refused(&["--template", template, "--parameter-overrides", "Nothing=1"]);
    assert_eq!(code, Some(2));
}

#[test]
fn a_cache_that_cannot_be_kept_is_doubtful() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("written");
    let (_, found) = findings(&["--cache-dir", file.to_str().expect("a name")]);
    assert_eq!(titled(&found, "cache")["severity"], "doubtful");
}

/// What is refused before anything is looked at.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let output = output(imgsweep().arg("doctor").args(arguments));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}
