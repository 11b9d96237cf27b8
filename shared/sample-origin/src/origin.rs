//! A host on 127.0.0.1 whose paths decide how it behaves.
//!
//! The query string never changes the content, so `?row=17` makes a distinct URL of the same image. It is read only where a
//! parameter is listed. `<name>` is a sample's name; an unknown path or name is a 404.
//!
//! | path | answer |
//! |---|---|
//! | `/image/<name>` | the image with its content type |
//! | `/slow/<ms>/<name>` | the image after a pause of at most ten minutes |
//! | `/drip/<bytes per second>/<name>` | the image, trickled |
//! | `/stall` | none, the connection stays open |
//! | `/status/<code>[?retry_after=]` | this status, 100…999 |
//! | `/flaky/<n>/<key>` | 503 for the first n requests of this key, then an image (the one named like the key, if any) |
//! | `/limited/<n>/<name>` | the image, n times a second at most from one address of this host; 429 beyond that |
//! | `/redirect/<n>/<name>` | n redirects, then the image |
//! | `/redirect-loop` | a redirect to itself |
//! | `/redirect-to?url=` | a redirect to any URL |
//! | `/truncated/<name>` | half of the declared length, then an orderly close |
//! | `/close` | an orderly close instead of an answer |
//! | `/reset` | half of an image, then a TCP reset |
//! | `/garbage` | bytes that are not HTTP |
//! | `/bad-header` | a malformed header field |
//! | `/headers/<count>` | an image under this many header fields, at most 10,000 |
//! | `/header-bytes/<count>` | an image under one field of this length, at most 16 MiB |
//! | `/huge` | a chunked body of 1 GiB that starts as an image |
//! | `/huge-declared` | the same with a declared length of 10 GiB, cut off after 1 GiB |
//! | `/html`, `/soft404` | a page with status 200; the second says that nothing was found |
//! | `/bot-wall` | 403 with a challenge page and the header fields of a bot filter |
//! | `/lying/<name>` | the image under another image's content type |
//! | `/text-as-image`, `/empty`, `/svg` | text called JPEG; no bytes; an SVG document |
//! | `/noai/<name>` | the image with `X-Robots-Tag: noai, noimageai` |
//! | `/robots.txt` | disallows `/private/` |
//! | `/private/<name>` | the image, for clients that did not ask |
//! | `/gzip/<name>` | the image with `Content-Encoding: gzip`, asked for or not |
//! | `/hostile/<kind>` | a file of [`crate::hostile`] |

mod body;
mod connection;
mod counts;
mod demo_list;
mod loads;
mod pages;
mod raw;
mod routes;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::corpus::Corpus;
use counts::Counts;
pub use loads::HostLoad;
use loads::Loads;
use routes::Site;

/// What the host does beside answering.
#[derive(Debug, Clone, Copy, Default)]
pub struct OriginOptions {
    /// Whether the requests for each path and query are counted; costs an allocation per new URL.
    pub record_paths: bool,
    /// Pause before every answer, as a distant host would need.
    pub latency: Duration,
    /// Port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// Addresses listened on beside 127.0.0.1, all on the same port: those after it, as if each were another host. Only Linux
    /// answers on them without being set up for it.
    pub further_hosts: u16,
    /// Whether the times of all requests to each address are kept.
    pub record_loads: bool,
}

/// Why the host did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// The host's thread could not be started.
    #[error("the sample host's thread cannot be started")]
    Thread(#[source] io::Error),
    /// The address is taken, or no socket is left.
    #[error("the sample host cannot listen on port {port}")]
    Listen {
        /// The port asked for; 0 for any.
        port: u16,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A running host. It has a thread of its own, works with or without an asynchronous caller, and ends when dropped.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    corpus: Arc<Corpus>,
    counts: Arc<Counts>,
    loads: Arc<Loads>,
    shutdown: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Origin {
    /// Starts a host with the default options on a free port.
    pub fn start(corpus: Arc<Corpus>) -> Result<Self, OriginError> {
        Self::start_with(corpus, OriginOptions::default())
    }

    /// Starts a host; it accepts connections when this returns.
    pub fn start_with(corpus: Arc<Corpus>, options: OriginOptions) -> Result<Self, OriginError> {
        let counts = Arc::new(Counts::new(options.record_paths));
        let loads = Arc::new(Loads::new(options.record_loads));
        let site = Arc::new(Site::new(
            &corpus,
            Arc::clone(&counts),
            Arc::clone(&loads),
            options.latency,
        ));
        let (shutdown, stopped) = oneshot::channel();
        let (report, reported) = mpsc::sync_channel(1);
        let port = options.port;
        let further_hosts = options.further_hosts;
        let thread = thread::Builder::new()
            .name("sample-origin".to_owned())
            .spawn(move || connection::run(site, port, further_hosts, stopped, &report))
            .map_err(OriginError::Thread)?;
        let bound = reported
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the thread ended early")));
        let address = bound.map_err(|source| OriginError::Listen { port, source })?;
        Ok(Self {
            address,
            corpus,
            counts,
            loads,
            shutdown: Some(shutdown),
            thread: Some(thread),
        })
    }

    /// The address the host listens on.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:<port>`, without a slash at the end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The URL of a path that starts with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The URL of a path on another of this host's addresses: 0 is 127.0.0.1, 1 the first of the further ones.
    pub fn url_on(&self, host: u16, path: &str) -> String {
        let address = loads::address(host);
        format!("http://{address}:{}{path}", self.address.port())
    }

    /// The images it serves.
    pub fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// What each address that was asked for anything had to bear, sorted; always empty unless loads are recorded.
    pub fn loads(&self) -> Vec<(Ipv4Addr, HostLoad)> {
        self.loads.all()
    }

    /// Number of requests received so far, on all paths.
    pub fn requests(&self) -> u64 {
        self.counts.total()
    }

    /// Number of requests for exactly this path and query; always 0 unless paths are recorded.
    pub fn requests_for(&self, path_and_query: &str) -> u64 {
        self.counts.of(path_and_query)
    }

    /// All recorded paths with their queries and counts, sorted by path.
    pub fn recorded_paths(&self) -> Vec<(String, u64)> {
        self.counts.all()
    }

    /// Requests whose path was not recorded because the log of 200,000 distinct ones was full.
    pub fn unrecorded_requests(&self) -> u64 {
        self.counts.unrecorded()
    }

    /// A CSV list (`sku,image_url,title`) of `count` rows over this host, at least 85 % of them good images.
    ///
    /// The good ones include repeated URLs, repeated content, redirects and flaky answers. The rest are malformed and refused
    /// addresses and most misbehaviours of this host, none of them slower than three seconds for a client that gives up on
    /// bodies under 10 kB/s. 100 rows show more than sixteen
    /// different outcomes, 500 every fault.
    pub fn demo_list(&self, count: usize, seed: u64) -> String {
        demo_list::write(&self.base_url(), &self.corpus, count, seed)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.shutdown.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the host's thread has been printed by then and must not become a second one here.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
