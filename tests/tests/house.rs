//! The shape of the house: who may know whom, and what the command must not pull in.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where something is not as expected"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// What a function may use; never another function.
const OF_A_FUNCTION: &[&str] = &[
    "domain",
    "exports",
    "fetching",
    "http-api",
    "lambda-support",
    "pipeline",
    "vision",
];

/// For every crate of ours: which others of ours it may use in the product. Arrows point down only.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("duplicates", &["domain"]),
    ("jpeg-skim", &[]),
    ("sample-origin", &[]),
    ("test-support", &["domain"]),
    ("imaging", &["domain", "jpeg-skim"]),
    ("fetching", &["domain"]),
    ("list-reader", &["domain"]),
    ("planning", &[]),
    ("benchmarks", &[]),
    ("tuning", &[]),
    ("caching", &["domain"]),
    ("vision", &["domain", "tuning"]),
    ("adapters-aws", &["domain"]),
    ("adapters-embedded", &["domain"]),
    ("aws-emulators", &[]),
    ("crc-fast", &[]),
    (
        "pipeline",
        &[
            "caching",
            "domain",
            "duplicates",
            "fetching",
            "imaging",
            "list-reader",
            "monitoring",
            "planning",
            "rules",
            "tuning",
            "vision",
        ],
    ),
    ("exports", &["domain", "pipeline"]),
    ("rules", &["domain"]),
    ("report-page", &["domain", "pipeline"]),
    ("monitoring", &["domain"]),
    (
        "http-api",
        &[
            "domain",
            "list-reader",
            "monitoring",
            "pipeline",
            "report-page",
        ],
    ),
    (
        "lambda-support",
        &[
            "adapters-aws",
            "caching",
            "domain",
            "fetching",
            "http-api",
            "monitoring",
            "pipeline",
            "vision",
        ],
    ),
    ("upload", OF_A_FUNCTION),
    ("fan-out", OF_A_FUNCTION),
    ("analyze", OF_A_FUNCTION),
    ("emit-metrics", OF_A_FUNCTION),
    ("finalize", OF_A_FUNCTION),
    ("api", OF_A_FUNCTION),
    ("janitor", OF_A_FUNCTION),
    ("vision-function", OF_A_FUNCTION),
    (
        "imgsweep",
        &[
            "adapters-embedded",
            "benchmarks",
            "caching",
            "domain",
            "exports",
            "fetching",
            "http-api",
            "imaging",
            "list-reader",
            "monitoring",
            "pipeline",
            "planning",
            "report-page",
            "rules",
            "sample-origin",
            "tuning",
            "vision",
        ],
    ),
];

/// Tests and benchmarks may use everything.
const UNRESTRICTED: &[&str] = &["imgsweep-tests"];

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn our_packages() -> Vec<Package> {
    let mut command = MetadataCommand::new();
    command
        .manifest_path(format!("{ROOT}/Cargo.toml"))
        .no_deps();
    command.exec().unwrap().packages
}

#[test]
fn arrows_point_down_only() {
    let packages = our_packages();
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let ours: BTreeSet<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut wrong = Vec::new();
    for package in &packages {
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
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "-p",
            "imgsweep",
            "-e",
            "normal,build",
            "--prefix",
            "none",
        ])
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    let tree = String::from_utf8(tree.stdout).unwrap();
    let names: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    let is_sdk = |name: &&&str| name.starts_with("aws-") || name.starts_with("lambda");
    let sdks: Vec<&&str> = names.iter().filter(is_sdk).collect();
    assert!(sdks.is_empty(), "{sdks:?}");
    assert!(
        names.contains("hyper") && names.contains("pipeline"),
        "{names:?}"
    );
}

#[test]
fn every_folder_carries_the_name_of_its_crate() {
    for package in our_packages() {
        let folder = package
            .manifest_path
            .parent()
            .and_then(|folder| folder.file_name())
            .unwrap();
        let expected = match package.name.as_str() {
            "imgsweep" => "cli",
            "imgsweep-tests" => "tests",
            // A workspace has no two crates of one name, and `shared/vision` has this one.
            "vision-function" => "vision",
            name => name,
        };
        assert_eq!(folder, expected);
    }
}
