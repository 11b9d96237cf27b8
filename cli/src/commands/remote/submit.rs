//! `imgsweep submit`: how the list is read is shown first; a short list goes in with the request, a longer one to an address of its own, a
//! very long one in parts.

use std::fs::File;
use std::io::{self, IsTerminal, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, bail};
use domain::{BatchId, BatchOptions};
use http::Method;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{batch_path, client, follow, parts, preview};
use crate::args::remote::SubmitArgs;
use crate::client::{ApiClient, form};
use crate::commands::BadArguments;
use crate::commands::rules::packs;
use crate::screen::print_data;

/// Longest list that goes with the request, in bytes. A function takes requests of 6 MB, in base64 (AWS Lambda quotas: invocation
/// payload).
const MAX_DIRECT_BYTES: u64 = 4_000_000;
/// Longest list that is sent in one piece: what a broken connection costs at most.
const MAX_WHOLE_BYTES: u64 = 100_000_000;

/// A list to hand in.
pub(super) struct List {
    pub(super) name: String,
    pub(super) file: File,
    pub(super) bytes: u64,
}

pub(in crate::commands) async fn submit(args: &SubmitArgs) -> anyhow::Result<()> {
    let client = client(&args.server)?;
    let list = open(&args.list)?;
    if let Some(id) = args.resume {
        parts::send(&client, &list, id).await?;
        return end(&client, id, args.wait).await;
    }
    let options = options(args)?;
    let found = preview::show(&client, &list, &options).await?;
    if args.preview {
        return Ok(());
    }
    if found == 0 {
        bail!(BadArguments(
            "none of the first rows has a URL that may be fetched: name the column with --url-column".to_owned()
        ));
    }
    let created = if list.bytes <= MAX_DIRECT_BYTES {
        direct(&client, list, args, &options).await?
    } else {
        presigned(&client, list, args, &options).await?
    };
    end(&client, batch_of(&created)?, args.wait).await
}

async fn end(client: &ApiClient, id: BatchId, wait: bool) -> anyhow::Result<()> {
    eprintln!("Batch {id} is handed in.");
    if wait {
        return follow::until_ended(client, &batch_path(&id.to_string())?, false).await;
    }
    Ok(print_data(&format!("{id}\n"))?)
}

fn batch_of(created: &Value) -> anyhow::Result<BatchId> {
    let id = created["batch_id"].as_str().unwrap_or_default().parse();
    id.context("the server named no batch")
}

fn options(args: &SubmitArgs) -> anyhow::Result<BatchOptions> {
    let mut options = BatchOptions {
        vision: args.vision.then(|| args.labels.options()),
        since: args.since,
        rules: packs(&args.rules)?,
        webhook: args.webhook.clone(),
        ..args.list_options.options()
    };
    if args.duplicates_of.is_some() {
        let mut duplicates = args.list_options.duplicates();
        duplicates.against = args.duplicates_of;
        options.duplicates = Some(duplicates);
    }
    Ok(options)
}

/// Standard input goes into an unnamed file first: how long it is decides the way it takes.
fn open(path: &Path) -> anyhow::Result<List> {
    if path == Path::new("-") {
        let mut file = tempfile::tempfile().context("no temporary file for standard input")?;
        let bytes = io::copy(&mut io::stdin().lock(), &mut file).context("standard input")?;
        file.rewind()?;
        return Ok(List {
            name: "standard-input".to_owned(),
            file,
            bytes,
        });
    }
    let cannot = |error: io::Error| BadArguments(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if metadata.is_dir() {
        return Err(BadArguments(format!("{} is a folder", path.display())).into());
    }
    let name = path.file_name().unwrap_or(path.as_os_str());
    Ok(List {
        name: name.to_string_lossy().into_owned(),
        bytes: metadata.len(),
        file,
    })
}

impl List {
    /// Some of it, read without moving on in it.
    pub(super) fn piece(&self, offset: u64, bytes: u64) -> anyhow::Result<Vec<u8>> {
        let mut piece = vec![0; bytes as usize];
        let read = self.file.read_exact_at(&mut piece, offset);
        read.context("the list cannot be read, or has become shorter")?;
        Ok(piece)
    }
}

async fn direct(
    client: &ApiClient,
    list: List,
    args: &SubmitArgs,
    options: &BatchOptions,
) -> anyhow::Result<Value> {
    let body = list.piece(0, list.bytes)?;
    let options = serde_json::to_string(options)?;
    let auto_start = (!args.hold).to_string();
    let mut fields = vec![
        ("options", options.as_str()),
        ("auto_start", auto_start.as_str()),
    ];
    if let Some(name) = &args.name {
        fields.push(("batch_name", name));
    }
    let (content_type, body) = form(&list.name, &body, &fields);
    client.post_form("/upload", content_type, body).await
}

async fn presigned(
    client: &ApiClient,
    list: List,
    args: &SubmitArgs,
    options: &BatchOptions,
) -> anyhow::Result<Value> {
    let wanted = json!({
        "list_name": list.name, "name": args.name, "options": options, "auto_start": !args.hold,
    });
    let created = client
        .json(Method::POST, "/api/v1/batches", Some(&wanted))
        .await?;
    let upload = &created["upload"];
    let most = upload["max_bytes"].as_u64().unwrap_or(u64::MAX);
    if list.bytes > most {
        let (bytes, most) = (HumanBytes(list.bytes), HumanBytes(most));
        let remedy = "compress it with zstd or gzip, or cut it";
        return Err(
            BadArguments(format!("the list has {bytes}, more than {most}: {remedy}")).into(),
        );
    }
    if list.bytes > MAX_WHOLE_BYTES {
        let id = batch_of(&created)?;
        parts::send(client, &list, id).await.with_context(|| {
            let path = args.list.display();
            format!("interrupted: `imgsweep submit {path} --resume {id}` goes on from here")
        })?;
        return Ok(created);
    }
    let url = upload["url"]
        .as_str()
        .context("the server named no address for the list")?;
    let bar = bar(list.bytes);
    let drawn = bar.clone();
    let progress = move |bytes: usize| {
        if let Some(bar) = &drawn {
            bar.inc(bytes as u64);
        }
    };
    let put = client.put_file(url, list.file, list.bytes, progress).await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    put?;
    Ok(created)
}

/// The progress of an upload; `None` where nobody looks.
pub(super) fn bar(bytes: u64) -> Option<ProgressBar> {
    io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::new(bytes);
        let template = "{wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar
    })
}
