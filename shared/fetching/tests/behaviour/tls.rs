//! TLS: what is trusted, what is refused and why, and HTTP/2 over it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::{Limits, Outcome};
use fetching::{FetchOptions, Fetched, Fetcher};
use futures::future::join_all;
use h2::Reason;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::{FixedNames, Server, answer, fetch, limits, options};

const HOST: &str = "images.example";

/// A certificate authority that the fetcher trusts, or not.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    fn acceptor(&self, params: &CertificateParams, protocols: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        acceptor(certificate.der().clone(), &key, protocols)
    }
}

fn acceptor(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
    protocols: &[&str],
) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = protocols
        .iter()
        .map(|protocol| protocol.as_bytes().to_vec())
        .collect();
    TlsAcceptor::from(Arc::new(config))
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

/// A server that runs `serve` on each connection whose handshake succeeds.
async fn tls_server<S, F>(acceptor: TlsAcceptor, serve: S) -> Server
where
    S: Fn(TlsStream<TcpStream>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    Server::start(move |stream, _| {
        let (acceptor, serve) = (acceptor.clone(), serve.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream).await;
            }
        }
    })
    .await
}

async fn serve_http1(mut stream: TlsStream<TcpStream>) {
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            let image = answer("HTTP/1.1 200 OK", b"an image");
            if stream.write_all(&image).await.is_err() {
                return;
            }
        }
    }
}

fn fetcher_trusting(roots: Vec<CertificateDer<'static>>) -> Fetcher {
    let options = FetchOptions {
        extra_roots: roots,
        resolver: Some(Arc::new(
            FixedNames::default().with(HOST, &[&["127.0.0.1"]]),
        )),
        ..options()
    };
    let limits = Limits {
        connect_timeout: Duration::from_millis(500),
        ..limits()
    };
    Fetcher::new(&limits, options).unwrap()
}

async fn fetch_from(server: &Server, roots: Vec<CertificateDer<'static>>) -> Fetched {
    let url = format!("https://{HOST}:{}/", server.address.port());
    fetch(&fetcher_trusting(roots), &url).await
}

async fn refusal(acceptor: TlsAcceptor, roots: Vec<CertificateDer<'static>>) -> String {
    let server = tls_server(acceptor, serve_http1).await;
    let fetched = fetch_from(&server, roots).await;
    let error = fetched.result.unwrap_err();
    assert_eq!(error.outcome(), Outcome::TlsError, "{error}");
    assert_eq!(
        (fetched.attempts, server.accepted()),
        (1, 1),
        "tried again, or insecurely"
    );
    error.to_string()
}

#[tokio::test]
async fn a_certificate_of_a_trusted_authority_is_accepted_and_the_connection_kept() {
    let authority = Authority::new("Trusted");
    let server = tls_server(
        authority.acceptor(&params(HOST), &["http/1.1"]),
        serve_http1,
    )
    .await;
    let fetcher = fetcher_trusting(vec![authority.root()]);
    let url = format!("https://{HOST}:{}/", server.address.port());
    for _ in 0..3 {
        assert_eq!(fetch(&fetcher, &url).await.result.unwrap(), b"an image"[..]);
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn certificates_that_prove_nothing_are_refused_with_the_reason() {
    let authority = Authority::new("Trusted");
    let roots = vec![authority.root()];

    let mut expired = params(HOST);
    expired.not_before = date_time_ymd(2010, 1, 1);
    expired.not_after = date_time_ymd(2011, 1, 1);
    let reason = refusal(authority.acceptor(&expired, &[]), roots.clone()).await;
    assert_eq!(reason, "the certificate has expired");

    let mut premature = params(HOST);
    premature.not_before = date_time_ymd(2999, 1, 1);
    premature.not_after = date_time_ymd(3000, 1, 1);
    let reason = refusal(authority.acceptor(&premature, &[]), roots.clone()).await;
    assert_eq!(reason, "the certificate is not valid yet");

    let reason = refusal(
        authority.acceptor(&params("other.example"), &[]),
        roots.clone(),
    )
    .await;
    assert_eq!(reason, "the certificate is for another host");

    let stranger = Authority::new("Stranger");
    let reason = refusal(stranger.acceptor(&params(HOST), &[]), roots.clone()).await;
    assert_eq!(
        reason,
        "the certificate is self-signed or from an unknown issuer"
    );

    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let key = KeyPair::generate().unwrap();
        let mut own = params(HOST);
        own.is_ca = is_ca;
        own.distinguished_name.push(DnType::CommonName, HOST);
        let certificate = own.self_signed(&key).unwrap().der().clone();
        let reason = refusal(acceptor(certificate, &key, &[]), roots.clone()).await;
        assert_eq!(
            reason,
            "the certificate is self-signed or from an unknown issuer"
        );
    }
}

#[tokio::test]
async fn a_host_that_does_not_speak_tls_is_a_tls_error() {
    let server = Server::start(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let error = fetch_from(&server, Vec::new()).await.result.unwrap_err();
    assert_eq!(
        (error.outcome(), error.to_string().as_str()),
        (Outcome::TlsError, "the host does not speak TLS")
    );
}

#[tokio::test]
async fn a_handshake_that_stalls_ends_with_the_connect_timeout() {
    let server = Server::start(|stream, _| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let error = fetch_from(&server, Vec::new()).await.result.unwrap_err();
    assert_eq!(error.outcome(), Outcome::TlsError);
    assert_eq!(
        error.to_string(),
        "the TLS handshake did not end within 0.5 s"
    );
}

#[tokio::test]
async fn a_handshake_that_breaks_off_is_a_connect_error() {
    let server = Server::start(|mut stream, _| async move {
        let _ = stream.read_u8().await;
    })
    .await;
    let error = fetch_from(&server, Vec::new()).await.result.unwrap_err();
    assert_eq!(error.outcome(), Outcome::ConnectError, "{error}");
}

/// An HTTP/2 server whose paths decide how it behaves.
async fn serve_http2(stream: TlsStream<TcpStream>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let path = request.uri().path().to_owned();
        assert_eq!(request.uri().host(), Some(HOST));
        // Streams run side by side, while this loop drives the connection.
        tokio::spawn(async move {
            let mut response = http::Response::new(());
            match path.as_str() {
                "/calm" => return respond.send_reset(Reason::ENHANCE_YOUR_CALM),
                "/internal" => return respond.send_reset(Reason::INTERNAL_ERROR),
                "/fields" => {
                    for number in 0..150 {
                        let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
                        response.headers_mut().insert(name, "y".parse().unwrap());
                    }
                }
                "/long" => {
                    let long = "y".repeat(100_000);
                    response.headers_mut().insert("x", long.parse().unwrap());
                }
                "/list" => {
                    for number in 0..40 {
                        let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
                        let long = "y".repeat(8_000);
                        response.headers_mut().insert(name, long.parse().unwrap());
                    }
                }
                "/malformed" => {
                    response
                        .headers_mut()
                        .insert("content-length", "many".parse().unwrap());
                }
                "/half" => {
                    response
                        .headers_mut()
                        .insert("content-length", "100".parse().unwrap());
                    let mut body = respond.send_response(response, false).unwrap();
                    body.send_data(Bytes::from_static(b"half"), false).unwrap();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    return body.send_reset(Reason::CANCEL);
                }
                "/slow" => tokio::time::sleep(Duration::from_millis(200)).await,
                _ => {}
            }
            if let Ok(mut body) = respond.send_response(response, false) {
                let _ = body.send_data(Bytes::from_static(b"an image"), true);
            }
        });
    }
}

async fn http2() -> (Server, Fetcher) {
    let authority = Authority::new("Trusted");
    let acceptor = authority.acceptor(&params(HOST), &["h2", "http/1.1"]);
    let server = tls_server(acceptor, serve_http2).await;
    (server, fetcher_trusting(vec![authority.root()]))
}

#[tokio::test]
async fn requests_to_an_http2_host_run_side_by_side_on_one_connection() {
    let (server, fetcher) = http2().await;
    let url = format!("https://{HOST}:{}/slow", server.address.port());
    let started = std::time::Instant::now();
    for fetched in join_all((0..8).map(|_| fetch(&fetcher, &url))).await {
        assert_eq!(fetched.result.unwrap(), b"an image"[..]);
    }
    assert!(
        started.elapsed() < Duration::from_millis(900),
        "{:?}",
        started.elapsed()
    );
    fetch(&fetcher, &url).await.result.unwrap();
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn resets_of_http2_streams_have_their_outcomes_and_spare_the_connection() {
    let (server, fetcher) = http2().await;
    for (path, outcome) in [
        ("/ok", None),
        ("/calm", Some(Outcome::RateLimited)),
        ("/internal", Some(Outcome::ConnectError)),
        ("/half", Some(Outcome::Truncated)),
        ("/fields", Some(Outcome::HeaderLimit)),
        ("/long", Some(Outcome::HeaderLimit)),
        ("/malformed", Some(Outcome::BadResponse)),
        ("/ok", None),
    ] {
        let url = format!("https://{HOST}:{}{path}", server.address.port());
        let failed = fetch(&fetcher, &url).await.result.err();
        assert_eq!(
            failed.as_ref().map(fetching::FetchError::outcome),
            outcome,
            "{path}: {failed:?}"
        );
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_list_of_header_fields_that_the_http2_library_refuses_is_a_header_limit() {
    let (server, fetcher) = http2().await;
    for path in ["/list", "/malformed", "/list", "/ok"] {
        let url = format!("https://{HOST}:{}{path}", server.address.port());
        let failed = fetch(&fetcher, &url).await.result.err();
        let expected = match path {
            "/list" => Some(Outcome::HeaderLimit),
            "/malformed" => Some(Outcome::BadResponse),
            _ => None,
        };
        let outcome = failed.as_ref().map(fetching::FetchError::outcome);
        assert_eq!(outcome, expected, "{path}: {failed:?}");
    }
}

#[tokio::test]
async fn an_http2_connection_that_the_host_closes_is_replaced() {
    let authority = Authority::new("Trusted");
    let acceptor = authority.acceptor(&params(HOST), &["h2"]);
    let server = tls_server(acceptor, |stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        if let Some(Ok((_, mut respond))) = connection.accept().await {
            let mut body = respond
                .send_response(http::Response::new(()), false)
                .unwrap();
            body.send_data(Bytes::from_static(b"an image"), true)
                .unwrap();
        }
        connection.graceful_shutdown();
        while connection.accept().await.is_some() {}
    })
    .await;
    let fetcher = fetcher_trusting(vec![authority.root()]);
    let url = format!("https://{HOST}:{}/", server.address.port());
    for _ in 0..3 {
        let fetched = fetch(&fetcher, &url).await;
        assert_eq!(fetched.attempts, 1);
        fetched.result.unwrap();
    }
    assert_eq!(server.accepted(), 3);
}
