//! Links from one document to another, or to a place in one. Addresses on the web are not asked for.

use std::collections::BTreeSet;

use crate::fences::{Document, root};

/// Links that lead nowhere, each with its document.
pub(crate) fn broken(documents: &[Document]) -> Vec<String> {
    let mut broken = Vec::new();
    for document in documents {
        for target in targets(&document.text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let from = root().join(&document.name);
            let file = if path.is_empty() {
                from.clone()
            } else {
                from.parent().expect("a folder").join(path)
            };
            if !file.exists() {
                broken.push(format!("{}: there is no {path}", document.name));
                continue;
            }
            if anchor.is_empty() {
                continue;
            }
            let text = std::fs::read_to_string(&file).expect("a document");
            if !anchors(&text).contains(anchor) {
                broken.push(format!(
                    "{}: no heading of {path} is #{anchor}",
                    document.name
                ));
            }
        }
    }
    broken
}

/// What `[text](target)` and `![picture](target)` point at, outside of fences and of code in a line.
fn targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    let mut is_fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        }
        if is_fenced {
            continue;
        }
        // Every second piece between back ticks is code.
        let prose: Vec<&str> = line.split('`').step_by(2).collect();
        for piece in prose.join("").split("](").skip(1) {
            if let Some((target, _)) = piece.split_once(')') {
                targets.push(target.split(' ').next().unwrap_or(target).to_owned());
            }
        }
    }
    targets
}

/// The anchors that a forge makes of headings: small letters, no punctuation, dashes for spaces.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut is_fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        }
        if is_fenced || !line.starts_with('#') {
            continue;
        }
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let anchor = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c });
        anchors.insert(anchor.collect());
    }
    anchors
}

#[test]
fn a_link_into_nowhere_is_found() {
    let document = |text: &str| Document {
        name: "README.md".to_owned(),
        fences: Vec::new(),
        text: text.to_owned(),
    };
    let fine = "[a](docs/OPERATIONS.md) [b](docs/OPERATIONS.md#deploy) [c](https://example.org/x) `[d](no)`\n```\n[e](no)\n```\n";
    assert_eq!(broken(&[document(fine)]), Vec::<String>::new());
    let wrong = "[a](docs/NO.md) [b](docs/OPERATIONS.md#no-such-heading)";
    assert_eq!(broken(&[document(wrong)]).len(), 2);
}
