//! The one HTTP client below every service, handed to the SDK and to `object_store` alike.
//!
//! The certificates it trusts are compiled in: reading the platform's store costs more than everything else at a cold start together.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as TcpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::client as objects;
use rustls::{ClientConfig, RootCertStore};
use tower_http::timeout::TimeoutBody;

/// For the TCP connection alone; services of the same region answer within milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// From the last byte sent to the first received. Applies to objects; the SDK keeps its own time, and a waiting receive takes longer.
const OBJECT_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two pieces of a body.
const IDLE_BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Shorter than the services keep idle connections.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);
/// More than requests one process has under way at once, in nearly every second of its life.
const MAX_IDLE_CONNECTIONS: usize = 32;

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;
pub(crate) type RequestBody = UnsyncBoxBody<Bytes, BoxError>;
pub(crate) type ResponseBody = TimeoutBody<Incoming>;
type Hyper = Client<HttpsConnector<TcpConnector>, RequestBody>;

/// HTTP/1.1 with and without TLS, built when the first request is made. Clones share its connections.
#[derive(Clone, Default)]
pub(crate) struct Transport {
    client: Arc<OnceLock<Hyper>>,
}

impl Transport {
    pub(crate) async fn send(
        &self,
        request: http::Request<RequestBody>,
    ) -> Result<http::Response<ResponseBody>, SendError> {
        let client = self.client.get_or_init(|| connect(trusted_roots()));
        let response = client.request(request).await?;
        Ok(response.map(|body| TimeoutBody::new(IDLE_BODY_TIMEOUT, body)))
    }
}

impl Transport {
    /// What lies at an address that is signed already.
    pub(crate) async fn get(&self, url: &str) -> Result<(http::StatusCode, Bytes), BoxError> {
        let body = http_body_util::Empty::new().map_err(|never| match never {});
        let request = http::Request::get(url).body(UnsyncBoxBody::new(body))?;
        let exchange = async {
            let response = self.send(request).await?;
            let status = response.status();
            Ok::<_, BoxError>((status, response.into_body().collect().await?.to_bytes()))
        };
        tokio::time::timeout(OBJECT_ANSWER_TIMEOUT, exchange).await?
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Transport").finish_non_exhaustive()
    }
}

/// The certificate authorities that browsers trust.
fn trusted_roots() -> RootCertStore {
    RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }
}

fn connect(roots: RootCertStore) -> Hyper {
    let mut tcp = TcpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let tls =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(rustls::DEFAULT_VERSIONS);
    let tls = match tls {
        Ok(tls) => tls.with_root_certificates(roots).with_no_client_auth(),
        // The provider above supports both versions; there is no input that could lead here.
        Err(error) => unreachable!("{error}"),
    };
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
        .build(connector)
}

/// Why no response came, sorted as both callers need it for their decision to try again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("no answer in time")]
    TimedOut,
    #[error("no connection could be made")]
    Connect(#[source] BoxError),
    #[error("the connection broke")]
    Interrupted(#[source] BoxError),
}

impl From<hyper_util::client::legacy::Error> for SendError {
    fn from(error: hyper_util::client::legacy::Error) -> Self {
        if has_timed_out(&error) {
            Self::TimedOut
        } else if error.is_connect() {
            Self::Connect(error.into())
        } else {
            Self::Interrupted(error.into())
        }
    }
}

fn has_timed_out(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let timed_out = error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
        if timed_out {
            return true;
        }
        cause = error.source();
    }
    false
}

// The SDK's side.

impl HttpClient for Transport {
    /// The settings are the time limits of a client; those that matter here are the same for all.
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Transport {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let transport = self.clone();
        HttpConnectorFuture::new(async move {
            let request = request
                .try_into_http1x()
                .map_err(|error| ConnectorError::user(error.into()))?
                .map(UnsyncBoxBody::new);
            let response = transport.send(request).await?;
            HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

impl From<SendError> for ConnectorError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::TimedOut => Self::timeout(error.into()),
            SendError::Connect(_) => Self::io(error.into()).never_connected(),
            SendError::Interrupted(_) => Self::io(error.into()),
        }
    }
}

// The side of `object_store`.

impl objects::HttpConnector for Transport {
    fn connect(
        &self,
        _options: &object_store::ClientOptions,
    ) -> object_store::Result<objects::HttpClient> {
        Ok(objects::HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl objects::HttpService for Transport {
    async fn call(
        &self,
        request: objects::HttpRequest,
    ) -> Result<objects::HttpResponse, objects::HttpError> {
        let request = request.map(|body| UnsyncBoxBody::new(body.map_err(BoxError::from)));
        let response = tokio::time::timeout(OBJECT_ANSWER_TIMEOUT, self.send(request))
            .await
            .unwrap_or(Err(SendError::TimedOut))?;
        Ok(response.map(|body| {
            objects::HttpResponseBody::new(body.map_err(|error| {
                objects::HttpError::new_boxed(objects::HttpErrorKind::Interrupted, error)
            }))
        }))
    }
}

impl From<SendError> for objects::HttpError {
    fn from(error: SendError) -> Self {
        let kind = match error {
            SendError::TimedOut => objects::HttpErrorKind::Timeout,
            SendError::Connect(_) => objects::HttpErrorKind::Connect,
            SendError::Interrupted(_) => objects::HttpErrorKind::Interrupted,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::ServerConfig;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    /// A TLS server that answers one request with 200. Returns its address and its certificate.
    async fn a_server() -> (String, CertificateDer<'static>) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = cert.der().clone();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::DEFAULT_VERSIONS)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = TlsAcceptor::from(Arc::new(config));
            // A client that does not trust the certificate ends the handshake.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request).await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
            stream.flush().await.unwrap();
        });
        (format!("https://localhost:{port}/"), certificate)
    }

    fn a_request(address: &str) -> http::Request<RequestBody> {
        let body = http_body_util::Empty::new().map_err(|never| match never {});
        let request = http::Request::get(address);
        request.body(UnsyncBoxBody::new(body)).unwrap()
    }

    #[tokio::test]
    async fn a_service_with_a_trusted_certificate_is_asked_over_tls() {
        let (address, certificate) = a_server().await;
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let transport = Transport::default();
        assert!(transport.client.set(connect(roots)).is_ok());
        let response = transport.send(a_request(&address)).await.unwrap();
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "ok");
    }

    #[tokio::test]
    async fn a_service_with_another_certificate_is_not_asked() {
        let (address, _) = a_server().await;
        let answer = Transport::default().send(a_request(&address)).await;
        assert!(matches!(answer, Err(SendError::Connect(_))));
    }

    #[test]
    fn the_authorities_of_the_services_are_among_the_trusted() {
        let subjects: Vec<String> = trusted_roots()
            .roots
            .iter()
            .map(|root| String::from_utf8_lossy(&root.subject).into_owned())
            .collect();
        for number in 1..=4 {
            let authority = format!("Amazon Root CA {number}");
            assert!(subjects.iter().any(|subject| subject.contains(&authority)));
        }
    }
}
