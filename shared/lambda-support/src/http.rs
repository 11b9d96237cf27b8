//! What the functions that serve HTTP have in common: the state of the router.

use std::sync::Arc;
use std::time::{Duration, Instant};

use adapters_aws::Secrets;
use async_trait::async_trait;
use domain::Limits;
use domain::ports::{PortError, PortErrorKind, PortResult};
use http_api::{ApiState, TokenSource, Tokens};
use secrecy::ExposeSecret;
use tokio::sync::Mutex;

use crate::logging::chain;
use crate::settings::Profile;
use crate::wiring::{aws, ports_over};
use crate::{ConfigurationError, Environment};

/// A token that was withdrawn is refused after this long.
const REFRESH_EVERY: Duration = Duration::from_secs(5 * 60);

/// The router's state over AWS. Nothing is asked before the first request.
pub fn api_state(mut environment: Environment) -> Result<ApiState, ConfigurationError> {
    Profile::read(&mut environment);
    let secret = environment.required("API_TOKENS_SECRET");
    let aws = aws(environment)?;
    Ok(ApiState {
        tokens: Arc::new(SecretTokens {
            secrets: aws.secrets(),
            secret,
            known: Mutex::default(),
        }),
        uploads: aws.upload_urls(),
        ports: ports_over(&aws),
        max_upload_bytes: Limits::default().max_upload_bytes,
    })
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
