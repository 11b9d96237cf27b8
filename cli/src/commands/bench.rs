//! `imgsweep bench`: the program's parts measured, compared and searched for their best setting; or a server under the load of many users.

mod figures;
mod followed;
mod measure;
mod own_server;
mod scenario;
mod shown;
mod suites;
mod sweep;
mod users;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sample_origin::{Corpus, Origin, OriginOptions};

use crate::args::bench::{BenchArgs, ScenarioArg};
use crate::client::ApiClient;
use crate::screen::print_data;
use figures::Figures;
use followed::Known;
use own_server::OwnServer;
use scenario::{Habit, Scenario};

/// Size of the corpus that an own server's lists point at.
const CORPUS_IMAGES: usize = 100;

pub(super) async fn bench(args: BenchArgs) -> anyhow::Result<()> {
    match args.scenario {
        Some(scenario) => put_under_load(&args, scenario).await,
        None if args.sweep => sweep::sweep(&args).await,
        None => measure::measure(&args).await,
    }
}

async fn put_under_load(args: &BenchArgs, scenario: ScenarioArg) -> anyhow::Result<()> {
    let scenario = Scenario::of(scenario, args.duration);
    // Lists point at a host of this process, whichever server is measured: nobody else's is put under load.
    let corpus = tokio::task::spawn_blocking(|| Corpus::generate(1, CORPUS_IMAGES));
    let follows = scenario.habit == Habit::Follow;
    let options = OriginOptions {
        latency: if follows {
            followed::LATENCY
        } else {
            Duration::ZERO
        },
        ..OriginOptions::default()
    };
    let origin = Origin::start_with(Arc::new(corpus.await?), options)
        .context("the loop-back image host could not be started")?;
    let own_server;
    let client = if let (Some(endpoint), Some(token)) = (&args.endpoint, &args.token) {
        ApiClient::new(endpoint, token)?
    } else {
        own_server = OwnServer::start().await?;
        ApiClient::new(own_server.endpoint(), own_server.token())?
    };
    let list = origin.demo_list(args.rows as usize, 1);
    let followed = if follows {
        eprintln!("A batch without users first …");
        Some(Known::of(&client, &origin, scenario.seconds()).await?)
    } else {
        None
    };
    eprintln!("{}", scenario.describe());
    let figures: Figures = users::run(&client, &scenario, list, args.think, followed).await?;
    let shown = if args.json {
        serde_json::to_string_pretty(&figures)?
    } else {
        figures.to_string()
    };
    print_data(&format!("{}\n", shown.trim_end()))?;
    Ok(())
}
