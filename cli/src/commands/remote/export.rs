//! `imgsweep export`: the whole table of a batch, in a file or on standard output.

use std::path::Path;

use anyhow::{Context, bail};
use domain::BatchId;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use url::form_urlencoded;

use crate::args::export::ExportArgs;
use crate::client::{ApiClient, Download};
use crate::commands::BadArguments;

pub(in crate::commands) async fn export(id: BatchId, args: &ExportArgs) -> anyhow::Result<()> {
    let Some(token) = &args.token else {
        bail!(BadArguments(
            "a server is asked with a token: --token or IMGSWEEP_TOKEN".to_owned()
        ));
    };
    let request = args.tables.request();
    let [format] = request.formats[..] else {
        bail!(BadArguments(
            "a server writes one format at a time".to_owned()
        ));
    };
    if request.partition.is_some() || request.part_rows.is_some() || args.json {
        bail!(BadArguments(
            "a server sends one file: --partition, --part-rows and --json are for folders"
                .to_owned()
        ));
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("format", format.as_str());
    if !request.table.columns.is_empty() {
        query.append_pair("columns", &request.table.columns.join(","));
    }
    for condition in &request.table.conditions {
        query.append_pair("where", condition);
    }
    let path = format!("/api/v1/batches/{id}/export?{}", query.finish());
    let client = ApiClient::new(&args.endpoint, token)?;
    let download = client.download(&path).await?;
    match &args.output {
        None => copy(download, tokio::io::stdout()).await.map(drop),
        Some(file) => into_file(download, file).await,
    }
}

/// The file has its name only once it is whole.
async fn into_file(download: Download, file: &Path) -> anyhow::Result<()> {
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let unfinished = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("{} cannot be written", folder.display()))?;
    let handle = unfinished.reopen()?;
    let bytes = copy(download, tokio::fs::File::from_std(handle)).await?;
    unfinished
        .persist(file)
        .with_context(|| format!("{} cannot be written", file.display()))?;
    eprintln!("{}: {}", file.display(), indicatif::HumanBytes(bytes));
    Ok(())
}

async fn copy(mut download: Download, mut target: impl AsyncWrite + Unpin) -> anyhow::Result<u64> {
    let mut bytes = 0;
    while let Some(piece) = download.next().await? {
        target.write_all(&piece).await?;
        bytes += piece.len() as u64;
    }
    target.flush().await?;
    Ok(bytes)
}
