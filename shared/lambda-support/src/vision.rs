//! What the functions need to know about the model that says what images show.

use std::sync::Arc;
use std::time::Duration;

use adapters_aws::{RekognitionClient, Secrets};
use async_trait::async_trait;
use bytes::Bytes;
use caching::{Cache, CacheSettings};
use domain::ports::KeyStore;
use http::StatusCode;
use pipeline::Ports;
use pipeline::recorder::Recorder;
use secrecy::{ExposeSecret, SecretString};
use vision::{ProviderKind, RekognitionCalls, VisionSettings};

use crate::wiring::{aws_observed, ports_over};
use crate::{ConfigurationError, Environment};

/// Where the level on disk lies: the one folder that a function may write to.
const CACHE_FOLDER: &str = "cache";
/// A function has 512 MB of disk unless it asks for more.
const CACHE_BYTES: u64 = 256 * 1024 * 1024;

/// Longest side of the images that a model is shown, if there is a model: all that the analysis has to know.
pub fn model_image_side(environment: &mut Environment) -> Option<u32> {
    match vision::model_image_side(|name| environment.optional(name)) {
        Ok(side) => side,
        Err(error) => {
            for fault in error.faults() {
                environment.refuse(fault);
            }
            None
        }
    }
}

/// What labels are made with.
pub struct VisionParts {
    /// The ports.
    pub ports: Ports,
    /// What is known of keys, and what batches have spent.
    pub keys: Arc<dyn KeyStore>,
    /// Answers worth keeping.
    pub cache: Arc<Cache>,
    /// Where the keys lie …
    pub secrets: Secrets,
    /// … and under which name.
    pub secret: String,
    /// Everything else.
    pub settings: VisionSettings,
    /// Amazon Rekognition, of the same account.
    pub rekognition: Arc<dyn RekognitionCalls>,
    /// What this process counts; it goes along with parts.
    pub recorder: Arc<Recorder>,
}

/// All of it, from the environment. Nothing is connected to, and no key is read.
pub fn vision_parts(mut environment: Environment) -> Result<VisionParts, ConfigurationError> {
    let settings = match VisionSettings::from_lookup(|name| environment.optional(name)) {
        Ok(settings) => settings,
        Err(error) => {
            for fault in error.faults() {
                environment.refuse(fault);
            }
            return Err(environment.refused());
        }
    };
    let secret = if settings.provider == ProviderKind::OpenAi {
        environment.required("VISION_KEYS_SECRET")
    } else {
        String::new()
    };
    let defaults = CacheSettings::default();
    let seconds = |duration: Duration| duration.as_secs();
    let cache = CacheSettings {
        memory_entries: environment.or_default("CACHE_MEMORY_ENTRIES", defaults.memory_entries),
        memory_lifetime: Duration::from_secs(
            environment.or_default("CACHE_MEMORY_SECONDS", seconds(defaults.memory_lifetime)),
        ),
        disk_folder: Some(std::env::temp_dir().join(CACHE_FOLDER)),
        disk_bytes: environment.or_default("CACHE_DISK_BYTES", CACHE_BYTES),
        disk_lifetime: Duration::from_secs(
            environment.or_default("CACHE_DISK_SECONDS", seconds(defaults.disk_lifetime)),
        ),
        ..defaults
    };
    let recorder = Arc::new(Recorder::default());
    let aws = aws_observed(environment, &recorder)?;
    let ports = ports_over(&aws);
    Ok(VisionParts {
        keys: aws.keys(),
        cache: Arc::new(Cache::new(cache, aws.cache(), Arc::clone(&ports.clock))),
        secrets: aws.secrets(),
        secret,
        settings,
        recorder,
        rekognition: Arc::new(OverAws(aws.rekognition())),
        ports,
    })
}

/// The client that signs, as the provider wants it.
struct OverAws(RekognitionClient);

#[async_trait]
impl RekognitionCalls for OverAws {
    async fn call(&self, operation: &str, body: Bytes) -> Result<(StatusCode, Bytes), String> {
        self.0.call(operation, body).await
    }
}

/// The text of a secret, for the one who takes the keys out of it.
pub fn expose(text: &SecretString) -> &str {
    text.expose_secret()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_faulty_provider_is_reported_with_all_other_faults() {
        let mut environment = Environment::of([
            ("VISION_PROVIDER", "openai"),
            ("VISION_IMAGE_MAX_SIZE", "large"),
        ]);
        environment.required("TABLE_NAME");
        assert_eq!(model_image_side(&mut environment), None);
        let error = environment.finish().unwrap_err().to_string();
        for word in ["TABLE_NAME", "VISION_IMAGE_MAX_SIZE"] {
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn without_a_provider_no_image_is_kept() {
        for variables in [vec![], vec![("VISION_PROVIDER", "none")]] {
            let mut environment = Environment::of(variables);
            assert_eq!(model_image_side(&mut environment), None);
            environment.finish().unwrap();
        }
    }
}
