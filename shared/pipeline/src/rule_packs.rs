//! The rule packs that a batch is checked against.
//!
//! What the rules say of a row follows from the row alone, so it is stored nowhere: whoever hands rows out adds it, and the report
//! counts it in a pass of its own once everything else is known.

use std::collections::BTreeSet;

use domain::{Batch, BatchOptions, ResultRow, RulePack};
use rules::{Pack, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::export::RowReader;
use crate::report::Example;
use crate::{PipelineResult, Ports};

/// Packs of one batch at most.
const MAX_PACKS: usize = 10;

/// A pack that was asked for cannot be used; the sentence says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnusablePack(String);

/// Packs, ready to hold rows against.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Packs(Vec<Pack>);

impl Packs {
    /// Those that somebody asks for; before a batch is created.
    pub fn parse(options: &BatchOptions) -> Result<Self, UnusablePack> {
        if options.rules.len() > MAX_PACKS {
            return Err(UnusablePack(format!(
                "there are more than {MAX_PACKS} rule packs"
            )));
        }
        let mut names = BTreeSet::new();
        let mut packs = Vec::with_capacity(options.rules.len());
        for wanted in &options.rules {
            let pack = parse(wanted)?;
            if !names.insert(pack.name.clone()) {
                return Err(UnusablePack(format!(
                    "two rule packs are called {}",
                    pack.name
                )));
            }
            packs.push(pack);
        }
        Ok(Self(packs))
    }

    /// Those of a batch. One that a later version of the program no longer knows is left out.
    pub fn of(batch: &Batch) -> Self {
        let packs = batch.options.rules.iter();
        let packs = packs.filter_map(|wanted| match parse(wanted) {
            Ok(pack) => Some(pack),
            Err(error) => {
                tracing::warn!(batch = %batch.id, error = &error as &dyn std::error::Error, "rule pack left out");
                None
            }
        });
        Self(packs.collect())
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names, in the order they were asked for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|pack| pack.name.as_str())
    }

    /// Adds to a row what they say of it. `is_final` says whether its batch is done, and its duplicates are known.
    pub(crate) fn apply(&self, row: &mut ResultRow, is_final: bool) {
        let mut rules = Map::new();
        for pack in &self.0 {
            let verdict = pack.check(row, is_final);
            // A verdict is made of texts and a truth value, which JSON has.
            if let Some(Ok(value)) = verdict.map(serde_json::to_value) {
                rules.insert(pack.name.clone(), value);
            }
        }
        if !rules.is_empty() {
            row.rules = Some(rules);
        }
    }
}

fn parse(wanted: &RulePack) -> Result<Pack, UnusablePack> {
    let (text, name) = match wanted {
        RulePack::Own { toml } => (toml.as_str(), "of your own"),
        RulePack::BuiltIn(name) => {
            if let Some(text) = rules::built_in(name) {
                (text, name.as_str())
            } else {
                let names: Vec<&str> = rules::BUILT_IN.iter().map(|(name, _)| *name).collect();
                let names = names.join(", ");
                return Err(UnusablePack(format!(
                    "there is no rule pack {name:?}; there are {names}"
                )));
            }
        }
    };
    Pack::parse(text)
        .map_err(|error| UnusablePack(format!("the rule pack {name} cannot be read: {error}")))
}

/// A pack in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackSummary {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub title: String,
    /// The page that its figures come from, and when that was read.
    pub source: Option<String>,
    /// When that was read.
    pub read_on: Option<String>,
    /// Rows that no rule failed.
    pub passed: u64,
    /// Rows that a rule failed, or that have no image.
    pub failed: u64,
    /// Of them, rows without an image.
    pub no_image: u64,
    /// Its rules, in its order.
    pub rules: Vec<RuleSummary>,
}

/// A rule in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSummary {
    /// Its name.
    pub id: String,
    /// What the marketplace says.
    pub about: Option<String>,
    /// Rows that failed it.
    pub failed: u64,
    /// Rows of which what it looks at was not measured.
    pub not_checked: u64,
    /// The first row that failed it; its detail is the reason.
    pub example: Option<Example>,
}

impl PackSummary {
    fn of(pack: &Pack) -> Self {
        let rules = pack.rules.iter().map(|rule| RuleSummary {
            id: rule.id.clone(),
            about: rule.about.clone(),
            failed: 0,
            not_checked: 0,
            example: None,
        });
        Self {
            name: pack.name.clone(),
            title: pack.title.clone(),
            source: pack.source.clone(),
            read_on: pack.read_on.clone(),
            passed: 0,
            failed: 0,
            no_image: 0,
            rules: rules.collect(),
        }
    }

    fn add(&mut self, row: &ResultRow, verdict: &Verdict) {
        if verdict.passed {
            self.passed += 1;
        } else {
            self.failed += 1;
            self.no_image += u64::from(verdict.failed.is_empty());
        }
        for rule in &mut self.rules {
            rule.not_checked += u64::from(verdict.not_checked.contains(&rule.id));
            let Some(place) = verdict.failed.iter().position(|id| *id == rule.id) else {
                continue;
            };
            rule.failed += 1;
            if rule.example.is_none() {
                rule.example = Some(Example {
                    row: row.row,
                    url: row.url.clone(),
                    detail: verdict.reasons.get(place).cloned(),
                });
            }
        }
    }
}

/// Counts what the packs of `batch` say of its rows, whose annotations are written.
pub(crate) async fn count(ports: &Ports, batch: &Batch) -> PipelineResult<Vec<PackSummary>> {
    let packs = Packs::of(batch);
    if packs.is_empty() {
        return Ok(Vec::new());
    }
    let mut summaries: Vec<PackSummary> = packs.0.iter().map(PackSummary::of).collect();
    let mut reader = RowReader::annotated(ports, batch).await?;
    while let Some(chunk) = reader.next_chunk().await? {
        for row in chunk.rows()? {
            for (pack, summary) in packs.0.iter().zip(&mut summaries) {
                if let Some(verdict) = pack.check(&row, true) {
                    summary.add(&row, &verdict);
                }
            }
        }
    }
    Ok(summaries)
}
