//! Servers that no well-meaning library lets one write: silent, slow, lying about who they are, breaking HTTP/2.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Runs `serve` on every connection to a free port of `address`.
pub(crate) async fn serve<S, F>(address: &str, serve: S) -> SocketAddr
where
    S: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let bound = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    bound
}

/// Sends `piece` again and again, with `pause` between, as the answer to anything.
pub(crate) async fn serve_endlessly(
    address: &str,
    start: &str,
    piece: &str,
    pause: Duration,
) -> SocketAddr {
    let (start, piece): (Arc<str>, Arc<str>) = (start.into(), piece.into());
    serve(address, move |mut stream| {
        let (start, piece) = (Arc::clone(&start), Arc::clone(&piece));
        async move {
            let mut request = [0; 1024];
            if stream.read(&mut request).await.is_err() {
                return;
            }
            let mut sent = stream.write_all(start.as_bytes()).await;
            while sent.is_ok() {
                sent = stream.write_all(piece.as_bytes()).await;
                tokio::time::sleep(pause).await;
            }
        }
    })
    .await
}

/// An address that answers no SYN: its queue of connections is full, and nobody accepts. Lives as long as what is returned.
pub(crate) struct BlackHole {
    pub(crate) address: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl BlackHole {
    pub(crate) async fn open(address: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket
            .bind(SocketAddr::new(address.parse().unwrap(), 0))
            .unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        loop {
            let connect = TcpStream::connect(address);
            match tokio::time::timeout(Duration::from_millis(200), connect).await {
                Ok(stream) => queued.push(stream.unwrap()),
                Err(_) => break,
            }
            assert!(queued.len() < 1_000, "the queue has no end");
        }
        Self {
            address,
            _listener: listener,
            _queued: queued,
        }
    }
}

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certificate {
    Good,
    Expired,
    NotYetValid,
    OfAnotherHost,
    SelfSigned,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate, for those who trust it.
    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// Accepts connections to `host` with such a certificate.
    pub(crate) fn acceptor(
        &self,
        host: &str,
        certificate: Certificate,
        protocol: &str,
    ) -> TlsAcceptor {
        let name = if certificate == Certificate::OfAnotherHost {
            "another.example"
        } else {
            host
        };
        let mut params =
            CertificateParams::new(vec![name.to_owned(), format!("*.{name}")]).unwrap();
        if certificate == Certificate::Expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        if certificate == Certificate::NotYetValid {
            params.not_before = date_time_ymd(2300, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let signed = if certificate == Certificate::SelfSigned {
            params.self_signed(&key).unwrap()
        } else {
            params.signed_by(&key, &self.0).unwrap()
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Shows a certificate to everyone who connects and, to those who like it, an image.
pub(crate) async fn serve_tls(address: &str, acceptor: TlsAcceptor, image: Bytes) -> SocketAddr {
    serve(address, move |stream| {
        let (acceptor, image) = (acceptor.clone(), image.clone());
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let mut request = [0; 4096];
            while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", image.len());
                let answered = stream.write_all(head.as_bytes()).await.is_ok()
                    && stream.write_all(&image).await.is_ok();
                if !answered {
                    return;
                }
            }
        }
    })
    .await
}

/// An HTTP/2 host whose paths decide how it behaves: `/reset`, `/calm`, `/half`, `/fields`, `/long`, `/list`, `/flood`, `/stall`,
/// anything else is the image.
pub(crate) async fn serve_http2(address: &str, acceptor: TlsAcceptor, image: Bytes) -> SocketAddr {
    serve(address, move |stream| {
        let (acceptor, image) = (acceptor.clone(), image.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                answer_http2(stream, image).await;
            }
        }
    })
    .await
}

async fn answer_http2(stream: TlsStream<TcpStream>, image: Bytes) {
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let path = request.uri().path().to_owned();
        // Streams run side by side, while this loop drives the connection.
        tokio::spawn(answer_stream(path, respond, image.clone()));
    }
}

async fn answer_stream(path: String, mut respond: h2::server::SendResponse<Bytes>, image: Bytes) {
    let mut response = http::Response::new(());
    let mut add = |count: usize, length: usize| {
        for number in 0..count {
            let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
            let value = http::HeaderValue::try_from("y".repeat(length)).unwrap();
            response.headers_mut().insert(name, value);
        }
    };
    match path.as_str() {
        "/reset" => return respond.send_reset(Reason::INTERNAL_ERROR),
        "/calm" => return respond.send_reset(Reason::ENHANCE_YOUR_CALM),
        "/stall" => return std::future::pending().await,
        "/fields" => add(150, 1),
        "/long" => add(1, 100_000),
        "/list" => add(40, 8_000),
        "/flood" => add(300, 8_000),
        "/robots.txt" => *response.status_mut() = http::StatusCode::NOT_FOUND,
        _ => {}
    }
    let is_half = path == "/half";
    if is_half {
        let length = http::HeaderValue::from(image.len());
        response
            .headers_mut()
            .insert(http::header::CONTENT_LENGTH, length);
    }
    let Ok(mut body) = respond.send_response(response, false) else {
        return;
    };
    if is_half {
        let _ = body.send_data(image.slice(..image.len() / 2), false);
        tokio::time::sleep(Duration::from_millis(50)).await;
        return body.send_reset(Reason::CANCEL);
    }
    let _ = body.send_data(image, true);
}
