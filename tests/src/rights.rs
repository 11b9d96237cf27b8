//! What the roles of `template.yaml` allow, in the words in which requests are noted ([`aws_emulators::Access`] in tests).

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::template::{Function, Template, target};

/// How the name of an event source begins.
const EVENT_SOURCE: &str =
    "arn:${AWS::Partition}:lambda:${AWS::Region}:${AWS::AccountId}:event-source-mapping:";

/// Actions and resources that a function's role allows, by itself or by a policy of its own that is there on a condition: `table`,
/// `index/<name>` or `index/*`, `bucket`, the folder of a key with its slash, or the logical id of a queue, a secret, a topic or an event
/// source. Logs and traces are left out.
pub fn rights_of(
    template: &Template,
    function: &Function<'_>,
) -> anyhow::Result<BTreeSet<(String, String)>> {
    let role = target(&function.properties["Role"]).context("a role of its own")?;
    let mut rights = BTreeSet::new();
    let apart = template.resources("AWS::IAM::Policy").into_iter();
    let apart = apart.filter(|(_, policy)| {
        let mut roles = each(&policy["Roles"]).into_iter();
        roles.any(|named| target(named) == Some(role))
    });
    let own = each(&template.properties(role)["Policies"]);
    for policy in own.into_iter().chain(apart.map(|(_, policy)| policy)) {
        for statement in each(&policy["PolicyDocument"]["Statement"]) {
            for action in each(&statement["Action"]) {
                let action = action.as_str().context("an action is text")?;
                if action.starts_with("logs:") {
                    continue;
                }
                for resource in each(&statement["Resource"]) {
                    rights.insert((action.to_owned(), name_of(resource)?));
                }
            }
        }
    }
    Ok(rights)
}

/// Whether `rights` hold what was done.
pub fn allows(rights: &BTreeSet<(String, String)>, action: &str, resource: &str) -> bool {
    let mut of_action = rights.iter().filter(|(allowed, _)| allowed == action);
    of_action.any(|(_, allowed)| covers(allowed, resource))
}

/// Whether a right to `allowed` is one to `resource`.
pub fn covers(allowed: &str, resource: &str) -> bool {
    let is_below = |prefix| resource.starts_with(prefix);
    allowed == resource || allowed.strip_suffix('*').is_some_and(is_below)
}

fn each(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

fn name_of(resource: &Value) -> anyhow::Result<String> {
    if let Some(logical_id) = target(resource) {
        return Ok(match logical_id {
            "Table" => "table".to_owned(),
            "Bucket" => "bucket".to_owned(),
            other => other.to_owned(),
        });
    }
    if resource == "*" {
        return Ok("*".to_owned());
    }
    let Some(text) = resource["Fn::Sub"].as_str() else {
        bail!("a resource that cannot be told: {resource}");
    };
    if let Some(event_source) = text.strip_prefix(EVENT_SOURCE) {
        let name = event_source.strip_prefix("${");
        let name = name.and_then(|name| name.strip_suffix('}'));
        return Ok(name.context("an event source is named")?.to_owned());
    }
    let below_table = text.strip_prefix("${Table.Arn}/");
    let below_bucket = text.strip_prefix("${Bucket.Arn}/");
    match (below_table, below_bucket) {
        (Some(index), _) => Ok(index.to_owned()),
        (_, Some(keys)) => Ok(keys.trim_end_matches('*').to_owned()),
        _ => bail!("a resource that cannot be told: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_to_everything_below_is_one_to_each() {
        assert!(covers("index/*", "index/batches-by-owner"));
        assert!(covers("lists/", "lists/"));
        assert!(!covers("lists/", "uploads/"));
        assert!(!covers("index/batches-by-status", "index/batches-by-owner"));
        assert!(covers("*", "anything"));
    }

    #[test]
    fn every_role_can_be_told() {
        let template = Template::of_the_product().unwrap();
        for function in template.functions().unwrap() {
            let rights = rights_of(&template, &function).unwrap();
            assert!(!rights.is_empty(), "{}", function.name);
        }
    }
}
