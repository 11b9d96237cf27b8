//! The documents and what is fenced in them.

use std::fs;
use std::path::{Path, PathBuf};

/// A document of the repository.
pub(crate) struct Document {
    /// Its path from the root.
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) fences: Vec<Fence>,
}

/// A fenced block.
#[derive(Debug, PartialEq)]
pub(crate) struct Fence {
    /// The line after its first.
    pub(crate) line: usize,
    /// What stands behind the three back ticks.
    pub(crate) word: String,
    pub(crate) text: String,
}

/// Where the repository begins.
pub(crate) fn root() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .canonicalize()
        .expect("the repository")
}

/// README.md and its neighbours, `docs/*.md`, `docs/decisions/*.md`.
pub(crate) fn documents() -> Vec<Document> {
    let root = root();
    let mut documents = Vec::new();
    for folder in ["", "docs", "docs/decisions"] {
        for entry in fs::read_dir(root.join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).expect("text");
                let name = path.strip_prefix(&root).expect("below the root");
                documents.push(Document {
                    name: name.to_string_lossy().into_owned(),
                    fences: fences(&text),
                    text,
                });
            }
        }
    }
    documents.sort_by(|one, two| one.name.cmp(&two.name));
    documents
}

pub(crate) fn fences(text: &str) -> Vec<Fence> {
    let mut fences: Vec<Fence> = Vec::new();
    let mut is_open = false;
    for (number, line) in text.lines().enumerate() {
        match line.trim_start().strip_prefix("```") {
            Some(_) if is_open => is_open = false,
            Some(word) => {
                is_open = true;
                fences.push(Fence {
                    line: number + 2,
                    word: word.trim().to_owned(),
                    text: String::new(),
                });
            }
            None if is_open => {
                if let Some(fence) = fences.last_mut() {
                    fence.text.push_str(line);
                    fence.text.push('\n');
                }
            }
            None => {}
        }
    }
    assert!(!is_open, "a fence is not closed:\n{text}");
    fences
}

#[test]
fn fences_have_their_word_and_their_line() {
    let found = fences("a\n```sh\nls\n```\n\n```\n | \n```\n");
    assert_eq!(
        (
            found[0].line,
            found[0].word.as_str(),
            found[0].text.as_str()
        ),
        (3, "sh", "ls\n")
    );
    assert_eq!((found[1].line, found[1].word.as_str()), (7, ""));
}
