//! What the adapters need to know, from the environment.

use std::fmt;
use std::time::Duration;

use aws_credential_types::Credentials;
use domain::ports::Queue;
use url::Url;

/// Days that records are kept unless somebody says otherwise: beyond every result, and long enough to compare a year with the one before.
const RECORD_RETENTION_DAYS: u64 = 400;
/// A retry needs the records of its batch as long as there are results, which stay 15 days at least.
const RETENTION_DAYS: std::ops::RangeInclusive<u64> = 15..=3_650;

/// Everything that is wrong with the environment, so that one deployment mends it all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment cannot be used: {}", .faults.join("; "))]
pub struct SettingsError {
    faults: Vec<String>,
}

impl SettingsError {
    /// One sentence a fault, each with the name of its variable. Values are left out: some are secret.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }
}

/// Where table, bucket and queues are, and who asks.
///
/// | variable | |
/// |---|---|
/// | `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` | needed |
/// | `AWS_SESSION_TOKEN` | with temporary credentials, as Lambda's are |
/// | `TABLE_NAME`, `BUCKET_NAME` | needed |
/// | `SPLIT_QUEUE_URL`, `SPLIT_DEAD_LETTERS_URL`, and so for `CHUNKS`, `METRICS`, `FINALIZE` | those that are used |
/// | `RECORD_RETENTION_DAYS` | how long batches, shards and indicators are kept after they were made; 400 unless set |
/// | `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_DYNAMODB`, `…_SQS`, `…_SNS`, `…_S3`, `…_SECRETS_MANAGER`, `…_REKOGNITION`, `…_LAMBDA` | where the services are something else than AWS |
#[derive(Clone)]
pub struct Settings {
    pub(crate) region: String,
    pub(crate) credentials: Credentials,
    pub(crate) endpoints: Endpoints,
    pub(crate) table: String,
    pub(crate) bucket: String,
    /// After this time the table drops what it knows of a batch or of a minute.
    pub(crate) record_retention: Duration,
    queues: Vec<QueueUrls>,
}

/// Addresses of services in place of AWS's own.
#[derive(Clone, Default)]
pub(crate) struct Endpoints {
    pub(crate) dynamodb: Option<String>,
    pub(crate) sns: Option<String>,
    pub(crate) sqs: Option<String>,
    pub(crate) s3: Option<String>,
    pub(crate) secrets_manager: Option<String>,
    pub(crate) rekognition: Option<String>,
    pub(crate) lambda: Option<String>,
}

#[derive(Clone)]
struct QueueUrls {
    queue: Queue,
    live: Option<String>,
    dead: Option<String>,
}

/// A queue is asked for whose address is not configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is not set")]
pub(crate) struct QueueNotConfigured {
    variable: String,
}

impl Settings {
    /// Reads the variables of this process.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads variables through `lookup`. An empty variable counts as missing: a template cannot leave one out.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut reader = Reader {
            lookup,
            faults: Vec::new(),
        };
        let settings = Self {
            region: reader.required("AWS_REGION"),
            credentials: Credentials::new(
                reader.required("AWS_ACCESS_KEY_ID"),
                reader.required("AWS_SECRET_ACCESS_KEY"),
                reader.optional("AWS_SESSION_TOKEN"),
                None,
                "environment",
            ),
            endpoints: reader.endpoints(),
            table: reader.required("TABLE_NAME"),
            bucket: reader.required("BUCKET_NAME"),
            record_retention: reader.record_retention(),
            queues: Queue::ALL
                .iter()
                .map(|queue| QueueUrls {
                    queue: *queue,
                    live: reader.url(&live_variable(*queue)),
                    dead: reader.url(&dead_variable(*queue)),
                })
                .collect(),
        };
        if reader.faults.is_empty() {
            Ok(settings)
        } else {
            Err(SettingsError {
                faults: reader.faults,
            })
        }
    }

    /// The address of a queue.
    pub(crate) fn queue_url(&self, queue: Queue) -> Result<&str, QueueNotConfigured> {
        self.urls(queue)
            .and_then(|urls| urls.live.as_deref())
            .ok_or_else(|| QueueNotConfigured {
                variable: live_variable(queue),
            })
    }

    /// The address of a queue's dead letters.
    pub(crate) fn dead_letters_url(&self, queue: Queue) -> Result<&str, QueueNotConfigured> {
        self.urls(queue)
            .and_then(|urls| urls.dead.as_deref())
            .ok_or_else(|| QueueNotConfigured {
                variable: dead_variable(queue),
            })
    }

    fn urls(&self, queue: Queue) -> Option<&QueueUrls> {
        self.queues.iter().find(|urls| urls.queue == queue)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("region", &self.region)
            .field("table", &self.table)
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}

fn live_variable(queue: Queue) -> String {
    format!("{}_QUEUE_URL", queue.as_str().to_ascii_uppercase())
}

fn dead_variable(queue: Queue) -> String {
    format!("{}_DEAD_LETTERS_URL", queue.as_str().to_ascii_uppercase())
}

struct Reader<L> {
    lookup: L,
    faults: Vec<String>,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    fn optional(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.faults.push(format!("{name} is not set"));
            String::new()
        })
    }

    fn url(&mut self, name: &str) -> Option<String> {
        let text = self.optional(name)?;
        let is_http = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        match Url::parse(&text) {
            Ok(url) if is_http(&url) => Some(text),
            _ => {
                self.faults
                    .push(format!("{name} is not an http or https URL"));
                None
            }
        }
    }

    fn record_retention(&mut self) -> Duration {
        let days = match self.optional("RECORD_RETENTION_DAYS") {
            Some(text) => text.parse().unwrap_or_default(),
            None => RECORD_RETENTION_DAYS,
        };
        if !RETENTION_DAYS.contains(&days) {
            let (least, most) = RETENTION_DAYS.into_inner();
            self.faults.push(format!(
                "RECORD_RETENTION_DAYS must be from {least} to {most}"
            ));
        }
        Duration::from_secs(days * 24 * 60 * 60)
    }

    fn endpoints(&mut self) -> Endpoints {
        let common = self.url("AWS_ENDPOINT_URL");
        let mut of_service = |name| self.url(name).or_else(|| common.clone());
        Endpoints {
            dynamodb: of_service("AWS_ENDPOINT_URL_DYNAMODB"),
            sns: of_service("AWS_ENDPOINT_URL_SNS"),
            sqs: of_service("AWS_ENDPOINT_URL_SQS"),
            s3: of_service("AWS_ENDPOINT_URL_S3"),
            secrets_manager: of_service("AWS_ENDPOINT_URL_SECRETS_MANAGER"),
            rekognition: of_service("AWS_ENDPOINT_URL_REKOGNITION"),
            lambda: of_service("AWS_ENDPOINT_URL_LAMBDA"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: &[(&str, &str)] = &[
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "canary-of-a-secret"),
        ("AWS_SESSION_TOKEN", "canary-of-a-token"),
        ("TABLE_NAME", "imgsweep"),
        ("BUCKET_NAME", "imgsweep-bucket"),
        ("CHUNKS_QUEUE_URL", "https://sqs.example/1/chunks"),
    ];

    fn read(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let owned: Vec<(String, String)> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Settings::from_lookup(|name| {
            let found = owned.iter().rev().find(|(known, _)| known == name);
            found.map(|(_, value)| value.clone())
        })
    }

    #[test]
    fn every_fault_is_reported_together() {
        let error = read(&[
            ("AWS_REGION", ""),
            ("TABLE_NAME", "imgsweep"),
            ("SPLIT_QUEUE_URL", "split"),
            ("AWS_ENDPOINT_URL_SQS", "ftp://127.0.0.1"),
            ("RECORD_RETENTION_DAYS", "3"),
        ])
        .unwrap_err();
        let faults = error.faults().join("\n");
        for name in [
            "AWS_REGION",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "BUCKET_NAME",
            "SPLIT_QUEUE_URL",
            "AWS_ENDPOINT_URL_SQS",
            "RECORD_RETENTION_DAYS must be from 15 to 3650",
        ] {
            assert!(faults.contains(name), "{name} is missing from {faults}");
        }
        assert_eq!(error.faults().len(), 7);
    }

    #[test]
    fn a_queue_without_an_address_names_its_variable() {
        let settings = read(COMPLETE).unwrap();
        assert_eq!(
            settings.queue_url(Queue::Chunks).unwrap(),
            "https://sqs.example/1/chunks"
        );
        for (answer, variable) in [
            (settings.queue_url(Queue::Metrics), "METRICS_QUEUE_URL"),
            (
                settings.dead_letters_url(Queue::Chunks),
                "CHUNKS_DEAD_LETTERS_URL",
            ),
        ] {
            assert_eq!(
                answer.unwrap_err().to_string(),
                format!("{variable} is not set")
            );
        }
    }

    #[test]
    fn an_endpoint_of_one_service_goes_before_the_one_for_all() {
        let mut variables = COMPLETE.to_vec();
        variables.push(("AWS_ENDPOINT_URL", "http://127.0.0.1:1"));
        variables.push(("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:2"));
        let endpoints = read(&variables).unwrap().endpoints;
        assert_eq!(endpoints.s3.as_deref(), Some("http://127.0.0.1:2"));
        assert_eq!(endpoints.sqs.as_deref(), Some("http://127.0.0.1:1"));
    }

    #[test]
    fn secrets_do_not_show() {
        let shown = format!("{:?}", read(COMPLETE).unwrap());
        assert!(!shown.contains("canary"), "{shown}");
        let mut variables = COMPLETE.to_vec();
        variables.push(("SPLIT_QUEUE_URL", "canary"));
        let error = read(&variables).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}
