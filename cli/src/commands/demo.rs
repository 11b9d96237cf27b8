//! `imgsweep demo`: a generated corpus on a loop-back host, good, broken and hostile, through the whole pipeline.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use domain::{BatchOptions, Limits, RulePack};
use exports::FilesRequest;
use fetching::FetchOptions;
use http_api::QuotaSettings;
use pipeline::export::ExportFormat;
use pipeline::memory_watch::available_bytes;
use sample_origin::{Corpus, Origin};

use super::serve::{self, ServeSettings};
use crate::args::DemoArgs;
use crate::engine::EngineSettings;
use crate::list_run::ListRun;
use crate::screen::{print_data, report};

/// Images of the corpus; the list names some of them more than once.
const CORPUS_IMAGES: usize = 320;

pub(super) async fn demo(args: DemoArgs) -> anyhow::Result<()> {
    eprintln!("Generating {CORPUS_IMAGES} images …");
    let seed = args.seed;
    let corpus = tokio::task::spawn_blocking(move || Corpus::generate(seed, CORPUS_IMAGES)).await?;
    let origin =
        Origin::start(Arc::new(corpus)).context("the loop-back image host could not be started")?;
    let list = origin.demo_list(args.rows as usize, args.seed);
    eprintln!(
        "Checking {} rows against the image host at {} …",
        args.rows,
        origin.base_url()
    );

    let folder = tempfile::Builder::new()
        .prefix("imgsweep-demo-")
        .tempdir()?;
    let list_run = ListRun {
        list_name: "demo.csv".to_owned(),
        progress_every: None,
        output: folder.path().to_owned(),
        since: None,
        duplicates_of: None,
        options: BatchOptions {
            rules: ["google-merchant", "open-graph"]
                .map(|name| RulePack::BuiltIn(name.to_owned()))
                .to_vec(),
            ..BatchOptions::default()
        },
        settings: settings()?,
        tune: None,
        tables: FilesRequest {
            formats: ExportFormat::ALL.to_vec(),
            ..FilesRequest::default()
        },
    };
    let list = futures::stream::iter([io::Result::Ok(Bytes::from(list))]);
    let end = Box::pin(list_run.run(list)).await?;
    let allowed = ["127.0.0.0/8".to_owned()];
    print_data(&report::render(&end.report, &allowed, &end.files))?;
    if args.once || !io::stdout().is_terminal() {
        // Named in the report, so kept for whoever reads on.
        drop(folder.keep());
        return Ok(());
    }
    eprintln!("\nThe image host stays up; try the API on it. Ctrl-C ends the demo.");
    let settings = ServeSettings {
        address: ([127, 0, 0, 1], 0).into(),
        data: folder.path().join("serve"),
        token: None,
        max_upload_bytes: Limits::default().max_upload_bytes,
        allowed_origins: Vec::new(),
        quotas: QuotaSettings::default(),
        engine: settings()?,
        tune: None,
        keep: None,
    };
    serve::serve_until_stopped(settings).await
}

/// Short limits, so that the hosts that stall do not make a newcomer wait.
fn settings() -> anyhow::Result<EngineSettings> {
    let limits = Limits {
        request_timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(2),
        read_timeout: Duration::from_secs(2),
        throughput_grace: Duration::from_secs(1),
        max_attempts: 2,
        max_body_bytes: 2 * 1024 * 1024,
        max_retry_after: Duration::from_secs(1),
        max_deferrals: 0,
        ..Limits::default()
    };
    let fetch = FetchOptions {
        allow_private: vec!["127.0.0.0/8".parse()?],
        ..FetchOptions::default()
    };
    Ok(EngineSettings {
        vision: None,
        limits,
        fetch,
        chunk_size: None,
        memory_limit_bytes: available_bytes(),
        webhook: None,
    })
}
