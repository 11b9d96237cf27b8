//! What is to be done, and how the stack is set up.

use serde::Serialize;

/// A list and what its images are like.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Workload {
    /// Rows that have to be fetched.
    pub urls: u64,
    /// Mean length of a body, in bytes.
    pub body_bytes: f64,
    /// Mean time from the start of a request to the first byte of its answer, in seconds; name look-up and handshakes included.
    pub latency_s: f64,
    /// Processor time of fetching and measuring one image on one vCPU, in seconds.
    pub cpu_s: f64,
    /// Different hosts in the list.
    pub hosts: u64,
    /// Bytes sent per URL: requests, handshakes, acknowledgements.
    pub egress_bytes: f64,
    /// Share of the chunks that leave rows of slow hosts over to another part.
    pub straggler_share: f64,
    /// Rows of one list at most; more are run as several lists, one after another.
    pub list_rows: u64,
    /// The vision stage, if it is wanted.
    pub vision: Option<Vision>,
}

/// Labelling by a vision model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Vision {
    /// Keys.
    pub keys: u32,
    /// Calls a minute each key allows.
    pub calls_per_minute: f64,
    /// Share of the rows that are a distinct image that loads.
    pub distinct_share: f64,
    /// Dollars a call.
    pub usd_per_call: f64,
}

/// Calls that one instance of the function vision has under way at once, and about how long one takes, in seconds.
const CALLS_UNDER_WAY: f64 = 64.0;
const CALL_S: f64 = 1.0;

impl Vision {
    /// Instances of the function vision that all keys together keep busy: the template's `VisionMaximumConcurrency`. No event source
    /// may have less than two.
    pub fn instances(&self) -> u32 {
        let calls_per_s = f64::from(self.keys) * self.calls_per_minute / 60.0;
        ((calls_per_s * CALL_S / CALLS_UNDER_WAY).ceil() as u32).max(2)
    }
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            urls: 1_000_000,
            body_bytes: 150_000.0,
            latency_s: 0.3,
            cpu_s: 0.006,
            hosts: 1_000,
            egress_bytes: 4_000.0,
            straggler_share: 0.3,
            list_rows: 15_000_000,
            vision: None,
        }
    }
}

impl Workload {
    /// Lists that the rows are handed in as.
    pub fn lists(&self) -> u64 {
        self.urls.div_ceil(self.list_rows.max(1)).max(1)
    }

    /// Rows of one list.
    pub fn rows_per_list(&self) -> u64 {
        self.urls.div_ceil(self.lists())
    }

    /// Chunks of all lists.
    pub fn chunks(&self, setup: &Setup) -> u64 {
        self.chunks_per_list(setup) * self.lists()
    }

    /// Chunks of one list.
    pub fn chunks_per_list(&self, setup: &Setup) -> u64 {
        self.rows_per_list().div_ceil(setup.chunk_size.max(1))
    }
}

/// Instruction set of the functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// AWS Graviton.
    Arm64,
    /// Intel or AMD.
    X86_64,
}

/// How the analyze queue is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "mode")]
pub enum Pollers {
    /// The default: free of charge, and slow to start.
    Standard,
    /// Event pollers that are always there, paid by the hour.
    Provisioned {
        /// How many at least.
        at_least: u32,
    },
}

/// How the stack is set up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setup {
    /// Rows in a chunk.
    pub chunk_size: u64,
    /// Memory of the analyze function, in MB.
    pub memory_mb: u64,
    /// Instruction set.
    pub architecture: Architecture,
    /// Requests under way at once in one function.
    pub requests: u64,
    /// Requests under way at once to one host, in one function.
    pub requests_per_host: u64,
    /// Analyze functions at once: the event source's maximum, or what the account leaves for it.
    pub functions: u64,
    /// How the queue is polled.
    pub pollers: Pollers,
    /// Rows a second that the fan-out cuts; docs/PERFORMANCE.md says where the default comes from.
    pub split_rows_per_s: f64,
    /// Rows a second that finalize reads, groups and exports; docs/PERFORMANCE.md says where the default comes from.
    pub finalize_rows_per_s: f64,
    /// Memory of the finalize function, in MB.
    pub finalize_memory_mb: u64,
    /// Whether requests leave through a NAT gateway.
    pub nat: bool,
}

impl Default for Setup {
    /// The set-up for the goal, fifteen million rows in five minutes: production with more requests in a function, and with pollers that
    /// are there at once. `docs/TUNING.md` says with which parameters it is deployed.
    fn default() -> Self {
        Self {
            chunk_size: 2_000,
            memory_mb: 1_769,
            architecture: Architecture::Arm64,
            requests: 128,
            requests_per_host: 16,
            functions: 950,
            pollers: Pollers::Provisioned { at_least: 100 },
            split_rows_per_s: 400_000.0,
            finalize_rows_per_s: 150_000.0,
            finalize_memory_mb: 3_008,
            nat: false,
        }
    }
}

/// A stack as the template and `samconfig.toml` set it up. A test (`tests/tests/template/planned.rs`) holds the numbers here against theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    /// Small chunks, few requests.
    Development,
    /// In between.
    Staging,
    /// What a careful operator begins with: polite, and no pollers that cost by the hour.
    Production,
}

impl Environment {
    /// Every environment.
    pub const ALL: [Self; 3] = [Self::Development, Self::Staging, Self::Production];

    /// The value of the template's parameter `Environment`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }

    /// How it is set up.
    pub fn setup(self) -> Setup {
        let (chunk_size, requests, functions) = match self {
            Self::Development => (100, 5, 4),
            Self::Staging => (1_000, 15, 20),
            Self::Production => (2_000, 25, 900),
        };
        Setup {
            chunk_size,
            requests,
            functions,
            pollers: Pollers::Standard,
            ..Setup::default()
        }
    }
}
