//! Everything outside the process.

use std::sync::Arc;

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
        let mut state = api_state(Environment::of_process())?;
        state.exporter = Some(Arc::new(exports::Tables));
        Ok(Self { state })
    }
}
