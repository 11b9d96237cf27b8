//! A batch that is worked on while users look at it: what their looking costs it.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use http::Method;
use sample_origin::Origin;
use serde::Serialize;
use tokio::task::JoinHandle;

use super::suites::good_list;
use super::users::upload_once;
use crate::client::{ApiClient, form};

/// How far away the batch's host is: with it the batch waits for its host, as most do, and not for a processor.
pub(super) const LATENCY: Duration = Duration::from_millis(100);
/// Share of the load's time that the batch takes alone.
const SHARE: f64 = 0.3;
/// Rows that show how quick the server is.
const FIRST_ROWS: usize = 500;
/// The most rows of the batch.
const MAX_ROWS: usize = 200_000;
/// Pause between two looks at whether the batch has ended.
const LOOK: Duration = Duration::from_millis(50);
/// A batch that takes longer has been forgotten.
const PATIENCE: Duration = Duration::from_secs(600);

/// The batch's time without users and with them.
#[derive(Debug, Serialize)]
pub(super) struct Followed {
    rows: usize,
    alone_s: f64,
    under_load_s: f64,
    /// Negative where it was quicker.
    slower_percent: f64,
}

/// A list whose time alone is known.
pub(super) struct Known {
    list: String,
    rows: usize,
    alone: Duration,
}

/// The batch under load.
pub(super) struct Running {
    /// Its id.
    pub(super) batch: String,
    known: Known,
    ended: JoinHandle<anyhow::Result<Duration>>,
}

impl Known {
    /// Works a list off that takes about a third of `load_s`, with nobody looking.
    pub(super) async fn of(
        client: &ApiClient,
        origin: &Origin,
        load_s: f64,
    ) -> anyhow::Result<Self> {
        let first = work_off(client, &good_list(origin, FIRST_ROWS)).await?;
        let rate = FIRST_ROWS as f64 / first.as_secs_f64();
        let rows = ((rate * load_s * SHARE) as usize).clamp(FIRST_ROWS, MAX_ROWS);
        let list = good_list(origin, rows);
        let alone = work_off(client, &list).await?;
        Ok(Self { list, rows, alone })
    }

    /// Begins the same list again.
    pub(super) async fn begin(self, client: &ApiClient) -> anyhow::Result<Running> {
        let started = Instant::now();
        let batch = begin(client, &self.list).await?;
        let (client, id) = (client.clone(), batch.clone());
        let ended = tokio::spawn(async move {
            wait_for(&client, &id).await?;
            Ok(started.elapsed())
        });
        Ok(Running {
            batch,
            known: self,
            ended,
        })
    }
}

impl Running {
    /// Waits for its end.
    pub(super) async fn end(self) -> anyhow::Result<Followed> {
        let under_load = self.ended.await??.as_secs_f64();
        let alone = self.known.alone.as_secs_f64();
        Ok(Followed {
            rows: self.known.rows,
            alone_s: alone,
            under_load_s: under_load,
            slower_percent: (under_load / alone - 1.0) * 100.0,
        })
    }
}

impl std::fmt::Display for Followed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "batch of {} rows, its host {} ms away: {:.1} s alone, {:.1} s under load, {:.1} % slower",
            self.rows,
            LATENCY.as_millis(),
            self.alone_s,
            self.under_load_s,
            self.slower_percent
        )
    }
}

async fn begin(client: &ApiClient, list: &str) -> anyhow::Result<String> {
    let fields = [("batch_name", "load: the followed"), ("auto_start", "true")];
    upload_once(client, form("followed.csv", list, &fields)).await
}

async fn work_off(client: &ApiClient, list: &str) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let batch = begin(client, list).await?;
    wait_for(client, &batch).await?;
    Ok(started.elapsed())
}

async fn wait_for(client: &ApiClient, batch: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/batches/{batch}");
    let looking = async {
        loop {
            let seen = client.json(Method::GET, &path, None).await?;
            match seen["status"].as_str() {
                Some("COMPLETED") => return Ok(()),
                Some(status @ ("FAILED" | "CANCELLED")) => {
                    bail!("the batch that is measured ended as {status}")
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking)
        .await
        .context("the batch that is measured does not end")?
}
