//! Processes that are killed, a row that kills whoever fetches it, and services that refuse for a while: batches end by themselves.

use std::env;
use std::fmt::Write;
use std::time::{Duration, Instant};

use aws_emulators::{Emulators, Proxy};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::deployment::{Answer, Circumstances, Deployment};

/// A GIF of one pixel.
const IMAGE: &[u8] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff\x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";
/// How long the host thinks about every image.
const THINKING: Duration = Duration::from_millis(30);
/// How often processes are killed during one batch.
const KILLS: usize = 30;

/// What the process of the analyser does not survive: the end of the address of a row that it has just done. Only builds for tests know this
/// variable.
const ABORTS_AT: (&str, &str) = ("ABORT_AFTER_ROW", "/poison");

/// A host of images, all good. The test hears of every request for `/poison`.
struct Host {
    address: String,
    server: JoinHandle<()>,
    poisoned: mpsc::UnboundedReceiver<()>,
    /// Images below `/held/` come once this is `true`.
    gate: watch::Sender<bool>,
}

/// What the host's answers depend on.
#[derive(Clone)]
struct Mood {
    told: mpsc::UnboundedSender<()>,
    gate: watch::Receiver<bool>,
}

impl Host {
    async fn start() -> Self {
        let (told, poisoned) = mpsc::unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (gate, opened) = watch::channel(false);
        let mood = Mood { told, gate: opened };
        let router = Router::new().fallback(answer).with_state(mood);
        let server = tokio::spawn(async move {
            // It runs until it is aborted.
            let _ = axum::serve(listener, router).await;
        });
        Self {
            address,
            server,
            poisoned,
            gate,
        }
    }

    fn list(&self, rows: usize) -> String {
        let mut list = "url\n".to_owned();
        for row in 0..rows {
            writeln!(list, "{}/{row}.gif", self.address).unwrap();
        }
        list
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(mut mood): State<Mood>, uri: Uri) -> Response {
    match uri.path() {
        "/robots.txt" => StatusCode::NOT_FOUND.into_response(),
        path => {
            if path == ABORTS_AT.1 {
                // Nobody listens any more once the test is over.
                let _ = mood.told.send(());
            }
            if path.starts_with("/held/") {
                // Its other end lives as long as the host.
                let _ = mood.gate.wait_for(|is_open| *is_open).await;
            }
            tokio::time::sleep(THINKING).await;
            ([("content-type", "image/gif")], IMAGE).into_response()
        }
    }
}

impl Deployment {
    /// Hands in a list that is analysed in header mode.
    async fn upload_in_chunks(&self, list: &str, rows: usize) -> Answer {
        let rows = rows.to_string();
        let fields = [("chunk_size", rows.as_str()), ("measure", "header")];
        self.upload(list, &fields).await
    }
}

fn id_of(accepted: &Answer) -> String {
    accepted.accepted_id().to_owned()
}

/// Every row has one result, and counts agree with a recount of the results.
async fn assert_counts_are_exact(deployment: &Deployment, batch: &Value, id: &str, rows: u64) {
    assert_eq!(batch["status"], "COMPLETED", "{batch:#}");
    let results = deployment.results(id).await;
    assert_eq!(results.len() as u64, rows);
    let report = deployment.report(id).await;
    let by_outcome = batch["progress"]["by_outcome"].as_object().unwrap();
    let mut total = 0;
    for (outcome, count) in by_outcome {
        let recounted = results.values().filter(|row| row["outcome"] == **outcome);
        assert_eq!(count.as_u64(), Some(recounted.count() as u64), "{outcome}");
        assert_eq!(report["by_outcome"][outcome], *count, "{outcome}");
        total += count.as_u64().unwrap_or_default();
    }
    assert_eq!(total, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_processes_are_killed_thirty_times_ends_by_itself_with_exact_counts() {
    let deployment = Deployment::start_in(Circumstances {
        visibility: Some(Duration::from_secs(4)),
        schedule: Some(Duration::from_secs(5)),
        ..Circumstances::default()
    })
    .await;
    let host = Host::start().await;
    // The last rows end after the last kill.
    let mut list = host.list(5_950);
    for row in 0..50 {
        writeln!(list, "{}/held/{row}.gif", host.address).unwrap();
    }
    let accepted = deployment.upload_in_chunks(&list, 100).await;
    let id = id_of(&accepted);

    let functions: Vec<_> = deployment.functions.values().cloned().collect();
    let gate = host.gate.clone();
    let killer = tokio::spawn(async move {
        let kills = || {
            functions
                .iter()
                .map(|function| function.kills())
                .sum::<usize>()
        };
        while kills() < KILLS {
            let pause = Duration::from_millis(fastrand::u64(50..400));
            tokio::time::sleep(pause).await;
            // Any that has a process.
            let mut victims: Vec<_> = functions.iter().collect();
            fastrand::shuffle(&mut victims);
            for function in victims {
                let most = match function.name() {
                    // At the fifth receive of its one message a list is given up, which is another test.
                    "fan-out" => 3,
                    // It is there before anything else is, because this test asks it how far the batch is.
                    "api" => 10,
                    _ => KILLS,
                };
                let is_spared = function.kills() >= most;
                if !is_spared && function.kill_one().await {
                    break;
                }
            }
        }
        gate.send_replace(true);
        let by_function = functions
            .iter()
            .map(|function| (function.name(), function.kills()));
        println!("killed: {:?}", by_function.collect::<Vec<_>>());
        Instant::now()
    });
    let batch = deployment.ended(&id).await;
    let ended = Instant::now();
    let killed = killer.await.unwrap();
    assert!(killed <= ended, "the batch ended before the last kill");
    assert_counts_are_exact(&deployment, &batch, &id, 6_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_kills_every_process_costs_its_chunk_and_nothing_else() {
    let deployment = Deployment::start_in(Circumstances {
        visibility: Some(Duration::from_secs(2)),
        analyzers: Some(1),
        variables: vec![(ABORTS_AT.0, ABORTS_AT.1.to_owned())],
        ..Circumstances::default()
    })
    .await;
    let mut host = Host::start().await;
    let mut list = host.list(24);
    // The first row of the second chunk.
    let first = format!("{}/8.gif\n", host.address);
    list = list.replace(&first, &format!("{}/poison\n", host.address));
    let accepted = deployment.upload_in_chunks(&list, 8).await;
    let id = id_of(&accepted);

    let batch = deployment.ended(&id).await;
    // Each receive ends with the process, by itself; a sixth would be one too many.
    let mut deaths = 0;
    while host.poisoned.try_recv().is_ok() {
        deaths += 1;
    }
    assert_eq!(deaths, 5, "the chunk is given up after five receives");
    assert_eq!(deployment.functions["analyze"].kills(), 0);
    assert_counts_are_exact(&deployment, &batch, &id, 24).await;
    let report = deployment.report(&id).await;
    assert_eq!(report["by_outcome"]["poisoned"], 8);
    assert_eq!(report["by_outcome"]["ok"], 16);
    for (number, row) in deployment.results(&id).await {
        let is_poisoned = (8..16).contains(&number);
        assert_eq!(row["outcome"] == "poisoned", is_poisoned, "row {number}");
    }
}

/// How long a service refuses: `OUTAGE_SECONDS`, which `make faults` sets to a minute.
fn outage() -> Duration {
    let seconds = env::var("OUTAGE_SECONDS").map_or(6, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

/// What a person is told who hands a list in while a service refuses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    /// To come again.
    Refused,
    /// That the list is taken, and it is.
    Accepted,
}

/// A batch under way, a service that refuses for a while, and a person who hands in other lists meanwhile.
async fn a_batch_outlives_an_outage_of(
    service: &'static str,
    upstream: &str,
    meanwhile: Meanwhile,
) {
    let proxy = Proxy::before(upstream).await;
    let deployment = Deployment::start_in(Circumstances {
        // On AWS six times the time-out: an outage costs a message one or two of its receives.
        visibility: Some(outage().max(Duration::from_secs(8)) / 2),
        endpoints: vec![(service, proxy.address())],
        schedule: Some(Duration::from_secs(4)),
        ..Circumstances::default()
    })
    .await;
    let host = Host::start().await;
    let id = id_of(&deployment.upload_in_chunks(&host.list(4_000), 100).await);

    proxy.refuse(true);
    let begun = Instant::now();
    let (mut refusals, mut accepted) = (0, Vec::new());
    while begun.elapsed() < outage() {
        let refused = deployment.upload_in_chunks(&host.list(50), 100).await;
        if meanwhile == Meanwhile::Accepted {
            accepted.push(id_of(&refused));
            // A person, not a second storm: what is handed in meanwhile has to be done by the test's one of each function.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        }
        assert_eq!(
            refused.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "{refused:?}"
        );
        assert!(
            refused.retry_after_s.is_some_and(|seconds| seconds > 0),
            "{refused:?}"
        );
        assert_eq!(refused.body["type"], "/problems/unavailable");
        let text = refused.body.to_string().to_lowercase();
        for internal in ["dynamodb", "sqs", "throttl", "table", "queue", "127.0.0.1"] {
            assert!(!text.contains(internal), "{text}");
        }
        refusals += 1;
    }
    assert!(refusals + accepted.len() > 0 && proxy.refused() > refusals);
    proxy.refuse(false);

    accepted.push(id_of(
        &deployment.upload_in_chunks(&host.list(50), 100).await,
    ));
    let batch = deployment.ended(&id).await;
    assert_counts_are_exact(&deployment, &batch, &id, 4_000).await;
    assert_eq!(batch["progress"]["by_outcome"]["ok"], 4_000);
    for later in accepted {
        let batch = deployment.ended(&later).await;
        assert_counts_are_exact(&deployment, &batch, &later, 50).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_after_the_store_was_throttled_and_callers_were_told_to_come_again() {
    let upstream = Emulators::shared().dynamodb();
    a_batch_outlives_an_outage_of("DYNAMODB", upstream, Meanwhile::Refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_after_the_queue_refused_and_what_callers_handed_in_meanwhile_is_done() {
    let upstream = Emulators::shared().others();
    a_batch_outlives_an_outage_of("SQS", upstream, Meanwhile::Accepted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_after_the_bucket_refused_and_callers_were_told_to_come_again() {
    let upstream = Emulators::shared().others();
    a_batch_outlives_an_outage_of("S3", upstream, Meanwhile::Refused).await;
}
