//! Host names to addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use tokio::sync::{Mutex, OnceCell, Semaphore};

/// Bounds on how long an answer is believed, whatever its records say.
const MIN_TTL: Duration = Duration::from_secs(5);
const MAX_TTL: Duration = Duration::from_secs(300);
/// How long a failure is believed.
const NEGATIVE_TTL: Duration = Duration::from_secs(10);
/// Look-ups under way at once; each may hold two sockets.
const MAX_LOOKUPS: usize = 64;
/// One query to one server; a look-up is two of these at most.
const QUERY_TIMEOUT: Duration = Duration::from_secs(3);

/// Looks host names up. The addresses it gives are classified by the caller; it need not be trusted with that.
#[async_trait]
pub trait Resolve: fmt::Debug + Send + Sync {
    /// All addresses of `name`, which is in ASCII form and never a literal address.
    async fn resolve(&self, name: &str) -> Result<Resolved, ResolveError>;
}

/// The addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// In the order they should be tried.
    pub addresses: Vec<IpAddr>,
    /// How long they may be used.
    pub ttl: Duration,
}

/// Why a name has no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The name does not exist, or has no address.
    #[error("the host name does not exist or has no address")]
    NoSuchName,
    /// No answer could be had; another time may be better.
    #[error("the host name could not be looked up: {0}")]
    Failed(String),
}

/// The resolver of the system: its hosts file, then its name servers. Nothing is read before the first name has to be looked up.
#[derive(Default)]
pub(crate) struct SystemResolver {
    system: OnceCell<System>,
}

struct System {
    hosts: Hosts,
    /// Unset, with the reason, where no name server is configured.
    dns: Result<TokioResolver, String>,
    turns: Semaphore,
}

impl System {
    fn read() -> Self {
        Self {
            hosts: Hosts::from_system().unwrap_or_default(),
            dns: dns_client().map_err(|error| error.to_string()),
            turns: Semaphore::new(MAX_LOOKUPS),
        }
    }

    fn listed(&self, name: &Name) -> Option<Resolved> {
        let mut addresses = Vec::new();
        for kind in [RecordType::A, RecordType::AAAA] {
            if let Some(found) = self
                .hosts
                .lookup_static_host(&Query::query(name.clone(), kind))
            {
                addresses.extend(
                    found
                        .answers()
                        .iter()
                        .filter_map(|record| record.data.ip_addr()),
                );
            }
        }
        (!addresses.is_empty()).then_some(Resolved {
            addresses,
            ttl: MAX_TTL,
        })
    }
}

fn dns_client() -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    let options = builder.options_mut();
    // Answers are cached per host by the caller, with its own bounds.
    options.cache_size = 0;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = QUERY_TIMEOUT;
    options.attempts = 1;
    builder.build()
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> Result<Resolved, ResolveError> {
        let system = self.system.get_or_init(async || System::read()).await;
        let mut name = Name::from_ascii(name).map_err(|_| ResolveError::NoSuchName)?;
        // A list names hosts of the public DNS: the machine's search domains must not complete them.
        name.set_fqdn(true);
        if let Some(listed) = system.listed(&name) {
            return Ok(listed);
        }
        if name.is_localhost() {
            // RFC 6761, section 6.3: never asked of a name server.
            return Ok(Resolved {
                addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
                ttl: MAX_TTL,
            });
        }
        let dns = system
            .dns
            .as_ref()
            .map_err(|reason| ResolveError::Failed(reason.clone()))?;
        let turn = system.turns.acquire().await;
        let answer = dns.lookup_ip(name).await;
        drop(turn);
        let answer = answer.map_err(|error| describe(&error))?;
        let addresses: Vec<IpAddr> = answer.iter().collect();
        if addresses.is_empty() {
            return Err(ResolveError::NoSuchName);
        }
        Ok(Resolved {
            addresses,
            ttl: answer
                .valid_until()
                .saturating_duration_since(Instant::now()),
        })
    }
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SystemResolver")
    }
}

fn describe(error: &NetError) -> ResolveError {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(_)) => ResolveError::NoSuchName,
        NetError::Timeout => {
            ResolveError::Failed("the name servers did not answer in time".to_owned())
        }
        other => ResolveError::Failed(other.to_string()),
    }
}

/// The last answer for one host name. Whoever finds it stale looks the name up again while the others wait for that.
#[derive(Debug, Default)]
pub(crate) struct CachedAnswer(Mutex<Option<Answer>>);

#[derive(Debug, Clone)]
struct Answer {
    addresses: Result<Arc<[IpAddr]>, ResolveError>,
    valid_until: Instant,
}

impl CachedAnswer {
    /// The addresses of `name`, which is the same in every call.
    pub(crate) async fn resolve(
        &self,
        resolver: &dyn Resolve,
        name: &str,
    ) -> Result<Arc<[IpAddr]>, ResolveError> {
        let mut last = self.0.lock().await;
        if let Some(answer) = last.as_ref()
            && answer.valid_until > Instant::now()
        {
            return answer.addresses.clone();
        }
        let found = resolver.resolve(name).await;
        let ttl = match &found {
            Ok(resolved) => resolved.ttl.clamp(MIN_TTL, MAX_TTL),
            Err(_) => NEGATIVE_TTL,
        };
        let addresses = found.map(|resolved| Arc::from(resolved.addresses));
        *last = Some(Answer {
            addresses: addresses.clone(),
            valid_until: Instant::now() + ttl,
        });
        addresses
    }
}
