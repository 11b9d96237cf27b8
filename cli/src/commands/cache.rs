//! `imgsweep cache`: the answers that all runs of a user share.

use std::sync::Arc;
use std::time::Duration;

use caching::{Cache, CacheSettings};
use domain::ports::SystemClock;

use super::BadArguments;
use crate::args::cache::{CacheAction, CacheArgs, InvalidateArgs};
use crate::args::vision::cache_folder;
use crate::engine::open_shared_answers;
use crate::screen::print_data;

/// Longer than any answer is kept.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

pub(super) async fn cache(args: CacheArgs) -> anyhow::Result<()> {
    match args.action {
        CacheAction::Invalidate(args) => invalidate(&args).await,
    }
}

async fn invalidate(args: &InvalidateArgs) -> anyhow::Result<()> {
    let Some(folder) = cache_folder(args.cache_dir.as_deref()) else {
        let reason = "there is no cache folder: name it with --cache-dir";
        return Err(BadArguments(reason.to_owned()).into());
    };
    let answers = open_shared_answers(&folder)?;
    let cache = Cache::new(CacheSettings::default(), answers, Arc::new(SystemClock));
    cache.invalidate(&args.pattern, LONGEST).await?;
    print_data(&format!(
        "Answers to {} in {} count for nothing from now on; runs under way know it within a minute.\n",
        args.pattern,
        folder.display()
    ))?;
    Ok(())
}
