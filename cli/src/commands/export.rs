//! `imgsweep export`: the result table of a run or of a server's batch, also while it runs.

use std::path::{Path, PathBuf};

use adapters_embedded::{DataFolder, DataFolderError};
use anyhow::bail;
use domain::Batch;
use domain::ports::BatchQuery;
use exports::Manifest;
use pipeline::Ports;
use pipeline::export::ExportError;

use super::{BadArguments, remote};
use crate::args::export::ExportArgs;
use crate::engine;
use crate::list_run::STATE_FOLDER;
use crate::screen::print_data;

pub(super) async fn export(args: ExportArgs) -> anyhow::Result<()> {
    if let Some(id) = args.folder.to_str().and_then(|id| id.parse().ok())
        && !args.folder.exists()
    {
        return remote::export(id, &args).await;
    }
    let (data, is_run) = data_folder(&args.folder)?;
    let folder = open(&data)?;
    let ports = engine::ports(&folder);
    let batch = find_batch(&ports, &args).await?;
    let output = args.output.clone().unwrap_or_else(|| {
        if is_run {
            args.folder.clone()
        } else {
            args.folder.join("exports").join(batch.id.to_string())
        }
    });
    let request = args.tables.request();
    let written = exports::write_files(&ports, &batch, &request, &output).await;
    let manifest = written.map_err(|error| match error {
        ExportError::Request(said) => anyhow::Error::new(BadArguments(said)),
        error => error.into(),
    })?;
    if !batch.status.is_terminal() {
        eprintln!(
            "{} is {}: these are the rows that are done so far.",
            batch.name, batch.status
        );
    }
    print(&manifest, &output, args.json)
}

/// The folder with the state, and whether a run made it.
fn data_folder(folder: &Path) -> anyhow::Result<(PathBuf, bool)> {
    for (data, is_run) in [
        (folder.join(STATE_FOLDER), true),
        (folder.to_owned(), false),
    ] {
        if data.join("state.sqlite").is_file() {
            return Ok((data, is_run));
        }
    }
    bail!(BadArguments(format!(
        "{} is neither the folder of a run, nor the data folder of a server, nor the id of a batch",
        folder.display()
    )))
}

fn open(data: &Path) -> Result<DataFolder, DataFolderError> {
    match DataFolder::open(data) {
        Err(DataFolderError::InUse { .. }) => DataFolder::open_beside(data),
        opened => opened,
    }
}

async fn find_batch(ports: &Ports, args: &ExportArgs) -> anyhow::Result<Batch> {
    let found = if let Some(id) = args.batch {
        ports.store.batch(id).await?
    } else {
        let newest = BatchQuery {
            limit: 1,
            ..BatchQuery::default()
        };
        let page = ports.store.list_batches(&newest).await?;
        page.items.into_iter().next()
    };
    let Some(batch) = found.filter(|batch| !batch.deleting) else {
        bail!(BadArguments(format!(
            "{} holds no such batch",
            args.folder.display()
        )));
    };
    Ok(batch)
}

fn print(manifest: &Manifest, output: &Path, json: bool) -> anyhow::Result<()> {
    if json {
        print_data(&format!("{}\n", serde_json::to_string_pretty(manifest)?))?;
        return Ok(());
    }
    let mut lines: Vec<String> = Vec::new();
    for file in manifest.files() {
        let path = output.join(&file.path);
        lines.push(format!("{} rows  {}\n", file.rows, path.display()));
    }
    print_data(&lines.concat())?;
    Ok(())
}
