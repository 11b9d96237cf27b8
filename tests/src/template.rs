//! `template.yaml` as tests read it: JSON in the long form, with what the product's functions, queues and tables need at hand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};
use serde_yaml_ng::Value as Yaml;

/// A `CloudFormation` template.
#[derive(Debug, Clone)]
pub struct Template {
    text: String,
    root: Value,
}

/// A function of the template, with what Globals adds to it.
#[derive(Debug, Clone)]
pub struct Function<'t> {
    /// Its logical id, such as `FanOutFunction`.
    pub logical_id: &'t str,
    /// The name of its binary, crate and folder, such as `fan-out`.
    pub name: &'t str,
    /// What it is given to run, in seconds.
    pub timeout_seconds: u64,
    /// Its memory in MB.
    pub memory_mb: u64,
    /// Its variables: names and values in the long form.
    pub environment: BTreeMap<&'t str, &'t Value>,
    /// Its own properties.
    pub properties: &'t Value,
}

/// A queue that a function is invoked for.
#[derive(Debug, Clone, Copy)]
pub struct EventSource<'t> {
    /// Logical id of the queue.
    pub queue: &'t str,
    /// Messages in one event, at most.
    pub batch_size: u64,
    /// How long an event waits to be filled, in seconds.
    pub window_seconds: u64,
    /// Everything that is said of the event source.
    pub properties: &'t Value,
}

/// Where the repository begins.
pub fn repository() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).to_owned()
}

impl Template {
    /// The template of the product.
    pub fn of_the_product() -> anyhow::Result<Self> {
        let path = repository().join("template.yaml");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Self::parse(text)
    }

    /// Reads a template. Short forms of functions (`!Ref name`) become long ones (`{"Ref": "name"}`).
    pub fn parse(text: String) -> anyhow::Result<Self> {
        let yaml: Yaml = serde_yaml_ng::from_str(&text)?;
        let root = long_form(yaml)?;
        Ok(Self { text, root })
    }

    /// The template as it is written, comments included.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The whole template in the long form.
    pub const fn root(&self) -> &Value {
        &self.root
    }

    /// Logical ids and properties of the resources of a type, such as `AWS::SQS::Queue`.
    pub fn resources(&self, kind: &str) -> Vec<(&str, &Value)> {
        let resources = self.root["Resources"].as_object();
        resources
            .into_iter()
            .flatten()
            .filter(|(_, resource)| resource["Type"] == kind)
            .map(|(logical_id, resource)| (logical_id.as_str(), &resource["Properties"]))
            .collect()
    }

    /// Properties of the resource with this logical id; null when there is none.
    pub fn properties(&self, logical_id: &str) -> &Value {
        &self.root["Resources"][logical_id]["Properties"]
    }

    /// Every function.
    pub fn functions(&self) -> anyhow::Result<Vec<Function<'_>>> {
        let mut functions = Vec::new();
        for (logical_id, properties) in self.resources("AWS::Serverless::Function") {
            functions.push(
                self.function(logical_id, properties)
                    .with_context(|| logical_id.to_owned())?,
            );
        }
        Ok(functions)
    }

    fn function<'t>(
        &'t self,
        logical_id: &'t str,
        properties: &'t Value,
    ) -> anyhow::Result<Function<'t>> {
        let globals = &self.root["Globals"]["Function"];
        let number = |name: &str| {
            let own = properties[name].as_u64();
            own.or_else(|| globals[name].as_u64())
                .with_context(|| format!("{name} is not a number"))
        };
        let mut environment = BTreeMap::new();
        for level in [globals, properties] {
            let variables = level["Environment"]["Variables"].as_object();
            for (name, value) in variables.into_iter().flatten() {
                environment.insert(name.as_str(), value);
            }
        }
        let metadata = &self.root["Resources"][logical_id]["Metadata"];
        Ok(Function {
            logical_id,
            name: metadata["BuildProperties"]["Binary"]
                .as_str()
                .context("no binary is named")?,
            timeout_seconds: number("Timeout")?,
            memory_mb: number("MemorySize")?,
            environment,
            properties,
        })
    }
}

impl<'t> Function<'t> {
    /// The queues it is invoked for.
    pub fn event_sources(&self) -> anyhow::Result<Vec<EventSource<'t>>> {
        let properties: &'t Value = self.properties;
        let events = properties["Events"].as_object();
        let mut sources = Vec::new();
        for (name, event) in events.into_iter().flatten() {
            if event["Type"] != "SQS" {
                continue;
            }
            let properties = &event["Properties"];
            let window = &properties["MaximumBatchingWindowInSeconds"];
            sources.push(EventSource {
                queue: target(&properties["Queue"])
                    .with_context(|| format!("{name} names no queue"))?,
                batch_size: properties["BatchSize"]
                    .as_u64()
                    .with_context(|| format!("{name} has no batch size"))?,
                window_seconds: window.as_u64().unwrap_or(0),
                properties,
            });
        }
        Ok(sources)
    }
}

/// The logical id that a `Ref` or `Fn::GetAtt` points at.
pub fn target(value: &Value) -> Option<&str> {
    value["Ref"]
        .as_str()
        .or_else(|| value["Fn::GetAtt"][0].as_str())
}

fn long_form(yaml: Yaml) -> anyhow::Result<Value> {
    Ok(match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => value.into(),
        Yaml::Number(value) => serde_json::to_value(value)?,
        Yaml::String(value) => value.into(),
        Yaml::Sequence(items) => {
            let items: anyhow::Result<Vec<Value>> = items.into_iter().map(long_form).collect();
            items?.into()
        }
        Yaml::Mapping(members) => {
            let mut object = Map::new();
            for (name, value) in members {
                let Yaml::String(name) = name else {
                    bail!("a member's name is not text: {name:?}");
                };
                object.insert(name, long_form(value)?);
            }
            object.into()
        }
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let function = tag.trim_start_matches('!');
            let argument = long_form(tagged.value)?;
            match (function, argument) {
                ("Ref" | "Condition", argument) => json!({function: argument}),
                ("GetAtt", Value::String(path)) => {
                    let (logical_id, attribute) = path
                        .split_once('.')
                        .with_context(|| format!("!GetAtt {path} names no attribute"))?;
                    json!({"Fn::GetAtt": [logical_id, attribute]})
                }
                (_, argument) => json!({format!("Fn::{function}"): argument}),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_read_as_long_ones() {
        let text = "a: !Ref Queue\nb: !GetAtt Queue.Arn\nc: !Sub '${Queue}/x'\nd: !If [Big, !Ref Queue, 1]\n";
        let template = Template::parse(text.to_owned()).unwrap();
        let expected = json!({
            "a": {"Ref": "Queue"},
            "b": {"Fn::GetAtt": ["Queue", "Arn"]},
            "c": {"Fn::Sub": "${Queue}/x"},
            "d": {"Fn::If": ["Big", {"Ref": "Queue"}, 1]},
        });
        assert_eq!(template.root(), &expected);
        assert_eq!(target(&template.root()["a"]), Some("Queue"));
        assert_eq!(target(&template.root()["b"]), Some("Queue"));
        assert_eq!(target(&template.root()["c"]), None);
    }
}
