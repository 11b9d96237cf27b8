//! A function: its binary, and the processes that run it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, Notify, Semaphore};

use super::RuntimeApi;

/// How a function is run.
#[derive(Debug, Clone)]
pub struct FunctionSettings {
    /// Its name.
    pub name: String,
    /// Its binary.
    pub binary: PathBuf,
    /// What it is told beside what Lambda tells every function. It gets nothing of this process's environment.
    pub environment: BTreeMap<String, String>,
    /// An invocation that takes longer is broken off, and its process ended.
    pub timeout: Duration,
    /// Memory it believes to have.
    pub memory_mib: u32,
    /// Invocations at once, each in a process of its own.
    pub concurrency: usize,
    /// Where all its processes write to; `None` for nowhere.
    pub log: Option<PathBuf>,
}

/// No response came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvokeError {
    /// The process could not be started.
    #[error("the process cannot be started")]
    Start(#[from] std::io::Error),
    /// The function reported an error, as JSON.
    #[error("the function reported {0}")]
    Function(String),
    /// The process ended, or was ended at the time-out.
    #[error("the process ended without an answer")]
    Ended,
    /// The response is no JSON.
    #[error("the response is no JSON")]
    Response(#[from] serde_json::Error),
}

/// A process between two events.
struct Instance {
    api: RuntimeApi,
    child: Child,
    /// From the start of the process to its first request for an event.
    init: Duration,
}

/// A function whose processes are started as they are needed and kept for the next event.
pub struct Function {
    settings: FunctionSettings,
    idle: Mutex<Vec<Instance>>,
    turns: Semaphore,
    /// Ends an invocation under way, and its process with it.
    kill: Notify,
    kills: AtomicUsize,
}

impl Function {
    /// A function without processes.
    pub fn new(settings: FunctionSettings) -> Arc<Self> {
        Arc::new(Self {
            turns: Semaphore::new(settings.concurrency),
            idle: Mutex::default(),
            kill: Notify::new(),
            kills: AtomicUsize::new(0),
            settings,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// The response to an event.
    pub async fn invoke(&self, event: &Value) -> Result<Value, InvokeError> {
        let answer = self.invoke_raw(Bytes::from(event.to_string())).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// Kills one process: one that has an event if there is any, else one that waits for an event. `false` when there is none.
    pub async fn kill_one(&self) -> bool {
        if self.turns.available_permits() < self.settings.concurrency {
            self.kill.notify_one();
            return true;
        }
        let is_there = self.idle.lock().await.pop().is_some();
        self.kills
            .fetch_add(usize::from(is_there), Ordering::SeqCst);
        is_there
    }

    /// Processes killed so far.
    pub fn kills(&self) -> usize {
        self.kills.load(Ordering::SeqCst)
    }

    async fn invoke_raw(&self, event: Bytes) -> Result<Bytes, InvokeError> {
        let _turn = self.turns.acquire().await;
        tokio::select! {
            answer = self.invoke_one(event) => answer,
            () = self.kill.notified() => {
                // The process was dropped with its invocation, whose child is killed then.
                self.kills.fetch_add(1, Ordering::SeqCst);
                Err(InvokeError::Ended)
            }
        }
    }

    async fn invoke_one(&self, event: Bytes) -> Result<Bytes, InvokeError> {
        let idle = self.idle.lock().await.pop();
        let mut instance = match idle {
            Some(instance) => instance,
            None => self.start().await?,
        };
        let timeout = self.settings.timeout;
        let answer = tokio::select! {
            answer = instance.api.invoke(event, timeout) => answer,
            _ = instance.child.wait() => None,
            () = tokio::time::sleep(timeout) => None,
        };
        // A process that did not answer is dropped, and ends with it.
        let answer = answer.ok_or(InvokeError::Ended)?;
        self.idle.lock().await.push(instance);
        answer.map_err(InvokeError::Function)
    }

    /// Starts a process of its own, takes it through its first events, and ends it: the time of its initialisation, and that of each
    /// event.
    pub async fn time(&self, events: &[Value]) -> Result<(Duration, Vec<Duration>), InvokeError> {
        let instance = self.start().await?;
        let mut times = Vec::with_capacity(events.len());
        for event in events {
            let body = Bytes::from(event.to_string());
            let begun = Instant::now();
            let answer = instance.api.invoke(body, self.settings.timeout).await;
            answer
                .ok_or(InvokeError::Ended)?
                .map_err(InvokeError::Function)?;
            times.push(begun.elapsed());
        }
        Ok((instance.init, times))
    }

    async fn start(&self) -> Result<Instance, InvokeError> {
        let settings = &self.settings;
        let api = RuntimeApi::start(&settings.name).await?;
        let (output, errors) = match &settings.log {
            Some(path) => {
                let log = File::options().create(true).append(true).open(path)?;
                (Stdio::from(log.try_clone()?), Stdio::from(log))
            }
            None => (Stdio::null(), Stdio::null()),
        };
        let mut command = Command::new(&settings.binary);
        command
            .env_clear()
            .envs(&settings.environment)
            .env("AWS_LAMBDA_RUNTIME_API", api.address())
            .env("AWS_LAMBDA_FUNCTION_NAME", &settings.name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env(
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
                settings.memory_mib.to_string(),
            )
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "test")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "test")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true);
        let begun = Instant::now();
        let mut child = command.spawn()?;
        let ready = tokio::select! {
            ready = api.ready() => ready,
            _ = child.wait() => None,
        };
        let ready = ready.ok_or(InvokeError::Ended)?;
        Ok(Instance {
            init: ready - begun,
            api,
            child,
        })
    }
}
