//! How to fetch, as opposed to [`domain::Limits`]: how much.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustls::pki_types::CertificateDer;

use crate::resolve::Resolve;

/// What a fetcher is told when it is built.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// Requests under way at once, over all hosts.
    pub max_concurrent: usize,
    /// Requests under way at once to one host and port; fewer while the host asks for it.
    pub max_concurrent_per_host: usize,
    /// Special-purpose ranges that may be dialled all the same, at any port. Empty in production.
    pub allow_private: Vec<IpNet>,
    /// Ports that may be dialled beside 80 and 443.
    pub allow_ports: Vec<u16>,
    /// Host names that are never asked: our own API and bucket. Their subdomains are refused too.
    pub refuse_hosts: Vec<String>,
    /// Least time between the beginnings of two requests to one host and port; none if zero. What a host asks for as Crawl-delay, up
    /// to ten seconds, is kept as well if robots.txt is obeyed.
    pub min_interval_per_host: Duration,
    /// The User-Agent header field.
    pub user_agent: String,
    /// Whether robots.txt is obeyed.
    pub robots: Robots,
    /// Whether an `X-Robots-Tag` of `noai`, `noimageai`, `noindex` or `none` is obeyed.
    pub respect_noai: bool,
    /// Bytes of all bodies in memory together, until the caller drops them.
    pub max_body_bytes_in_flight: u64,
    /// Certificates trusted beside the public roots: for tests and intranets.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Name servers to ask; those of the system's configuration if empty.
    pub name_servers: Vec<SocketAddr>,
    /// Looks names up in place of hosts file and name servers.
    pub resolver: Option<Arc<dyn Resolve>>,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            max_concurrent: 64,
            max_concurrent_per_host: 8,
            allow_private: Vec::new(),
            allow_ports: Vec::new(),
            refuse_hosts: Vec::new(),
            min_interval_per_host: Duration::ZERO,
            user_agent: concat!(
                "imgsweep/",
                env!("CARGO_PKG_VERSION"),
                " (+https://github.com/imgsweep/imgsweep)"
            )
            .to_owned(),
            robots: Robots::Honor,
            respect_noai: true,
            max_body_bytes_in_flight: 256 * 1024 * 1024,
            extra_roots: Vec::new(),
            name_servers: Vec::new(),
            resolver: None,
        }
    }
}

/// Whether robots.txt is obeyed (RFC 9309).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Robots {
    /// What it disallows is not fetched.
    #[default]
    Honor,
    /// It is not even asked for.
    Ignore,
}
