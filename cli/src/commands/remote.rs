//! What is asked of a server: a deployed stack, or `imgsweep serve`.

mod export;
mod follow;
mod parts;
mod preview;
mod results;
mod submit;

use anyhow::bail;
use comfy_table::Table;
use domain::BatchId;
use http::Method;
use indicatif::HumanCount;
use serde_json::{Value, json};

pub(super) use self::export::export;
pub(super) use self::results::results;
pub(super) use self::submit::submit;
use super::BadArguments;
use crate::args::remote::{CancelArgs, RemoteArgs, RetryArgs, StatusArgs};
use crate::client::ApiClient;
use crate::screen::print_data;

/// Batches of a listing without a name of one.
const LISTED: &str = "/api/v1/batches?limit=50";

fn client(server: &RemoteArgs) -> anyhow::Result<ApiClient> {
    ApiClient::new(&server.endpoint, &server.token)
}

/// The path of a batch; only ids get into it.
fn batch_path(id: &str) -> anyhow::Result<String> {
    let Ok(id) = id.parse::<BatchId>() else {
        bail!(BadArguments(format!(
            "{id:?} is no batch id: `imgsweep status` lists yours"
        )))
    };
    Ok(format!("/api/v1/batches/{id}"))
}

pub(super) async fn status(args: &StatusArgs) -> anyhow::Result<()> {
    let client = client(&args.server)?;
    let Some(id) = &args.batch else {
        let batches = client.json(Method::GET, LISTED, None).await?;
        return show_batches(&batches, args.json);
    };
    let path = batch_path(id)?;
    if args.wait {
        return follow::until_ended(&client, &path, args.json).await;
    }
    let batch = client.json(Method::GET, &path, None).await?;
    if args.json {
        return Ok(print_data(&format!("{batch}\n"))?);
    }
    Ok(print_data(&follow::summary(&batch))?)
}

fn show_batches(batches: &Value, json: bool) -> anyhow::Result<()> {
    if json {
        return Ok(print_data(&format!("{batches}\n"))?);
    }
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["batch", "name", "status", "created"]);
    for batch in batches["data"].as_array().into_iter().flatten() {
        let cell = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        table.add_row([
            cell(&batch["batch_id"]),
            cell(&batch["name"]),
            cell(&batch["status"]),
            cell(&batch["timestamps"]["created_at"]),
        ]);
    }
    Ok(print_data(&format!("{table}\n"))?)
}

pub(super) async fn retry(args: &RetryArgs) -> anyhow::Result<()> {
    let client = client(&args.server)?;
    let path = batch_path(&args.batch)?;
    let wanted = (!args.outcome.is_empty()).then(|| json!({"outcomes": args.outcome}));
    let begun = client
        .json(Method::POST, &format!("{path}/retry"), wanted.as_ref())
        .await?;
    eprintln!(
        "{} rows are done again.",
        HumanCount(begun["rows"].as_u64().unwrap_or_default())
    );
    if args.wait {
        follow::until_ended(&client, &path, false).await?;
    }
    Ok(())
}

pub(super) async fn cancel(args: &CancelArgs) -> anyhow::Result<()> {
    let client = client(&args.server)?;
    let path = batch_path(&args.batch)?;
    let batch = client
        .json(Method::POST, &format!("{path}/cancel"), None)
        .await?;
    eprintln!(
        "{} is {}; rows without a result end as `cancelled`.",
        args.batch,
        batch["status"].as_str().unwrap_or("cancelled")
    );
    Ok(())
}
