//! What the function needs that writes reports and tells of them.

use std::sync::Arc;

use adapters_aws::Secrets;
use async_trait::async_trait;
use fetching::Poster;
use pipeline::notify::{Notifier, SecretSource, WebhookSecret};
use pipeline::recorder::Recorder;
use secrecy::ExposeSecret;
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::logging::chain;
use crate::manners::outgoing;
use crate::settings::Profile;
use crate::wiring::aws_observed;
use crate::{ConfigurationError, Environment, Observed};

/// The ports, and whoever tells of reports.
pub struct Reporting {
    /// The ports, and what is seen of them.
    pub observed: Observed,
    /// Sends webhooks, and announcements on the topic `COMPLETION_TOPIC_ARN` if there is one.
    pub notifier: Notifier,
}

/// All of it, from the environment. Nothing is connected to, and no secret is read.
pub fn reporting(mut environment: Environment) -> Result<Reporting, ConfigurationError> {
    let profile = Profile::read(&mut environment);
    let limits = profile.limits(&mut environment);
    let poster = match Poster::new(&limits, outgoing(&mut environment)) {
        Ok(poster) => poster,
        Err(error) => {
            environment.refuse(chain(&error));
            return Err(environment.refused());
        }
    };
    let secret = environment.required("WEBHOOK_SECRET");
    let topic = environment.optional("COMPLETION_TOPIC_ARN");
    let recorder = Arc::new(Recorder::default());
    let aws = aws_observed(environment, &recorder)?;
    let secret = KeptSecret {
        secrets: aws.secrets(),
        name: secret,
        known: OnceCell::new(),
    };
    let notifier = Notifier::new(poster, secret);
    Ok(Reporting {
        observed: Observed::over(&aws, recorder),
        notifier: match topic {
            Some(arn) => notifier.announcing_on(aws.topic(arn)),
            None => notifier,
        },
    })
}

/// The secret of Secrets Manager, read when the first webhook is to be sent and kept as long as the process lives.
struct KeptSecret {
    secrets: Secrets,
    name: String,
    known: OnceCell<WebhookSecret>,
}

#[async_trait]
impl SecretSource for KeptSecret {
    async fn secret(&self) -> Result<WebhookSecret, String> {
        let read = self.known.get_or_try_init(|| async {
            let text = self.secrets.read(&self.name).await;
            let text = text.map_err(|error| chain(&error))?;
            parse(text.expose_secret())
        });
        read.await.cloned()
    }
}

/// The secret as a stack makes it: what receivers know it by is `whsec_` and this.
#[derive(Deserialize)]
struct Made {
    whsec: String,
}

/// `whsec_…` as a person sets it, or `{"whsec": "…"}` as a stack makes it.
fn parse(text: &str) -> Result<WebhookSecret, String> {
    let secret = match serde_json::from_str::<Made>(text) {
        Ok(made) => WebhookSecret::parse(&format!("whsec_{}", made.whsec)),
        Err(_) => WebhookSecret::parse(text),
    };
    secret.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_that_a_stack_made_or_a_person_set() {
        let base64 = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let made = parse(&format!(r#"{{"whsec": "{base64}"}}"#)).unwrap();
        let set = parse(&format!("whsec_{base64}")).unwrap();
        let signature = |secret: &WebhookSecret| secret.sign("id", 1, b"body");
        assert_eq!(signature(&made), signature(&set));
        for text in ["", "{}", base64, r#"{"whsec": "short"}"#] {
            let error = parse(text).unwrap_err();
            assert!(!error.contains(base64), "{error}");
        }
    }
}
