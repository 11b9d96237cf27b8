//! Everything outside the process.

use std::path::PathBuf;

use domain::Limits;
use lambda_support::settings::Profile;
use lambda_support::{ConfigurationError, Environment, ports};
use pipeline::Ports;
use pipeline::intake::IntakeGate;

/// Where a function may write.
const SCRATCH: &str = "/tmp";

/// What the handler works with.
pub(crate) struct Context {
    pub(crate) ports: Ports,
    pub(crate) gate: IntakeGate,
    pub(crate) limits: Limits,
    pub(crate) chunk_size: u32,
    pub(crate) scratch: PathBuf,
}

impl Context {
    /// Reads the environment; connects to nothing.
    pub(crate) fn from_env() -> Result<Self, ConfigurationError> {
        let mut environment = Environment::of_process();
        let profile = Profile::read(&mut environment);
        Ok(Self {
            limits: profile.limits(&mut environment),
            chunk_size: profile.chunk_size(&mut environment),
            scratch: SCRATCH.into(),
            gate: IntakeGate::default(),
            ports: ports(environment)?,
        })
    }
}
