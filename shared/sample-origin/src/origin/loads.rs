//! What each address of the host has to bear: requests at once, and when they came.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const MAX_RECORDED_REQUESTS: usize = 200_000;

/// The address of a host by number: 0 is 127.0.0.1.
pub(super) fn address(host: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + u32::from(host))
}

/// What one address of the host had to bear.
#[derive(Debug, Clone, Default)]
pub struct HostLoad {
    /// Requests answered at the same time, at most.
    pub most_at_once: usize,
    /// When each request came, in this order. Of all addresses together 200,000 are kept.
    pub arrivals: Vec<Instant>,
}

impl HostLoad {
    /// Requests that came within any stretch of this length, at most.
    pub fn most_within(&self, stretch: Duration) -> usize {
        let mut most = 0;
        let mut first = 0;
        for (last, arrival) in self.arrivals.iter().enumerate() {
            while *arrival - self.arrivals[first] >= stretch {
                first += 1;
            }
            most = most.max(last + 1 - first);
        }
        most
    }
}

#[derive(Debug)]
pub(super) struct Loads {
    is_recording: bool,
    hosts: Mutex<Hosts>,
}

#[derive(Debug, Default)]
struct Hosts {
    by_address: BTreeMap<Ipv4Addr, Load>,
    recorded: usize,
}

#[derive(Debug, Default)]
struct Load {
    under_way: usize,
    so_far: HostLoad,
    /// Since when and how often an image was given away under a limit.
    limited: Option<(Instant, u64)>,
}

/// A request under way, until it is dropped.
pub(super) struct UnderWay<'a>(Option<(&'a Loads, Ipv4Addr)>);

impl Loads {
    pub(super) fn new(is_recording: bool) -> Self {
        Self {
            is_recording,
            hosts: Mutex::default(),
        }
    }

    /// Notes a request to `address`.
    pub(super) fn begin(&self, address: Ipv4Addr) -> UnderWay<'_> {
        if !self.is_recording {
            return UnderWay(None);
        }
        let mut hosts = self.lock();
        let is_room = hosts.recorded < MAX_RECORDED_REQUESTS;
        hosts.recorded += usize::from(is_room);
        let load = hosts.by_address.entry(address).or_default();
        load.under_way += 1;
        load.so_far.most_at_once = load.so_far.most_at_once.max(load.under_way);
        if is_room {
            load.so_far.arrivals.push(Instant::now());
        }
        UnderWay(Some((self, address)))
    }

    /// Whether one more image is within `per_second` for `address`, counted in seconds that begin with a request.
    pub(super) fn is_within(&self, address: Ipv4Addr, per_second: u64) -> bool {
        let mut hosts = self.lock();
        let load = hosts.by_address.entry(address).or_default();
        let now = Instant::now();
        let (since, given) = load.limited.get_or_insert((now, 0));
        if now - *since >= Duration::from_secs(1) {
            (*since, *given) = (now, 0);
        }
        if *given >= per_second {
            return false;
        }
        *given += 1;
        true
    }

    pub(super) fn all(&self) -> Vec<(Ipv4Addr, HostLoad)> {
        let hosts = self.lock();
        let asked = hosts
            .by_address
            .iter()
            .filter(|(_, load)| load.so_far.most_at_once > 0);
        asked
            .map(|(address, load)| (*address, load.so_far.clone()))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Hosts> {
        // Every statement leaves the counts complete, so a panic elsewhere leaves nothing half done.
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some((loads, address)) = self.0
            && let Some(load) = loads.lock().by_address.get_mut(&address)
        {
            load.under_way -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_requests_within_a_stretch_are_found_wherever_they_lie() {
        let began = Instant::now();
        let at = |milliseconds: &[u64]| HostLoad {
            most_at_once: 1,
            arrivals: milliseconds
                .iter()
                .map(|passed| began + Duration::from_millis(*passed))
                .collect(),
        };
        let second = Duration::from_secs(1);
        assert_eq!(at(&[]).most_within(second), 0);
        assert_eq!(at(&[0, 1000, 2000]).most_within(second), 1);
        assert_eq!(at(&[0, 900, 1100, 1200, 1899, 2100]).most_within(second), 4);
    }

    #[test]
    fn requests_at_once_are_counted_for_each_address() {
        let loads = Loads::new(true);
        let (one, other) = (address(0), address(300));
        assert_eq!(other, Ipv4Addr::new(127, 0, 1, 45));
        let first = loads.begin(one);
        let second = loads.begin(one);
        drop(first);
        drop(loads.begin(one));
        drop(second);
        drop(loads.begin(other));
        let all = loads.all();
        assert_eq!((all[0].0, all[0].1.most_at_once), (one, 2));
        assert_eq!((all[1].0, all[1].1.most_at_once), (other, 1));
        assert_eq!(all[0].1.arrivals.len(), 3);
    }

    #[test]
    fn an_address_is_limited_by_itself() {
        let loads = Loads::new(false);
        let (one, other) = (address(0), address(1));
        assert_eq!(
            [one, one, one, other].map(|address| loads.is_within(address, 2)),
            [true, true, false, true]
        );
    }
}
