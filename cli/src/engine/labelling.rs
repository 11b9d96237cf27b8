//! The stage that asks a model, on this machine.

use std::sync::Arc;

use adapters_embedded::DataFolder;
use caching::{Cache, CacheSettings};
use pipeline::Ports;
use pipeline::label_images::{LabelSettings, Labeller};
use vision::{KeyPool, OpenAi, VisionProvider};

use crate::args::vision::VisionWish;

/// Parts labelled at once of each queue: they wait for answers, not for a processor.
pub(super) const WORKERS: usize = 4;

/// What labels; `None` when nobody is to be asked.
pub(super) fn labeller(ports: &Ports, folder: &DataFolder, wish: VisionWish) -> Option<Labeller> {
    let VisionWish {
        settings,
        keys,
        cache_folder,
    } = wish;
    let task = settings.task.clone()?;
    let provider = Arc::new(OpenAi::new(settings.openai.clone(), task.clone()));
    let cache = CacheSettings {
        disk_folder: cache_folder,
        disk_lifetime: settings.keep_answers,
        ..CacheSettings::default()
    };
    let clock = Arc::clone(&ports.clock);
    let cache = Cache::new(cache, folder.cache(), Arc::clone(&clock));
    let pool = KeyPool::new(
        provider.name(),
        keys,
        settings.rate.clone(),
        folder.keys(),
        clock,
    );
    Some(Labeller::new(
        ports.clone(),
        folder.keys(),
        Arc::new(cache),
        Arc::new(pool),
        provider,
        LabelSettings::of(&settings, &task),
    ))
}
