//! What can be measured: suites of cases, made ready once and run as often as samples are wanted.

mod parts;
mod pipeline_runs;
mod served;

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context;
use benchmarks::clock::Work;
use sample_origin::{Corpus, Origin};
use tempfile::TempDir;

use crate::args::bench::SuiteArg;

pub(super) use pipeline_runs::{EngineRun, good_list};

/// Images that lists of a measurement point at.
const CORPUS_IMAGES: usize = 60;
/// What the corpus is made from: always the same images.
const SEED: u64 = 1;

/// Where Linux keeps files in memory.
const MEMORY_DISK: &str = "/dev/shm";

/// A folder for what is measured, which goes with whoever holds it: in memory where that can be had. What a disk takes depends on who else uses it, and it
/// is the program that is measured.
fn scratch_folder() -> io::Result<TempDir> {
    let mut folder = tempfile::Builder::new();
    folder.prefix("imgsweep-bench-");
    folder.tempdir_in(MEMORY_DISK).or_else(|_| folder.tempdir())
}

/// What one sample did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    pub(super) items: u64,
    pub(super) failed: u64,
}

type Running = Pin<Box<dyn Future<Output = anyhow::Result<Done>> + Send>>;

/// A case that is ready to be measured.
pub(super) struct Prepared {
    pub(super) name: String,
    pub(super) unit: &'static str,
    /// Makes ready what a sample needs, which is not measured, and returns what is. Every sample begins from the same state: in a store that had grown
    /// with those before it, a comparison would be slower for taking more of them.
    pub(super) run: Box<dyn FnMut() -> anyhow::Result<Running> + Send>,
    /// What its yardstick has to be like.
    pub(super) work: Work,
    /// Another process whose processor time belongs to it.
    pub(super) pid: Option<u32>,
}

impl Prepared {
    fn new<F>(
        name: impl Into<String>,
        unit: &'static str,
        mut run: impl FnMut() -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = anyhow::Result<Done>> + Send + 'static,
    {
        Self::from_state(name, unit, || Ok(()), move |()| run())
    }

    /// With a state made anew for every sample.
    fn from_state<S, F>(
        name: impl Into<String>,
        unit: &'static str,
        mut make: impl FnMut() -> anyhow::Result<S> + Send + 'static,
        mut run: impl FnMut(S) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = anyhow::Result<Done>> + Send + 'static,
    {
        Self {
            name: name.into(),
            unit,
            run: Box::new(move || Ok(Box::pin(run(make()?)))),
            work: Work::Computing,
            pid: None,
        }
    }

    /// The same, measured by what goes from thread to thread.
    fn changing(self) -> Self {
        Self {
            work: Work::Changing,
            ..self
        }
    }
}

/// Images on loop-back, made once for all cases. Its processor time is counted with that of whoever asks, as it is in this process.
pub(super) async fn origin() -> anyhow::Result<Arc<Origin>> {
    let corpus = tokio::task::spawn_blocking(|| Corpus::generate(SEED, CORPUS_IMAGES)).await?;
    let origin =
        Origin::start(Arc::new(corpus)).context("the loop-back image host could not be started")?;
    Ok(Arc::new(origin))
}

/// The cases of these suites; of all when none is named.
pub(super) async fn prepare(suites: &[SuiteArg], is_quick: bool) -> anyhow::Result<Vec<Prepared>> {
    let is_wanted = |suite: SuiteArg| {
        let by_default = !(is_quick && suite == SuiteArg::Scenarios);
        if suites.is_empty() {
            by_default
        } else {
            suites.contains(&suite)
        }
    };
    let origin = origin().await?;
    let mut cases = Vec::new();
    if is_wanted(SuiteArg::Single) {
        cases.extend(parts::single().await?);
        cases.push(pipeline_runs::one_row(&origin));
    }
    if is_wanted(SuiteArg::Batch) {
        cases.extend(pipeline_runs::batches(&origin, is_quick));
    }
    if is_wanted(SuiteArg::Workers) {
        cases.extend(pipeline_runs::workers(&origin, is_quick));
    }
    if is_wanted(SuiteArg::Cache) {
        cases.extend(parts::cache(is_quick).await?);
    }
    if is_wanted(SuiteArg::Store) {
        cases.extend(parts::store(is_quick).map(Prepared::changing));
    }
    let is_served = [SuiteArg::Api, SuiteArg::Scenarios].map(is_wanted);
    cases.extend(served::cases(&origin, is_served, is_quick).await?);
    Ok(cases)
}
