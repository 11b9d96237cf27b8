//! One list through the engine, into one output folder; `run` and `demo` share it.
//!
//! The folder holds the result tables, `report.json`, `report.html`, and `.imgsweep/` with the state: as long as that is there, the same
//! list into the same folder goes on where it stopped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use adapters_embedded::DataFolder;
use anyhow::{Context, bail};
use bytes::Bytes;
use domain::ports::{BatchQuery, BatchStore};
use domain::{Batch, BatchId, BatchOptions, BatchStatus, DuplicateOptions};
use exports::FilesRequest;
use futures::Stream;
use pipeline::accept::{self, NewBatch};
use pipeline::export::ExportError;
use pipeline::report::Report;
use pipeline::{Ports, duplicate_index, earlier, finalize, progress};
use serde::{Deserialize, Serialize};

use crate::commands::BadArguments;
use crate::engine::{self, Engine, EngineSettings, TuningSettings};
use crate::screen::progress::ProgressView;

/// Owner of the batches that a command creates for whoever runs it.
const LOCAL_OWNER: &str = "local";
/// Clock ticks a second in what `/proc` tells: 100 on every Linux that Rust's standard library runs on.
const TICKS_PER_S: f64 = 100.0;
/// The state, inside the output folder.
pub(crate) const STATE_FOLDER: &str = ".imgsweep";

/// What to run, and where to.
pub(crate) struct ListRun {
    /// File name of the list.
    pub(crate) list_name: String,
    /// Pause between two lines about progress where there is no terminal; ten seconds if unset.
    pub(crate) progress_every: Option<Duration>,
    /// Where the results go.
    pub(crate) output: PathBuf,
    /// The output folder of an earlier run to compare with.
    pub(crate) since: Option<PathBuf>,
    /// The output folder of an earlier run whose images count as well when duplicates are looked for.
    pub(crate) duplicates_of: Option<PathBuf>,
    /// How to read and measure.
    pub(crate) options: BatchOptions,
    /// How to work.
    pub(crate) settings: EngineSettings,
    /// Whether the engine tunes itself, and how far.
    pub(crate) tune: Option<TuningSettings>,
    /// Tables to write.
    pub(crate) tables: FilesRequest,
}

/// What came of it.
pub(crate) struct RunEnd {
    pub(crate) report: Report,
    /// Tables and report written.
    pub(crate) files: Vec<PathBuf>,
    /// Rows that an earlier run had committed already.
    pub(crate) resumed_rows: u64,
}

/// `report.json` of a run: the batch's report, and what this machine spent on it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WrittenReport {
    /// The batch's report.
    #[serde(flatten)]
    pub(crate) report: Report,
    /// Processor time of the process, in seconds; `None` when an earlier process did a part of the work, or the system does not tell.
    pub(crate) cpu_s: Option<f64>,
}

/// The batch could not end.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct ListFailed {
    reason: String,
}

/// The output folder belongs to something else: the arguments are wrong, nothing was touched.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct OutputTaken(String);

impl ListRun {
    /// Runs the list to its end, from the start or from where an earlier run stopped.
    pub(crate) async fn run(
        mut self,
        list: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> anyhow::Result<RunEnd> {
        let folder = DataFolder::open(self.output.join(STATE_FOLDER))?;
        let ports = engine::ports(&folder);
        let earlier = self.since.as_deref().map(EarlierRun::open);
        let earlier = match earlier {
            Some(opening) => Some(opening.await?),
            None => None,
        };
        self.options.since = earlier.as_ref().map(|earlier| earlier.batch.id);
        let matched = match self.duplicates_of.as_deref() {
            Some(output) => Some(EarlierRun::open(output).await?),
            None => None,
        };
        if let Some(matched) = &matched {
            self.options.duplicates = Some(matched.to_match(self.options.duplicates)?);
        }
        let batch = self.take_list(&ports, list).await?;
        if let Some(earlier) = &earlier
            && !batch.is_fanned_out()
        {
            earlier::bring(&earlier.ports, &ports, earlier.batch.id).await?;
        }
        if let Some(matched) = &matched {
            duplicate_index::bring(&matched.ports, &ports, &matched.batch).await?;
        }
        let resumed_rows = progress::total(&ports, batch.id).await?.rows;
        let view = Arc::new(ProgressView::new(
            &self.list_name,
            resumed_rows,
            self.progress_every,
        ));
        let mut engine = Engine::start(&folder, self.settings.clone(), Some(view.clone())).await?;
        if let Some(tuning) = self.tune {
            engine.tune(tuning);
        }
        if batch.status == BatchStatus::Pending {
            accept::start(&ports, batch.id).await?;
        }
        let drawing = Arc::clone(&view).follow(ports.clone(), batch.id);
        let waited = engine.wait_for(batch.id).await;
        drawing.abort();
        view.finish();
        engine.settle().await;
        waited?;
        if let Some(earlier) = earlier {
            earlier::discard(&ports, earlier.batch.id).await?;
        }
        if let Some(matched) = matched {
            duplicate_index::discard(&ports, matched.batch.id).await?;
        }
        let report = self.read_outcome(&ports, batch.id).await?;
        let files = self.write_files(&ports, &report, resumed_rows == 0).await?;
        Ok(RunEnd {
            report,
            files,
            resumed_rows,
        })
    }

    /// Stores the list as a new batch, or finds the batch that an earlier run made of the same list.
    async fn take_list(
        &self,
        ports: &Ports,
        list: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> anyhow::Result<Batch> {
        let stored = accept::store_list(ports, list)
            .await
            .with_context(|| format!("{} could not be read", self.list_name))?;
        let Some(earlier) = latest_batch(ports.store.as_ref()).await? else {
            return self.create(ports, stored).await;
        };
        if earlier.status == BatchStatus::Failed {
            // Nothing of it is worth keeping, and the list or the options may be mended now.
            return self.create(ports, stored).await;
        }
        if earlier.list_sha256 == stored.sha256 && earlier.options == self.options {
            accept::discard_list(ports, &stored).await?;
            return Ok(earlier);
        }
        accept::discard_list(ports, &stored).await?;
        let difference = if earlier.list_sha256 == stored.sha256 {
            "this list, read with other options".to_owned()
        } else {
            format!("another list ({})", earlier.list_name)
        };
        let message = format!(
            "{} already holds the results of {difference}: choose another folder with -o, or delete that one",
            self.output.display()
        );
        bail!(OutputTaken(message))
    }

    async fn create(&self, ports: &Ports, stored: accept::StoredList) -> anyhow::Result<Batch> {
        let request = NewBatch {
            name: self.list_name.clone(),
            owner: LOCAL_OWNER.to_owned(),
            list_name: self.list_name.clone(),
            options: self.options.clone(),
        };
        Ok(accept::create_batch(ports, stored, request).await?)
    }

    async fn read_outcome(&self, ports: &Ports, id: BatchId) -> anyhow::Result<Report> {
        let batch = ports.store.batch(id).await?.context("the batch is gone")?;
        if batch.status != BatchStatus::Completed {
            let reason = batch
                .failure
                .unwrap_or_else(|| format!("the batch is {}", batch.status));
            let reason = format!("{}: {reason}", self.list_name);
            bail!(ListFailed { reason });
        }
        let report = finalize::read_report(ports, id).await?;
        report.context("the report is gone")
    }

    async fn write_files(
        &self,
        ports: &Ports,
        report: &Report,
        is_whole: bool,
    ) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        let written = exports::write_files(ports, &report.batch, &self.tables, &self.output).await;
        let manifest = written.map_err(|error| match error {
            ExportError::Request(said) => anyhow::Error::new(BadArguments(said)),
            error => anyhow::Error::new(error).context(format!(
                "the tables in {} could not be written",
                self.output.display()
            )),
        })?;
        files.extend(manifest.files().map(|file| self.output.join(&file.path)));
        let path = self.output.join("report.json");
        let written = WrittenReport {
            report: report.clone(),
            cpu_s: is_whole.then(cpu_s).flatten(),
        };
        let json = serde_json::to_vec_pretty(&written)?;
        fs::write(&path, json)
            .with_context(|| format!("{} could not be written", path.display()))?;
        files.push(path);
        let path = self.output.join("report.html");
        fs::write(&path, report_page::render(report))
            .with_context(|| format!("{} could not be written", path.display()))?;
        files.push(path);
        Ok(files)
    }
}

/// A run that another one is compared with.
struct EarlierRun {
    ports: Ports,
    batch: Batch,
    _folder: DataFolder,
}

impl EarlierRun {
    async fn open(output: &Path) -> anyhow::Result<Self> {
        let state = output.join(STATE_FOLDER);
        if !state.is_dir() {
            let message = format!(
                "{} holds no earlier run: it has no {STATE_FOLDER}",
                output.display()
            );
            bail!(BadArguments(message));
        }
        let folder = DataFolder::open_beside(state)?;
        let ports = engine::ports(&folder);
        let batch = latest_batch(ports.store.as_ref()).await?;
        let Some(batch) = batch.filter(|batch| batch.status == BatchStatus::Completed) else {
            let message = format!(
                "the run in {} has not ended; run its list again with -o {} first",
                output.display(),
                output.display()
            );
            bail!(BadArguments(message));
        };
        Ok(Self {
            ports,
            batch,
            _folder: folder,
        })
    }

    /// What to look for when its images count as well, or why they cannot.
    fn to_match(&self, wanted: Option<DuplicateOptions>) -> anyhow::Result<DuplicateOptions> {
        let wanted = wanted.unwrap_or_default();
        let has = self.batch.options.duplicates.unwrap_or_default();
        if (has.distance, has.positions) != (wanted.distance, wanted.positions) {
            bail!(BadArguments(format!(
                "the run to match with was searched with --duplicate-distance {} and {:?} positions: only the same can be matched",
                has.distance, has.positions
            )));
        }
        Ok(DuplicateOptions {
            against: Some(self.batch.id),
            ..wanted
        })
    }
}

/// Processor time of this process so far, in seconds (Linux, `proc_pid_stat(5)`); `None` where the system does not tell.
fn cpu_s() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold anything; user and system time are the 12th and 13th field after it.
    let after_name = stat.rsplit_once(')')?.1;
    let ticks: Vec<u64> = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map_while(|field| field.parse().ok())
        .collect();
    let [user, system] = ticks[..] else {
        return None;
    };
    Some((user + system) as f64 / TICKS_PER_S)
}

async fn latest_batch(store: &dyn BatchStore) -> anyhow::Result<Option<Batch>> {
    let query = BatchQuery {
        limit: 1,
        ..BatchQuery::default()
    };
    Ok(store.list_batches(&query).await?.items.into_iter().next())
}
