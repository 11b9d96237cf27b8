//! The users themselves: each asks, thinks, asks again, until there are to be fewer of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use http::Method;
use serde_json::Value;
use tokio::task::JoinSet;

use super::figures::{Figures, Tally};
use super::followed::Known;
use super::scenario::{Habit, Scenario};
use crate::client::{ApiClient, form};

/// How often the number of users is brought to what the scenario wants.
const TICK: Duration = Duration::from_millis(100);
/// Uploads under way at once at most; further ones wait for their turn, and their time counts from then.
const MAX_UPLOADS_UNDER_WAY: usize = 500;
/// Pauses of a person who handed a list in: before a look at the statistics, and after it (source A17).
const THINK_AFTER_UPLOAD: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(10)];
const STATS: &str = "/api/v1/system/stats";

/// What all users share.
struct Shared {
    client: ApiClient,
    habit: Habit,
    batch: String,
    form: (&'static str, Bytes),
    think: Duration,
    thinks_after_upload: bool,
    /// Users that should be there; those with a higher number leave.
    wanted: AtomicU32,
}

/// Runs the scenario to its end. Users look at the batch of `followed`, or at one that nobody starts.
pub(super) async fn run(
    client: &ApiClient,
    scenario: &Scenario,
    list: String,
    think: Duration,
    followed: Option<Known>,
) -> anyhow::Result<Figures> {
    let followed = match followed {
        Some(known) => Some(known.begin(client).await?),
        None => None,
    };
    let batch = if let Some(running) = &followed {
        running.batch.clone()
    } else {
        let first = form("load.csv", &list, &[("batch_name", "load: the first")]);
        upload_once(client, first).await?
    };
    let auto_start = if scenario.auto_start { "true" } else { "false" };
    let fields = [("batch_name", "load"), ("auto_start", auto_start)];
    let shared = Arc::new(Shared {
        client: client.clone(),
        habit: scenario.habit,
        batch,
        form: form("load.csv", &list, &fields),
        think,
        thinks_after_upload: scenario.thinks_after_upload,
        wanted: AtomicU32::new(0),
    });
    let started = Instant::now();
    let mut tasks: JoinSet<Tally> = JoinSet::new();
    let mut tally = Tally::default();
    let (mut users, mut due, mut last) = (0, 0.0, 0.0);
    while let Some((wanted, uploads_per_s)) = scenario.at(started.elapsed().as_secs_f64()) {
        shared.wanted.store(wanted, Ordering::Relaxed);
        while users < wanted {
            tasks.spawn(user(Arc::clone(&shared), users));
            users += 1;
        }
        users = users.min(wanted);
        let now = started.elapsed().as_secs_f64();
        due += uploads_per_s * (now - last);
        last = now;
        while due >= 1.0 && tasks.len() < users as usize + MAX_UPLOADS_UNDER_WAY {
            tasks.spawn(upload(Arc::clone(&shared)));
            due -= 1.0;
        }
        while let Some(ended) = tasks.try_join_next() {
            tally.merge(ended?);
        }
        tokio::time::sleep(TICK).await;
    }
    let elapsed = started.elapsed();
    shared.wanted.store(0, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        tally.merge(ended?);
    }
    let mut figures = tally.into_figures(scenario.name, elapsed);
    if let Some(running) = followed {
        figures.followed = Some(running.end().await?);
    }
    Ok(figures)
}

/// Hands a list in; returns its batch.
pub(super) async fn upload_once(client: &ApiClient, form: (&str, Bytes)) -> anyhow::Result<String> {
    let answer = client
        .send(Method::POST, "/upload", Some(form.0), form.1)
        .await?;
    let accepted: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let id = accepted["batch_id"].as_str().map(str::to_owned);
    id.with_context(|| {
        format!(
            "the server does not take a list: {} {accepted}",
            answer.status
        )
    })
}

async fn user(shared: Arc<Shared>, number: u32) -> Tally {
    let mut tally = Tally::default();
    // Not all at the same moment.
    let phase = f64::from(number % 100) / 100.0;
    tokio::time::sleep(shared.think.mul_f64(phase)).await;
    let mut turn = number;
    while number < shared.wanted.load(Ordering::Relaxed) {
        shared.act(turn, &mut tally).await;
        turn = turn.wrapping_add(1);
        tokio::time::sleep(shared.think).await;
    }
    tally
}

async fn upload(shared: Arc<Shared>) -> Tally {
    let mut tally = Tally::default();
    shared.upload(&mut tally).await;
    if shared.thinks_after_upload {
        let [before, after] = THINK_AFTER_UPLOAD;
        tokio::time::sleep(before).await;
        shared.get("stats", STATS, &mut tally).await;
        tokio::time::sleep(after).await;
    }
    tally
}

impl Shared {
    async fn act(&self, turn: u32, tally: &mut Tally) {
        let batch = format!("/api/v1/batches/{}", self.batch);
        if self.habit == Habit::Follow {
            return self.get("batch", &batch, tally).await;
        }
        match turn % 10 {
            9 if self.habit == Habit::LookAndUpload => self.upload(tally).await,
            0 | 1 => self.get("batches", "/api/v1/batches?limit=20", tally).await,
            2 | 3 => {
                let path = format!("{batch}/results?limit=50");
                self.get("results", &path, tally).await;
            }
            4 => self.get("stats", STATS, tally).await,
            5 => {
                let board = "/api/v1/monitoring/dashboard/kpi";
                self.get("board", board, tally).await;
            }
            _ => self.get("batch", &batch, tally).await,
        }
    }

    async fn get(&self, kind: &'static str, path: &str, tally: &mut Tally) {
        self.send(kind, Method::GET, path, None, tally).await;
    }

    async fn upload(&self, tally: &mut Tally) {
        let form = Some(self.form.clone());
        self.send("upload", Method::POST, "/upload", form, tally)
            .await;
    }

    async fn send(
        &self,
        kind: &'static str,
        method: Method,
        path: &str,
        form: Option<(&'static str, Bytes)>,
        tally: &mut Tally,
    ) {
        let (content_type, body) = form.map_or((None, Bytes::new()), |(content_type, body)| {
            (Some(content_type), body)
        });
        let started = Instant::now();
        let answer = self.client.send(method, path, content_type, body).await;
        let failure = match answer {
            Ok(answer) if answer.status.is_success() => None,
            Ok(answer) => Some(format!("{kind}: status {}", answer.status.as_u16())),
            Err(error) => Some(format!("{kind}: {error:#}")),
        };
        tally.add(kind, started.elapsed(), failure);
    }
}
