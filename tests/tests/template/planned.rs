//! What `imgsweep plan` assumes of a stack is what the template and `samconfig.toml` set up.

use std::collections::BTreeMap;

use imgsweep_tests::template::{Template, repository};
use planning::workload::{Environment, Pollers, Setup};
use serde_json::Value;

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
