//! The runtime API of one execution environment (AWS Lambda developer guide, "Using the Lambda runtime API").

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use http::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// What a function made of an event: its response, or the error it reported.
pub type Answer = Result<Bytes, String>;

/// An event on its way in.
struct Event {
    body: Bytes,
    deadline: SystemTime,
    answer: oneshot::Sender<Answer>,
}

/// The runtime API of one process. Ends when it is dropped.
#[derive(Debug)]
pub struct RuntimeApi {
    address: SocketAddr,
    events: mpsc::Sender<Event>,
    ready: watch::Receiver<Option<Instant>>,
    server: JoinHandle<()>,
}

struct Shared {
    events: Mutex<mpsc::Receiver<Event>>,
    open: Mutex<Option<oneshot::Sender<Answer>>>,
    ready: watch::Sender<Option<Instant>>,
    function: String,
}

impl RuntimeApi {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start(function: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (events, receiver) = mpsc::channel(1);
        let (sender, ready) = watch::channel(None);
        let shared = Arc::new(Shared {
            events: Mutex::new(receiver),
            open: Mutex::default(),
            ready: sender,
            function: function.to_owned(),
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route(
                "/2018-06-01/runtime/invocation/{id}/response",
                post(response),
            )
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .layer(DefaultBodyLimit::disable())
            .with_state(shared);
        let server = tokio::spawn(async move {
            // It runs until it is aborted; a fault of the listener shows as a function that does not answer.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            events,
            ready,
            server,
        })
    }

    /// The value of `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// When the process asked for its first event: the end of its initialisation.
    pub async fn ready(&self) -> Option<Instant> {
        let mut ready = self.ready.clone();
        let first = ready.wait_for(Option::is_some).await.ok()?;
        *first
    }

    /// Hands over one event and waits for what comes of it, however long that takes. `None` when nobody is there any more.
    pub async fn invoke(&self, body: Bytes, timeout: Duration) -> Option<Answer> {
        let (sender, answer) = oneshot::channel();
        let event = Event {
            body,
            deadline: SystemTime::now() + timeout,
            answer: sender,
        };
        self.events.send(event).await.ok()?;
        answer.await.ok()
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn next(State(shared): State<Arc<Shared>>) -> Response {
    shared.ready.send_if_modified(|ready| {
        let is_first = ready.is_none();
        ready.get_or_insert_with(Instant::now);
        is_first
    });
    let event = shared.events.lock().await.recv().await;
    let Some(event) = event else {
        return status(StatusCode::GONE);
    };
    let deadline = event
        .deadline
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    *shared.open.lock().await = Some(event.answer);
    let arn = format!(
        "arn:aws:lambda:eu-central-1:123456789012:function:{}",
        shared.function
    );
    Response::builder()
        .header("content-type", "application/json")
        .header(
            "lambda-runtime-aws-request-id",
            format!("{:032x}", fastrand::u128(..)),
        )
        .header(
            "lambda-runtime-deadline-ms",
            deadline.as_millis().to_string(),
        )
        .header("lambda-runtime-invoked-function-arn", arn)
        .header("lambda-runtime-trace-id", "Root=1-0-0;Parent=0;Sampled=0")
        .body(Body::from(event.body))
        .unwrap_or_else(|_| status(StatusCode::INTERNAL_SERVER_ERROR))
}

async fn response(
    State(shared): State<Arc<Shared>>,
    Path(_id): Path<String>,
    body: Bytes,
) -> StatusCode {
    settle(&shared, Ok(body)).await
}

async fn error(
    State(shared): State<Arc<Shared>>,
    Path(_id): Path<String>,
    body: String,
) -> StatusCode {
    settle(&shared, Err(body)).await
}

async fn init_error(State(shared): State<Arc<Shared>>, body: String) -> StatusCode {
    settle(&shared, Err(body)).await
}

async fn settle(shared: &Shared, answer: Answer) -> StatusCode {
    match shared.open.lock().await.take() {
        // Nobody waits any more for an answer that came after the time-out.
        Some(open) => {
            let _ = open.send(answer);
            StatusCode::ACCEPTED
        }
        None => StatusCode::BAD_REQUEST,
    }
}

fn status(code: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response
}
