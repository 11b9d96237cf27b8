//! Whoever is asked what images show.

use std::sync::Arc;
use std::time::Duration;

use caching::{Cache, CacheSettings};
use domain::ports::{CacheStore, Clock, KeyStore};
use imgsweep_tests::labelling::InProcess;
use pipeline::Ports;
use pipeline::label_images::{LabelSettings, Labeller};
use secrecy::SecretString;
use test_support::vision_provider::{KeyRules, Mischief, StandInProvider};
use vision::{KeyPool, Pricing, RateSettings, Task};

const KEY: &str = "key";

/// A provider that stands in for a real one, and where keys and answers are kept.
#[derive(Clone)]
pub(crate) struct Model {
    provider: Arc<StandInProvider>,
    keys: Arc<dyn KeyStore>,
    answers: Arc<dyn CacheStore>,
    clock: Arc<dyn Clock>,
}

impl Model {
    pub(crate) fn new(
        keys: Arc<dyn KeyStore>,
        answers: Arc<dyn CacheStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let rules = KeyRules::default();
        let provider = StandInProvider::new([(KEY.to_owned(), rules)], Duration::ZERO);
        provider.misbehave(Mischief {
            failing: 3,
            malformed: 4,
            slow: 0,
        });
        Self {
            provider: Arc::new(provider),
            keys,
            answers,
            clock,
        }
    }

    /// A labeller of a process that has just begun: nothing in memory.
    pub(crate) fn labeller(&self, ports: &Ports) -> Labeller {
        let task = Task::new("model", None, None).unwrap();
        let settings = LabelSettings {
            question: task.hash().to_owned(),
            pricing: Pricing::default(),
            keep_answers: Duration::from_secs(7 * 86_400),
            keep_errors: Duration::from_secs(3_600),
            lease: Duration::from_secs(60),
            calls_at_once: 4,
        };
        let clock = &self.clock;
        let cache = CacheSettings::default();
        let provider = InProcess {
            provider: Arc::clone(&self.provider),
            clock: Arc::clone(clock),
            task,
            max_images: 1,
            lost: Arc::default(),
        };
        Labeller::new(
            ports.clone(),
            Arc::clone(&self.keys),
            Arc::new(Cache::new(
                cache,
                Arc::clone(&self.answers),
                Arc::clone(clock),
            )),
            Arc::new(KeyPool::new(
                "stand-in",
                [SecretString::from(KEY)],
                RateSettings::default(),
                Arc::clone(&self.keys),
                Arc::clone(clock),
            )),
            Arc::new(provider),
            settings,
        )
    }
}
