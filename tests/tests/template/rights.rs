//! What each function may do, and what it is told.

use std::collections::{BTreeMap, BTreeSet};

use imgsweep_tests::template::{Template, repository, target};
use serde_json::Value;

/// A statement's actions or resources, whether one or many are given.
fn each(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

fn is_wildcard(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text == "*" || text.ends_with(":*"))
}

/// Every statement of the template.
fn statements(value: &Value) -> Vec<&Value> {
    let mut found = Vec::new();
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if name == "Statement" {
                    found.extend(each(member));
                }
                found.extend(statements(member));
            }
        }
        Value::Array(items) => {
            for item in items {
                found.extend(statements(item));
            }
        }
        _ => {}
    }
    found
}

/// The statements of a function's role.
fn rights_of<'t>(template: &'t Template, role: &str) -> Vec<&'t Value> {
    statements(&template.properties(role)["Policies"])
}

#[test]
fn whatever_is_allowed_to_everything_says_why() {
    let template = Template::of_the_product().unwrap();
    let mut expected = 0;
    for statement in statements(template.root()) {
        let wide = [&statement["Action"], &statement["Resource"]];
        let wide = wide
            .into_iter()
            .flat_map(each)
            .filter(|value| is_wildcard(value));
        expected += wide.count();
    }
    let lines: Vec<&str> = template.text().lines().collect();
    let mut explained = 0;
    for (number, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start().trim_start_matches("- ");
        let is_policy = trimmed.starts_with("Action:") || trimmed.starts_with("Resource:");
        if !is_policy || !(trimmed.contains("\"*\"") || trimmed.contains(":*")) {
            continue;
        }
        let begin = (0..=number)
            .rev()
            .find(|at| lines[*at].trim_start().starts_with("- "))
            .unwrap();
        let comment = lines[begin - 1].trim_start();
        assert!(comment.starts_with('#'), "line {}: {line}", number + 1);
        explained += 1;
    }
    assert_eq!(
        explained, expected,
        "every wildcard is on a line of its own"
    );
    // Nothing without TLS; traces, and labels of Rekognition, which know no resource of ours.
    assert!(expected <= 3, "{expected} wildcards");
}

#[test]
fn every_function_has_a_role_of_its_own() {
    let template = Template::of_the_product().unwrap();
    let mut roles = BTreeSet::new();
    for function in template.functions().unwrap() {
        // Without one, SAM adds policies that read every queue of the account.
        let role = target(&function.properties["Role"]).unwrap();
        assert!(roles.insert(role), "{role} is shared");
        assert!(function.properties["Policies"].is_null());
        let log = target(&function.properties["LoggingConfig"]["LogGroup"]);
        let writes_log = rights_of(&template, role).into_iter().any(|statement| {
            each(&statement["Action"]).contains(&&Value::from("logs:PutLogEvents"))
                && target(&statement["Resource"]) == log
        });
        assert!(writes_log, "{}", function.name);
    }
}

#[test]
fn a_function_is_told_of_the_queues_it_may_use_and_of_no_others() {
    let template = Template::of_the_product().unwrap();
    for function in template.functions().unwrap() {
        let consumed: BTreeSet<&str> = function
            .event_sources()
            .unwrap()
            .iter()
            .map(|source| source.queue)
            .collect();
        let (mut usable, mut received) = (BTreeSet::new(), BTreeSet::new());
        for statement in rights_of(&template, target(&function.properties["Role"]).unwrap()) {
            let actions = each(&statement["Action"]);
            let may = |action: &str| actions.contains(&&Value::from(action));
            if !actions
                .iter()
                .all(|action| action.as_str().unwrap().starts_with("sqs:"))
            {
                continue;
            }
            for queue in each(&statement["Resource"]) {
                let queue = target(queue).unwrap();
                usable.insert(queue);
                if may("sqs:ReceiveMessage") {
                    assert!(may("sqs:DeleteMessage") && may("sqs:GetQueueAttributes"));
                    received.insert(queue);
                }
            }
        }
        assert_eq!(received, consumed, "{} receives", function.name);
        let mut told = BTreeMap::new();
        for (name, value) in &function.environment {
            if name.ends_with("_QUEUE_URL") || name.ends_with("_DEAD_LETTERS_URL") {
                told.insert(*name, target(value).unwrap());
            }
        }
        for (name, queue) in &told {
            assert!(usable.contains(queue), "{}: {name}", function.name);
            let expected = variable_of(queue);
            assert_eq!(*name, expected, "{}: {queue}", function.name);
        }
        for queue in usable.difference(&consumed) {
            let told = told.values().any(|told| told == queue);
            assert!(told, "{} may use {queue}", function.name);
        }
    }
}

/// `ChunksDeadLetters` → `CHUNKS_DEAD_LETTERS_URL`
fn variable_of(queue: &str) -> String {
    let mut name = String::new();
    for character in queue.chars() {
        if character.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(character.to_ascii_uppercase());
    }
    name + "_URL"
}

#[test]
fn every_function_of_the_template_is_a_crate_and_every_such_crate_a_function() {
    let template = Template::of_the_product().unwrap();
    let mut folders = BTreeSet::new();
    for folder in std::fs::read_dir(repository().join("functions")).unwrap() {
        let folder = folder.unwrap();
        if folder.path().join("Cargo.toml").is_file() {
            folders.insert(folder.file_name().into_string().unwrap());
        }
    }
    let mut named = BTreeSet::new();
    for function in template.functions().unwrap() {
        let code = function.properties["CodeUri"].as_str().unwrap();
        assert_eq!(code, format!("functions/{}", function.name));
        let metadata = &template.root()["Resources"][function.logical_id]["Metadata"];
        assert_eq!(metadata["BuildMethod"], "rust-cargolambda");
        named.insert(function.name.to_owned());
    }
    assert_eq!(named, folders);
}

/// Text of every source file of a crate, its tests' modules included.
fn sources(crate_folder: &str) -> String {
    let mut text = String::new();
    for file in std::fs::read_dir(repository().join(crate_folder).join("src")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    text
}

/// The names in `required("NAME")`.
fn required(text: &str) -> Vec<&str> {
    let calls = text.split("required(\"").skip(1);
    calls.filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn every_variable_that_a_function_needs_is_set_and_every_one_that_is_set_is_read() {
    let template = Template::of_the_product().unwrap();
    let shared = sources("shared/lambda-support")
        + &sources("shared/adapters-aws")
        + &sources("shared/vision");
    for function in template.functions().unwrap() {
        let own = sources(&format!("functions/{}", function.name));
        let mut needed = required(&own);
        let adapters = sources("shared/adapters-aws");
        needed.extend(required(&adapters));
        if own.contains("api_state") {
            needed.push("API_TOKENS_SECRET");
        }
        // Those that begin like this are the platform's own.
        needed.retain(|name| !name.starts_with("AWS_"));
        assert!(needed.contains(&"TABLE_NAME"), "{needed:?}");
        for name in needed {
            let is_set = function.environment.contains_key(name);
            assert!(is_set, "{} needs {name}", function.name);
        }
        for name in function.environment.keys() {
            let is_read = [&own, &shared]
                .iter()
                .any(|text| text.contains(&format!("\"{name}\"")));
            let is_of_a_queue = name.ends_with("_QUEUE_URL") || name.ends_with("_DEAD_LETTERS_URL");
            assert!(is_read || is_of_a_queue, "{}: {name}", function.name);
        }
    }
}
