//! What operators see, beside the indicators of parts.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::PortResult;
use crate::{HostTally, Minute, Vitals};

/// A host that gave trouble in a minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TroubledHost {
    /// When.
    pub minute: Minute,
    /// Its name, or address as the URL writes it.
    pub host: String,
    /// How it answered.
    pub tally: HostTally,
}

/// Vitals, hosts that give trouble, and what operators set.
#[async_trait]
pub trait MonitoringStore: Send + Sync + 'static {
    /// Adds what a process saw of itself to the indicators of a minute, where [`super::BatchStore::kpis`] finds it. A repeat adds again.
    async fn add_vitals(&self, minute: Minute, vitals: &Vitals) -> PortResult<()>;

    /// Hosts that gave trouble in the minutes `from ..= to`, as parts reported them ([`crate::KpiDelta::hosts`]), in no particular order; a host may
    /// come several times for one minute. Of a minute with very many, some. Kept for two days at least.
    async fn troubled_hosts(&self, from: Minute, to: Minute) -> PortResult<Vec<TroubledHost>>;

    /// A document that was set, or `None`.
    async fn document(&self, name: &str) -> PortResult<Option<Value>>;

    /// Sets a document.
    async fn set_document(&self, name: &str, document: &Value) -> PortResult<()>;
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEnd {
    /// With an answer.
    Answered,
    /// It was told to slow down, to the end.
    Throttled,
    /// Without an answer.
    Failed,
}

/// A call to a database that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// What was asked.
    pub operation: &'a str,
    /// From the question to the end, waiting for a connection and attempts before the last included.
    pub elapsed: Duration,
    /// Attempts made, from 1.
    pub attempts: u32,
    /// How it ended.
    pub end: CallEnd,
}

/// Sees every call that an adapter makes to its database.
pub trait CallObserver: fmt::Debug + Send + Sync + 'static {
    /// `call` ended. Called on the way back to the caller: must not wait.
    fn called(&self, call: Call<'_>);
}
