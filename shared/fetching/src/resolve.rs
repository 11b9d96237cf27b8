//! Host names to addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use async_trait::async_trait;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use tokio::sync::{Mutex, OnceCell, Semaphore};
use tokio::time::Instant;

/// Bounds on how long an answer is believed, whatever its records say.
const MIN_TTL: Duration = Duration::from_secs(5);
const MAX_TTL: Duration = Duration::from_mins(5);
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

/// The resolver of the system: its hosts file, then its name servers or others. Nothing is read before the first name has to be looked
/// up.
pub(crate) struct SystemResolver {
    name_servers: Vec<SocketAddr>,
    system: OnceCell<System>,
}

impl SystemResolver {
    /// Asks `name_servers`; those of the system if there are none.
    pub(crate) fn new(name_servers: Vec<SocketAddr>) -> Self {
        Self {
            name_servers,
            system: OnceCell::new(),
        }
    }
}

struct System {
    hosts: Hosts,
    /// Unset, with the reason, where no name server is configured.
    dns: Result<TokioResolver, String>,
    turns: Semaphore,
}

impl System {
    fn read(name_servers: &[SocketAddr]) -> Self {
        Self {
            hosts: Hosts::from_system().unwrap_or_default(),
            dns: dns_client(name_servers).map_err(|error| error.to_string()),
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

fn dns_client(name_servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = if name_servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let servers = name_servers.iter().copied().map(name_server).collect();
        let config = ResolverConfig::from_name_servers(servers);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    // Answers are cached per host by the caller, with its own bounds.
    options.cache_size = 0;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = QUERY_TIMEOUT;
    options.attempts = 1;
    builder.build()
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = address.port();
    }
    NameServerConfig::new(address.ip(), true, connections)
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> Result<Resolved, ResolveError> {
        let read = async || System::read(&self.name_servers);
        let system = self.system.get_or_init(read).await;
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
                .saturating_duration_since(StdInstant::now()),
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
#[derive(Default)]
pub(crate) struct CachedAnswer(Mutex<Option<Answer>>);

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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::advance;

    use super::*;

    /// Answers after a second with a TTL, or with a failure if there is none.
    #[derive(Debug)]
    struct Fixed {
        ttl: Option<u64>,
        lookups: AtomicU32,
    }

    #[async_trait]
    impl Resolve for Fixed {
        async fn resolve(&self, _name: &str) -> Result<Resolved, ResolveError> {
            self.lookups.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            let ttl = Duration::from_secs(self.ttl.ok_or(ResolveError::NoSuchName)?);
            let addresses = vec![Ipv4Addr::LOCALHOST.into()];
            Ok(Resolved { addresses, ttl })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_believed_within_bounds_whatever_their_ttl() {
        for (ttl, believed) in [
            (Some(0), 5),
            (Some(60), 60),
            (Some(86_400), 300),
            (None, 10),
        ] {
            let (resolver, answer) = (
                Fixed {
                    ttl,
                    lookups: AtomicU32::new(0),
                },
                CachedAnswer::default(),
            );
            let look_up = || answer.resolve(&resolver, "a.example");
            assert_eq!(look_up().await.is_ok(), ttl.is_some());
            advance(Duration::from_millis(believed * 1000 - 10)).await;
            assert_eq!(look_up().await.is_ok(), ttl.is_some());
            assert_eq!(resolver.lookups.load(Ordering::Relaxed), 1, "{ttl:?}");
            advance(Duration::from_millis(20)).await;
            assert_eq!(look_up().await.is_ok(), ttl.is_some());
            assert_eq!(resolver.lookups.load(Ordering::Relaxed), 2, "{ttl:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_up_that_is_given_up_is_taken_over_by_the_next_in_line() {
        let (resolver, answer) = (
            Fixed {
                ttl: Some(60),
                lookups: AtomicU32::new(0),
            },
            CachedAnswer::default(),
        );
        let impatient = tokio::time::timeout(
            Duration::from_millis(500),
            answer.resolve(&resolver, "a.example"),
        );
        let (given_up, found) = tokio::join!(impatient, answer.resolve(&resolver, "a.example"));
        assert!(given_up.is_err());
        assert!(found.is_ok());
        assert_eq!(resolver.lookups.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_machine_without_name_servers_still_knows_its_own_names() {
        let system = System {
            hosts: Hosts::default(),
            dns: Err("no name server is configured".to_owned()),
            turns: Semaphore::new(1),
        };
        let resolver = SystemResolver {
            name_servers: Vec::new(),
            system: OnceCell::new_with(Some(system)),
        };
        assert_eq!(
            resolver.resolve("localhost").await.unwrap().addresses.len(),
            2
        );
        let failed = resolver.resolve("example.com").await.unwrap_err();
        assert_eq!(
            failed.to_string(),
            "the host name could not be looked up: no name server is configured"
        );
        assert_eq!(
            resolver.resolve("a..b").await,
            Err(ResolveError::NoSuchName)
        );
    }
}
