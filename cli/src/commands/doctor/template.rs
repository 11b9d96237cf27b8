//! The stack as `template.yaml` makes it of these parameters, against what an account may have.

use std::collections::BTreeMap;

use serde_yaml_ng::{Mapping, Value};

use super::finding::Finding;

/// Executions that people's requests need at once, beside those of the queues.
const FOR_REQUESTS: u64 = 20;
/// What new accounts may have.
const NEW_ACCOUNT: u64 = 10;
const NEW_ACCOUNT_MEMORY_MB: u64 = 3_008;
/// Bounds of the service that no quota raises.
const LONGEST_TIMEOUT_S: u64 = 900;
const MOST_MEMORY_MB: u64 = 10_240;
/// A message is to stay hidden for so many time-outs of its function (AWS Lambda developer guide, "Using Lambda with Amazon SQS").
const TIMEOUTS_HIDDEN: u64 = 6;
/// Chunks that one provisioned poller has under way at most.
const CHUNKS_A_POLLER: u64 = 10;
/// References through conditions and parameters do not go deeper than this.
const DEPTH: u8 = 16;

/// A template with values for its parameters.
pub(super) struct Stack {
    root: Value,
    parameters: BTreeMap<String, String>,
}

/// A function with its queues.
struct Function<'s> {
    name: &'s str,
    timeout_s: Option<u64>,
    memory_mb: Option<u64>,
    sources: Vec<Source>,
}

/// An event source of a queue.
struct Source {
    /// Executions at once, at most; `None` where nothing bounds them.
    most: Option<u64>,
    hidden_s: Option<u64>,
}

impl Stack {
    /// Reads a template. `overrides` are pairs as `sam deploy --parameter-overrides` takes them; the others are at their defaults.
    pub(super) fn read(yaml: &str, overrides: &str) -> Result<Self, String> {
        let root: Value = serde_yaml_ng::from_str(yaml).map_err(|error| error.to_string())?;
        let declared = root["Parameters"].as_mapping();
        let declared = declared.ok_or("there are no Parameters in it")?;
        let mut parameters = BTreeMap::new();
        for (name, parameter) in declared {
            if let (Some(name), Some(default)) = (name.as_str(), scalar(&parameter["Default"])) {
                parameters.insert(name.to_owned(), default);
            }
        }
        for pair in overrides.split_whitespace() {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| format!("{pair:?} is not NAME=VALUE"))?;
            if !declared.contains_key(name) {
                return Err(format!("the template has no parameter {name}"));
            }
            parameters.insert(name.to_owned(), value.trim_matches('"').to_owned());
        }
        Ok(Self { root, parameters })
    }

    fn number(&self, value: &Value) -> Option<u64> {
        self.value(value, DEPTH)?.parse().ok()
    }

    /// What comes of a value, if it is plain text or a number in the end.
    fn value(&self, value: &Value, depth: u8) -> Option<String> {
        let depth = depth.checked_sub(1)?;
        let Value::Tagged(tagged) = value else {
            return scalar(value);
        };
        let argument = &tagged.value;
        match tagged.tag.to_string().as_str() {
            "!Ref" => self.parameters.get(argument.as_str()?).cloned(),
            "!If" => self.value(self.chosen(argument, depth)?, depth),
            "!FindInMap" => {
                let map = self.root["Mappings"].get(argument[0].as_str()?)?;
                let key = self.value(&argument[1], depth)?;
                scalar(&map[key.as_str()][argument[2].as_str()?])
            }
            _ => None,
        }
    }

    /// The branch of an `!If` that holds.
    fn chosen<'v>(&self, argument: &'v Value, depth: u8) -> Option<&'v Value> {
        let holds = self.holds(argument[0].as_str()?, depth)?;
        Some(&argument[if holds { 1 } else { 2 }])
    }

    /// The members of a value, through an `!If` around it; `None` where there are none.
    fn members<'v>(&self, value: &'v Value) -> Option<&'v Mapping> {
        match value {
            Value::Mapping(members) => Some(members),
            Value::Tagged(tagged) if tagged.tag == "!If" => {
                self.chosen(&tagged.value, DEPTH)?.as_mapping()
            }
            _ => None,
        }
    }

    fn holds(&self, condition: &str, depth: u8) -> Option<bool> {
        self.is_true(self.root["Conditions"].get(condition)?, depth)
    }

    fn is_true(&self, value: &Value, depth: u8) -> Option<bool> {
        let depth = depth.checked_sub(1)?;
        let Value::Tagged(tagged) = value else {
            return None;
        };
        let argument = &tagged.value;
        match tagged.tag.to_string().as_str() {
            "!Equals" => {
                let left = self.value(&argument[0], depth)?;
                Some(left == self.value(&argument[1], depth)?)
            }
            "!Not" => Some(!self.is_true(&argument[0], depth)?),
            "!Condition" => self.holds(argument.as_str()?, depth),
            "!And" | "!Or" => {
                let parts = argument.as_sequence()?.iter();
                let parts = parts.map(|part| self.is_true(part, depth));
                let parts: Vec<bool> = parts.collect::<Option<_>>()?;
                let is_or = tagged.tag == "!Or";
                // One that holds decides an !Or, one that does not an !And.
                Some(parts.contains(&is_or) == is_or)
            }
            _ => None,
        }
    }

    fn functions(&self) -> Vec<Function<'_>> {
        let resources = self.root["Resources"].as_mapping();
        let mut functions = Vec::new();
        for (name, resource) in resources.into_iter().flatten() {
            let Some(name) = name.as_str() else {
                continue;
            };
            if resource["Type"] != "AWS::Serverless::Function" {
                continue;
            }
            let properties = &resource["Properties"];
            let number = |property: &str| {
                let own = self.number(&properties[property]);
                own.or_else(|| self.number(&self.root["Globals"]["Function"][property]))
            };
            let events = properties["Events"].as_mapping().into_iter().flatten();
            let queues = events.filter(|(_, event)| event["Type"] == "SQS");
            functions.push(Function {
                name,
                timeout_s: number("Timeout"),
                memory_mb: number("MemorySize"),
                sources: queues
                    .map(|(_, event)| self.source(&event["Properties"]))
                    .collect(),
            });
        }
        functions
    }

    fn source(&self, properties: &Value) -> Source {
        let of = |config: &str, name: &str| {
            let members = self.members(&properties[config])?;
            self.number(members.get(name)?)
        };
        let pollers = of("ProvisionedPollerConfig", "MaximumPollers");
        let concurrency = of("ScalingConfig", "MaximumConcurrency");
        let most = concurrency.or_else(|| pollers.map(|pollers| pollers * CHUNKS_A_POLLER));
        let queue = match &properties["Queue"] {
            Value::Tagged(tagged) => tagged
                .value
                .as_str()
                .and_then(|path| path.split('.').next()),
            _ => None,
        };
        let queue = queue.and_then(|queue| self.root["Resources"].get(queue));
        let hidden = queue.map(|queue| &queue["Properties"]["VisibilityTimeout"]);
        Source {
            most,
            hidden_s: hidden.and_then(|hidden| self.number(hidden)),
        }
    }

    fn parameter(&self, name: &str) -> Option<u64> {
        self.parameters.get(name)?.parse().ok()
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Whether the stack fits into an account with so many executions at once, and its numbers fit each other.
pub(super) fn look(stack: &Stack, executions: Option<u64>) -> Vec<Finding> {
    let functions = stack.functions();
    let title = "template";
    if functions.is_empty() {
        return vec![Finding::grave(
            title,
            "there is no function in it",
            "name the template.yaml of the product, or of your own copy",
        )];
    }
    let mut findings = vec![concurrency(stack, &functions, executions)];
    findings.extend(bounds(&functions, executions));
    findings.extend(hidden(&functions));
    if findings.len() == 1 {
        let evidence = format!(
            "time-outs, memory and queues of {} functions fit",
            functions.len()
        );
        findings.push(Finding::fine(title, evidence));
    }
    findings
}

fn concurrency(stack: &Stack, functions: &[Function<'_>], executions: Option<u64>) -> Finding {
    let title = "template: executions at once";
    let mut wanted = FOR_REQUESTS;
    let mut parts = vec![format!("{FOR_REQUESTS} for requests")];
    let mut analyze = 0;
    for function in functions {
        let most: Option<u64> = function.sources.iter().map(|source| source.most).sum();
        let Some(mut most) = most else {
            return Finding::grave(
                title,
                format!("an event source of {} has no maximum", function.name),
                "give it a ScalingConfig with a MaximumConcurrency, or one long list takes every execution of the account",
            );
        };
        if function.name == "AnalyzeFunction" {
            // What the janitor may raise it to.
            let is_raised = stack
                .parameters
                .get("ApplyScalingAdvice")
                .is_some_and(|on| on == "on");
            if is_raised {
                most = most.max(stack.parameter("ScalingMaximum").unwrap_or(0));
            }
            analyze = most;
        }
        if most > 0 {
            wanted += most;
            parts.push(format!("{most} for {}", function.name));
        }
    }
    let evidence = |executions: u64| {
        format!(
            "{wanted} of {executions} that the account may have: {}",
            parts.join(", ")
        )
    };
    match executions {
        None => Finding::doubtful(
            title,
            format!(
                "{wanted}, and what the account may have was not said: {}",
                parts.join(", ")
            ),
            "say it with --account-concurrency N, or with --quotas FILE",
        ),
        Some(executions) if executions < wanted => {
            let left = executions.saturating_sub(wanted - analyze);
            Finding::grave(
                title,
                evidence(executions),
                if left < 2 {
                    "ask for 1,000 in the console of Service Quotas; the other functions alone need more than there is".to_owned()
                } else {
                    format!(
                        "deploy with AnalyzeMaximumConcurrency={left} (and ScalingMaximum no higher), or ask for a higher quota"
                    )
                },
            )
        }
        Some(executions) => Finding::fine(title, evidence(executions)),
    }
}

/// Time-outs and memory.
fn bounds(functions: &[Function<'_>], executions: Option<u64>) -> Vec<Finding> {
    let is_new = executions.is_some_and(|executions| executions <= NEW_ACCOUNT);
    let most_memory = if is_new {
        NEW_ACCOUNT_MEMORY_MB
    } else {
        MOST_MEMORY_MB
    };
    let mut findings = Vec::new();
    for function in functions {
        let name = function.name;
        if let Some(timeout_s) = function.timeout_s.filter(|s| *s > LONGEST_TIMEOUT_S) {
            findings.push(Finding::grave(
                "template: time-outs",
                format!(
                    "{name} is given {timeout_s} s, {LONGEST_TIMEOUT_S} s are the most there is"
                ),
                format!("set its Timeout to {LONGEST_TIMEOUT_S} or less"),
            ));
        }
        if let Some(memory_mb) = function.memory_mb.filter(|mb| *mb > most_memory) {
            findings.push(Finding::grave(
                "template: memory",
                format!("{name} is given {memory_mb} MB, {most_memory} MB are the most this account may have"),
                format!("set its MemorySize to {most_memory} or less, or ask for a higher quota"),
            ));
        }
    }
    findings
}

/// A message must not come again while the function that has it still works.
fn hidden(functions: &[Function<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for function in functions {
        let Some(timeout_s) = function.timeout_s else {
            continue;
        };
        let least_s = timeout_s * TIMEOUTS_HIDDEN;
        for hidden_s in function.sources.iter().filter_map(|source| source.hidden_s) {
            if hidden_s < least_s {
                findings.push(Finding::doubtful(
                    "template: queues",
                    format!("a message of {} stays hidden for {hidden_s} s, less than {TIMEOUTS_HIDDEN} time-outs of {timeout_s} s", function.name),
                    format!("set the queue's VisibilityTimeout to {least_s} or more, or messages come twice"),
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    const PRODUCT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml"));
    /// As `make deploy ENVIRONMENT=production` deploys it.
    const PRODUCTION: &str = "Environment=production WarmInstances=5 AnalyzeMaximumConcurrency=900";

    fn found(yaml: &str, overrides: &str, executions: u64) -> Vec<Finding> {
        look(&Stack::read(yaml, overrides).unwrap(), Some(executions))
    }

    #[test]
    fn the_product_fits_into_the_usual_account_in_every_environment() {
        for overrides in [
            "",
            "Environment=staging",
            "Environment=production",
            PRODUCTION,
        ] {
            for finding in found(PRODUCT, overrides, 1_000) {
                assert_eq!(finding.severity, Severity::Fine, "{overrides}: {finding:?}");
            }
        }
    }

    #[test]
    fn an_account_that_is_too_small_is_told_what_it_bears() {
        let findings = found(PRODUCT, PRODUCTION, 500);
        assert_eq!(findings[0].severity, Severity::Grave);
        assert!(
            findings[0].evidence.contains("900 for AnalyzeFunction"),
            "{findings:?}"
        );
        // Deployed as the remedy has it, it fits.
        let remedy = &findings[0].remedy;
        let parameter = remedy
            .split_whitespace()
            .find(|word| word.contains('='))
            .unwrap();
        let overrides = format!("{PRODUCTION} {parameter}");
        assert_eq!(found(PRODUCT, &overrides, 500)[0].severity, Severity::Fine);
        // A new account: no parameter helps.
        let findings = found(PRODUCT, "", 10);
        assert!(findings[0].remedy.contains("1,000"), "{findings:?}");
    }

    #[test]
    fn pollers_and_what_advice_may_raise_count() {
        let evidence = |overrides: &str| found(PRODUCT, overrides, 5_000)[0].evidence.clone();
        let pollers = "AnalyzeMinimumPollers=50 AnalyzeMaximumPollers=200";
        assert!(evidence(pollers).contains("2000 for AnalyzeFunction"));
        let raised = "ApplyScalingAdvice=on ScalingMaximum=700";
        assert!(evidence(raised).contains("700 for AnalyzeFunction"));
        assert!(evidence("ScalingMaximum=700").contains("4 for AnalyzeFunction"));
    }

    #[test]
    fn numbers_that_do_not_fit_each_other_are_found() {
        for (from, to, severity, remedy) in [
            ("Timeout: 900", "Timeout: 901", Severity::Grave, "900"),
            (
                "MemorySize: 3008",
                "MemorySize: 10241",
                Severity::Grave,
                "10240",
            ),
            (
                "VisibilityTimeout: 5400",
                "VisibilityTimeout: 900",
                Severity::Doubtful,
                "5400",
            ),
            (
                "ScalingConfig: { MaximumConcurrency: 10 }",
                "ScalingConfig: {}",
                Severity::Grave,
                "MaximumConcurrency",
            ),
        ] {
            assert_eq!(PRODUCT.matches(from).count(), 1, "{from}");
            let edited = PRODUCT.replace(from, to);
            let worst = found(&edited, "", 1_000)
                .into_iter()
                .max_by_key(|finding| finding.severity);
            let worst = worst.unwrap();
            assert_eq!(worst.severity, severity, "{to}: {worst:?}");
            assert!(worst.remedy.contains(remedy), "{to}: {worst:?}");
        }
        // Enough for everybody else, and not for a new account.
        let large = PRODUCT.replace("MemorySize: 3008", "MemorySize: 3009");
        assert!(
            found(&large, "", 10)
                .iter()
                .any(|finding| finding.title == "template: memory")
        );
        assert!(
            !found(&large, "", 1_000)
                .iter()
                .any(|finding| finding.title == "template: memory")
        );
    }

    #[test]
    fn what_is_not_the_template_is_refused() {
        assert!(Stack::read("Resources: {}", "").is_err());
        assert!(Stack::read("a: [", "").is_err());
        let refused = |overrides| Stack::read(PRODUCT, overrides).err().unwrap();
        assert!(refused("Surroundings=production").contains("Surroundings"));
        assert!(refused("production").contains("NAME=VALUE"));
        let empty = Stack::read("Parameters: {}", "").unwrap();
        assert_eq!(look(&empty, None)[0].severity, Severity::Grave);
    }
}
