//! What the variables `VISION_…` say.

use std::fmt::{Display, Write};
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use crate::{Pricing, RateSettings, Task, rekognition};

const DEFAULT_BASE_URL: &str = "https://api.openai.com/v1";
/// Longest side of an image that is sent, in pixels.
const DEFAULT_IMAGE_MAX_SIZE: u32 = 1_024;
const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_ANSWER_DAYS: u32 = 7;
const DEFAULT_CALLS_AT_ONCE: usize = 64;

/// Who says what images show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProviderKind {
    /// Nobody.
    #[default]
    None,
    /// Something that speaks `OpenAI`'s chat completions.
    OpenAi,
    /// Amazon Rekognition, with the rights of the process in place of keys; in the AWS deployment only.
    Rekognition,
}

/// Where an OpenAI-compatible provider is and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAiSettings {
    /// Such as `https://api.openai.com/v1`.
    pub base_url: Url,
    /// One call, from connecting to the last byte.
    pub call_timeout: Duration,
    /// Whether it is asked for answers of the schema, or for JSON of any kind: not every provider knows schemas.
    pub asks_for_schema: bool,
    /// Most images in one call.
    pub max_images: usize,
}

impl OpenAiSettings {
    /// The address of chat completions.
    pub(crate) fn chat_url(&self) -> String {
        let base = self.base_url.as_str().trim_end_matches('/');
        format!("{base}/chat/completions")
    }
}

/// All of it.
///
/// | variable | default |
/// |---|---|
/// | `VISION_PROVIDER` | `none`; or `openai`, `rekognition` |
/// | `VISION_BASE_URL` | OpenAI's own |
/// | `VISION_MODEL` | needed with `openai` |
/// | `VISION_PROMPT`, `VISION_SCHEMA` | caption, labels, text and safety |
/// | `VISION_RESPONSE_FORMAT` | `json_schema`; or `json_object` |
/// | `VISION_IMAGE_MAX_SIZE` | 1024 pixels |
/// | `VISION_IMAGES_PER_CALL` | 1 |
/// | `VISION_CALL_TIMEOUT` | 60 seconds |
/// | `VISION_CALLS_AT_ONCE` | 64 calls that a process has under way at most: what its death can cost |
/// | `VISION_START_RPM`, `VISION_MIN_RPM`, `VISION_MAX_RPM`, `VISION_BURST` | 60, 30, 100, 10; with `rekognition` 300, 60, 3000, 25 |
/// | `VISION_PRICE_PER_CALL`, `VISION_PRICE_INPUT`, `VISION_PRICE_OUTPUT` | 0 US dollars, the latter two for a million tokens; with `rekognition` 0.00275 a call |
/// | `VISION_ANSWER_DAYS` | 7 |
#[derive(Debug, Clone)]
pub struct VisionSettings {
    /// Who is asked.
    pub provider: ProviderKind,
    /// Used with [`ProviderKind::OpenAi`].
    pub openai: OpenAiSettings,
    /// What is asked; `None` with [`ProviderKind::None`].
    pub task: Option<Task>,
    /// Longest side of an image that is sent, in pixels.
    pub image_max_size: u32,
    /// How fast each key may be used.
    pub rate: RateSettings,
    /// What calls cost.
    pub pricing: Pricing,
    /// How long answers are kept.
    pub keep_answers: Duration,
    /// Calls that one process has under way at most.
    pub calls_at_once: usize,
}

/// Everything that is wrong with the variables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the vision settings cannot be used: {}", .0.join("; "))]
pub struct VisionSettingsError(Vec<String>);

impl VisionSettingsError {
    /// One sentence a fault, each with the name of its variable.
    pub fn faults(&self) -> &[String] {
        &self.0
    }
}

impl VisionSettings {
    /// Reads variables through `lookup`. An empty variable counts as missing. With `none`, nothing else is looked at.
    pub fn from_lookup(
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, VisionSettingsError> {
        let mut reader = Reader {
            lookup,
            faults: Vec::new(),
        };
        let provider = reader.provider();
        let defaults = match provider {
            ProviderKind::Rekognition => rekognition::rates(),
            ProviderKind::None | ProviderKind::OpenAi => RateSettings::default(),
        };
        let is_used = provider != ProviderKind::None;
        let settings = Self {
            provider,
            openai: reader.openai(is_used),
            task: reader.task(provider),
            image_max_size: reader.number("VISION_IMAGE_MAX_SIZE", DEFAULT_IMAGE_MAX_SIZE, is_used),
            rate: RateSettings {
                start_rpm: reader.number("VISION_START_RPM", defaults.start_rpm, is_used),
                min_rpm: reader.number("VISION_MIN_RPM", defaults.min_rpm, is_used),
                max_rpm: reader.number("VISION_MAX_RPM", defaults.max_rpm, is_used),
                burst: reader.number("VISION_BURST", defaults.burst, is_used),
                ..defaults
            },
            pricing: reader.pricing(provider),
            keep_answers: Duration::from_secs(
                u64::from(reader.number("VISION_ANSWER_DAYS", DEFAULT_ANSWER_DAYS, is_used))
                    * 86_400,
            ),
            calls_at_once: reader.number("VISION_CALLS_AT_ONCE", DEFAULT_CALLS_AT_ONCE, is_used),
        };
        if is_used {
            reader.check(&settings);
        }
        if reader.faults.is_empty() {
            Ok(settings)
        } else {
            Err(VisionSettingsError(reader.faults))
        }
    }
}

impl VisionSettings {
    /// 16 hexadecimal digits that change with whatever may change an answer: who is asked, what, and in which size images are sent.
    pub fn question(&self) -> String {
        let task = self.task.as_ref().map_or("", Task::hash);
        let mut hasher = Sha256::new();
        for part in [
            &format!("{:?}", self.provider),
            self.address(),
            &self.image_max_size.to_string(),
            task,
        ] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let mut question = String::new();
        for byte in hasher.finalize().iter().take(8) {
            let _ = write!(question, "{byte:02x}");
        }
        question
    }

    /// The name of the pool of its keys: what is known of a key at one provider says nothing about another.
    pub fn pool_name(&self) -> String {
        let model = self.task.as_ref().map_or("", Task::model);
        format!("{model}@{}", self.address())
    }

    fn address(&self) -> &str {
        match self.provider {
            ProviderKind::OpenAi => self.openai.base_url.as_str().trim_end_matches('/'),
            ProviderKind::None | ProviderKind::Rekognition => "",
        }
    }
}

/// Longest side of the images that a model is shown, if there is a model: all that the analysis has to know. One sentence a fault.
pub fn model_image_side(
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Option<u32>, VisionSettingsError> {
    let mut reader = Reader {
        lookup,
        faults: Vec::new(),
    };
    let is_used = reader.provider() != ProviderKind::None;
    let side = reader.number("VISION_IMAGE_MAX_SIZE", DEFAULT_IMAGE_MAX_SIZE, is_used);
    if reader.faults.is_empty() {
        Ok(is_used.then_some(side))
    } else {
        Err(VisionSettingsError(reader.faults))
    }
}

/// What calls cost, if there is a model: all that those have to know who take budgets.
pub fn pricing(
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<Option<Pricing>, VisionSettingsError> {
    let mut reader = Reader {
        lookup,
        faults: Vec::new(),
    };
    let provider = reader.provider();
    let pricing = reader.pricing(provider);
    if reader.faults.is_empty() {
        Ok((provider != ProviderKind::None).then_some(pricing))
    } else {
        Err(VisionSettingsError(reader.faults))
    }
}

/// The keys in a text: a JSON array of strings, or one a line or between commas. None twice; lines that begin with `#` are none.
pub fn read_keys(text: &str) -> Vec<SecretString> {
    let mut keys: Vec<String> = match serde_json::from_str::<Vec<String>>(text) {
        Ok(keys) => keys,
        Err(_) => text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .flat_map(|line| line.split(','))
            .map(|key| key.trim().to_owned())
            .collect(),
    };
    keys.retain(|key| !key.is_empty());
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().map(SecretString::from).collect()
}

struct Reader<L> {
    lookup: L,
    faults: Vec<String>,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.trim().is_empty())
    }

    fn number<T: FromStr>(&mut self, name: &str, default: T, is_used: bool) -> T
    where
        T::Err: Display,
    {
        let Some(text) = self.text(name).filter(|_| is_used) else {
            return default;
        };
        match text.trim().parse() {
            Ok(number) => number,
            Err(error) => {
                self.faults
                    .push(format!("{name} cannot be {text:?}: {error}"));
                default
            }
        }
    }

    fn provider(&mut self) -> ProviderKind {
        match self.text("VISION_PROVIDER").as_deref() {
            None | Some("none") => ProviderKind::None,
            Some("openai") => ProviderKind::OpenAi,
            Some("rekognition") => ProviderKind::Rekognition,
            Some(_) => {
                let fault = "VISION_PROVIDER is none, openai or rekognition";
                self.faults.push(fault.to_owned());
                ProviderKind::None
            }
        }
    }

    fn pricing(&mut self, provider: ProviderKind) -> Pricing {
        let is_used = provider != ProviderKind::None;
        let per_call = match provider {
            ProviderKind::Rekognition => rekognition::USD_PER_CALL,
            ProviderKind::None | ProviderKind::OpenAi => 0.0,
        };
        Pricing {
            per_call: self.number("VISION_PRICE_PER_CALL", per_call, is_used),
            per_million_input: self.number("VISION_PRICE_INPUT", 0.0, is_used),
            per_million_output: self.number("VISION_PRICE_OUTPUT", 0.0, is_used),
        }
    }

    fn openai(&mut self, is_used: bool) -> OpenAiSettings {
        let text = self.text("VISION_BASE_URL").filter(|_| is_used);
        let text = text.unwrap_or_else(|| DEFAULT_BASE_URL.to_owned());
        let is_http = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        let base_url = Url::parse(&text).ok().filter(is_http);
        if base_url.is_none() {
            let fault = "VISION_BASE_URL is not an http or https URL";
            self.faults.push(fault.to_owned());
        }
        let asks_for_schema = match self.text("VISION_RESPONSE_FORMAT").as_deref() {
            None | Some("json_schema") => true,
            Some("json_object") => false,
            Some(_) => {
                let fault = "VISION_RESPONSE_FORMAT is json_schema or json_object";
                self.faults.extend(is_used.then(|| fault.to_owned()));
                true
            }
        };
        let timeout_s = self.number(
            "VISION_CALL_TIMEOUT",
            DEFAULT_CALL_TIMEOUT.as_secs_f64(),
            is_used,
        );
        let call_timeout = Duration::try_from_secs_f64(timeout_s).unwrap_or_default();
        OpenAiSettings {
            base_url: base_url.unwrap_or_else(|| {
                Url::parse("http://invalid/").unwrap_or_else(|error| {
                    unreachable!("a constant URL cannot be parsed: {error}")
                })
            }),
            call_timeout,
            asks_for_schema,
            max_images: self.number("VISION_IMAGES_PER_CALL", 1, is_used),
        }
    }

    fn task(&mut self, provider: ProviderKind) -> Option<Task> {
        let model = match (provider, self.text("VISION_MODEL")) {
            (ProviderKind::None, _) => return None,
            (ProviderKind::Rekognition, _) => return Some(rekognition::task()),
            (ProviderKind::OpenAi, Some(model)) => model,
            (ProviderKind::OpenAi, None) => {
                self.faults.push("VISION_MODEL is not set".to_owned());
                String::new()
            }
        };
        let schema = self.text("VISION_SCHEMA");
        let schema = match schema.as_deref().map(serde_json::from_str::<Value>) {
            None => None,
            Some(Ok(schema)) => Some(schema),
            Some(Err(error)) => {
                self.faults
                    .push(format!("VISION_SCHEMA is not JSON: {error}"));
                return None;
            }
        };
        match Task::new(model, self.text("VISION_PROMPT"), schema) {
            Ok(task) => Some(task),
            Err(error) => {
                self.faults.push(format!("VISION_SCHEMA: {error}"));
                None
            }
        }
    }

    fn check(&mut self, settings: &VisionSettings) {
        let RateSettings {
            start_rpm,
            min_rpm,
            max_rpm,
            burst,
            ..
        } = settings.rate;
        let are_ordered = 1.0 <= min_rpm && min_rpm <= start_rpm && start_rpm <= max_rpm;
        let seconds = settings.openai.call_timeout.as_secs();
        let days = settings.keep_answers.as_secs() / 86_400;
        let pricing = settings.pricing;
        for (is_fine, fault) in [
            (
                are_ordered && max_rpm <= 100_000.0,
                "VISION_MIN_RPM, VISION_START_RPM and VISION_MAX_RPM have to ascend from 1 to at most 100000",
            ),
            (
                (1..=1_000).contains(&burst),
                "VISION_BURST must be from 1 to 1000",
            ),
            (
                (64..=8_192).contains(&settings.image_max_size),
                "VISION_IMAGE_MAX_SIZE must be from 64 to 8192 pixels",
            ),
            (
                (1..=50).contains(&settings.openai.max_images),
                "VISION_IMAGES_PER_CALL must be from 1 to 50",
            ),
            (
                (1..=300).contains(&seconds),
                "VISION_CALL_TIMEOUT must be from 1 to 300 seconds",
            ),
            (
                (1..=1_000).contains(&settings.calls_at_once),
                "VISION_CALLS_AT_ONCE must be from 1 to 1000",
            ),
            (
                (1..=365).contains(&days),
                "VISION_ANSWER_DAYS must be from 1 to 365",
            ),
            (
                [
                    pricing.per_call,
                    pricing.per_million_input,
                    pricing.per_million_output,
                ]
                .iter()
                .all(|price| (0.0..=10_000.0).contains(price)),
                "VISION_PRICE_… must be from 0 to 10000 US dollars",
            ),
        ] {
            if !is_fine {
                self.faults.push(fault.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn read(variables: &[(&str, &str)]) -> Result<VisionSettings, VisionSettingsError> {
        VisionSettings::from_lookup(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn without_a_provider_nothing_else_is_looked_at() {
        let settings = read(&[("VISION_BURST", "many"), ("VISION_SCHEMA", "{")]).unwrap();
        assert_eq!(settings.provider, ProviderKind::None);
        assert!(settings.task.is_none());
    }

    #[test]
    fn every_fault_is_reported_together() {
        let error = read(&[
            ("VISION_PROVIDER", "openai"),
            ("VISION_BASE_URL", "ftp://somewhere"),
            ("VISION_START_RPM", "10"),
            ("VISION_BURST", "0"),
            ("VISION_PRICE_INPUT", "-1"),
            ("VISION_IMAGE_MAX_SIZE", "x"),
        ])
        .unwrap_err();
        let faults = error.faults().join("\n");
        for name in [
            "MODEL",
            "BASE_URL",
            "START_RPM",
            "BURST",
            "PRICE",
            "IMAGE_MAX_SIZE",
        ] {
            assert!(faults.contains(name), "{name} is missing from {faults}");
        }
    }

    #[test]
    fn an_openai_provider_needs_a_model_and_nothing_more() {
        let settings = read(&[("VISION_PROVIDER", "openai"), ("VISION_MODEL", "m")]).unwrap();
        assert_eq!(
            settings.openai.chat_url(),
            "https://api.openai.com/v1/chat/completions"
        );
        assert_eq!(settings.rate, RateSettings::default());
        assert_eq!(settings.image_max_size, 1_024);
        let settings = read(&[
            ("VISION_PROVIDER", "openai"),
            ("VISION_MODEL", "m"),
            ("VISION_BASE_URL", "http://127.0.0.1:11434/v1/"),
        ]);
        assert_eq!(
            settings.unwrap().openai.chat_url(),
            "http://127.0.0.1:11434/v1/chat/completions"
        );
    }

    #[test]
    fn answers_of_another_provider_model_or_size_are_other_answers() {
        let of = |variables: &[(&str, &str)]| {
            let mut all = vec![("VISION_PROVIDER", "openai"), ("VISION_MODEL", "m")];
            all.retain(|(name, _)| !variables.iter().any(|(other, _)| other == name));
            all.extend(variables);
            let settings = read(&all).unwrap();
            (settings.question(), settings.pool_name())
        };
        let plain = of(&[]);
        assert_eq!(plain, of(&[("VISION_START_RPM", "50")]));
        assert_eq!(
            plain,
            of(&[("VISION_BASE_URL", "https://api.openai.com/v1/")])
        );
        for changed in [
            ("VISION_BASE_URL", "http://127.0.0.1:11434/v1"),
            ("VISION_MODEL", "n"),
            ("VISION_PROMPT", "Is it a shoe?"),
            ("VISION_IMAGE_MAX_SIZE", "512"),
        ] {
            assert_ne!(plain.0, of(&[changed]).0, "{changed:?}");
        }
        assert_eq!(plain.1, "m@https://api.openai.com/v1");
        assert_ne!(
            plain.1,
            of(&[("VISION_BASE_URL", "http://127.0.0.1:11434/v1")]).1
        );
    }

    #[test]
    fn rekognition_needs_nothing_and_knows_what_it_costs() {
        let settings = read(&[("VISION_PROVIDER", "rekognition")]).unwrap();
        assert_eq!(settings.pool_name(), "rekognition@");
        assert!(!settings.pricing.is_free());
        assert!(settings.rate.max_rpm > 1_000.0);
        let slower = read(&[
            ("VISION_PROVIDER", "rekognition"),
            ("VISION_MAX_RPM", "400"),
        ]);
        assert!((slower.unwrap().rate.max_rpm - 400.0).abs() < 1e-9);
    }

    #[test]
    fn keys_are_read_from_lines_commas_and_arrays() {
        let shown = |text| {
            let keys = read_keys(text);
            let keys = keys.iter().map(|key| key.expose_secret().to_owned());
            keys.collect::<Vec<_>>()
        };
        assert_eq!(shown("b, a\n# c\n\na\n"), ["a", "b"]);
        assert_eq!(shown(r#"["a", "b,c"]"#), ["a", "b,c"]);
        assert!(shown(" \n").is_empty());
    }
}
