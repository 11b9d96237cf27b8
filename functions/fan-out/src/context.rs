//! Everything outside the process.

use std::path::PathBuf;

use domain::Limits;
use lambda_support::settings::Profile;
use lambda_support::{ConfigurationError, Environment, Observed, observed};
use pipeline::chunk_size::ChunkSizes;
use pipeline::earlier::KeptComparison;
use pipeline::intake::IntakeGate;

/// Where a function may write.
const SCRATCH: &str = "/tmp";

/// What the handler works with.
pub(crate) struct Context {
    pub(crate) observed: Observed,
    pub(crate) gate: IntakeGate,
    pub(crate) limits: Limits,
    /// Rows in a chunk, unless they follow what is measured.
    pub(crate) chunk_size: u32,
    pub(crate) chunk_sizes: Option<ChunkSizes>,
    pub(crate) scratch: PathBuf,
    pub(crate) kept: KeptComparison,
}

impl Context {
    /// Reads the environment; connects to nothing.
    pub(crate) fn from_env() -> Result<Self, ConfigurationError> {
        let mut environment = Environment::of_process();
        let profile = Profile::read(&mut environment);
        let limits = profile.limits(&mut environment);
        let chunk_size = profile.chunk_size(&mut environment);
        let chunk_sizes = profile.chunk_sizes(&mut environment);
        Ok(Self {
            gate: IntakeGate::default(),
            limits,
            chunk_size,
            chunk_sizes,
            scratch: SCRATCH.into(),
            kept: KeptComparison::default(),
            observed: observed(environment)?,
        })
    }
}
