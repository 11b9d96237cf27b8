//! `imgsweep run`: a list through the whole pipeline on this machine.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::bail;
use bytes::Bytes;
use domain::BatchOptions;
use futures::StreamExt;
use futures::stream::BoxStream;
use serde::Serialize;
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use super::BadArguments;
use super::rules::packs;
use crate::args::RunArgs;
use crate::engine::EngineSettings;
use crate::list_run::{ListRun, RunEnd};
use crate::screen::{print_data, report};

/// Bytes of a list read at once.
const READ_BYTES: usize = 256 * 1024;

/// What `--json` prints.
#[derive(Serialize)]
struct Summary<'a> {
    #[serde(flatten)]
    report: &'a pipeline::report::Report,
    output: &'a Path,
    files: &'a [PathBuf],
    resumed_rows: u64,
    allow_private: Vec<String>,
}

pub(super) async fn run(args: RunArgs) -> anyhow::Result<()> {
    let (list_name, list) = open_list(&args.list).await?;
    let output = args
        .output
        .clone()
        .unwrap_or_else(|| default_output(&list_name));
    let labels = args.vision.is_asked_for().then(|| args.labels.options());
    let vision = args.vision.wish().map_err(BadArguments)?;
    if let (Some(wish), Some(labels)) = (&vision, &labels) {
        wish.check_budget(labels).map_err(BadArguments)?;
    }
    let list_run = ListRun {
        list_name,
        progress_every: args.progress_interval,
        output: output.clone(),
        since: args.since.clone(),
        duplicates_of: args.duplicates_of.clone(),
        options: BatchOptions {
            vision: labels,
            rules: packs(&args.rules)?,
            ..args.list_options.options()
        },
        tune: args.fetch.tune,
        settings: EngineSettings {
            limits: args.fetch.limits(),
            fetch: args.fetch.options(),
            chunk_size: None,
            memory_limit_bytes: args.fetch.memory_limit_bytes(),
            webhook: None,
            vision,
        },
        tables: args.tables.request(),
    };
    let allow_private: Vec<String> = args
        .fetch
        .allow_private
        .iter()
        .map(ToString::to_string)
        .collect();
    let end = tokio::select! {
        end = list_run.run(list) => end?,
        _ = tokio::signal::ctrl_c() => bail!(
            "interrupted; what is committed is kept: the same command with -o {} goes on from here",
            output.display()
        ),
    };
    print_end(&end, &output, allow_private, args.json)
}

fn print_end(
    end: &RunEnd,
    output: &Path,
    allow_private: Vec<String>,
    json: bool,
) -> anyhow::Result<()> {
    if json {
        let summary = Summary {
            report: &end.report,
            output,
            files: &end.files,
            resumed_rows: end.resumed_rows,
            allow_private,
        };
        print_data(&format!("{}\n", serde_json::to_string(&summary)?))?;
    } else {
        print_data(&report::render(&end.report, &allow_private, &end.files))?;
    }
    Ok(())
}

async fn open_list(path: &Path) -> anyhow::Result<(String, BoxStream<'static, io::Result<Bytes>>)> {
    if path == Path::new("-") {
        return Ok(("stdin".to_owned(), stream(tokio::io::stdin())));
    }
    let file = tokio::fs::File::open(path).await;
    let file = file.map_err(|error| BadArguments(format!("{}: {error}", path.display())))?;
    if file
        .metadata()
        .await
        .is_ok_and(|metadata| metadata.is_dir())
    {
        bail!(BadArguments(format!(
            "{} is a folder, not a list",
            path.display()
        )));
    }
    let name = path.file_name().unwrap_or(path.as_os_str());
    Ok((name.to_string_lossy().into_owned(), stream(file)))
}

fn stream(source: impl AsyncRead + Send + 'static) -> BoxStream<'static, io::Result<Bytes>> {
    ReaderStream::with_capacity(source, READ_BYTES).boxed()
}

/// `imgsweep-products` for `products.csv.gz`.
fn default_output(list_name: &str) -> PathBuf {
    let stem = list_name.split('.').find(|part| !part.is_empty());
    PathBuf::from(format!("imgsweep-{}", stem.unwrap_or("list")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_output_is_named_after_the_list() {
        assert_eq!(
            default_output("products.csv.gz"),
            Path::new("imgsweep-products")
        );
        assert_eq!(default_output(".hidden"), Path::new("imgsweep-hidden"));
        assert_eq!(default_output("..."), Path::new("imgsweep-list"));
    }
}
