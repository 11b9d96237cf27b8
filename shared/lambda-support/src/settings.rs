//! What the variables mean: a profile and what is set apart from it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use adapters_aws::CHUNKS_A_POLLER;
use domain::Limits;
use pipeline::chunk_size::ChunkSizes;
use serde::Serialize;

use crate::Environment;

/// Memory that comes with one processor, in MiB (AWS Lambda developer guide, "Configure Lambda function memory").
const MIB_PER_VCPU: u64 = 1_769;

/// Upper bound of what a body or an image may be said to have at most, in bytes or pixels.
const MOST: u64 = 1 << 30;

/// Where a function runs; picks its defaults (source A15 of the product's requirements).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Small chunks, few requests: for looking at what happens.
    Development,
    /// In between.
    Staging,
    /// What the product is sold for.
    Production,
}

impl Profile {
    /// Its name: the value of `ENVIRONMENT` and of the metrics' one dimension.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }

    /// Reads `ENVIRONMENT`, which must be set.
    pub fn read(environment: &mut Environment) -> Self {
        let name = environment.required("ENVIRONMENT");
        if name.is_empty() {
            return Self::Production;
        }
        name.parse().unwrap_or_else(|UnknownProfile| {
            environment.refuse(format!("ENVIRONMENT cannot be {name:?}: {UnknownProfile}"));
            Self::Production
        })
    }

    /// Rows in a chunk, unless `CHUNK_SIZE` says otherwise.
    pub fn chunk_size(self, environment: &mut Environment) -> u32 {
        let default = match self {
            Self::Development => 100,
            Self::Staging => 1_000,
            Self::Production => 2_000,
        };
        environment.in_range("CHUNK_SIZE", default, 1..=100_000)
    }

    /// Between what the rows in a chunk follow what is measured, from `CHUNK_SIZE` on; `None` unless `TUNE_CHUNK_SIZE` is `on`. `CHUNK_SIZE_LEAST` and
    /// `CHUNK_SIZE_MOST` are the bounds.
    pub fn chunk_sizes(self, environment: &mut Environment) -> Option<ChunkSizes> {
        let wish = environment.optional("TUNE_CHUNK_SIZE").unwrap_or_default();
        match wish.as_str() {
            "on" => {}
            "" | "off" => return None,
            _ => environment.refuse("TUNE_CHUNK_SIZE is on or off"),
        }
        let sizes = ChunkSizes {
            least: environment.in_range("CHUNK_SIZE_LEAST", 100, 1..=100_000),
            most: environment.in_range("CHUNK_SIZE_MOST", 20_000, 1..=100_000),
            start: self.chunk_size(environment),
        };
        if sizes.least > sizes.most {
            environment.refuse("CHUNK_SIZE_LEAST must not be more than CHUNK_SIZE_MOST");
        }
        Some(sizes)
    }

    /// Requests under way at once, unless `MAX_CONCURRENT_REQUESTS` says otherwise.
    pub fn concurrency(self, environment: &mut Environment) -> usize {
        let default = match self {
            Self::Development => 5,
            Self::Staging => 15,
            Self::Production => 25,
        };
        environment.in_range("MAX_CONCURRENT_REQUESTS", default, 1..=10_000)
    }

    /// Pause between two lines about how far a part is, unless `PROGRESS_UPDATE_INTERVAL` says otherwise.
    pub fn progress_every(self, environment: &mut Environment) -> Duration {
        let default = match self {
            Self::Development => 5,
            Self::Staging => 10,
            Self::Production => 30,
        };
        let default = Duration::from_secs(default);
        seconds(environment, "PROGRESS_UPDATE_INTERVAL", default)
    }

    /// The limits, with what the variables say in place of the profile's.
    pub fn limits(self, environment: &mut Environment) -> Limits {
        let defaults = match self {
            Self::Development => Limits {
                request_timeout: Duration::from_secs(15),
                max_attempts: 2,
                ..Limits::default()
            },
            Self::Staging | Self::Production => Limits::default(),
        };
        Limits {
            request_timeout: seconds(environment, "REQUEST_TIMEOUT", defaults.request_timeout),
            connect_timeout: seconds(environment, "CONNECT_TIMEOUT", defaults.connect_timeout),
            read_timeout: seconds(environment, "READ_TIMEOUT", defaults.read_timeout),
            max_attempts: environment.in_range("RETRY_ATTEMPTS", defaults.max_attempts, 1..=10),
            max_body_bytes: environment.in_range(
                "MAX_BODY_BYTES",
                defaults.max_body_bytes,
                1..=MOST,
            ),
            max_pixels: environment.in_range("MAX_PIXELS", defaults.max_pixels, 1..=MOST),
            max_redirects: environment.in_range("MAX_REDIRECTS", defaults.max_redirects, 0..=20),
            max_deferrals: environment.in_range("MAX_DEFERRALS", defaults.max_deferrals, 0..=10),
            // The names of all parts of a hundred chunks lie in one item of the table, which may have 400 KB.
            max_parts: environment.in_range("MAX_PARTS", defaults.max_parts, 1..=400),
            ..defaults
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// The text names no profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is development, staging or production")]
pub struct UnknownProfile;

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Development, Self::Staging, Self::Production]
            .into_iter()
            .find(|profile| profile.as_str() == text)
            .ok_or(UnknownProfile)
    }
}

/// A number of seconds, fractions included.
fn seconds(environment: &mut Environment, name: &str, default: Duration) -> Duration {
    let seconds = environment.or_default(name, default.as_secs_f64());
    if (0.001..=3_600.0).contains(&seconds) {
        return Duration::from_secs_f64(seconds);
    }
    environment.refuse(format!("{name} must be from 0.001 to 3600 seconds"));
    default
}

/// A number of seconds that may be 0, which it is when the variable is missing.
pub fn seconds_or_none(environment: &mut Environment, name: &str) -> Duration {
    Duration::from_secs_f64(
        environment
            .in_range(name, 0.0_f64, 0.0..=3_600.0)
            .clamp(0.0, 3_600.0),
    )
}

/// Memory of this function in MiB, as the platform says.
pub fn memory_mib(environment: &mut Environment) -> u64 {
    environment.or_default("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MIB_PER_VCPU)
}

/// Processes that may analyse at once: as many as event sources start, or come to start where advice to scale is acted on.
pub fn processes(environment: &mut Environment) -> u32 {
    let processes = environment.in_range("MAX_PROCESSES", 1, 1..=100_000);
    let scaled = environment.in_range("SCALING_MOST", 1, 1..=100_000);
    match environment.or_default("MAX_POLLERS", 0) {
        0 => processes.max(scaled),
        pollers => u32::saturating_mul(pollers, CHUNKS_A_POLLER),
    }
}

/// Processors that come with `memory_mib`: what work is worth starting at once, however many the machine shows.
pub const fn processors(memory_mib: u64) -> usize {
    let rounded = (memory_mib + MIB_PER_VCPU / 2) / MIB_PER_VCPU;
    if rounded == 0 { 1 } else { rounded as usize }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_gives_way_to_what_is_set() {
        let mut environment = Environment::of([
            ("ENVIRONMENT", "development"),
            ("RETRY_ATTEMPTS", "5"),
            ("REQUEST_TIMEOUT", "2.5"),
        ]);
        let profile = Profile::read(&mut environment);
        assert_eq!(profile.chunk_size(&mut environment), 100);
        assert_eq!(profile.concurrency(&mut environment), 5);
        let limits = profile.limits(&mut environment);
        assert_eq!(limits.max_attempts, 5);
        assert_eq!(limits.request_timeout, Duration::from_millis(2_500));
        environment.finish().unwrap();
    }

    #[test]
    fn chunk_sizes_follow_measurement_only_where_that_is_wished() {
        let read = |variables: &[(&str, &str)]| {
            let mut environment = Environment::of(variables.iter().copied());
            let sizes = Profile::Production.chunk_sizes(&mut environment);
            (
                sizes,
                environment.finish().map_err(|error| error.to_string()),
            )
        };
        assert_eq!(read(&[]), (None, Ok(())));
        assert_eq!(read(&[("TUNE_CHUNK_SIZE", "off")]), (None, Ok(())));
        let (sizes, _) = read(&[("TUNE_CHUNK_SIZE", "on"), ("CHUNK_SIZE_MOST", "5000")]);
        let expected = ChunkSizes {
            least: 100,
            most: 5_000,
            start: 2_000,
        };
        assert_eq!(sizes, Some(expected));
        let (_, said) = read(&[("TUNE_CHUNK_SIZE", "yes"), ("CHUNK_SIZE_MOST", "50")]);
        let said = said.unwrap_err();
        assert!(
            said.contains("on or off") && said.contains("CHUNK_SIZE_LEAST"),
            "{said}"
        );
    }

    #[test]
    fn there_is_no_profile_by_default_and_none_of_another_name() {
        for variables in [vec![], vec![("ENVIRONMENT", "test")]] {
            let mut environment = Environment::of(variables);
            Profile::read(&mut environment);
            let error = environment.finish().unwrap_err().to_string();
            assert!(error.contains("ENVIRONMENT"), "{error}");
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let mut environment = Environment::of([
            ("CHUNK_SIZE", "0"),
            ("MAX_CONCURRENT_REQUESTS", "0"),
            ("READ_TIMEOUT", "-1"),
            ("RETRY_ATTEMPTS", "11"),
            ("MAX_BODY_BYTES", "0"),
            ("MAX_PIXELS", "0"),
            ("MAX_REDIRECTS", "21"),
            ("PROGRESS_UPDATE_INTERVAL", "0"),
        ]);
        let profile = Profile::Staging;
        profile.chunk_size(&mut environment);
        profile.concurrency(&mut environment);
        profile.limits(&mut environment);
        profile.progress_every(&mut environment);
        let error = environment.finish().unwrap_err().to_string();
        for word in [
            "CHUNK_SIZE must be from 1 to 100000",
            "MAX_CONCURRENT_REQUESTS",
            "READ_TIMEOUT",
            "RETRY_ATTEMPTS",
            "MAX_BODY_BYTES",
            "MAX_PIXELS",
            "MAX_REDIRECTS",
            "PROGRESS_UPDATE_INTERVAL",
        ] {
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn processors_come_with_memory() {
        assert_eq!(processors(128), 1);
        assert_eq!(processors(1_769), 1);
        assert_eq!(processors(3_538), 2);
        assert_eq!(processors(10_240), 6);
    }
}
