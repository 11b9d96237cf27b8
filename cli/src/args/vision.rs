//! Whether a model says what images show, and which.

use std::fs;
use std::path::{Path, PathBuf};

use ::vision::{Task, VisionSettings, read_keys};
use clap::{Args, ValueEnum};
use domain::{Priority, VisionOptions, VisionReuse};
use secrecy::SecretString;

/// What images show. Everything else of the kind is in the variables VISION_…; see docs/VISION.md.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What images show")]
pub struct VisionArgs {
    /// Who says what each image shows
    #[arg(long, env = "VISION_PROVIDER", value_enum, default_value = "none")]
    pub vision: ProviderArg,
    /// Address of an OpenAI-compatible provider, such as <http://127.0.0.1:11434/v1>
    #[arg(long, env = "VISION_BASE_URL", value_name = "URL")]
    pub vision_base_url: Option<String>,
    /// Model to ask
    #[arg(long, env = "VISION_MODEL", value_name = "NAME")]
    pub vision_model: Option<String>,
    /// What to ask it [default: caption, labels, text and safety]
    #[arg(long, env = "VISION_PROMPT", value_name = "TEXT")]
    pub vision_prompt: Option<String>,
    /// File with keys, one a line [default: the variable `VISION_KEYS`]
    #[arg(long, env = "VISION_KEYS_FILE", value_name = "FILE")]
    pub vision_keys: Option<PathBuf>,
    /// Folder for answers that later runs find again [default: imgsweep in the user's cache folder]
    #[arg(long, env = "CACHE_DIR", value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
}

/// How the images of one batch are labelled.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What images show")]
pub struct LabelArgs {
    /// US dollars at which no more is asked
    #[arg(long, env = "VISION_BUDGET", value_name = "USD", value_parser = dollars)]
    pub vision_budget: Option<u64>,
    /// Which images share an answer
    #[arg(long, env = "VISION_REUSE", value_enum, default_value = "exact")]
    pub vision_reuse: ReuseArg,
    /// Which queue the images wait in: those of high priority go before all others
    #[arg(long, env = "VISION_PRIORITY", value_enum, default_value = "normal")]
    pub vision_priority: PriorityArg,
}

/// Which queue the images of a batch wait in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PriorityArg {
    /// In turn
    #[default]
    Normal,
    /// Before all that are normal
    High,
}

impl LabelArgs {
    /// What a batch is told whose images are labelled.
    pub const fn options(&self) -> VisionOptions {
        VisionOptions {
            priority: match self.vision_priority {
                PriorityArg::Normal => Priority::Normal,
                PriorityArg::High => Priority::High,
            },
            reuse: match self.vision_reuse {
                ReuseArg::Exact => VisionReuse::Exact,
                ReuseArg::Near => VisionReuse::Near,
            },
            budget_micro_usd: self.vision_budget,
        }
    }
}

/// Who says what images show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ProviderArg {
    /// Nobody
    #[default]
    None,
    /// Anything that speaks `OpenAI`'s chat completions
    Openai,
}

/// Which images share an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ReuseArg {
    /// Those of the same bytes
    #[default]
    Exact,
    /// Those of the same perceptual hashes
    Near,
}

/// Millionths of a dollar.
fn dollars(text: &str) -> Result<u64, String> {
    let dollars: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    if !(0.0..=1_000_000.0).contains(&dollars) {
        return Err("it is from 0 to 1000000".to_owned());
    }
    Ok((dollars * 1e6).round() as u64)
}

/// Where answers are kept for later runs: where the user says, or where the system keeps what can be worked out again.
pub(crate) fn cache_folder(named: Option<&Path>) -> Option<PathBuf> {
    let variable = |name: &str| std::env::var(name).ok();
    named.map(Path::to_owned).or_else(|| {
        let folder = variable("XDG_CACHE_HOME").map(PathBuf::from);
        let folder = folder.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")));
        Some(folder?.join("imgsweep"))
    })
}

/// What the engine needs to label.
#[derive(Debug, Clone)]
pub struct VisionWish {
    /// Whom to ask, and how.
    pub settings: VisionSettings,
    /// What to ask.
    pub task: Task,
    /// The keys.
    pub keys: Vec<SecretString>,
    /// Where answers are kept for later runs.
    pub cache_folder: Option<PathBuf>,
}

impl VisionArgs {
    /// Whether anybody is to be asked.
    pub fn is_asked_for(&self) -> bool {
        self.vision != ProviderArg::None
    }

    /// Arguments and variables together; `None` when nobody is to be asked. The fault, if there is one, is a sentence for the user.
    pub fn wish(&self) -> Result<Option<VisionWish>, String> {
        let variable = |name: &str| std::env::var(name).ok();
        let settings = VisionSettings::from_lookup(|name| match name {
            "VISION_PROVIDER" => match self.vision {
                ProviderArg::None => None,
                ProviderArg::Openai => Some("openai".to_owned()),
            },
            "VISION_BASE_URL" => self.vision_base_url.clone(),
            "VISION_MODEL" => self.vision_model.clone(),
            "VISION_PROMPT" => self.vision_prompt.clone(),
            name => variable(name),
        })
        .map_err(|error| error.to_string())?;
        let Some(task) = settings.task.clone() else {
            return Ok(None);
        };
        let text = match &self.vision_keys {
            Some(file) => fs::read_to_string(file).map_err(|error| {
                format!("the keys of --vision-keys {}: {error}", file.display())
            })?,
            None => variable("VISION_KEYS").unwrap_or_default(),
        };
        let keys = read_keys(&text);
        if keys.is_empty() {
            let reason = "--vision openai needs keys: set VISION_KEYS, or name a file with --vision-keys (for a model of your own that \
                asks for none, any word will do)";
            return Err(reason.to_owned());
        }
        let cache_folder = cache_folder(self.cache_dir.as_deref());
        Ok(Some(VisionWish {
            settings,
            task,
            keys,
            cache_folder,
        }))
    }
}

impl VisionWish {
    /// Refuses a budget that would never be reached. The fault is a sentence for the user.
    pub fn check_budget(&self, options: &VisionOptions) -> Result<(), String> {
        if options.budget_micro_usd.is_none() || !self.settings.pricing.is_free() {
            return Ok(());
        }
        let reason = "--vision-budget counts in prices: set VISION_PRICE_INPUT and VISION_PRICE_OUTPUT (US dollars for a million tokens), or \
            VISION_PRICE_PER_CALL";
        Err(reason.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_read_in_dollars() {
        assert_eq!(dollars("1.5"), Ok(1_500_000));
        assert_eq!(dollars("0"), Ok(0));
        assert!(dollars("-1").is_err() && dollars("much").is_err());
    }

    #[test]
    fn without_a_provider_nothing_is_wished_for() {
        let args = VisionArgs::default();
        assert!(!args.is_asked_for());
        assert!(args.wish().unwrap().is_none());
    }
}
