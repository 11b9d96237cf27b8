//! Everything outside the process.

use std::path::PathBuf;

use domain::Limits;
use lambda_support::settings::Profile;
use lambda_support::{ConfigurationError, Environment, Observed, observed};
use pipeline::earlier::KeptComparison;
use pipeline::intake::IntakeGate;

/// Where a function may write.
const SCRATCH: &str = "/tmp";

/// What the handler works with.
pub(crate) struct Context {
    pub(crate) observed: Observed,
    pub(crate) gate: IntakeGate,
    pub(crate) limits: Limits,
    pub(crate) chunk_size: u32,
    pub(crate) scratch: PathBuf,
    pub(crate) kept: KeptComparison,
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
            kept: KeptComparison::default(),
            gate: IntakeGate::default(),
            observed: observed(environment)?,
        })
    }
}
