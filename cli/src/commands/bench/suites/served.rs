//! A server of its own, asked by one client in turn, and by users at once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::Method;
use sample_origin::Origin;

use super::{Done, Prepared, good_list};
use crate::args::bench::ScenarioArg;
use crate::client::{ApiClient, form};
use crate::commands::bench::own_server::OwnServer;
use crate::commands::bench::scenario::Scenario;
use crate::commands::bench::users;

/// Rows of the batch that is looked at.
const ROWS: usize = 50;
/// How long the users stay, and how long each thinks: shorter than in the scenario, so that a sample is soon made.
const STAY: Duration = Duration::from_secs(2);
const THINK: Duration = Duration::from_millis(200);

/// The cases of the suites `api` and `scenarios`, as far as they are wanted.
pub(super) async fn cases(
    origin: &Arc<Origin>,
    [api, scenarios]: [bool; 2],
    is_quick: bool,
) -> anyhow::Result<Vec<Prepared>> {
    if !api && !scenarios {
        return Ok(Vec::new());
    }
    let server = Arc::new(OwnServer::start().await?);
    let client = ApiClient::new(server.endpoint(), server.token())?;
    let list = good_list(origin, ROWS);
    let (content_type, body) = form("bench.csv", &list, &[("auto_start", "true")]);
    let accepted = client.post_form("/upload", content_type, body).await?;
    let batch = accepted["batch_id"]
        .as_str()
        .context("the server takes no list")?;
    let mut cases = Vec::new();
    if api {
        let times = if is_quick { 25 } else { 100 };
        cases.push(read(&server, origin, &client, batch, times));
    }
    if scenarios {
        cases.push(look(&server, &client, list));
    }
    for case in &mut cases {
        case.pid = server.pid();
    }
    Ok(cases)
}

/// What a page asks for, again and again.
fn read(
    server: &Arc<OwnServer>,
    origin: &Arc<Origin>,
    client: &ApiClient,
    batch: &str,
    times: u64,
) -> Prepared {
    let paths = [
        "/api/v1/batches?limit=20".to_owned(),
        format!("/api/v1/batches/{batch}"),
        format!("/api/v1/batches/{batch}/results?limit=50"),
        "/api/v1/system/stats".to_owned(),
    ];
    let shared = Arc::new((
        paths,
        client.clone(),
        Arc::clone(server),
        Arc::clone(origin),
    ));
    Prepared::new("api/read", "requests", move || {
        let shared = Arc::clone(&shared);
        async move {
            let (paths, client, ..) = &*shared;
            let mut done = Done::default();
            for _ in 0..times {
                for path in paths {
                    let answer = client.send(Method::GET, path, None, Bytes::new()).await;
                    done.items += 1;
                    done.failed +=
                        u64::from(!answer.is_ok_and(|answer| answer.status.is_success()));
                }
            }
            Ok(done)
        }
    })
}

/// The scenario `normal`, shortened.
fn look(server: &Arc<OwnServer>, client: &ApiClient, list: String) -> Prepared {
    let shared = Arc::new((client.clone(), Arc::clone(server), list));
    Prepared::new("scenarios/normal", "requests", move || {
        let shared = Arc::clone(&shared);
        async move {
            let (client, _, list) = &*shared;
            let scenario = Scenario::of(ScenarioArg::Normal, Some(STAY));
            let figures = users::run(client, &scenario, list.clone(), THINK, None).await?;
            let (items, failed) = figures.totals();
            Ok(Done { items, failed })
        }
    })
}
