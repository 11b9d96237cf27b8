//! The stage that asks a model, on this machine.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use adapters_embedded::{DataFolder, Database, SqliteStore};
use caching::{Cache, CacheSettings};
use domain::VisionMessage;
use domain::ports::{CacheStore, KeyStore};
use pipeline::label_images::{LabelSettings, Labeller};
use pipeline::recorder::Recorder;
use pipeline::{PipelineResult, Ports};
use vision::{KeyPool, OpenAi};

use crate::args::vision::VisionWish;

/// Parts labelled at once of each queue: they wait for answers, not for a processor.
const WORKERS: usize = 4;
/// What all runs of a user know together, in the cache folder.
pub(crate) const SHARED_FILE: &str = "vision.sqlite";

/// What becomes of parts that are to be labelled.
pub(super) struct Labelling {
    /// `None` when nobody is to be asked: an earlier process may have left parts all the same, and their batches have to end.
    labeller: Option<Labeller>,
    answers: Option<Arc<dyn CacheStore>>,
}

impl Labelling {
    pub(super) fn of(
        ports: &Ports,
        folder: &DataFolder,
        recorder: &Arc<Recorder>,
        wish: Option<VisionWish>,
    ) -> Self {
        let Some(wish) = wish else {
            return Self {
                labeller: None,
                answers: None,
            };
        };
        let shared = SharedKnowledge::open(wish.cache_folder.as_deref(), folder);
        let answers = Arc::clone(&shared.answers);
        let labeller = labeller(ports, folder, wish, shared);
        Self {
            labeller: Some(labeller.counting_into(Arc::clone(recorder))),
            answers: Some(answers),
        }
    }

    /// Where answers are kept.
    pub(super) fn answers(&self) -> Option<Arc<dyn CacheStore>> {
        self.answers.clone()
    }

    /// Parts that may be under way at once, of each queue.
    pub(super) const fn workers(&self) -> usize {
        if self.labeller.is_some() { WORKERS } else { 1 }
    }

    pub(super) async fn label(&self, ports: &Ports, message: &VisionMessage) -> PipelineResult<()> {
        match &self.labeller {
            Some(labeller) => labeller.label(message, None).await,
            None => Labeller::without_provider(ports, message).await,
        }
    }

    /// Writes down what became of the last calls.
    pub(super) async fn settle(&self) {
        if let Some(labeller) = &self.labeller
            && let Err(error) = labeller.settle().await
        {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "what became of the last calls is not written down");
        }
    }
}

/// Where keys and answers are known to all runs.
struct SharedKnowledge {
    keys: Arc<dyn KeyStore>,
    answers: Arc<dyn CacheStore>,
}

impl SharedKnowledge {
    /// That of the cache folder, which all runs of a user share: no two of them pay for the same image, or overrun a key. What cannot be
    /// kept there is kept with the batch.
    fn open(cache_folder: Option<&Path>, folder: &DataFolder) -> Self {
        match cache_folder.map(open_shared) {
            Some(Ok(store)) => Self {
                keys: Arc::clone(&store) as _,
                answers: store,
            },
            shared => {
                if let Some(Err(error)) = shared {
                    tracing::warn!("answers are kept with the batch alone: {error:#}");
                }
                Self {
                    keys: folder.keys(),
                    answers: folder.cache(),
                }
            }
        }
    }
}

/// Opens, or makes, what all runs know together.
pub(crate) fn open_shared(folder: &Path) -> anyhow::Result<Arc<SqliteStore>> {
    fs::create_dir_all(folder)?;
    let database = Database::open(folder.join(SHARED_FILE))?;
    Ok(Arc::new(SqliteStore::new(database)))
}

fn labeller(
    ports: &Ports,
    folder: &DataFolder,
    wish: VisionWish,
    shared: SharedKnowledge,
) -> Labeller {
    let VisionWish {
        settings,
        task,
        keys,
        cache_folder: _,
    } = wish;
    let provider = Arc::new(OpenAi::new(settings.openai.clone(), task));
    // No level on disk of its own: the shared one is on this disk.
    let cache = CacheSettings::default();
    let clock = Arc::clone(&ports.clock);
    let cache = Cache::new(cache, shared.answers, Arc::clone(&clock));
    let pool = KeyPool::new(
        settings.pool_name(),
        keys,
        settings.rate.clone(),
        shared.keys,
        clock,
    );
    Labeller::new(
        ports.clone(),
        folder.keys(),
        Arc::new(cache),
        Arc::new(pool),
        provider,
        LabelSettings::of(&settings),
    )
}
