//! What `imgsweep plan` assumes of a stack is what the template and `samconfig.toml` set up.

use std::collections::BTreeMap;

use imgsweep_tests::template::{Template, repository};
use planning::assumptions;
use planning::facts::Facts;
use planning::workload::{Environment, Pollers, Setup, Workload};
use serde_json::Value;
use vision::VisionSettings;

fn memory_of(template: &Template, name: &str) -> u64 {
    let functions = template.functions().unwrap();
    let function = functions.iter().find(|function| function.name == name);
    function.unwrap().memory_mb
}

/// The parameters that `make deploy ENVIRONMENT=…` hands over: names and values.
fn parameters_of(environment: Environment) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(repository().join("samconfig.toml")).unwrap();
    let header = format!("[{}.deploy.parameters]", environment.as_str());
    let section = text.split(&header).nth(1).unwrap();
    let line = section
        .lines()
        .find_map(|line| line.strip_prefix("parameter_overrides = "))
        .unwrap();
    let pairs = line.trim_matches('"').split(' ');
    pairs
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The value that a parameter of the template has when nobody sets it.
fn default_of<'t>(template: &'t Template, parameter: &str) -> &'t Value {
    &template.root()["Parameters"][parameter]["Default"]
}

#[test]
fn the_plan_of_an_environment_is_of_what_is_deployed() {
    let template = Template::of_the_product().unwrap();
    for environment in Environment::ALL {
        let name = environment.as_str();
        let planned = environment.setup();
        let profile = &template.root()["Mappings"]["Profile"][name];
        let given = parameters_of(environment);
        assert_eq!(given["Environment"], name);
        assert_eq!(
            profile["ChunkSize"],
            planned.chunk_size.to_string(),
            "{name}"
        );
        let requests = planned.requests.to_string();
        assert_eq!(profile["MaxConcurrentRequests"], requests, "{name}");
        let functions = match given.get("AnalyzeMaximumConcurrency") {
            Some(own) => own.parse().unwrap(),
            None => profile["ConcurrentChunks"].as_u64().unwrap(),
        };
        assert_eq!(functions, planned.functions, "{name}");
        let pollers = given
            .get("AnalyzeMinimumPollers")
            .map_or("0", String::as_str);
        assert_eq!(pollers, "0", "{name}: provisioned pollers cost by the hour");
        assert_eq!(planned.pollers, Pollers::Standard, "{name}");
        assert_eq!(memory_of(&template, "analyze"), planned.memory_mb, "{name}");
        assert_eq!(
            memory_of(&template, "finalize"),
            planned.finalize_memory_mb,
            "{name}"
        );
    }
    assert_eq!(default_of(&template, "Architecture"), "arm64");
    assert_eq!(default_of(&template, "AnalyzeMinimumPollers"), 0);
}

#[test]
fn the_set_up_of_the_goal_can_be_deployed() {
    let template = Template::of_the_product().unwrap();
    let goal = Setup::default();
    assert_eq!(memory_of(&template, "analyze"), goal.memory_mb);
    assert_eq!(memory_of(&template, "finalize"), goal.finalize_memory_mb);
    let Pollers::Provisioned { at_least } = goal.pollers else {
        panic!("the goal needs pollers that are there at once");
    };
    let parameters = &template.root()["Parameters"];
    let allowed = parameters["AnalyzeMinimumPollers"]["AllowedValues"].as_array();
    let is_allowed = allowed.unwrap().iter().any(|value| *value == at_least);
    assert!(is_allowed, "{at_least} pollers");
    assert!(goal.requests <= parameters["AnalyzeRequests"]["MaxValue"].as_u64().unwrap());
    let requests = &template.properties("AnalyzeFunction")["Environment"]["Variables"]["MAX_CONCURRENT_REQUESTS"];
    assert!(
        requests.to_string().contains("AnalyzeRequests"),
        "{requests}"
    );
    // Both sides say what an account leaves to one function of the usual 1,000 executions.
    assert!(goal.functions <= 1_000);
}

/// The figures about ourselves, as the documentation has them.
#[test]
fn what_the_plan_assumes_of_the_program_is_written_down_with_where_it_comes_from() {
    let text = std::fs::read_to_string(repository().join("docs/PERFORMANCE.md")).unwrap();
    let section = text.split("## What the plan assumes of the program").nth(1);
    let section = section.unwrap().split("\n## ").next().unwrap();
    let mut written = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells[2].len() > 5, "{line}");
        let value: f64 = cells[1].parse().unwrap();
        written.insert(cells[0].trim_matches('`').to_owned(), value);
    }
    let setup = Setup::default();
    let workload = Workload::default();
    let expected = [
        ("split_rows_per_s", setup.split_rows_per_s),
        ("finalize_rows_per_s", setup.finalize_rows_per_s),
        ("cpu_s", workload.cpu_s),
        ("SPLIT_START_S", assumptions::SPLIT_START_S),
        ("BEGIN_S", assumptions::BEGIN_S),
        ("COMMIT_S", assumptions::COMMIT_S),
        ("FINALIZE_START_S", assumptions::FINALIZE_START_S),
        ("SOFT_DEADLINE_S", assumptions::SOFT_DEADLINE_S),
        ("STRAGGLER_DELAY_S", assumptions::STRAGGLER_DELAY_S),
        (
            "LONGEST_STRAGGLER_PART_S",
            assumptions::LONGEST_STRAGGLER_PART_S,
        ),
        ("CHUNKS_PER_SHARD", assumptions::CHUNKS_PER_SHARD as f64),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(written, BTreeMap::from(expected));
    let in_domain = u64::from(domain::CHUNKS_PER_SHARD);
    assert_eq!(assumptions::CHUNKS_PER_SHARD, in_domain);
}

#[test]
fn what_labels_by_rekognition_are_counted_as_has_a_source() {
    let settings = VisionSettings::from_lookup(|name| {
        (name == "VISION_PROVIDER").then(|| "rekognition".to_owned())
    });
    let counted = settings.unwrap().pricing.per_call;
    let facts = Facts::load(None).unwrap();
    let known = facts
        .prices
        .items()
        .find(|(name, _)| *name == "rekognition_call");
    let (_, price) = known.unwrap();
    assert!((price.usd - counted).abs() < 1e-9, "{counted}");
}
