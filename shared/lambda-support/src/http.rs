//! What the functions that serve HTTP have in common: the state of the router.

use std::sync::Arc;
use std::time::{Duration, Instant};

use adapters_aws::Secrets;
use async_trait::async_trait;
use domain::Limits;
use domain::ports::{PortError, PortErrorKind, PortResult};
use fetching::FetchOptions;
use http_api::{
    ApiSettings, ApiState, KnownTokens, QuotaSettings, Quotas, TableSource, TokenSource, Tokens,
    VisionOffer,
};
use monitoring::resources::Limits as ShownLimits;
use pipeline::export::TableCheck;
use pipeline::recorder::Recorder;
use secrecy::ExposeSecret;
use tokio::sync::Mutex;

use crate::logging::chain;
use crate::settings::{Profile, processes, processors};
use crate::wiring::{aws_observed, ports_over};
use crate::{ConfigurationError, Environment};

/// A token of the table that was revoked is refused after this long.
const KNOWN_FOR: Duration = Duration::from_secs(30);
/// A token that was withdrawn from the secret is refused after this long.
const REFRESH_EVERY: Duration = Duration::from_secs(5 * 60);

/// The router's state over AWS. Nothing is asked before the first request. Tables can be ordered where there is a check of what is wanted.
pub fn api_state(
    mut environment: Environment,
    check_table: Option<TableCheck>,
) -> Result<ApiState, ConfigurationError> {
    let profile = Profile::read(&mut environment);
    let limits = limits_of_analyze(&mut environment, profile);
    let secret = environment.required("API_TOKENS_SECRET");
    let allowed_origins = environment.list("CORS_ALLOWED_ORIGINS");
    let quotas = QuotaSettings {
        requests_per_minute: quota(&mut environment, "REQUESTS_PER_MINUTE"),
        uploads_per_day: quota(&mut environment, "UPLOADS_PER_DAY"),
    };
    let upload_origin = upload_origin(&mut environment);
    let has_webhooks = environment.optional("WEBHOOK_SECRET").is_some();
    let vision = vision_offer(&mut environment);
    let recorder = Arc::new(Recorder::default());
    let aws = aws_observed(environment, &recorder)?;
    Ok(ApiState {
        tokens: Arc::new(SecretTokens {
            secrets: aws.secrets(),
            secret,
            known: Mutex::default(),
        }),
        access: aws.access(),
        answers: aws.cache(),
        monitoring: aws.monitoring(),
        recorder,
        settings: Arc::new(ApiSettings {
            allowed_origins,
            quotas: Quotas::new(quotas),
            known_tokens: KnownTokens::kept_for(KNOWN_FOR),
            limits,
            upload_origin,
            has_webhooks,
            vision,
            flushes: true,
            ..ApiSettings::default()
        }),
        uploads: aws.upload_urls(),
        tables: check_table.map(|check| TableSource::Elsewhere(check, aws.download_urls())),
        ports: ports_over(&aws),
        max_upload_bytes: Limits::default().max_upload_bytes,
    })
}

/// What may be asked of the model, if there is one: all that the API has to know.
fn vision_offer(environment: &mut Environment) -> Option<VisionOffer> {
    match vision::pricing(|name| environment.optional(name)) {
        Ok(pricing) => pricing.map(|pricing| VisionOffer {
            has_prices: !pricing.is_free(),
        }),
        Err(error) => {
            for fault in error.faults() {
                environment.refuse(fault);
            }
            None
        }
    }
}

/// What the function analyze works within, for the function that shows it: that one is told how much memory analyze has.
fn limits_of_analyze(environment: &mut Environment, profile: Profile) -> ShownLimits {
    let memory_mb: u64 = environment.or_default("ANALYZE_MEMORY_MB", 0);
    if memory_mb == 0 {
        return ShownLimits::default();
    }
    let per_host = FetchOptions::default().max_concurrent_per_host;
    let per_host = environment.or_default("MAX_CONCURRENT_PER_HOST", per_host);
    ShownLimits {
        processors: Some(processors(memory_mb) as u64),
        memory_mb: Some(memory_mb),
        workers: Some(u64::from(processes(environment))),
        concurrent_requests: Some(profile.concurrency(environment) as u64),
        concurrent_requests_per_host: Some(per_host as u64),
    }
}

/// A quota; 0 for none.
fn quota(environment: &mut Environment, name: &str) -> Option<u32> {
    let quota: u32 = environment.or_default(name, 0);
    (quota > 0).then_some(quota)
}

/// Where presigned addresses lead: the bucket's origin.
fn upload_origin(environment: &mut Environment) -> Option<String> {
    let bucket = environment.optional("BUCKET_NAME")?;
    let region = environment.optional("AWS_REGION")?;
    Some(format!(
        "https://{bucket}.s3.{region}.amazonaws.com https://s3.{region}.amazonaws.com"
    ))
}

/// Tokens from a secret: read when the first request comes, and again from time to time.
struct SecretTokens {
    secrets: Secrets,
    secret: String,
    known: Mutex<Option<Known>>,
}

struct Known {
    tokens: Arc<Tokens>,
    read_at: Instant,
}

impl SecretTokens {
    async fn read(&self) -> PortResult<Arc<Tokens>> {
        let text = self.secrets.read(&self.secret).await?;
        let tokens = Tokens::from_hashes(text.expose_secret());
        tokens
            .map(Arc::new)
            .map_err(|error| PortError::new(PortErrorKind::Corrupt, "read tokens", error))
    }
}

#[async_trait]
impl TokenSource for SecretTokens {
    async fn tokens(&self) -> PortResult<Arc<Tokens>> {
        // One request at a time in a function: nobody waits for this lock.
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref()
            && known.read_at.elapsed() < REFRESH_EVERY
        {
            return Ok(Arc::clone(&known.tokens));
        }
        let tokens = match (self.read().await, known.as_ref()) {
            (Ok(tokens), _) => tokens,
            // An outage of the secret manager shuts nobody out who was let in before.
            (Err(error), Some(known)) if error.is_retryable() => {
                tracing::warn!(error = chain(&error), "tokens not refreshed");
                Arc::clone(&known.tokens)
            }
            (Err(error), _) => return Err(error),
        };
        *known = Some(Known {
            tokens: Arc::clone(&tokens),
            read_at: Instant::now(),
        });
        Ok(tokens)
    }
}
