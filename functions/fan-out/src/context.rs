//! Everything outside the process.

use std::path::PathBuf;
use std::sync::Arc;

use domain::Limits;
use domain::ports::MonitoringStore;
use lambda_support::settings::Profile;
use lambda_support::{ConfigurationError, Environment, Observed, observed};
use pipeline::Ports;
use pipeline::chunk_size::ChunkSizes;
use pipeline::intake::IntakeGate;

/// Where a function may write.
const SCRATCH: &str = "/tmp";

/// What the handler works with.
pub(crate) struct Context {
    pub(crate) ports: Ports,
    pub(crate) gate: IntakeGate,
    pub(crate) limits: Limits,
    /// Rows in a chunk, unless they follow what is measured.
    pub(crate) chunk_size: u32,
    pub(crate) chunk_sizes: Option<ChunkSizes>,
    pub(crate) monitoring: Arc<dyn MonitoringStore>,
    pub(crate) scratch: PathBuf,
}

impl Context {
    /// Reads the environment; connects to nothing.
    pub(crate) fn from_env() -> Result<Self, ConfigurationError> {
        let mut environment = Environment::of_process();
        let profile = Profile::read(&mut environment);
        let limits = profile.limits(&mut environment);
        let chunk_size = profile.chunk_size(&mut environment);
        let chunk_sizes = profile.chunk_sizes(&mut environment);
        let Observed {
            ports, monitoring, ..
        } = observed(environment)?;
        Ok(Self {
            ports,
            gate: IntakeGate::default(),
            limits,
            chunk_size,
            chunk_sizes,
            monitoring,
            scratch: SCRATCH.into(),
        })
    }
}
