//! Everything outside the process.

use std::time::Duration;

use domain::ports::Queue;
use lambda_support::settings::Profile;
use lambda_support::{ConfigurationError, Environment, Observed, observed_and_scaled};
use pipeline::chunk_size::ChunkSizes;
use pipeline::scale::Scaling;

/// Longer than any function runs.
const REPAIR_AFTER_SECONDS: u64 = 15 * 60;

/// What the handler works with.
pub(crate) struct Context {
    pub(crate) observed: Observed,
    /// Who is told of advice to scale, if anybody is.
    pub(crate) scaling: Option<Scaling>,
    /// Between what the rows in a chunk follow what is measured, if they do.
    pub(crate) chunk_sizes: Option<ChunkSizes>,
    pub(crate) profile: Profile,
    /// Batches that have not moved for this long are looked after.
    pub(crate) grace: Duration,
    dead_letters: Vec<(String, Queue)>,
}

impl Context {
    /// Reads the environment; connects to nothing.
    pub(crate) fn from_env() -> Result<Self, ConfigurationError> {
        let mut environment = Environment::of_process();
        let mut dead_letters = Vec::new();
        for queue in Queue::ALL {
            let variable = format!("{}_DEAD_LETTERS_URL", queue.as_str().to_ascii_uppercase());
            dead_letters.push((environment.required(&variable), *queue));
        }
        let profile = Profile::read(&mut environment);
        let chunk_sizes = profile.chunk_sizes(&mut environment);
        let grace = environment.or_default("REPAIR_AFTER_SECONDS", REPAIR_AFTER_SECONDS);
        let (observed, scaling) = observed_and_scaled(environment)?;
        Ok(Self {
            observed,
            scaling,
            chunk_sizes,
            profile,
            grace: Duration::from_secs(grace),
            dead_letters,
        })
    }

    /// The queue whose dead letters lie in the queue of this name: the last part of its address.
    pub(crate) fn queue_of(&self, dead_letters: &str) -> Option<Queue> {
        let is_it = |(url, _): &&(String, Queue)| url.rsplit('/').next() == Some(dead_letters);
        self.dead_letters
            .iter()
            .find(is_it)
            .map(|(_, queue)| *queue)
    }
}
