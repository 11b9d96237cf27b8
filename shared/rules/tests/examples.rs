//! Every rule of every pack has an image that keeps it and one that breaks it, in `examples.toml`. A rule without both fails here.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where something is not as expected"
)]

use std::collections::{BTreeMap, BTreeSet};

use domain::{BatchId, ChunkRow, Outcome, ResultRow};
use rules::{BUILT_IN, Pack, TEMPLATE};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The built-in pack that is no marketplace's.
const OWN_PACK: &str = "catalogue";

/// `<pack>.<rule>`: what differs from the base row, which keeps every rule of every pack.
#[derive(Deserialize)]
struct Example {
    /// Fields of a row that just keeps the rule.
    keeps: Map<String, Value>,
    /// Fields of a row that just breaks it.
    breaks: Map<String, Value>,
    /// The whole sentence that it is told with.
    reason: String,
}

#[derive(Deserialize)]
struct Examples {
    base: Map<String, Value>,
    #[serde(flatten)]
    packs: BTreeMap<String, BTreeMap<String, Example>>,
}

fn examples() -> Examples {
    toml::from_str(include_str!("examples.toml")).unwrap()
}

fn packs() -> Vec<Pack> {
    let mut packs: Vec<Pack> = BUILT_IN
        .iter()
        .map(|(name, text)| {
            let pack = Pack::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(pack.name, *name);
            pack
        })
        .collect();
    packs.push(Pack::parse(TEMPLATE).unwrap());
    packs
}

fn row(base: &Map<String, Value>, changes: &Map<String, Value>) -> ResultRow {
    let chunk_row = ChunkRow {
        row: 0,
        url: "https://example.com/a.jpg".to_owned(),
        extra: Map::new(),
        verdict: None,
        earlier: None,
    };
    let batch: BatchId = "00000000000000000000000000".parse().unwrap();
    let plain = ResultRow::new(batch, &chunk_row, Outcome::Ok);
    let mut fields = serde_json::to_value(plain).unwrap();
    let object = fields.as_object_mut().unwrap();
    for (name, value) in base.iter().chain(changes) {
        assert!(object.contains_key(name), "there is no field {name}");
        object.insert(name.clone(), value.clone());
    }
    serde_json::from_value(fields).unwrap()
}

#[test]
fn every_rule_has_an_image_that_keeps_it_and_one_that_breaks_it() {
    let examples = examples();
    let mut used = BTreeSet::new();
    for pack in packs() {
        let of_pack = examples.packs.get(&pack.name);
        for rule in &pack.rules {
            let name = format!("{}.{}", pack.name, rule.id);
            let example = of_pack.and_then(|examples| examples.get(&rule.id));
            let example =
                example.unwrap_or_else(|| panic!("{name} has no example in examples.toml"));
            used.insert(name.clone());

            let kept = pack
                .check(&row(&examples.base, &example.keeps), true)
                .unwrap();
            assert!(kept.passed, "{name}: {:?}", kept.reasons);
            assert!(!kept.not_checked.contains(&rule.id), "{name}: not checked");

            let broken = pack
                .check(&row(&examples.base, &example.breaks), true)
                .unwrap();
            assert!(!broken.passed, "{name}: nothing is broken");
            assert!(
                broken.failed.contains(&rule.id),
                "{name}: {:?}",
                broken.failed
            );
            assert!(
                broken.reasons.contains(&example.reason),
                "{name}: {:?}",
                broken.reasons
            );
        }
    }
    let of_nothing: Vec<String> = examples
        .packs
        .iter()
        .flat_map(|(pack, rules)| rules.keys().map(move |rule| format!("{pack}.{rule}")))
        .filter(|name| !used.contains(name))
        .collect();
    assert!(of_nothing.is_empty(), "no such rules: {of_nothing:?}");
}

#[test]
fn reasons_read_as_sentences() {
    let examples = examples();
    for pack in packs() {
        for rule in &pack.rules {
            let example = &examples.packs[&pack.name][&rule.id];
            let broken = pack
                .check(&row(&examples.base, &example.breaks), true)
                .unwrap();
            for reason in broken.reasons {
                let starts_well = reason.chars().next().is_some_and(char::is_uppercase);
                assert!(starts_well && reason.ends_with('.'), "{reason:?}");
                assert!(reason.split(' ').count() >= 4, "{reason:?}");
                assert!(!reason.contains(['_', '{', '"']), "{reason:?}");
            }
        }
    }
}

#[test]
fn every_figure_of_a_marketplace_says_where_it_comes_from() {
    for (name, text) in BUILT_IN {
        let pack = Pack::parse(text).unwrap();
        if *name == OWN_PACK {
            // Without figures there is nothing to cite.
            let rules = pack.rules.iter().map(|rule| kind(&rule.check));
            assert!(pack.source.is_none() && rules.clone().all(|kind| kind == "NoIssues"));
            continue;
        }
        let source = pack.source.as_deref().unwrap_or_default();
        assert!(source.starts_with("https://"), "{name} names no page");
        let read_on = pack.read_on.as_deref().unwrap_or_default();
        assert!(
            read_on.len() == 10 && read_on.starts_with("20"),
            "{name}: read when?"
        );
        for rule in &pack.rules {
            assert!(rule.about.is_some(), "{name}.{} says nothing", rule.id);
        }
    }
}

#[test]
fn the_template_shows_every_check_there_is() {
    let template = Pack::parse(TEMPLATE).unwrap();
    let shown: BTreeSet<String> = template
        .rules
        .iter()
        .map(|rule| kind(&rule.check))
        .collect();
    for pack in packs() {
        for rule in &pack.rules {
            assert!(shown.contains(&kind(&rule.check)), "{:?}", rule.check);
        }
    }
    // As many as the type has: `Debug` names the variant first.
    assert_eq!(shown.len(), 15, "{shown:?}");
}

fn kind(check: &rules::Check) -> String {
    let text = format!("{check:?}");
    let end = text.find([' ', '{']).unwrap_or(text.len());
    text[..end].to_owned()
}

#[test]
fn what_was_not_measured_fails_nothing_and_is_named() {
    let pack = Pack::parse(TEMPLATE).unwrap();
    let verdict = pack.check(&row(&Map::new(), &Map::new()), true).unwrap();
    assert!(verdict.passed, "{:?}", verdict.reasons);
    let checked: Vec<&str> = pack
        .rules
        .iter()
        .map(|rule| rule.id.as_str())
        .filter(|id| !verdict.not_checked.iter().any(|one| one == id))
        .collect();
    // A row always has its URL and its flaws.
    assert_eq!(checked, ["good", "not-twice", "https"]);
    let before = pack.check(&row(&Map::new(), &Map::new()), false).unwrap();
    assert!(before.not_checked.contains(&"not-twice".to_owned()));
}

#[test]
fn a_row_without_an_image_passes_nothing_and_a_repeated_url_is_left_to_its_first() {
    let examples = examples();
    let pack = &packs()[0];
    let mut failed = row(&examples.base, &Map::new());
    failed.outcome = Outcome::NotFound;
    let verdict = pack.check(&failed, true).unwrap();
    assert!(!verdict.passed);
    assert_eq!(
        verdict.reasons,
        ["There is no image to check: the row ended as not_found."]
    );
    failed.outcome = Outcome::DuplicateUrl;
    assert_eq!(pack.check(&failed, true), None);
}
