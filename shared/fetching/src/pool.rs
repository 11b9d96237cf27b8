//! Connections between requests. Their number is bounded over all hosts together: a list may name more hosts than a process has
//! file descriptors, which is why this is not a pool per host. Of one host there are never more than it was asked for at once.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::connect::Connection;
use crate::hosts::HostId;

/// Many hosts close an idle connection after a minute, some after five seconds; one that was closed costs a second try.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Idle HTTP/1 connections, and HTTP/2 connections whether idle or not.
pub(crate) struct Pool {
    max_connections: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By the order in which they were parked: the first is the one to give up.
    parked: BTreeMap<u64, Parked>,
    /// The keys of each host's connections in `parked`, the last one the most recent.
    by_host: HashMap<HostId, Vec<u64>>,
    next_key: u64,
}

struct Parked {
    host: HostId,
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(max_connections: usize) -> Self {
        Self {
            max_connections,
            inner: Mutex::default(),
        }
    }

    /// The connection to `host` that was used last, if one is left open.
    pub(crate) fn take(&self, host: HostId) -> Option<Connection> {
        let mut inner = self.inner.lock();
        inner.drop_expired();
        while let Some(parked) = inner.remove_latest(host) {
            if parked.connection.is_closed() {
                continue;
            }
            if let Some(shared) = parked.connection.share() {
                inner.insert(host, shared);
            }
            return Some(parked.connection);
        }
        None
    }

    /// A connection to `host` that other requests use as well, if there is one.
    pub(crate) fn take_shared(&self, host: HostId) -> Option<Connection> {
        self.take(host).filter(Connection::is_shared)
    }

    /// Keeps `connection` for the next request to `host`.
    pub(crate) fn park(&self, host: HostId, connection: Connection) {
        if connection.is_closed() {
            return;
        }
        let mut inner = self.inner.lock();
        inner.drop_expired();
        // One shared connection serves all requests to its host.
        if connection.is_shared() && inner.by_host.contains_key(&host) {
            return;
        }
        inner.insert(host, connection);
        while inner.parked.len() > self.max_connections {
            inner.drop_oldest();
        }
    }
}

impl Inner {
    fn insert(&mut self, host: HostId, connection: Connection) {
        let key = self.next_key;
        self.next_key += 1;
        let since = Instant::now();
        self.parked.insert(
            key,
            Parked {
                host,
                connection,
                since,
            },
        );
        self.by_host.entry(host).or_default().push(key);
    }

    fn remove_latest(&mut self, host: HostId) -> Option<Parked> {
        let keys = self.by_host.get_mut(&host)?;
        let key = keys.pop();
        if keys.is_empty() {
            self.by_host.remove(&host);
        }
        self.parked.remove(&key?)
    }

    fn drop_oldest(&mut self) {
        let Some((key, parked)) = self.parked.pop_first() else {
            return;
        };
        let Some(keys) = self.by_host.get_mut(&parked.host) else {
            return;
        };
        keys.retain(|&listed| listed != key);
        if keys.is_empty() {
            self.by_host.remove(&parked.host);
        }
    }

    fn drop_expired(&mut self) {
        while let Some(oldest) = self.parked.first_entry() {
            if oldest.get().since.elapsed() < IDLE_TIMEOUT {
                return;
            }
            self.drop_oldest();
        }
    }
}
