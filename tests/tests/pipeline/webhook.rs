//! The address that a batch names is told of its end: signed, again after a failure, once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use domain::ports::{Announcements, PortError, PortErrorKind, PortResult, Queue};
use domain::{BatchId, BatchOptions, FinalizeMessage, Limits};
use fetching::{FetchOptions, Poster};
use parking_lot::Mutex;
use pipeline::notify::{MAX_ATTEMPTS, Notified, Notifier, WebhookSecret, notify, report};
use pipeline::sweep::settle_dead_letter;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::support::Scene;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A receiver that answers with these statuses in turn, then with 204, and keeps what it was told.
#[derive(Clone)]
struct Receiver {
    answers: Arc<Mutex<Vec<u16>>>,
    told: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

impl Receiver {
    async fn start(answers: &[u16]) -> (Self, SocketAddr) {
        let receiver = Self {
            answers: Arc::new(Mutex::new(answers.iter().rev().copied().collect())),
            told: Arc::default(),
        };
        let router = Router::new()
            .route("/hook", post(take))
            .with_state(receiver.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, address)
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    receiver.told.lock().push((headers, body));
    let answer = receiver.answers.lock().pop().unwrap_or(204);
    StatusCode::from_u16(answer).unwrap()
}

fn notifier(allowed: &[&str]) -> Notifier {
    let options = FetchOptions {
        allow_private: allowed.iter().map(|range| range.parse().unwrap()).collect(),
        ..FetchOptions::default()
    };
    let poster = Poster::new(&Limits::default(), options).unwrap();
    Notifier::new(poster, WebhookSecret::parse(SECRET).unwrap())
}

async fn ended(scene: &Scene, address: SocketAddr) -> BatchId {
    let options = BatchOptions {
        webhook: Some(format!("http://{address}/hook")),
        ..BatchOptions::default()
    };
    let id = scene.start_with(scene.good_list(3), options).await;
    scene.drain().await;
    id
}

#[tokio::test]
async fn a_receiver_is_told_once_and_can_check_who_tells() {
    let scene = Scene::new();
    let (receiver, address) = Receiver::start(&[]).await;
    let id = ended(&scene, address).await;
    let notifier = notifier(&["127.0.0.0/8"]);
    let first = notify(&scene.ports, &notifier, id, 0).await.unwrap();
    let second = notify(&scene.ports, &notifier, id, 0).await.unwrap();
    assert_eq!((first, second), (Notified::Delivered, Notified::Before));

    let told = receiver.told.lock();
    let [(headers, body)] = told.as_slice() else {
        panic!("told {} times", told.len());
    };
    let field = |name: &str| headers[name].to_str().unwrap();
    let timestamp: i64 = field("webhook-timestamp").parse().unwrap();
    let secret = WebhookSecret::parse(SECRET).unwrap();
    let signature = secret.sign(field("webhook-id"), timestamp, body);
    assert_eq!(field("webhook-signature"), signature);
    assert_ne!(
        field("webhook-signature"),
        secret.sign(field("webhook-id"), timestamp + 1, body)
    );
    let notice: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(notice["type"], "batch.completed");
    assert_eq!(notice["data"]["batch_id"], id.to_string());
    assert_eq!(notice["data"]["rows"], 3);
    assert_eq!(notice["data"]["ok"], 3);
}

#[tokio::test]
async fn a_receiver_that_fails_is_told_again_later_until_it_is_given_up() {
    let scene = Scene::new();
    let (receiver, address) = Receiver::start(&[503, 404]).await;
    let id = ended(&scene, address).await;
    let notifier = notifier(&["127.0.0.0/8"]);
    assert_eq!(
        notify(&scene.ports, &notifier, id, 0).await.unwrap(),
        Notified::Later(10)
    );
    let waiting: Vec<FinalizeMessage> = scene.take(domain::ports::Queue::Finalize).await;
    assert_eq!(waiting, [], "not before its time");
    scene.clock.advance(Duration::from_secs(11));
    let waiting: Vec<FinalizeMessage> = scene.take(domain::ports::Queue::Finalize).await;
    let again = FinalizeMessage {
        batch: id,
        notice: Some(1),
    };
    assert_eq!(waiting, [again]);
    assert_eq!(
        notify(&scene.ports, &notifier, id, 1).await.unwrap(),
        Notified::Later(60)
    );
    assert_eq!(
        notify(&scene.ports, &notifier, id, 2).await.unwrap(),
        Notified::Delivered
    );
    let ids: Vec<String> = receiver
        .told
        .lock()
        .iter()
        .map(|(headers, _)| headers["webhook-id"].to_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 3);
    assert!(
        ids.iter().all(|one| *one == ids[0]),
        "one notice, however often it is sent"
    );
}

#[tokio::test]
async fn what_nobody_takes_is_given_up_for_good() {
    let scene = Scene::new();
    let (_, address) = Receiver::start(&[500; 3]).await;
    let id = ended(&scene, address).await;
    let notifier = notifier(&["127.0.0.0/8"]);
    let last = notify(&scene.ports, &notifier, id, MAX_ATTEMPTS - 1)
        .await
        .unwrap();
    assert_eq!(last, Notified::GivenUp);
    assert_eq!(
        notify(&scene.ports, &notifier, id, 0).await.unwrap(),
        Notified::Before
    );
}

/// A topic that refuses so many announcements and takes those that follow.
struct Topic {
    refusals: Mutex<usize>,
    announced: Mutex<Vec<(BatchId, String, String)>>,
}

#[async_trait]
impl Announcements for Topic {
    async fn announce(&self, batch: BatchId, kind: &str, notice: &str) -> PortResult<()> {
        let mut refusals = self.refusals.lock();
        if *refusals > 0 {
            *refusals -= 1;
            let kind = PortErrorKind::Throttled;
            return Err(PortError::new(kind, "announce", "on purpose"));
        }
        let announcement = (batch, kind.to_owned(), notice.to_owned());
        self.announced.lock().push(announcement);
        Ok(())
    }
}

#[tokio::test]
async fn who_was_told_is_not_told_again_because_another_was_not() {
    let scene = Scene::new();
    let (receiver, address) = Receiver::start(&[]).await;
    let id = ended(&scene, address).await;
    let topic = Arc::new(Topic {
        refusals: Mutex::new(1),
        announced: Mutex::default(),
    });
    let notifier = notifier(&["127.0.0.0/8"]).announcing_on(Arc::clone(&topic) as _);
    let mut told = Vec::new();
    for attempt in 0..3 {
        told.push(notify(&scene.ports, &notifier, id, attempt).await.unwrap());
    }
    assert_eq!(
        told,
        [Notified::Later(10), Notified::Delivered, Notified::Before]
    );
    assert_eq!(receiver.told.lock().len(), 1);
    let announced = topic.announced.lock();
    let [(batch, kind, notice)] = announced.as_slice() else {
        panic!("announced {} times", announced.len());
    };
    assert_eq!((*batch, kind.as_str()), (id, "batch.completed"));
    let webhook = receiver.told.lock()[0].1.clone();
    assert_eq!(notice.as_bytes(), webhook, "both say the same");
}

#[tokio::test]
async fn a_receiver_is_told_although_whoever_wrote_the_report_died_or_gave_up() {
    let scene = Scene::new();
    let (receiver, address) = Receiver::start(&[]).await;
    // Its report is written, and nobody told of it.
    let id = ended(&scene, address).await;
    let notifier = notifier(&["127.0.0.0/8"]);
    let message = FinalizeMessage {
        batch: id,
        notice: None,
    };
    let body = serde_json::to_string(&message).unwrap();
    settle_dead_letter(&scene.ports, Queue::Finalize, &body)
        .await
        .unwrap();
    scene.clock.advance(Duration::from_secs(11));
    let sent: Vec<FinalizeMessage> = scene.take(Queue::Finalize).await;
    assert_eq!(sent.len(), 1);
    // And again, as queues may deliver a message twice.
    for message in [sent[0], sent[0], message] {
        report(&scene.ports, Some(&notifier), message)
            .await
            .unwrap();
    }
    assert_eq!(receiver.told.lock().len(), 1);
}

#[tokio::test]
async fn addresses_inside_are_not_told_anything() {
    let scene = Scene::new();
    let (receiver, address) = Receiver::start(&[]).await;
    let id = ended(&scene, address).await;
    let refused = notify(&scene.ports, &notifier(&[]), id, 0).await.unwrap();
    assert_eq!(refused, Notified::Later(10));
    assert_eq!(receiver.told.lock().len(), 0);
}

#[tokio::test]
async fn a_batch_that_names_no_address_tells_nobody() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(1), 1).await;
    scene.drain().await;
    let told = notify(&scene.ports, &notifier(&[]), id, 0).await.unwrap();
    assert_eq!(told, Notified::NotWanted);
}
