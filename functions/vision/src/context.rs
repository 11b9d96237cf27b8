//! Everything outside the process.

use std::sync::Arc;

use domain::ports::PortError;
use lambda_support::vision::{VisionParts, vision_parts};
use lambda_support::{ConfigurationError, Environment};
use pipeline::Ports;
use pipeline::control::ControlSettings;
use pipeline::label_images::{LabelSettings, Labeller};
use tokio::sync::OnceCell;
use vision::{KeyPool, OpenAi, ProviderKind, Rekognition, VisionProvider, read_keys};

/// What the handler works with.
pub(crate) struct Context {
    parts: VisionParts,
    labeller: OnceCell<Option<Labeller>>,
}

impl Context {
    /// Reads the environment; connects to nothing.
    pub(crate) fn from_env() -> Result<Self, ConfigurationError> {
        Ok(Self {
            parts: vision_parts(Environment::of_process())?,
            labeller: OnceCell::new(),
        })
    }

    pub(crate) const fn ports(&self) -> &Ports {
        &self.parts.ports
    }

    /// Longest time that a call takes.
    pub(crate) const fn call_timeout(&self) -> std::time::Duration {
        self.parts.settings.openai.call_timeout
    }

    /// What labels, made when the first message needs it: only then are the keys read. `None` without a provider.
    pub(crate) async fn labeller(&self) -> Result<Option<&Labeller>, PortError> {
        let labeller = self.labeller.get_or_try_init(|| self.make_labeller());
        Ok(labeller.await?.as_ref())
    }

    async fn make_labeller(&self) -> Result<Option<Labeller>, PortError> {
        let VisionParts {
            ports,
            keys,
            cache,
            secrets,
            secret,
            settings,
            rekognition,
            recorder,
        } = &self.parts;
        let Some(task) = &settings.task else {
            return Ok(None);
        };
        let (provider, provider_keys): (Arc<dyn VisionProvider>, _) = match settings.provider {
            ProviderKind::OpenAi => {
                let text = secrets.read(secret).await?;
                let provider = OpenAi::new(settings.openai.clone(), task.clone());
                let keys = read_keys(lambda_support::vision::expose(&text));
                (Arc::new(provider), keys)
            }
            ProviderKind::Rekognition => {
                let calls = Arc::clone(rekognition);
                let provider = Rekognition::new(calls, settings.openai.call_timeout);
                (Arc::new(provider), vec![Rekognition::key()])
            }
            ProviderKind::None => return Ok(None),
        };
        let pool = KeyPool::new(
            settings.pool_name(),
            provider_keys,
            settings.rate.clone(),
            Arc::clone(keys),
            Arc::clone(&ports.clock),
        );
        let labeller = Labeller::new(
            ports.clone(),
            Arc::clone(keys),
            Arc::clone(cache),
            Arc::new(pool),
            provider,
            LabelSettings::of(settings),
        );
        let control = ControlSettings {
            check_every: ControlSettings::CHECK_WHERE_PAID,
            ..ControlSettings::default()
        };
        let labeller = labeller.with_control(control);
        Ok(Some(labeller.with_recorder(Arc::clone(recorder))))
    }
}
