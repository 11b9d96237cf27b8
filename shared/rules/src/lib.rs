//! What a marketplace asks of an image, as data: packs of rules, each held against what was measured of a row.
//!
//! A rule passes, fails with a sentence that says why, or is not checked, because what it looks at was not measured. A row passes a
//! pack when no rule of it fails. Packs are TOML files: [`BUILT_IN`] come with the program, `packs/template.toml` shows every check
//! there is.

mod check;
mod pack;

use domain::{Outcome, ResultRow};
use serde::{Deserialize, Serialize};

pub use check::Check;
pub use pack::{InvalidPack, Pack, Rule};

/// The packs that come with the program: name and TOML.
pub const BUILT_IN: &[(&str, &str)] = &[
    (
        "google-merchant",
        include_str!("../packs/google-merchant.toml"),
    ),
    (
        "google-merchant-apparel",
        include_str!("../packs/google-merchant-apparel.toml"),
    ),
    ("amazon", include_str!("../packs/amazon.toml")),
    ("ebay", include_str!("../packs/ebay.toml")),
    ("open-graph", include_str!("../packs/open-graph.toml")),
    ("catalogue", include_str!("../packs/catalogue.toml")),
];

/// A pack for whoever writes one: every check there is, explained.
pub const TEMPLATE: &str = include_str!("../packs/template.toml");

/// The TOML of a built-in pack.
pub fn built_in(name: &str) -> Option<&'static str> {
    let mut packs = BUILT_IN.iter();
    packs
        .find(|(known, _)| *known == name)
        .map(|(_, text)| *text)
}

/// What became of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It is kept.
    Passed,
    /// It is not, and why: a sentence.
    Failed(String),
    /// What it looks at was not measured.
    NotChecked,
}

/// What became of a pack, for one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether no rule failed.
    pub passed: bool,
    /// Why not, a sentence for every rule that failed.
    pub reasons: Vec<String>,
    /// Rules that failed, by name, in the order of the reasons.
    pub failed: Vec<String>,
    /// Rules that could not be checked, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_checked: Vec<String>,
}

impl Pack {
    /// Holds a row against the rules. `is_final` says whether all rows of its batch are done, and its duplicates are known. `None` of a
    /// row that only repeats another's URL: what holds of that one holds of it.
    pub fn check(&self, row: &ResultRow, is_final: bool) -> Option<Verdict> {
        if row.outcome == Outcome::DuplicateUrl {
            return None;
        }
        let mut verdict = Verdict {
            passed: true,
            reasons: Vec::new(),
            failed: Vec::new(),
            not_checked: Vec::new(),
        };
        if row.outcome != Outcome::Ok {
            verdict.passed = false;
            let outcome = row.outcome;
            verdict.reasons.push(format!(
                "There is no image to check: the row ended as {outcome}."
            ));
            return Some(verdict);
        }
        for rule in &self.rules {
            match rule.check.hold(row, is_final) {
                Ruling::Passed => {}
                Ruling::NotChecked => verdict.not_checked.push(rule.id.clone()),
                Ruling::Failed(reason) => {
                    verdict.passed = false;
                    verdict.failed.push(rule.id.clone());
                    verdict.reasons.push(reason);
                }
            }
        }
        Some(verdict)
    }
}
