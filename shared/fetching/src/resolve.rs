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
use tokio::time::{Instant, timeout};

use crate::error::seconds;
use crate::own_time::OwnTime;

/// Bounds on how long an answer is believed, whatever its records say.
const MIN_TTL: Duration = Duration::from_secs(5);
const MAX_TTL: Duration = Duration::from_mins(5);
/// How long it is believed that a name does not exist.
const NEGATIVE_TTL: Duration = Duration::from_secs(10);
/// How long a second failure in a row to find anything out is believed; doubles with each further one. The first is not believed at
/// all by who asks later, lest it answers the second attempt as well.
const FIRST_FAILURE_TTL: Duration = Duration::from_millis(250);
const MAX_FAILURE_TTL: Duration = Duration::from_secs(10);
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
}

impl System {
    fn read(name_servers: &[SocketAddr]) -> Self {
        Self {
            hosts: Hosts::from_system().unwrap_or_default(),
            dns: dns_client(name_servers).map_err(|error| error.to_string()),
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
        let answer = dns.lookup_ip(name).await;
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

/// Who looks names up, and how many at once.
pub(crate) struct LookUps {
    resolver: Arc<dyn Resolve>,
    turns: Semaphore,
    within: Duration,
}

impl LookUps {
    /// Look-ups by `resolver`, each of which has to end `within` some time from when its turn came.
    pub(crate) fn new(resolver: Arc<dyn Resolve>, within: Duration) -> Self {
        Self {
            resolver,
            turns: Semaphore::new(MAX_LOOKUPS),
            within,
        }
    }

    async fn look_up(&self, name: &str, own: &OwnTime) -> Result<Resolved, ResolveError> {
        // The semaphore is never closed.
        let _turn = own.wait(self.turns.acquire()).await;
        let found = timeout(self.within, self.resolver.resolve(name)).await;
        found.unwrap_or_else(|_| {
            let limit = seconds(self.within);
            Err(ResolveError::Failed(format!("no answer within {limit}")))
        })
    }
}

/// The last answer for one host name. Whoever finds it stale looks the name up again while the others wait for that.
#[derive(Default)]
pub(crate) struct CachedAnswer(Mutex<Option<Answer>>);

struct Answer {
    addresses: Result<Arc<[IpAddr]>, ResolveError>,
    came: Instant,
    valid_until: Instant,
    /// Look-ups in a row that found nothing out.
    failures: u32,
}

impl CachedAnswer {
    /// The addresses of `name`, which is the same in every call.
    pub(crate) async fn resolve(
        &self,
        look_ups: &LookUps,
        name: &str,
        own: &OwnTime,
    ) -> Result<Arc<[IpAddr]>, ResolveError> {
        let asked = Instant::now();
        let mut last = own.wait(self.0.lock()).await;
        if let Some(answer) = last.as_ref()
            && (answer.valid_until > Instant::now() || answer.came > asked)
        {
            return answer.addresses.clone();
        }
        let found = look_ups.look_up(name, own).await;
        let failures = match &found {
            Err(ResolveError::Failed(_)) => 1 + last.as_ref().map_or(0, |answer| answer.failures),
            Ok(_) | Err(ResolveError::NoSuchName) => 0,
        };
        let ttl = match &found {
            Ok(resolved) => resolved.ttl.clamp(MIN_TTL, MAX_TTL),
            Err(ResolveError::NoSuchName) => NEGATIVE_TTL,
            Err(ResolveError::Failed(_)) => failure_ttl(failures),
        };
        let addresses = found.map(|resolved| Arc::from(resolved.addresses));
        let came = Instant::now();
        *last = Some(Answer {
            addresses: addresses.clone(),
            came,
            valid_until: came + ttl,
            failures,
        });
        addresses
    }
}

fn failure_ttl(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        _ => (FIRST_FAILURE_TTL * 2_u32.saturating_pow(failures - 2)).min(MAX_FAILURE_TTL),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::advance;

    use super::*;

    /// Answers after a second with a TTL, or with an error if there is none.
    #[derive(Debug)]
    struct Fixed {
        ttl: Result<u64, ResolveError>,
        lookups: Arc<AtomicU32>,
    }

    #[async_trait]
    impl Resolve for Fixed {
        async fn resolve(&self, _name: &str) -> Result<Resolved, ResolveError> {
            self.lookups.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
            let ttl = Duration::from_secs(self.ttl.clone()?);
            let addresses = vec![Ipv4Addr::LOCALHOST.into()];
            Ok(Resolved { addresses, ttl })
        }
    }

    /// Look-ups that end like this, and their number.
    fn look_ups(ttl: Result<u64, ResolveError>) -> (LookUps, Arc<AtomicU32>) {
        let lookups = Arc::default();
        let resolver = Fixed {
            ttl,
            lookups: Arc::clone(&lookups),
        };
        (
            LookUps::new(Arc::new(resolver), Duration::from_secs(10)),
            lookups,
        )
    }

    fn failed() -> ResolveError {
        ResolveError::Failed("out of order".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_believed_within_bounds_whatever_their_ttl() {
        for (ttl, believed) in [
            (Ok(0), 5),
            (Ok(60), 60),
            (Ok(86_400), 300),
            (Err(ResolveError::NoSuchName), 10),
        ] {
            let ((look_ups, lookups), answer) = (look_ups(ttl.clone()), CachedAnswer::default());
            let own = OwnTime::default();
            let look_up = || answer.resolve(&look_ups, "a.example", &own);
            assert_eq!(look_up().await.is_ok(), ttl.is_ok());
            advance(Duration::from_millis(believed * 1000 - 10)).await;
            assert_eq!(look_up().await.is_ok(), ttl.is_ok());
            assert_eq!(lookups.load(Ordering::Relaxed), 1, "{ttl:?}");
            advance(Duration::from_millis(20)).await;
            assert_eq!(look_up().await.is_ok(), ttl.is_ok());
            assert_eq!(lookups.load(Ordering::Relaxed), 2, "{ttl:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_not_the_answer_to_the_next_attempt_unless_there_were_many() {
        let ((look_ups, lookups), answer) = (look_ups(Err(failed())), CachedAnswer::default());
        let own = OwnTime::default();
        let look_up = || answer.resolve(&look_ups, "a.example", &own);
        assert!(look_up().await.is_err());
        advance(Duration::from_millis(1)).await;
        assert!(look_up().await.is_err());
        assert_eq!(lookups.load(Ordering::Relaxed), 2);
        for further in 0..8 {
            advance(MAX_FAILURE_TTL).await;
            assert!(look_up().await.is_err());
            assert_eq!(lookups.load(Ordering::Relaxed), 3 + further);
        }
        advance(MAX_FAILURE_TTL / 2).await;
        assert!(look_up().await.is_err());
        assert_eq!(lookups.load(Ordering::Relaxed), 10, "believed by now");
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_wait_for_a_look_up_share_its_failure() {
        let ((look_ups, lookups), answer) = (look_ups(Err(failed())), CachedAnswer::default());
        let own = OwnTime::default();
        let all = (0..20).map(|_| answer.resolve(&look_ups, "a.example", &own));
        for found in futures::future::join_all(all).await {
            assert_eq!(found, Err(failed()));
        }
        assert_eq!(lookups.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_others_is_not_of_a_look_ups_time() {
        let (look_ups, lookups) = look_ups(Ok(60));
        // Four rounds of all that go at once: three seconds of waiting for the last, within two.
        let look_ups = LookUps {
            within: Duration::from_secs(2),
            ..look_ups
        };
        let names: Vec<(CachedAnswer, OwnTime)> =
            (0..4 * MAX_LOOKUPS).map(|_| Default::default()).collect();
        let all = names
            .iter()
            .map(|(answer, own)| answer.resolve(&look_ups, "a.example", own));
        for found in futures::future::join_all(all).await {
            assert!(found.is_ok());
        }
        assert_eq!(lookups.load(Ordering::Relaxed) as usize, 4 * MAX_LOOKUPS);
        let longest = names.iter().map(|(_, own)| own.so_far()).max();
        assert_eq!(longest.map(|longest| longest.as_secs()), Some(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_up_that_is_given_up_is_taken_over_by_the_next_in_line() {
        let ((look_ups, lookups), answer) = (look_ups(Ok(60)), CachedAnswer::default());
        let own = OwnTime::default();
        let impatient = tokio::time::timeout(
            Duration::from_millis(500),
            answer.resolve(&look_ups, "a.example", &own),
        );
        let (given_up, found) =
            tokio::join!(impatient, answer.resolve(&look_ups, "a.example", &own));
        assert!(given_up.is_err());
        assert!(found.is_ok());
        assert_eq!(lookups.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_machine_without_name_servers_still_knows_its_own_names() {
        let system = System {
            hosts: Hosts::default(),
            dns: Err("no name server is configured".to_owned()),
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
