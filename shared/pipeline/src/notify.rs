//! Tells of a batch whose report is written: the address that the batch names, by a signed webhook, and a topic that operators subscribe
//! to, where there is one.
//!
//! The request of a webhook is that of [Standard Webhooks](https://www.standardwebhooks.com): `webhook-id` is the same for every repeat of one
//! notice, `webhook-timestamp` is the second it was sent, and `webhook-signature` is `v1,` and the Base64 of the HMAC-SHA-256 of
//! `id.timestamp.body`. Receivers check the signature, refuse old time stamps, and pass over ids they have seen.
//!
//! A notice is sent until it is taken, by an answer of the 200 class or by the topic, [`MAX_ATTEMPTS`] times at most, ever longer apart. A
//! mark in the object store says that it is done. Between the answer and the mark a process may end: then the same notice is sent again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::ports::{Announcements, Queue};
use domain::{Batch, BatchId, BatchStatus, FinalizeMessage, Limits, keys};
use fetching::{FetchError, Poster, TargetUrl};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;
use serde::Serialize;
use sha2::Sha256;

use crate::finalize::{finalize, read_report};
use crate::report::Report;
use crate::send::send_one_later;
use crate::{PipelineResult, Ports, objects};

/// Attempts at one notice.
pub const MAX_ATTEMPTS: u32 = 8;
/// Seconds before the second attempt, the third, and so on; the last holds for all after it.
const PAUSES_S: [u64; 5] = [10, 60, 300, 900, 900];
/// Bytes of a secret: enough not to be guessed.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Sends notices.
pub struct Notifier {
    webhooks: Option<Webhooks>,
    topic: Option<Arc<dyn Announcements>>,
}

struct Webhooks {
    poster: Poster,
    secret: Arc<dyn SecretSource>,
}

impl Notifier {
    /// Sends webhooks through `poster`, signed with a secret that receivers know.
    pub fn new(poster: Poster, secret: impl SecretSource) -> Self {
        let secret = Arc::new(secret);
        Self {
            webhooks: Some(Webhooks { poster, secret }),
            topic: None,
        }
    }

    /// The same, which announces every batch on a topic as well.
    #[must_use]
    pub fn announcing_on(mut self, topic: Arc<dyn Announcements>) -> Self {
        self.topic = Some(topic);
        self
    }
}

/// Where the secret is kept that webhooks are signed with. It is asked for when a webhook is to be sent.
#[async_trait]
pub trait SecretSource: Send + Sync + 'static {
    /// The secret, or why there is none.
    async fn secret(&self) -> Result<WebhookSecret, String>;
}

#[async_trait]
impl SecretSource for WebhookSecret {
    async fn secret(&self) -> Result<WebhookSecret, String> {
        Ok(self.clone())
    }
}

/// What notices are signed with.
#[derive(Clone)]
pub struct WebhookSecret(Vec<u8>);

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WebhookSecret(…)")
    }
}

/// The text is no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is `whsec_` and the Base64 of 24 to 64 random bytes")]
pub struct InvalidSecret;

impl WebhookSecret {
    /// Reads `whsec_…`.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.trim().strip_prefix("whsec_").ok_or(InvalidSecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
        if !SECRET_BYTES.contains(&bytes.len()) {
            return Err(InvalidSecret);
        }
        Ok(Self(bytes))
    }

    /// `v1,` and the signature of a notice.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            // HMAC takes keys of any length.
            return String::new();
        };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// What a receiver is told.
#[derive(Debug, Serialize)]
struct Notice<'a> {
    /// `batch.completed`, or `batch.cancelled`.
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Timestamp,
    data: Data<'a>,
}

#[derive(Debug, Serialize)]
struct Data<'a> {
    batch_id: BatchId,
    name: &'a str,
    status: BatchStatus,
    /// 0, and one more after every retry.
    generation: u32,
    rows: u64,
    ok: u64,
    failed: u64,
    by_outcome: &'a std::collections::BTreeMap<domain::Outcome, u64>,
    elapsed_s: f64,
    report_path: String,
}

/// What became of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notified {
    /// There is nobody to tell, or no report to tell of.
    NotWanted,
    /// All were told before.
    Before,
    /// All are told.
    Delivered,
    /// Not all are, and it will be tried again after so many seconds.
    Later(u64),
    /// Not all are, and it will not be tried again.
    GivenUp,
}

/// Who is told.
#[derive(Clone, Copy)]
enum Channel<'a> {
    Webhook(&'a Webhooks, &'a str),
    Topic(&'a dyn Announcements),
}

impl Channel<'_> {
    /// The object that says that the notice is done.
    fn mark(self, batch: &Batch) -> String {
        match self {
            Self::Webhook(..) => keys::notice(batch.id, batch.generation()),
            Self::Topic(_) => keys::announcement(batch.id, batch.generation()),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Webhook(..) => "webhook",
            Self::Topic(_) => "topic",
        }
    }
}

/// Does what a finalize message asks for: writes the report if there is none yet, and tells of it.
pub async fn report(
    ports: &Ports,
    notifier: Option<&Notifier>,
    message: FinalizeMessage,
) -> PipelineResult<()> {
    let id = message.batch;
    if message.notice.is_none() {
        let batch = ports.store.batch(id).await?;
        // One that came again, or was sent again because the first took long.
        if !batch.is_some_and(|batch| batch.report_ready) {
            finalize(ports, id).await?;
        }
    }
    let Some(notifier) = notifier else {
        return Ok(());
    };
    let attempt = message.notice.unwrap_or(0);
    let Err(error) = notify(ports, notifier, id, attempt).await else {
        return Ok(());
    };
    if !error.is_retryable() {
        return Err(error);
    }
    {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(batch.id = %id, error, "notice not sent");
    }
    // The message itself would come again too soon, and not often enough.
    try_later(ports, id, attempt).await.map(drop)
}

/// Tells of a batch whose report is written everybody who was not told before; what fails is put on the finalize queue for later.
/// `attempt` counts from 0.
pub async fn notify(
    ports: &Ports,
    notifier: &Notifier,
    batch: BatchId,
    attempt: u32,
) -> PipelineResult<Notified> {
    let batch = ports.store.batch(batch).await?;
    let Some(batch) = batch.filter(|batch| batch.report_ready) else {
        return Ok(Notified::NotWanted);
    };
    let address = batch.options.webhook.as_deref();
    let webhook = notifier.webhooks.as_ref().zip(address);
    let webhook = webhook.map(|(webhooks, address)| Channel::Webhook(webhooks, address));
    let topic = notifier.topic.as_deref().map(Channel::Topic);
    let channels: Vec<Channel<'_>> = webhook.into_iter().chain(topic).collect();
    let mut open = Vec::new();
    for channel in &channels {
        if objects::get(ports, &channel.mark(&batch)).await?.is_none() {
            open.push(*channel);
        }
    }
    if open.is_empty() && !channels.is_empty() {
        return Ok(Notified::Before);
    }
    let report = if open.is_empty() {
        None
    } else {
        read_report(ports, batch.id).await?
    };
    let Some(report) = report else {
        return Ok(Notified::NotWanted);
    };
    let notice = Message::of(&batch, &report, ports.clock.now());
    let mut failed = Vec::new();
    for channel in open {
        let sent = match &notice {
            Ok(notice) => send(notice, channel, &batch, ports.clock.now()).await,
            Err(failure) => Err(failure.clone()),
        };
        match sent {
            Ok(()) => mark(ports, channel, &batch, true).await?,
            Err(failure) => {
                tracing::warn!(
                    batch.id = %batch.id,
                    notice.channel = channel.name(),
                    notice.attempt = attempt,
                    notice.failure = failure,
                    "notice not delivered"
                );
                failed.push(channel);
            }
        }
    }
    if failed.is_empty() {
        return Ok(Notified::Delivered);
    }
    if let Some(pause_s) = try_later(ports, batch.id, attempt).await? {
        return Ok(Notified::Later(pause_s));
    }
    for channel in failed {
        mark(ports, channel, &batch, false).await?;
    }
    Ok(Notified::GivenUp)
}

async fn mark(
    ports: &Ports,
    channel: Channel<'_>,
    batch: &Batch,
    is_delivered: bool,
) -> PipelineResult<()> {
    let text: &[u8] = if is_delivered {
        b"{\"delivered\":true}"
    } else {
        b"{\"delivered\":false}"
    };
    objects::put(ports, channel.mark(batch), Bytes::from_static(text)).await
}

/// Has a notice tried again after a pause, which is the answer in seconds; `None` when `attempt`, from 0, was the last.
pub(crate) async fn try_later(
    ports: &Ports,
    batch: BatchId,
    attempt: u32,
) -> PipelineResult<Option<u64>> {
    if attempt + 1 >= MAX_ATTEMPTS {
        return Ok(None);
    }
    let place = (attempt as usize).min(PAUSES_S.len() - 1);
    let pause_s = PAUSES_S[place];
    let message = FinalizeMessage {
        batch,
        notice: Some(attempt + 1),
    };
    let pause = Duration::from_secs(pause_s);
    send_one_later(ports, Queue::Finalize, &message, pause).await?;
    Ok(Some(pause_s))
}

/// A notice as it goes out.
struct Message {
    kind: &'static str,
    body: String,
}

impl Message {
    fn of(batch: &Batch, report: &Report, now: Timestamp) -> Result<Self, String> {
        let kind = match batch.status {
            BatchStatus::Cancelled => "batch.cancelled",
            _ => "batch.completed",
        };
        let notice = Notice {
            kind,
            timestamp: batch.ended_at.unwrap_or(now),
            data: Data {
                batch_id: batch.id,
                name: &batch.name,
                status: batch.status,
                generation: batch.generation(),
                rows: report.counters.rows,
                ok: report.ok,
                failed: report.failed,
                by_outcome: &report.counters.by_outcome,
                elapsed_s: report.elapsed_s,
                report_path: format!("/api/v1/batches/{}/report", batch.id),
            },
        };
        let body = serde_json::to_string(&notice).map_err(|error| error.to_string())?;
        Ok(Self { kind, body })
    }
}

async fn send(
    notice: &Message,
    channel: Channel<'_>,
    batch: &Batch,
    now: Timestamp,
) -> Result<(), String> {
    match channel {
        Channel::Webhook(webhooks, address) => post(webhooks, address, notice, batch, now).await,
        Channel::Topic(topic) => {
            let announced = topic.announce(batch.id, notice.kind, &notice.body).await;
            announced.map_err(|error| error.to_string())
        }
    }
}

async fn post(
    webhooks: &Webhooks,
    address: &str,
    notice: &Message,
    batch: &Batch,
    now: Timestamp,
) -> Result<(), String> {
    let url = parse(address)?;
    let secret = webhooks.secret.secret().await?;
    let id = format!("{}-{}", batch.id, batch.generation());
    let signature = secret.sign(&id, now.as_second(), notice.body.as_bytes());
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    let fields = [
        ("webhook-id", id),
        ("webhook-timestamp", now.as_second().to_string()),
        ("webhook-signature", signature),
    ];
    for (name, value) in fields {
        let value = HeaderValue::from_str(&value).map_err(|error| error.to_string())?;
        headers.insert(HeaderName::from_static(name), value);
    }
    let body = Bytes::from(notice.body.clone());
    let answered = webhooks.poster.post(&url, headers, body).await;
    let status = answered.map_err(|error: FetchError| error.to_string())?;
    if status.is_success() {
        return Ok(());
    }
    Err(format!("the answer was {status}"))
}

/// Says why notices cannot be sent to `address`, before a batch is created.
pub fn check_address(address: &str) -> Result<(), String> {
    parse(address).map(drop)
}

fn parse(address: &str) -> Result<TargetUrl, String> {
    TargetUrl::parse(address, &Limits::default()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_standard() {
        // The example of the specification's reference implementations.
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = secret.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for text in [
            "",
            "whsec_",
            "whsec_c2hvcnQ=",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_%%%",
        ] {
            assert!(WebhookSecret::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_has_to_be_one_that_can_be_asked() {
        assert!(check_address("https://hooks.example.com/imgsweep?x=1").is_ok());
        for address in ["", "ftp://example.com", "file:///etc/passwd", "https://"] {
            assert!(check_address(address).is_err(), "{address}");
        }
    }
}
