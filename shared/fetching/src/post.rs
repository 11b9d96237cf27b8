//! Sends a document to an address that somebody chose: a webhook. Dials what the guard allows, as for images, and follows no redirect.

use std::time::Duration;

use bytes::Bytes;
use domain::Limits;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::timeout;

use crate::connect::Connector;
use crate::guard::Guard;
use crate::own_time::OwnTime;
use crate::resolve::{CachedAnswer, SystemResolver};
use crate::{FetchError, FetchErrorKind, FetchOptions, FetchSetupError, TargetUrl};

/// From the look-up of the name to the head of the answer.
const WITHIN: Duration = Duration::from_secs(15);

/// Sends documents, each over a connection of its own.
pub struct Poster {
    connector: Connector,
    user_agent: HeaderValue,
}

impl Poster {
    /// A poster with the guard that `options` ask for. Opens no connection and reads no file.
    pub fn new(limits: &Limits, options: FetchOptions) -> Result<Self, FetchSetupError> {
        let guard = Guard::new(
            options.allow_private,
            options.allow_ports,
            &options.refuse_hosts,
        );
        let resolver = options
            .resolver
            .unwrap_or_else(|| std::sync::Arc::new(SystemResolver::new(options.name_servers)));
        Ok(Self {
            connector: Connector::new(limits, guard, resolver, &options.extra_roots)?,
            user_agent: HeaderValue::from_str(&options.user_agent)
                .unwrap_or(HeaderValue::from_static("imgsweep")),
        })
    }

    /// Sends `body`; the status of the answer, whose body is not read. `Err` when no answer came, or the address is not open to us.
    pub async fn post(
        &self,
        url: &TargetUrl,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<StatusCode, FetchError> {
        match timeout(WITHIN, self.exchange(url, headers, body)).await {
            Ok(answered) => answered,
            Err(_) => Err(FetchError::new(
                FetchErrorKind::Timeout,
                format!("no answer within {} s", WITHIN.as_secs()),
            )),
        }
    }

    async fn exchange(
        &self,
        url: &TargetUrl,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<StatusCode, FetchError> {
        self.connector.guard().precheck(url)?;
        let (answer, own) = (CachedAnswer::default(), OwnTime::default());
        let stream = self.connector.stream(url, &answer, &own).await?;
        let is_http2 = stream.is_http2();
        // HTTP/2 names the host in its target, HTTP/1 in a field.
        let target = if is_http2 {
            url.canonical()
        } else {
            url.path_and_query()
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(target)
            .header(header::USER_AGENT, &self.user_agent)
            .header(header::CONTENT_LENGTH, body.len());
        if !is_http2 {
            request = request.header(header::HOST, url.authority());
        }
        let mut request = request.body(Full::new(body)).map_err(garbled)?;
        request.headers_mut().extend(headers);
        let io = TokioIo::new(stream);
        // What goes wrong on the connection is reported to the request that waits for it.
        let answer = if is_http2 {
            let handshake = http2::handshake(TokioExecutor::new(), io).await;
            let (mut sender, connection) = handshake.map_err(broken)?;
            tokio::spawn(async move { drop(connection.await) });
            sender.send_request(request).await
        } else {
            let (mut sender, connection) = http1::handshake(io).await.map_err(broken)?;
            tokio::spawn(async move { drop(connection.await) });
            sender.send_request(request).await
        };
        Ok(answer.map_err(broken)?.status())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is mapped over errors")]
fn broken(error: hyper::Error) -> FetchError {
    FetchError::new(
        FetchErrorKind::Connect,
        format!("the connection broke before an answer: {error}"),
    )
}

#[expect(clippy::needless_pass_by_value, reason = "it is mapped over errors")]
fn garbled(error: http::Error) -> FetchError {
    FetchError::new(FetchErrorKind::Unusable, error.to_string())
}
