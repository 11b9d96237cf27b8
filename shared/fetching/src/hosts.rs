//! What is known about each host: its addresses, how many requests it bears, whether it is down.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::TargetUrl;
use crate::breaker::Breaker;
use crate::gate::Gate;
use crate::resolve::CachedAnswer;
use crate::robots::CachedRules;

/// Hosts remembered; beyond that, those not asked for longest are forgotten.
const MAX_HOSTS: usize = 20_000;
/// A request waits this long for another one to find out whether the host can share one connection.
const PROTOCOL_PATIENCE: Duration = Duration::from_millis(500);

/// Names a [`Host`] for as long as the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct HostId(u64);

/// One scheme, name and port.
pub(crate) struct Host {
    pub(crate) id: HostId,
    pub(crate) answer: CachedAnswer,
    pub(crate) gate: Gate,
    pub(crate) breaker: Breaker,
    pub(crate) rules: CachedRules,
    /// Whether each request needs a connection of its own. Until that is known, connections are opened one by one, lest several
    /// requests at once open as many connections to a host that would serve all on one.
    is_http1: AtomicBool,
    opening: tokio::sync::Mutex<()>,
    last_use: Mutex<Instant>,
}

impl Host {
    fn new(id: u64, terms: &HostTerms, is_https: bool) -> Self {
        Self {
            id: HostId(id),
            answer: CachedAnswer::default(),
            gate: Gate::new(terms.max_concurrent, terms.min_interval),
            breaker: Breaker::new(terms.connect_timeout),
            rules: CachedRules::default(),
            is_http1: AtomicBool::new(!is_https),
            opening: tokio::sync::Mutex::default(),
            last_use: Mutex::new(Instant::now()),
        }
    }

    /// Waits while another request opens the first connection. Hold what is returned while opening one.
    pub(crate) async fn opening(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if self.is_http1.load(Ordering::Relaxed) {
            return None;
        }
        tokio::time::timeout(PROTOCOL_PATIENCE, self.opening.lock())
            .await
            .ok()
    }

    pub(crate) fn speaks_http1(&self) {
        self.is_http1.store(true, Ordering::Relaxed);
    }
}

/// On which terms each host is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostTerms {
    pub(crate) max_concurrent: usize,
    pub(crate) min_interval: Duration,
    pub(crate) connect_timeout: Duration,
}

/// All hosts asked lately.
pub(crate) struct Hosts {
    terms: HostTerms,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    by_origin: HashMap<Box<str>, Arc<Host>>,
    next_id: u64,
}

impl Hosts {
    pub(crate) fn new(terms: HostTerms) -> Self {
        Self {
            terms,
            inner: Mutex::default(),
        }
    }

    /// The host of `url`.
    pub(crate) fn of(&self, url: &TargetUrl) -> Arc<Host> {
        let mut inner = self.inner.lock();
        if let Some(host) = inner.by_origin.get(url.origin()) {
            *host.last_use.lock() = Instant::now();
            return Arc::clone(host);
        }
        if inner.by_origin.len() >= MAX_HOSTS {
            inner.forget_idle();
        }
        inner.next_id += 1;
        let host = Arc::new(Host::new(inner.next_id, &self.terms, url.is_https()));
        inner
            .by_origin
            .insert(url.origin().into(), Arc::clone(&host));
        host
    }
}

impl Inner {
    /// Forgets the half that was used longest ago, except for hosts in use and hosts that are put aside.
    fn forget_idle(&mut self) {
        let mut uses: Vec<Instant> = self
            .by_origin
            .values()
            .map(|host| *host.last_use.lock())
            .collect();
        let middle = uses.len() / 2;
        let (_, median, _) = uses.select_nth_unstable(middle);
        let median = *median;
        self.by_origin.retain(|_, host| {
            let is_in_use = Arc::strong_count(host) > 1 || host.breaker.is_open();
            is_in_use || *host.last_use.lock() > median
        });
    }
}

#[cfg(test)]
impl Hosts {
    /// Hosts with these terms, and connections that may take ten seconds.
    pub(crate) fn with(max_concurrent: usize, min_interval: Duration) -> Self {
        Self::new(HostTerms {
            max_concurrent,
            min_interval,
            connect_timeout: Duration::from_secs(10),
        })
    }
}

#[cfg(test)]
mod tests {
    use domain::Limits;

    use super::*;

    fn host(hosts: &Hosts, url: &str) -> Arc<Host> {
        hosts.of(&TargetUrl::parse(url, &Limits::default()).unwrap())
    }

    #[tokio::test]
    async fn a_host_is_a_scheme_a_name_and_a_port() {
        let hosts = Hosts::with(1, Duration::ZERO);
        let first = host(&hosts, "http://example.com/a");
        assert_eq!(first.id, host(&hosts, "http://EXAMPLE.com:80/b?c").id);
        for other in [
            "https://example.com/a",
            "http://example.com:81/a",
            "http://www.example.com/a",
        ] {
            assert_ne!(first.id, host(&hosts, other).id, "{other}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_hosts_remembered_are_bounded_and_those_in_use_are_kept() {
        let hosts = Hosts::with(1, Duration::ZERO);
        let in_use = host(&hosts, "http://in-use.example/");
        for number in 0..MAX_HOSTS + 10 {
            host(&hosts, &format!("http://host-{number}.example/"));
            if number % 1000 == 0 {
                tokio::time::advance(Duration::from_secs(1)).await;
            }
        }
        assert!(hosts.inner.lock().by_origin.len() <= MAX_HOSTS);
        assert_eq!(in_use.id, host(&hosts, "http://in-use.example/").id);
    }
}
