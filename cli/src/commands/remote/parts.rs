//! A long list in parts. What is there stays there: after an interruption, only the missing parts are sent.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use domain::BatchId;
use futures::{StreamExt, TryStreamExt};
use http::Method;
use indicatif::HumanBytes;
use serde::Deserialize;
use serde_json::json;

use super::batch_path;
use super::submit::{List, bar};
use crate::client::ApiClient;

/// Parts on their way at once: with the length of a part, the bound on memory.
const AT_ONCE: usize = 3;
/// Rounds in a row in which no part got through before it is given up.
const MAX_VAIN_ROUNDS: u32 = 5;

/// What the server says is missing.
#[derive(Debug, Deserialize)]
struct Parts {
    bytes_there: u64,
    missing: Vec<Part>,
}

#[derive(Debug, Deserialize)]
struct Part {
    offset: u64,
    bytes: u64,
    url: String,
}

/// Sends the parts of a list that are missing and has them put together.
pub(super) async fn send(client: &ApiClient, list: &List, id: BatchId) -> anyhow::Result<()> {
    let path = format!("{}/parts", batch_path(&id.to_string())?);
    let wanted = json!({ "bytes": list.bytes });
    let bar = bar(list.bytes);
    let (mut vain, mut before) = (0, None);
    loop {
        let parts = client.json(Method::POST, &path, Some(&wanted)).await?;
        let parts: Parts = serde_json::from_value(parts).context("no answer about parts")?;
        if parts.missing.is_empty() {
            break;
        }
        match before.replace(parts.bytes_there) {
            None if parts.bytes_there > 0 => {
                let (there, all) = (HumanBytes(parts.bytes_there), HumanBytes(list.bytes));
                eprintln!("{there} of {all} are there already.");
            }
            Some(before) if before >= parts.bytes_there => vain += 1,
            _ => vain = 0,
        }
        if let Some(bar) = &bar {
            bar.set_position(parts.bytes_there);
        }
        let sending = parts.missing.into_iter().map(|part| {
            let drawn = bar.clone();
            let progress = move |bytes: usize| {
                if let Some(bar) = &drawn {
                    bar.inc(bytes as u64);
                }
            };
            async move {
                let piece = Bytes::from(list.piece(part.offset, part.bytes)?);
                client.put_part(&part.url, piece, progress).await
            }
        });
        let sent: anyhow::Result<()> = futures::stream::iter(sending)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await;
        if let Err(error) = sent {
            if vain >= MAX_VAIN_ROUNDS {
                return Err(error);
            }
            // The others of the round are dropped; whatever is there is not sent again.
            tokio::time::sleep(Duration::from_secs(1 << vain)).await;
        } else if vain >= MAX_VAIN_ROUNDS {
            bail!("the server takes the parts of the list and does not keep them");
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let complete = format!("{path}/complete");
    client.json(Method::POST, &complete, Some(&wanted)).await?;
    Ok(())
}
