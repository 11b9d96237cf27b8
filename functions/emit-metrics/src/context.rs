//! Everything outside the process.

use lambda_support::settings::Profile;
use lambda_support::{ConfigurationError, Environment, Observed, observed};

/// What the handler works with.
pub(crate) struct Context {
    pub(crate) observed: Observed,
    pub(crate) profile: Profile,
}

impl Context {
    /// Reads the environment; connects to nothing.
    pub(crate) fn from_env() -> Result<Self, ConfigurationError> {
        let mut environment = Environment::of_process();
        Ok(Self {
            profile: Profile::read(&mut environment),
            observed: observed(environment)?,
        })
    }
}
