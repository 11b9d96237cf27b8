//! Tells the address that a batch names that its report is written: a signed webhook.
//!
//! The request is that of [Standard Webhooks](https://www.standardwebhooks.com): `webhook-id` is the same for every repeat of one
//! notice, `webhook-timestamp` is the second it was sent, and `webhook-signature` is `v1,` and the Base64 of the HMAC-SHA-256 of
//! `id.timestamp.body`. Receivers check the signature, refuse old time stamps, and pass over ids they have seen.
//!
//! A notice is sent until an answer of the 200 class comes, [`MAX_ATTEMPTS`] times at most, ever longer apart. A mark in the object store
//! says that it is done. Between the answer and the mark a process may end: then the same notice is sent again.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::ports::Queue;
use domain::{Batch, BatchStatus, FinalizeMessage, Limits, keys};
use fetching::{FetchError, Poster, TargetUrl};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Serialize;
use sha2::Sha256;

use crate::finalize::read_report;
use crate::report::Report;
use crate::send::send_one_later;
use crate::{PipelineResult, Ports, objects};

/// Attempts at one notice.
pub const MAX_ATTEMPTS: u32 = 8;
/// Seconds before the second attempt, the third, and so on; the last holds for all after it.
const PAUSES_S: [u64; 5] = [10, 60, 300, 900, 900];
/// Bytes of a secret: enough not to be guessed.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Sends notices, signed with the secret that receivers know.
pub struct Notifier {
    poster: Poster,
    secret: WebhookSecret,
}

impl Notifier {
    /// Sends through `poster`.
    pub const fn new(poster: Poster, secret: WebhookSecret) -> Self {
        Self { poster, secret }
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
    timestamp: jiff::Timestamp,
    data: Data<'a>,
}

#[derive(Debug, Serialize)]
struct Data<'a> {
    batch_id: domain::BatchId,
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
    /// The batch names no address, or has no report.
    NotWanted,
    /// It was delivered before.
    Before,
    /// It is delivered.
    Delivered,
    /// It was not, and will be tried again after so many seconds.
    Later(u64),
    /// It was not, and will not be tried again.
    GivenUp,
}

/// Sends the notice of a batch whose report is written, if it names an address and was not told before; a failure is put on the
/// finalize queue for later. `attempt` counts from 0.
pub async fn notify(
    ports: &Ports,
    notifier: &Notifier,
    batch: domain::BatchId,
    attempt: u32,
) -> PipelineResult<Notified> {
    let Some(batch) = ports.store.batch(batch).await? else {
        return Ok(Notified::NotWanted);
    };
    let Some(address) = batch
        .options
        .webhook
        .as_deref()
        .filter(|_| batch.report_ready)
    else {
        return Ok(Notified::NotWanted);
    };
    let mark = keys::notice(batch.id, batch.generation());
    if objects::get(ports, &mark).await?.is_some() {
        return Ok(Notified::Before);
    }
    let Some(report) = read_report(ports, batch.id).await? else {
        return Ok(Notified::NotWanted);
    };
    let failure = match send(ports, notifier, address, &batch, &report).await {
        Ok(()) => {
            objects::put(ports, mark, Bytes::from_static(b"{\"delivered\":true}")).await?;
            return Ok(Notified::Delivered);
        }
        Err(failure) => failure,
    };
    tracing::warn!(
        batch.id = %batch.id,
        webhook.attempt = attempt,
        webhook.failure = failure,
        "webhook not delivered"
    );
    if attempt + 1 >= MAX_ATTEMPTS {
        objects::put(ports, mark, Bytes::from_static(b"{\"delivered\":false}")).await?;
        return Ok(Notified::GivenUp);
    }
    let place = (attempt as usize).min(PAUSES_S.len() - 1);
    let pause_s = PAUSES_S[place];
    let message = FinalizeMessage {
        batch: batch.id,
        notice: Some(attempt + 1),
    };
    send_one_later(
        ports,
        Queue::Finalize,
        &message,
        Duration::from_secs(pause_s),
    )
    .await?;
    Ok(Notified::Later(pause_s))
}

async fn send(
    ports: &Ports,
    notifier: &Notifier,
    address: &str,
    batch: &Batch,
    report: &Report,
) -> Result<(), String> {
    let url = parse(address)?;
    let now = ports.clock.now();
    let notice = Notice {
        kind: match batch.status {
            BatchStatus::Cancelled => "batch.cancelled",
            _ => "batch.completed",
        },
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
    let body = serde_json::to_vec(&notice).map_err(|error| error.to_string())?;
    let id = format!("{}-{}", batch.id, batch.generation());
    let signature = notifier.secret.sign(&id, now.as_second(), &body);
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
    let answered = notifier.poster.post(&url, headers, Bytes::from(body)).await;
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
