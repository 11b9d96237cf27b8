//! What can be done to the answers that all runs of a user share.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `imgsweep cache`
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// What to do
    #[command(subcommand)]
    pub action: CacheAction,
}

/// What to do to the cache.
#[derive(Debug, Subcommand)]
pub enum CacheAction {
    /// Have answers worked out, and paid, again
    #[command(
        after_help = "Examples:\n  imgsweep cache invalidate 'V#*'                every answer of a model\n  \
        imgsweep cache invalidate 'V#9f86d081884c7d65*' those about one image, by its SHA-256"
    )]
    Invalidate(InvalidateArgs),
}

/// `imgsweep cache invalidate`
#[derive(Debug, Args)]
pub struct InvalidateArgs {
    /// Which, by their keys: `V#<SHA-256>#<question>`; `*` stands for any characters
    pub pattern: String,
    /// Folder of the cache [default: imgsweep in the user's cache folder]
    #[arg(long, env = "CACHE_DIR", value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
}
