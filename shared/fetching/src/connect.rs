//! From a host to a connection that speaks HTTP: look-up, guard, TCP, TLS, protocol.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::Limits;
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use url::Host;

use crate::error::seconds;
use crate::guard::{CheckedAddress, Guard};
use crate::own_time::OwnTime;
use crate::resolve::{CachedAnswer, LookUps, Resolve, ResolveError};
use crate::stream::{ReceivedBytes, Stream};
use crate::{FetchError, FetchErrorKind, FetchSetupError, TargetUrl};

/// Addresses of one host that are tried, of however many it has.
const MAX_DIALLED: usize = 6;
/// TLS sessions kept for resumption, over all hosts.
const MAX_TLS_SESSIONS: usize = 1024;
/// Smallest buffer that hyper accepts, and the largest it may grow to beyond what the header limit asks for.
const MIN_READ_BUFFER: usize = 8 * 1024;
const READ_BUFFER: usize = 64 * 1024;
/// HTTP/2 flow control: what a host may send ahead on one stream and on one connection (RFC 9113, section 5.2).
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// A connection with requests under way that is silent for so long is asked for a sign of life, and given up without one.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection with its HTTP handshake done.
pub(crate) struct Connection {
    pub(crate) sender: Sender,
    pub(crate) received: ReceivedBytes,
}

/// The requests of a connection: one after the other in HTTP/1, side by side in HTTP/2.
pub(crate) enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

impl Connection {
    pub(crate) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    /// Whether requests run side by side on it.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// Another handle on the same connection, if the protocol can share it.
    pub(crate) fn share(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(Self {
                sender: Sender::Http2(sender.clone()),
                received: self.received.clone(),
            }),
        }
    }
}

/// Opens connections, to checked addresses only.
pub(crate) struct Connector {
    guard: Guard,
    look_ups: LookUps,
    tls: TlsConnector,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    connect_timeout: Duration,
    max_header_bytes: usize,
}

/// What a connection is waiting for, to say so when it waits too long.
#[derive(Clone, Copy)]
enum Phase {
    Tcp,
    Tls,
}

impl Connector {
    pub(crate) fn new(
        limits: &Limits,
        guard: Guard,
        resolver: Arc<dyn Resolve>,
        extra_roots: &[CertificateDer<'static>],
    ) -> Result<Self, FetchSetupError> {
        let mut http1 = http1::Builder::new();
        http1
            .max_headers(limits.max_header_fields)
            .max_header_size(limits.max_header_bytes)
            .max_buf_size(
                limits
                    .max_header_bytes
                    .max(READ_BUFFER)
                    .max(MIN_READ_BUFFER),
            );
        // Beyond the limit itself, because a head that the protocol layer refuses looks like a malformed one. Each field counts
        // for 32 bytes more than it has (RFC 9113, section 6.5.2).
        let header_list = 2 * limits.max_header_bytes + 32 * limits.max_header_fields;
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(header_list).unwrap_or(u32::MAX))
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        Ok(Self {
            guard,
            look_ups: LookUps::new(resolver, limits.connect_timeout),
            tls: tls_connector(extra_roots)?,
            http1,
            http2,
            connect_timeout: limits.connect_timeout,
            max_header_bytes: limits.max_header_bytes,
        })
    }

    /// The rules for addresses.
    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Connects to the host of `url`, whose last look-up is kept in `answer`.
    pub(crate) async fn connect(
        &self,
        url: &TargetUrl,
        answer: &CachedAnswer,
        own: &OwnTime,
    ) -> Result<Connection, FetchError> {
        let (checked, deadline) = self.look_up(url, answer, own).await?;
        let mut phase = Phase::Tcp;
        let connect = async {
            let stream = self.stream_to(&checked, deadline, url, &mut phase).await?;
            self.speak(stream).await
        };
        match timeout_at(deadline, connect).await {
            Ok(result) => result,
            Err(_) => Err(self.too_late(phase)),
        }
    }

    /// A connection to the host of `url`, on which nothing is said yet.
    pub(crate) async fn stream(
        &self,
        url: &TargetUrl,
        answer: &CachedAnswer,
        own: &OwnTime,
    ) -> Result<Stream, FetchError> {
        let (checked, deadline) = self.look_up(url, answer, own).await?;
        let mut phase = Phase::Tcp;
        let stream = self.stream_to(&checked, deadline, url, &mut phase);
        match timeout_at(deadline, stream).await {
            Ok(result) => result,
            Err(_) => Err(self.too_late(phase)),
        }
    }

    /// The addresses of the host that may be dialled, and until when a connection has to be there: what waiting for others' look-ups
    /// took is not of its time.
    async fn look_up(
        &self,
        url: &TargetUrl,
        answer: &CachedAnswer,
        own: &OwnTime,
    ) -> Result<(Vec<CheckedAddress>, Instant), FetchError> {
        let began = Instant::now();
        let own_before = own.so_far();
        let addresses = self.addresses(url, answer, own).await?;
        let checked = self.guard.check(&addresses, url.port())?;
        let waited = own.so_far().saturating_sub(own_before);
        Ok((checked, began + waited + self.connect_timeout))
    }

    async fn stream_to(
        &self,
        checked: &[CheckedAddress],
        deadline: Instant,
        url: &TargetUrl,
        phase: &mut Phase,
    ) -> Result<Stream, FetchError> {
        let tcp = dial(checked, deadline).await?;
        if !url.is_https() {
            return Ok(Stream::plain(tcp));
        }
        *phase = Phase::Tls;
        let tls = self.tls.connect(server_name(url)?, tcp).await;
        let tls = tls.map_err(|error| describe_tls(&error))?;
        Ok(Stream::tls(tls, self.max_header_bytes))
    }

    async fn addresses(
        &self,
        url: &TargetUrl,
        answer: &CachedAnswer,
        own: &OwnTime,
    ) -> Result<Arc<[IpAddr]>, FetchError> {
        match url.host() {
            Some(Host::Ipv4(address)) => Ok(Arc::new([address.into()])),
            Some(Host::Ipv6(address)) => Ok(Arc::new([address.into()])),
            Some(Host::Domain(name)) => {
                let found = answer.resolve(&self.look_ups, name, own).await;
                found.map_err(|error| {
                    let kind = match error {
                        ResolveError::NoSuchName => FetchErrorKind::NoSuchName,
                        ResolveError::Failed(_) => FetchErrorKind::NameLookup,
                    };
                    FetchError::new(kind, error.to_string())
                })
            }
            None => Err(FetchError::new(
                FetchErrorKind::Blocked,
                "the URL has no host",
            )),
        }
    }

    async fn speak(&self, stream: Stream) -> Result<Connection, FetchError> {
        let received = stream.received();
        let is_http2 = stream.is_http2();
        let io = TokioIo::new(stream);
        // What goes wrong on a connection is reported to the request that waits for it; the tasks have nothing to add.
        let sender = if is_http2 {
            let (sender, connection) = self
                .http2
                .handshake(io)
                .await
                .map_err(|error| unspoken(&error))?;
            tokio::spawn(async move { drop(connection.await) });
            Sender::Http2(sender)
        } else {
            let (sender, connection) = self
                .http1
                .handshake(io)
                .await
                .map_err(|error| unspoken(&error))?;
            tokio::spawn(async move { drop(connection.await) });
            Sender::Http1(sender)
        };
        Ok(Connection { sender, received })
    }

    fn too_late(&self, phase: Phase) -> FetchError {
        let limit = seconds(self.connect_timeout);
        match phase {
            Phase::Tcp => FetchError::new(
                FetchErrorKind::Connect,
                format!("no connection within {limit}"),
            ),
            Phase::Tls => FetchError::new(
                FetchErrorKind::TlsStalled,
                format!("the TLS handshake did not end within {limit}"),
            ),
        }
    }
}

fn unspoken(error: &hyper::Error) -> FetchError {
    FetchError::new(
        FetchErrorKind::Connect,
        format!("the HTTP handshake failed: {error}"),
    )
}

fn tls_connector(extra_roots: &[CertificateDer<'static>]) -> Result<TlsConnector, FetchSetupError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for root in extra_roots {
        roots.add(root.clone()).map_err(FetchSetupError::Root)?;
    }
    // Named explicitly: the process-wide default is whatever another crate installed.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(FetchSetupError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(MAX_TLS_SESSIONS);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Tries the addresses in turn. Each gets an equal share of the time that is left, so that a silent first one does not use it up.
async fn dial(addresses: &[CheckedAddress], deadline: Instant) -> Result<TcpStream, FetchError> {
    let dialled = &addresses[..addresses.len().min(MAX_DIALLED)];
    let mut last_error =
        FetchError::new(FetchErrorKind::NoSuchName, "the host name has no address");
    for (number, address) in dialled.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / (dialled.len() - number) as u32;
        last_error = match timeout(share, TcpStream::connect(address.socket_addr())).await {
            Ok(Ok(stream)) => {
                // Requests are written whole: waiting to coalesce them only adds latency.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => describe_tcp(&error),
            Err(_) => FetchError::new(
                FetchErrorKind::Connect,
                "the host did not accept a connection in time",
            ),
        };
    }
    Err(last_error)
}

fn describe_tcp(error: &io::Error) -> FetchError {
    /// No file descriptor left, in the process or in the system: the same numbers on Linux, macOS and the BSDs.
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    let is_shortage = matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
        || error.kind() == io::ErrorKind::AddrNotAvailable;
    if is_shortage {
        // Not the host's fault, and over soon.
        return FetchError::new(FetchErrorKind::NoSocket, "this machine has no socket left")
            .later(None);
    }
    let detail = match error.kind() {
        io::ErrorKind::ConnectionRefused => "the host refused the connection",
        io::ErrorKind::ConnectionReset => "the host reset the connection",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "there is no route to the host"
        }
        io::ErrorKind::TimedOut => "the host did not accept a connection in time",
        _ => {
            return FetchError::new(
                FetchErrorKind::Connect,
                format!("no connection could be made: {error}"),
            );
        }
    };
    FetchError::new(FetchErrorKind::Connect, detail)
}

fn server_name(url: &TargetUrl) -> Result<ServerName<'static>, FetchError> {
    let name = match url.host() {
        Some(Host::Ipv4(address)) => return Ok(ServerName::from(IpAddr::from(address))),
        Some(Host::Ipv6(address)) => return Ok(ServerName::from(IpAddr::from(address))),
        Some(Host::Domain(name)) => name.strip_suffix('.').unwrap_or(name),
        None => "",
    };
    ServerName::try_from(name.to_owned()).map_err(|_| {
        FetchError::new(
            FetchErrorKind::Tls,
            "no certificate can be valid for this host name",
        )
    })
}

fn describe_tls(error: &io::Error) -> FetchError {
    let Some(fault) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    else {
        let detail = "the connection broke during the TLS handshake";
        return FetchError::new(FetchErrorKind::Connect, detail);
    };
    let detail = match fault {
        rustls::Error::InvalidCertificate(reason) => describe_certificate(reason),
        rustls::Error::InvalidMessage(_) => "the host does not speak TLS".to_owned(),
        rustls::Error::AlertReceived(alert) => {
            format!("the host refused the TLS handshake ({alert:?})")
        }
        rustls::Error::PeerIncompatible(_) => {
            "the host supports no TLS version or cipher that is safe".to_owned()
        }
        other => format!("the TLS handshake failed: {other}"),
    };
    FetchError::new(FetchErrorKind::Tls, detail)
}

fn describe_certificate(reason: &CertificateError) -> String {
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is for another host".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "the certificate is self-signed or from an unknown issuer".to_owned()
        }
        CertificateError::Revoked => "the certificate was revoked".to_owned(),
        // A self-signed certificate is often marked as an authority, which no host may present as its own.
        CertificateError::Other(_) if is_ca_as_end_entity(reason) => {
            "the certificate is self-signed or from an unknown issuer".to_owned()
        }
        other => format!("the certificate is not valid: {other}"),
    }
}

fn is_ca_as_end_entity(reason: &CertificateError) -> bool {
    reason.to_string().contains("CaUsedAsEndEntity")
}
