//! Secrets Manager.

use std::sync::Arc;

use domain::ports::PortResult;
use secrecy::SecretString;

use crate::clients::Clients;
use crate::error::{fault, rejected};

const OPERATION: &str = "read secret";

/// Reads secrets of AWS Secrets Manager. Keeps none.
pub struct Secrets {
    clients: Arc<Clients>,
}

impl Secrets {
    pub(crate) fn new(clients: Arc<Clients>) -> Self {
        Self { clients }
    }

    /// The current text of a secret, named by its ARN or name, in a type that does not show it and wipes it.
    ///
    /// `Rejected` when there is none, when it may not be read, or when it holds bytes in place of text.
    pub async fn read(&self, secret: &str) -> PortResult<SecretString> {
        let answer = self
            .clients
            .secrets_manager()
            .get_secret_value()
            .secret_id(secret)
            .send()
            .await
            .map_err(|error| fault(OPERATION, error))?;
        let text = answer.secret_string;
        text.map(SecretString::from)
            .ok_or_else(|| rejected(OPERATION, "the secret holds no text"))
    }
}
