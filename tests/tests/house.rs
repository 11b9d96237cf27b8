//! The shape of the house: who may know whom, and what the command must not pull in.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand, PackageId};

/// For every crate of ours: which others of ours it may use in the product. Arrows point down only.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("jpeg-skim", &[]),
    ("sample-origin", &[]),
    ("test-support", &["domain"]),
    ("imaging", &["domain", "jpeg-skim"]),
    ("fetching", &["domain"]),
    ("list-reader", &["domain"]),
    ("adapters-embedded", &["domain"]),
    (
        "pipeline",
        &["domain", "fetching", "imaging", "list-reader"],
    ),
    ("http-api", &["domain", "pipeline"]),
    (
        "imgsweep",
        &[
            "adapters-embedded",
            "domain",
            "fetching",
            "http-api",
            "imaging",
            "list-reader",
            "pipeline",
            "sample-origin",
        ],
    ),
];

/// Tests and benchmarks may use everything.
const UNRESTRICTED: &[&str] = &["imgsweep-tests"];

fn metadata() -> cargo_metadata::Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .other_options(vec!["--locked".to_owned(), "--offline".to_owned()])
        .exec()
        .expect("cargo metadata answers")
}

#[test]
fn arrows_point_down_only() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let ours: BTreeSet<&str> = metadata
        .workspace_packages()
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        if UNRESTRICTED.contains(&name) {
            continue;
        }
        let Some(allowed) = allowed.get(name) else {
            wrong.push(format!("{name} has no line in MAY_USE"));
            continue;
        };
        for dependency in &package.dependencies {
            let target = dependency.name.as_str();
            let is_product = dependency.kind == DependencyKind::Normal;
            if is_product && ours.contains(target) && !allowed.contains(&target) {
                wrong.push(format!("{name} must not use {target}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_command_compiles_no_aws_sdk() {
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().expect("a resolved graph");
    let names: BTreeMap<&PackageId, &str> = metadata
        .packages
        .iter()
        .map(|package| (&package.id, package.name.as_str()))
        .collect();
    let command = metadata
        .packages
        .iter()
        .find(|package| package.name.as_str() == "imgsweep")
        .expect("the command");
    let mut seen = BTreeSet::new();
    let mut open = vec![&command.id];
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let node = resolve
            .nodes
            .iter()
            .find(|node| node.id == *id)
            .expect("every package is a node");
        for dependency in &node.deps {
            if dependency
                .dep_kinds
                .iter()
                .any(|kind| kind.kind == DependencyKind::Normal)
            {
                open.push(&dependency.pkg);
            }
        }
    }
    let sdks: Vec<&str> = seen
        .iter()
        .map(|id| names[id])
        .filter(|name| {
            name.starts_with("aws-") || name.starts_with("lambda") || *name == "adapters-aws"
        })
        .collect();
    assert!(sdks.is_empty(), "{sdks:?}");
    assert!(
        seen.len() > 100,
        "the walk saw only {} packages",
        seen.len()
    );
}

#[test]
fn every_folder_carries_the_name_of_its_crate() {
    for package in metadata().workspace_packages() {
        let folder = package
            .manifest_path
            .parent()
            .and_then(|folder| folder.file_name())
            .expect("a folder");
        let expected = match package.name.as_str() {
            "imgsweep" => "cli",
            "imgsweep-tests" => "tests",
            name => name,
        };
        assert_eq!(folder, expected);
    }
}
