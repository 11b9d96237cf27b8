//! What `template.yaml` declares, as far as tests create it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Map, Value as Json};
use serde_yaml_ng::Value as Yaml;

const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml");

/// A template of `CloudFormation`. Of its functions `!Ref` and `!GetAtt` are looked through, the others are left as they are.
#[derive(Debug)]
pub struct Template {
    root: Yaml,
}

/// A queue of the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDeclaration {
    /// Its logical name in the template.
    pub name: String,
    /// Attributes as `CreateQueue` takes them, the redrive policy left out.
    pub attributes: BTreeMap<String, String>,
    /// Logical name of its dead-letter queue, and the receives after which a message goes there.
    pub redrive: Option<(String, u32)>,
    /// The environment variables that tell functions its address.
    pub variables: BTreeSet<String>,
}

impl Template {
    /// The template of this repository.
    pub fn of_this_repository() -> Self {
        Self::read(Path::new(TEMPLATE))
    }

    /// The template in a file.
    pub fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()));
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        Self {
            root: serde_yaml_ng::from_str(text).unwrap(),
        }
    }

    /// The body of a `CreateTable` request for the template's only table, without the table's name.
    pub fn table(&self) -> Map<String, Json> {
        let tables = self.resources("AWS::DynamoDB::Table");
        assert_eq!(tables.len(), 1, "the template declares one table");
        let properties = &tables[0].1;
        [
            "AttributeDefinitions",
            "KeySchema",
            "GlobalSecondaryIndexes",
            "BillingMode",
        ]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), to_json(properties.get(name)?))))
        .collect()
    }

    /// The attribute by which items of the table expire.
    pub fn expiry_attribute(&self) -> String {
        let tables = self.resources("AWS::DynamoDB::Table");
        let specification = &tables[0].1["TimeToLiveSpecification"];
        assert_eq!(specification["Enabled"], Yaml::Bool(true));
        specification["AttributeName"].as_str().unwrap().to_owned()
    }

    /// Every queue, dead-letter queues included.
    pub fn queues(&self) -> Vec<QueueDeclaration> {
        let mut variables = self.queue_variables();
        let mut queues = Vec::new();
        for (name, properties) in self.resources("AWS::SQS::Queue") {
            let mut attributes = BTreeMap::new();
            let mut redrive = None;
            for (key, value) in properties.as_mapping().unwrap() {
                let key = key.as_str().unwrap();
                if key == "RedrivePolicy" {
                    let target = referenced(&value["deadLetterTargetArn"]).unwrap();
                    let receives = value["maxReceiveCount"].as_u64().unwrap() as u32;
                    redrive = Some((target, receives));
                } else if let Some(scalar) = scalar(value) {
                    attributes.insert(key.to_owned(), scalar);
                }
            }
            queues.push(QueueDeclaration {
                variables: variables.remove(&name).unwrap_or_default(),
                name,
                attributes,
                redrive,
            });
        }
        queues
    }

    /// Names and properties of the resources of a type.
    fn resources(&self, wanted: &str) -> Vec<(String, Yaml)> {
        let mut found = Vec::new();
        for (name, resource) in self.root["Resources"].as_mapping().unwrap() {
            if resource["Type"].as_str() == Some(wanted) {
                let properties = resource.get("Properties").cloned();
                found.push((
                    name.as_str().unwrap().to_owned(),
                    properties.unwrap_or_default(),
                ));
            }
        }
        found
    }

    /// The environment variables of any function that hold `!Ref` of a resource, by that resource.
    fn queue_variables(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut by_resource: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut environments = vec![self.root["Globals"]["Function"]["Environment"].clone()];
        for (_, properties) in self.resources("AWS::Serverless::Function") {
            environments.push(properties["Environment"].clone());
        }
        for environment in environments {
            let Some(variables) = environment["Variables"].as_mapping() else {
                continue;
            };
            for (variable, value) in variables {
                if let Some(resource) = referenced(value) {
                    let variable = variable.as_str().unwrap().to_owned();
                    by_resource.entry(resource).or_default().insert(variable);
                }
            }
        }
        by_resource
    }
}

/// The resource that `!Ref Resource` or `!GetAtt Resource.Attribute` names, in the short or the long form.
fn referenced(value: &Yaml) -> Option<String> {
    let (function, argument) = match value {
        Yaml::Tagged(tagged) => (tagged.tag.to_string(), &tagged.value),
        Yaml::Mapping(mapping) if mapping.len() == 1 => {
            let (function, argument) = mapping.iter().next()?;
            (function.as_str()?.replace("Fn::", ""), argument)
        }
        _ => return None,
    };
    match function.trim_start_matches('!') {
        "Ref" => Some(argument.as_str()?.to_owned()),
        "GetAtt" => {
            let name = argument.as_str().or_else(|| argument.get(0)?.as_str())?;
            Some(name.split('.').next()?.to_owned())
        }
        _ => None,
    }
}

fn scalar(value: &Yaml) -> Option<String> {
    match value {
        Yaml::Bool(value) => Some(value.to_string()),
        Yaml::Number(value) => Some(value.to_string()),
        Yaml::String(value) => Some(value.clone()),
        _ => None,
    }
}

fn to_json(value: &Yaml) -> Json {
    serde_json::to_value(value).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
Globals:
  Function:
    Environment: { Variables: { TABLE_NAME: !Ref Table, LEVEL: !FindInMap [A, !Ref B, C] } }
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      KeySchema: [{ AttributeName: pk, KeyType: HASH }]
      TimeToLiveSpecification: { AttributeName: expires_at, Enabled: true }
  Work:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Sub "${AWS::StackName}-work"
      VisibilityTimeout: 60
      SqsManagedSseEnabled: true
      RedrivePolicy: { deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 3 }
  Dead:
    Type: AWS::SQS::Queue
    Properties: &dead { MessageRetentionPeriod: 1209600 }
  Spare: { Type: AWS::SQS::Queue, Properties: *dead }
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      Environment: { Variables: { WORK_QUEUE_URL: !Ref Work, DEAD_URL: { Ref: Dead } } }
"#;

    #[test]
    fn queues_come_with_their_attributes_redrive_and_variables() {
        let queues = Template::parse(TEXT).queues();
        let names: Vec<&str> = queues.iter().map(|queue| queue.name.as_str()).collect();
        assert_eq!(names, ["Work", "Dead", "Spare"]);
        let expected = [
            ("SqsManagedSseEnabled", "true"),
            ("VisibilityTimeout", "60"),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        assert_eq!(queues[0].attributes, expected.map(owned).into());
        assert_eq!(queues[0].redrive, Some(("Dead".to_owned(), 3)));
        assert_eq!(queues[0].variables, ["WORK_QUEUE_URL".to_owned()].into());
        assert_eq!(queues[1].variables, ["DEAD_URL".to_owned()].into());
        assert_eq!(queues[2].attributes, queues[1].attributes);
    }

    #[test]
    fn a_table_is_declared_as_it_is_created() {
        let template = Template::parse(TEXT);
        let table = Json::Object(template.table());
        assert_eq!(table["KeySchema"][0]["AttributeName"], "pk");
        assert!(table.get("TimeToLiveSpecification").is_none());
        assert_eq!(template.expiry_attribute(), "expires_at");
    }
}
