//! Everything outside the process.

use std::sync::Arc;
use std::time::Duration;

use fetching::{FetchOptions, Fetcher, Robots};
use lambda_support::manners::outgoing;
use lambda_support::scaling::CHUNKS_A_POLLER;
use lambda_support::settings::{Profile, memory_mib, processors, seconds_or_none};
use lambda_support::vision::model_image_side;
use lambda_support::{ConfigurationError, Environment, Observed, logging, observed};
use pipeline::Ports;
use pipeline::analyze_chunk::{AnalyzeSettings, Analyzer};
use pipeline::control::ControlSettings;
use pipeline::intake::IntakeGate;
use pipeline::memory_watch::MemoryWatch;

/// One part in so many of the memory is for decoders, and as much for bodies; results and connections need the rest.
const MEMORY_SHARE: u64 = 4;

/// How often the state of a batch is looked at: every process that works on it does so, and each look is a read that is paid for.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// What the handler works with.
pub(crate) struct Context {
    pub(crate) ports: Ports,
    pub(crate) gate: IntakeGate,
    pub(crate) analyzer: Analyzer,
    pub(crate) processors: usize,
}

impl Context {
    /// Reads the environment; connects to nothing.
    pub(crate) fn from_env() -> Result<Self, ConfigurationError> {
        let mut environment = Environment::of_process();
        let profile = Profile::read(&mut environment);
        let memory_mib = memory_mib(&mut environment);
        let memory_share = (memory_mib << 20) / MEMORY_SHARE;
        let settings = AnalyzeSettings {
            limits: profile.limits(&mut environment),
            concurrency: profile.concurrency(&mut environment),
            decoders: processors(memory_mib),
            decode_bytes: memory_share,
            model_image_side: model_image_side(&mut environment),
        };
        let options = FetchOptions {
            max_body_bytes_in_flight: memory_share,
            ..fetch_options(&mut environment, settings.concurrency)
        };
        let fetcher =
            Fetcher::new(&settings.limits, options).map_err(|error| logging::chain(&error));
        if let Err(fault) = &fetcher {
            environment.refuse(fault);
        }
        let progress_every = profile.progress_every(&mut environment);
        let control = ControlSettings {
            check_every: CHECK_EVERY,
            processes: processes(&mut environment),
        };
        let Observed {
            ports, recorder, ..
        } = observed(environment)?;
        let fetcher = fetcher.map_err(ConfigurationError::of)?;
        let processors = settings.decoders;
        let memory = Arc::new(MemoryWatch::new(Some(memory_mib << 20)));
        let analyzer = Analyzer::new(ports.clone(), fetcher, settings, None)
            .with_memory_watch(memory)
            .with_progress_every(progress_every);
        Ok(Self {
            processors,
            analyzer: analyzer
                .with_control(control)
                .with_recorder(recorder, memory_mib << 20),
            gate: IntakeGate::default(),
            ports,
        })
    }
}

/// Processes that may be at work on a batch at once: as many as event sources start, or come to start where advice to scale is acted on.
fn processes(environment: &mut Environment) -> u32 {
    let processes = environment.in_range("MAX_PROCESSES", 1, 1..=100_000);
    let scaled = environment.in_range("SCALING_MOST", 1, 1..=100_000);
    match environment.or_default("MAX_POLLERS", 0) {
        0 => processes.max(scaled),
        pollers => u32::saturating_mul(pollers, CHUNKS_A_POLLER),
    }
}

fn fetch_options(environment: &mut Environment, concurrency: usize) -> FetchOptions {
    let defaults = FetchOptions::default();
    let per_host = defaults.max_concurrent_per_host;
    FetchOptions {
        max_concurrent: concurrency,
        max_concurrent_per_host: environment.in_range(
            "MAX_CONCURRENT_PER_HOST",
            per_host,
            1..=10_000,
        ),
        min_interval_per_host: seconds_or_none(environment, "MIN_INTERVAL_PER_HOST"),
        robots: if ignores_robots(environment) {
            Robots::Ignore
        } else {
            Robots::Honor
        },
        respect_noai: environment.or_default("RESPECT_NOAI", defaults.respect_noai),
        ..outgoing(environment)
    }
}

/// What `ROBOTS` says: `honor`, which is the default, or `ignore`.
fn ignores_robots(environment: &mut Environment) -> bool {
    let robots = environment.optional("ROBOTS").unwrap_or_default();
    match robots.as_str() {
        "" | "honor" => false,
        "ignore" => true,
        _ => {
            environment.refuse("ROBOTS is honor or ignore");
            false
        }
    }
}
