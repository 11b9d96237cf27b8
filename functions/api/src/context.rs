//! Everything outside the process.

use http_api::ApiState;
use lambda_support::http::api_state;
use lambda_support::{ConfigurationError, Environment};

/// What the handler works with.
pub(crate) struct Context {
    pub(crate) state: ApiState,
}

impl Context {
    /// Reads the environment; connects to nothing.
    pub(crate) fn from_env() -> Result<Self, ConfigurationError> {
        let state = api_state(Environment::of_process(), Some(exports::check))?;
        Ok(Self { state })
    }
}
