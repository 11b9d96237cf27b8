//! Everything outside the process.

use lambda_support::settings::Profile;
use lambda_support::{ConfigurationError, Environment, ports};
use pipeline::Ports;

/// What the handler works with.
pub(crate) struct Context {
    pub(crate) ports: Ports,
}

impl Context {
    /// Reads the environment; connects to nothing.
    pub(crate) fn from_env() -> Result<Self, ConfigurationError> {
        let mut environment = Environment::of_process();
        // Nothing here depends on the profile, but a name that is wrong is wrong in every function.
        Profile::read(&mut environment);
        Ok(Self {
            ports: ports(environment)?,
        })
    }
}
