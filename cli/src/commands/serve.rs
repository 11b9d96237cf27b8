//! `imgsweep serve`: the HTTP API on the embedded engine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adapters_embedded::DataFolder;
use anyhow::Context;
use fetching::FetchOptions;
use http::HeaderValue;
use http_api::{
    ApiSettings, ApiState, LocalUploads, QuotaSettings, Quotas, TableSource, Token, Tokens,
    VisionOffer, new_secret,
};
use monitoring::resources::Limits;
use pipeline::notify::WebhookSecret;
use tokio::net::TcpListener;

use super::BadArguments;
use crate::args::ServeArgs;
use crate::engine::{Engine, EngineSettings, TuningSettings};
use crate::screen::print_data;

/// Name of the one token, and so the owner of every batch.
const TOKEN_NAME: &str = "default";
/// How long parts under way may take to end after Ctrl-C.
const DRAIN_PATIENCE: Duration = Duration::from_secs(45);

/// What a server needs to know.
pub(super) struct ServeSettings {
    pub(super) address: SocketAddr,
    pub(super) data: PathBuf,
    pub(super) token: Option<String>,
    pub(super) max_upload_bytes: u64,
    pub(super) allowed_origins: Vec<HeaderValue>,
    pub(super) quotas: QuotaSettings,
    pub(super) engine: EngineSettings,
    pub(super) tune: Option<TuningSettings>,
    /// How long batches are kept after their end; for ever if unset.
    pub(super) keep: Option<Duration>,
}

pub(super) async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    serve_until_stopped(ServeSettings {
        address: SocketAddr::new(args.bind, args.port),
        tune: args.fetch.tune,
        keep: args.retention_days.map(days),
        engine: EngineSettings {
            limits: args.fetch.limits(),
            fetch: fetch_options(&args),
            chunk_size: args.chunk_size,
            memory_limit_bytes: args.fetch.memory_limit_bytes(),
            webhook: webhook_secret(args.webhook_secret.as_deref())?,
            vision: args.vision.wish().map_err(BadArguments)?,
        },
        data: args.data,
        token: args.token,
        max_upload_bytes: args.max_upload_bytes,
        allowed_origins: args.cors_origin,
        quotas: QuotaSettings {
            requests_per_minute: args.requests_per_minute,
            uploads_per_day: args.uploads_per_day,
        },
    })
    .await
}

/// Serves until Ctrl-C or SIGTERM, then lets the parts under way end.
pub(super) async fn serve_until_stopped(settings: ServeSettings) -> anyhow::Result<()> {
    let listener = TcpListener::bind(settings.address).await;
    let listener = listener
        .map_err(|error| BadArguments(format!("cannot listen on {}: {error}", settings.address)))?;
    let folder = DataFolder::open(&settings.data)?;
    let limits = limits(&settings.engine);
    let has_webhooks = settings.engine.webhook.is_some();
    let vision = settings.engine.vision.as_ref().map(|wish| VisionOffer {
        has_prices: !wish.settings.pricing.is_free(),
    });
    let mut engine = Engine::start(&folder, settings.engine, None).await?;
    if let Some(tuning) = settings.tune {
        engine.tune(tuning);
    }
    if let Some(keep) = settings.keep {
        engine.keep_for(keep, &folder);
    }
    let token = match settings.token {
        Some(token) => token,
        None => new_secret().context("no random numbers for a token")?.0,
    };
    let address = listener.local_addr()?;
    let uploads = LocalUploads::new(engine.ports().clone(), format!("http://{address}"))?;
    let state = ApiState {
        ports: engine.ports().clone(),
        tokens: Arc::new(Tokens::new(vec![Token::new(TOKEN_NAME, &token)])),
        access: folder.access(),
        answers: engine.answers().unwrap_or_else(|| folder.cache()),
        monitoring: folder.monitoring(),
        recorder: Arc::clone(engine.recorder()),
        settings: Arc::new(ApiSettings {
            allowed_origins: settings.allowed_origins,
            quotas: Quotas::new(settings.quotas),
            limits,
            has_metrics: true,
            has_webhooks,
            vision,
            ..ApiSettings::default()
        }),
        uploads: Arc::new(uploads.clone()),
        tables: Some(TableSource::Here(Arc::new(exports::Tables))),
        max_upload_bytes: settings.max_upload_bytes,
    };
    announce(address, &token)?;
    let router = http_api::router_with_uploads(state, &uploads);
    axum::serve(listener, router)
        .with_graceful_shutdown(stop_signal())
        .await
        .context("the server failed")?;
    eprintln!("Stopping: waiting for the parts under way (Ctrl-C again to stop at once) …");
    tokio::select! {
        () = engine.drain(DRAIN_PATIENCE) => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}

const fn days(days: u32) -> Duration {
    Duration::from_secs(days as u64 * 24 * 60 * 60)
}

/// How to fetch, and never from this server itself: not by the names of this machine, and not by the address it listens on. Loop-back
/// and private addresses are closed unless somebody opens them.
fn fetch_options(args: &ServeArgs) -> FetchOptions {
    let mut options = args.fetch.options();
    if !args.bind.is_unspecified() && !args.bind.is_loopback() {
        options.refuse_hosts.push(args.bind.to_string());
    }
    options.refuse_hosts.extend(machine_name());
    options
}

/// The name of this machine (Linux, `proc_sys_kernel(5)`); `None` where the system does not tell or calls it `localhost`.
fn machine_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    let is_own = !name.is_empty() && name != "localhost" && name != "(none)";
    is_own.then(|| name.to_owned())
}

/// What webhooks are signed with, if there are to be any.
fn webhook_secret(text: Option<&str>) -> anyhow::Result<Option<WebhookSecret>> {
    let secret = text.map(WebhookSecret::parse).transpose();
    Ok(secret.map_err(|error| BadArguments(format!("WEBHOOK_SECRET: {error}")))?)
}

fn announce(address: SocketAddr, token: &str) -> std::io::Result<()> {
    print_data(&format!("address: http://{address}\ntoken:   {token}\n"))?;
    eprintln!(
        "\nOpen the page in a browser, or try it:\n  curl -H 'Authorization: Bearer {token}' -F file=@list.csv http://{address}/upload"
    );
    Ok(())
}

/// What monitoring shows as limits.
fn limits(engine: &EngineSettings) -> Limits {
    Limits {
        processors: std::thread::available_parallelism()
            .ok()
            .map(|processors| processors.get() as u64),
        memory_mb: engine.memory_limit_bytes.map(|bytes| bytes >> 20),
        workers: Some(crate::engine::MAX_CHUNKS_UNDER_WAY as u64),
        concurrent_requests: Some(engine.fetch.max_concurrent as u64),
        concurrent_requests_per_host: Some(engine.fetch.max_concurrent_per_host as u64),
    }
}

async fn stop_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Without a handler for SIGTERM there is still Ctrl-C; if that fails too, the process is stopped from outside.
    let _ = tokio::signal::ctrl_c().await;
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    #[test]
    fn a_server_is_asked_for_no_images_of_its_own() {
        let refused = |bind: &str| {
            let bind = format!("--bind={bind}");
            let arguments = ["imgsweep", "serve", &bind, "--refuse-host=own.example"];
            let Ok(Cli {
                command: Command::Serve(args),
            }) = Cli::try_parse_from(arguments)
            else {
                panic!("the arguments are refused");
            };
            fetch_options(&args).refuse_hosts
        };
        assert!(refused("203.0.113.7").contains(&"203.0.113.7".to_owned()));
        assert!(!refused("0.0.0.0").contains(&"0.0.0.0".to_owned()));
        for hosts in [refused("127.0.0.1"), refused("::1")] {
            assert!(hosts.contains(&"own.example".to_owned()));
            assert!(!hosts.iter().any(|host| host == "localhost"));
            if let Some(name) = machine_name() {
                assert!(hosts.contains(&name));
            }
        }
    }
}
