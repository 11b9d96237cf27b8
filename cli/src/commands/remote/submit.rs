//! `imgsweep submit`: a short list goes in with the request, a long one to an address of its own.

use std::fs::File;
use std::io::{self, IsTerminal, Seek};
use std::path::Path;

use anyhow::Context;
use domain::BatchOptions;
use http::Method;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{batch_path, client, follow};
use crate::args::remote::SubmitArgs;
use crate::client::{ApiClient, form};
use crate::commands::BadArguments;
use crate::screen::print_data;

/// Longest list that goes with the request, in bytes. A function takes requests of 6 MB, in base64 (AWS Lambda quotas: invocation
/// payload).
const MAX_DIRECT_BYTES: u64 = 4_000_000;

/// A list to hand in.
struct List {
    name: String,
    file: File,
    bytes: u64,
}

pub(in crate::commands) async fn submit(args: &SubmitArgs) -> anyhow::Result<()> {
    let client = client(&args.server)?;
    let list = open(&args.list)?;
    let options = BatchOptions {
        vision: args.vision.then(|| args.labels.options()),
        ..args.list_options.options()
    };
    let created = if list.bytes <= MAX_DIRECT_BYTES {
        direct(&client, list, args, &options).await?
    } else {
        presigned(&client, list, args, &options).await?
    };
    let id = created["batch_id"]
        .as_str()
        .context("the server named no batch")?;
    eprintln!("Batch {id} is handed in.");
    if args.wait {
        return follow::until_ended(&client, &batch_path(id)?, false).await;
    }
    Ok(print_data(&format!("{id}\n"))?)
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

async fn direct(
    client: &ApiClient,
    mut list: List,
    args: &SubmitArgs,
    options: &BatchOptions,
) -> anyhow::Result<Value> {
    let mut body = Vec::with_capacity(list.bytes as usize);
    io::Read::read_to_end(&mut list.file, &mut body).context("the list cannot be read")?;
    let mut fields: Vec<(String, String)> = Vec::new();
    if let Value::Object(options) = serde_json::to_value(options)? {
        fields.extend(options.into_iter().filter_map(|(name, value)| match value {
            Value::Null => None,
            Value::String(text) => Some((name, text)),
            other => Some((name, other.to_string())),
        }));
    }
    fields.push(("auto_start".to_owned(), (!args.hold).to_string()));
    if let Some(name) = &args.name {
        fields.push(("batch_name".to_owned(), name.clone()));
    }
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
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
    let url = upload["url"]
        .as_str()
        .context("the server named no address for the list")?;
    let most = upload["max_bytes"].as_u64().unwrap_or(u64::MAX);
    if list.bytes > most {
        let (bytes, most) = (HumanBytes(list.bytes), HumanBytes(most));
        let remedy = "compress it with zstd or gzip, or cut it";
        return Err(
            BadArguments(format!("the list has {bytes}, more than {most}: {remedy}")).into(),
        );
    }
    let bar = std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::new(list.bytes);
        let template = "{wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar
    });
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
