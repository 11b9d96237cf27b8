//! What is asked of a model, and what an answer has to look like.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use jsonschema::Validator;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{Answer, BadAnswer, Usage};

/// What is asked unless the configuration says otherwise.
const DEFAULT_PROMPT: &str = "You label photographs for a product catalogue. Look at the image and answer with JSON only: \
`caption` is one plain sentence; `labels` are up to ten things or properties that can be seen, each with your confidence from 0 to 1, \
the surest first; `text` holds every piece of text that can be read, as written; `safety` says whether the image is fit for a general \
public and, if not, why.";

/// What an answer has to look like unless the configuration says otherwise.
fn default_schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["caption", "labels", "text", "safety"],
        "properties": {
            "caption": { "type": "string" },
            "labels": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["name", "confidence"],
                    "properties": {
                        "name": { "type": "string" },
                        "confidence": { "type": "number", "minimum": 0, "maximum": 1 }
                    }
                }
            },
            "text": { "type": "array", "items": { "type": "string" } },
            "safety": {
                "type": "object",
                "additionalProperties": false,
                "required": ["safe", "concerns"],
                "properties": {
                    "safe": { "type": "boolean" },
                    "concerns": { "type": "array", "items": { "type": "string" } }
                }
            }
        }
    })
}

/// The task cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the schema of answers cannot be used: {0}")]
pub struct TaskError(String);

/// What calls cost, in US dollars.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pricing {
    /// Each call.
    pub per_call: f64,
    /// A million tokens that go in.
    pub per_million_input: f64,
    /// A million tokens that come out.
    pub per_million_output: f64,
}

impl Pricing {
    /// Whether calls cost nothing, as far as anybody has said.
    pub fn is_free(&self) -> bool {
        self.per_call + self.per_million_input + self.per_million_output <= 0.0
    }

    /// What a call with this usage costs, in millionths of a dollar, rounded up.
    pub fn micro_usd(&self, usage: Usage) -> u64 {
        let micro_usd = self.per_call * 1e6
            + self.per_million_input * usage.input_tokens as f64
            + self.per_million_output * usage.output_tokens as f64;
        micro_usd.max(0.0).ceil() as u64
    }
}

/// Prompt, model and schema.
#[derive(Debug, Clone)]
pub struct Task {
    prompt: String,
    model: String,
    schema: Value,
    /// Made when the first answer is checked: what starts and asks nothing does without.
    validator: Arc<OnceLock<Validator>>,
    hash: String,
}

impl Task {
    /// The task that `prompt` and `schema` describe; those of this crate where they are `None`. The schema is a JSON schema of an object.
    pub fn new(
        model: impl Into<String>,
        prompt: Option<String>,
        schema: Option<Value>,
    ) -> Result<Self, TaskError> {
        let model = model.into();
        let prompt = prompt.unwrap_or_else(|| DEFAULT_PROMPT.to_owned());
        let is_ours = schema.is_none();
        let schema = schema.unwrap_or_else(default_schema);
        let mut hasher = Sha256::new();
        for part in [&model, &prompt, &schema.to_string()] {
            // Lengths, so that no two tasks run into each other.
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let mut hash = String::new();
        for byte in hasher.finalize().iter().take(8) {
            let _ = write!(hash, "{byte:02x}");
        }
        let task = Self {
            prompt,
            model,
            schema,
            validator: Arc::default(),
            hash,
        };
        if !is_ours {
            task.validator()?;
        }
        Ok(task)
    }

    fn validator(&self) -> Result<&Validator, TaskError> {
        if let Some(validator) = self.validator.get() {
            return Ok(validator);
        }
        let validator = jsonschema::validator_for(&self.schema);
        let validator = validator.map_err(|error| TaskError(error.to_string()))?;
        Ok(self.validator.get_or_init(|| validator))
    }

    /// What is asked.
    pub fn prompt(&self) -> &str {
        &self.prompt
    }

    /// Who is asked.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What an answer has to look like.
    pub const fn schema(&self) -> &Value {
        &self.schema
    }

    /// 16 hexadecimal digits that change with model, prompt or schema: answers to different tasks are different answers.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Reads the answer about one image out of a model's text.
    pub fn parse(&self, text: &str) -> Result<Answer, BadAnswer> {
        let value: Value = serde_json::from_str(without_fence(text))
            .map_err(|error| BadAnswer(format!("it is not JSON: {error}")))?;
        self.check(value)
    }

    /// Checks an answer against the schema.
    pub fn check(&self, value: Value) -> Result<Answer, BadAnswer> {
        let validator = self.validator();
        let validator = validator.map_err(|error| BadAnswer(error.to_string()))?;
        if let Err(error) = validator.validate(&value) {
            let path = error.instance_path().to_string();
            return Err(BadAnswer(format!("at {path:?}: {error}")));
        }
        match value {
            Value::Object(answer) => Ok(answer),
            _ => Err(BadAnswer("it is not an object".to_owned())),
        }
    }
}

/// Models that were asked for JSON only put it between three backticks all the same.
fn without_fence(text: &str) -> &str {
    let text = text.trim();
    let Some(inner) = text.strip_prefix("```") else {
        return text;
    };
    let inner = inner.strip_prefix("json").unwrap_or(inner);
    inner.strip_suffix("```").unwrap_or(inner).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"caption":"A red shoe.","labels":[{"name":"shoe","confidence":0.98}],
        "text":["SALE"],"safety":{"safe":true,"concerns":[]}}"#;

    #[test]
    fn an_answer_of_the_schema_is_read_with_or_without_a_fence() {
        let task = Task::new("model", None, None).unwrap();
        let answer = task.parse(GOOD).unwrap();
        assert_eq!(answer["labels"][0]["name"], "shoe");
        assert_eq!(
            task.parse(&format!("```json\n{GOOD}\n```")).unwrap(),
            answer
        );
    }

    #[test]
    fn anything_else_is_a_bad_answer_that_says_why() {
        let task = Task::new("model", None, None).unwrap();
        for (text, word) in [
            ("I cannot help with that.", "not JSON"),
            (&GOOD.replace("0.98", "98"), "confidence"),
            (&GOOD.replace("\"caption\":\"A red shoe.\",", ""), "caption"),
            ("[]", "object"),
        ] {
            let error = task.parse(text).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn the_hash_changes_with_model_prompt_and_schema() {
        let hash = |model: &str, prompt: Option<&str>, schema: Option<Value>| {
            let task = Task::new(model, prompt.map(str::to_owned), schema).unwrap();
            task.hash().to_owned()
        };
        let base = hash("a", None, None);
        assert_eq!(base, hash("a", None, None));
        assert_eq!(base.len(), 16);
        assert_ne!(base, hash("b", None, None));
        assert_ne!(base, hash("a", Some("What is it?"), None));
        assert_ne!(base, hash("a", None, Some(json!({ "type": "object" }))));
    }

    #[test]
    fn a_schema_that_is_none_is_refused() {
        assert!(Task::new("model", None, Some(json!({ "type": 7 }))).is_err());
    }

    #[test]
    fn a_call_costs_what_its_tokens_cost() {
        let pricing = Pricing {
            per_call: 0.001,
            per_million_input: 0.15,
            per_million_output: 0.60,
        };
        let usage = Usage {
            input_tokens: 1_000,
            output_tokens: 100,
        };
        assert_eq!(pricing.micro_usd(usage), 1_000 + 150 + 60);
        assert_eq!(Pricing::default().micro_usd(usage), 0);
    }
}
