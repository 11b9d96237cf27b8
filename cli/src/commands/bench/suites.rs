//! What can be measured: suites of cases, made ready once and run as often as samples are wanted.

mod parts;
mod pipeline_runs;
mod served;

use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context;
use sample_origin::{Corpus, Origin};

use crate::args::bench::SuiteArg;

pub(super) use pipeline_runs::{EngineRun, good_list};

/// Images that lists of a measurement point at.
const CORPUS_IMAGES: usize = 60;
/// What the corpus is made from: always the same images.
const SEED: u64 = 1;

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
    pub(super) run: Box<dyn FnMut() -> Running + Send>,
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
        Self {
            name: name.into(),
            unit,
            run: Box::new(move || Box::pin(run())),
            pid: None,
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
        cases.extend(parts::cache(is_quick)?);
    }
    if is_wanted(SuiteArg::Store) {
        cases.extend(parts::store(is_quick)?);
    }
    let is_served = [SuiteArg::Api, SuiteArg::Scenarios].map(is_wanted);
    cases.extend(served::cases(&origin, is_served, is_quick).await?);
    Ok(cases)
}
