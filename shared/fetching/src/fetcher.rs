//! From a URL to its body: turns, redirects, retries, deadlines.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as StdInstant};

use bytes::Bytes;
use domain::Limits;
use http::StatusCode;
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout_at};

use crate::connect::Connector;
use crate::error::seconds;
use crate::exchange::{End, Exchange, Progress, Wanted};
use crate::gate::{Gate, Turn};
use crate::guard::Guard;
use crate::hosts::{Host, HostTerms, Hosts};
use crate::page::is_html;
use crate::resolve::SystemResolver;
use crate::retry::{Next, next};
use crate::robots::{Lookup, MAX_CRAWL_DELAY, RulesMemory, allow, disallowed};
use crate::soft_404;
use crate::{
    FetchError, FetchErrorKind, FetchMode, FetchOptions, FetchSetupError, Fetched, Robots,
    TargetUrl, Validators,
};

/// Bounds on the number of connections that are kept open for later, whatever the concurrency. The upper one leaves a process with
/// Lambda's 1,024 file descriptors enough for its requests.
const MIN_KEPT_CONNECTIONS: usize = 16;
const MAX_KEPT_CONNECTIONS: usize = 384;

/// Fetches untrusted URLs. Clones share connections, limits and what is known about hosts.
#[derive(Clone)]
pub struct Fetcher(Arc<Inner>);

struct Inner {
    limits: Limits,
    exchange: Exchange,
    hosts: Hosts,
    turns: Semaphore,
    turns_allowed: Mutex<TurnsAllowed>,
    robots: Robots,
    rules_memory: RulesMemory,
}

/// How many turns there may be, and how many of those in use are not to be given back.
struct TurnsAllowed {
    most: usize,
    owed: usize,
}

/// A fetch under way.
struct Fetch<'a> {
    inner: &'a Inner,
    url: &'a TargetUrl,
    wanted: Wanted<'a>,
    /// What is known of the image from before.
    known: Option<&'a Validators>,
    is_not_modified: bool,
    until: Option<Instant>,
    attempts: u32,
    started: Option<Instant>,
    /// Time spent waiting for a turn after the start.
    waited: Duration,
    /// Where redirects led, in the last attempt.
    final_url: Option<String>,
    progress: Progress,
}

impl Inner {
    fn turns_allowed(&self) -> std::sync::MutexGuard<'_, TurnsAllowed> {
        self.turns_allowed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn. One that is there only because it was in use when fewer were allowed is not taken but taken away.
    async fn take_turn(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        loop {
            let turn = self.turns.acquire().await?;
            let mut allowed = self.turns_allowed();
            if allowed.owed == 0 {
                return Ok(turn);
            }
            allowed.owed -= 1;
            turn.forget();
        }
    }
}

impl Fetcher {
    /// A fetcher within `limits`. Opens no connection and reads no file.
    pub fn new(limits: &Limits, options: FetchOptions) -> Result<Self, FetchSetupError> {
        if options.max_concurrent == 0 {
            return Err(FetchSetupError::Zero("max_concurrent"));
        }
        if options.max_concurrent_per_host == 0 {
            return Err(FetchSetupError::Zero("max_concurrent_per_host"));
        }
        let guard = Guard::new(
            options.allow_private,
            options.allow_ports,
            &options.refuse_hosts,
        );
        let resolver = options
            .resolver
            .unwrap_or_else(|| Arc::new(SystemResolver::new(options.name_servers)));
        let connector = Connector::new(limits, guard, resolver, &options.extra_roots)?;
        let kept_connections = options
            .max_concurrent
            .clamp(MIN_KEPT_CONNECTIONS, MAX_KEPT_CONNECTIONS);
        let exchange = Exchange::new(
            limits,
            connector,
            kept_connections,
            options.max_body_bytes_in_flight,
            &options.user_agent,
            options.respect_noai,
        )?;
        Ok(Self(Arc::new(Inner {
            limits: limits.clone(),
            exchange,
            hosts: Hosts::new(HostTerms {
                max_concurrent: options.max_concurrent_per_host,
                min_interval: options.min_interval_per_host,
                connect_timeout: limits.connect_timeout,
            }),
            turns: Semaphore::new(options.max_concurrent.min(Semaphore::MAX_PERMITS)),
            turns_allowed: Mutex::new(TurnsAllowed {
                most: options.max_concurrent.min(Semaphore::MAX_PERMITS),
                owed: 0,
            }),
            robots: options.robots,
            rules_memory: RulesMemory::default(),
        })))
    }

    /// Requests that could be under way now and are not: what is left of `max_concurrent`.
    pub fn idle_turns(&self) -> usize {
        self.0.turns.available_permits()
    }

    /// Allows so many requests at once from now on, at least one. Those that are under way beyond it go on to their end.
    pub fn allow_concurrent(&self, requests: usize) {
        let wanted = requests.clamp(1, Semaphore::MAX_PERMITS);
        let mut allowed = self.0.turns_allowed();
        if wanted > allowed.most {
            let more = wanted - allowed.most;
            let forgiven = more.min(allowed.owed);
            allowed.owed -= forgiven;
            self.0.turns.add_permits(more - forgiven);
        } else {
            let fewer = allowed.most - wanted;
            allowed.owed += fewer - self.0.turns.forget_permits(fewer);
        }
        allowed.most = wanted;
    }

    /// Fetches `url`, following redirects and trying again where that may help. Gives up at `until` with the wish to be asked
    /// again later; without it, ends when the limits say so. Never fails as a call: what went wrong is the row's result.
    pub async fn fetch(
        &self,
        url: &TargetUrl,
        until: Option<StdInstant>,
        mode: FetchMode<'_>,
    ) -> Fetched {
        self.fetch_if_changed(url, until, mode, None).await
    }

    /// As [`Self::fetch`], but if the image is still what it was when its host gave out `known`, the host need not send it
    /// ([`Fetched::is_not_modified`]).
    pub async fn fetch_if_changed(
        &self,
        url: &TargetUrl,
        until: Option<StdInstant>,
        mode: FetchMode<'_>,
        known: Option<&Validators>,
    ) -> Fetched {
        let until = until.map(Instant::from_std);
        let mut fetch = Fetch::new(&self.0, url, Wanted::Image(mode), until);
        fetch.known = known;
        let result = fetch.run().await;
        fetch.finish(result)
    }
}

impl<'a> Fetch<'a> {
    fn new(
        inner: &'a Inner,
        url: &'a TargetUrl,
        wanted: Wanted<'a>,
        until: Option<Instant>,
    ) -> Self {
        Self {
            inner,
            url,
            wanted,
            known: None,
            is_not_modified: false,
            until,
            attempts: 0,
            started: None,
            waited: Duration::ZERO,
            final_url: None,
            progress: Progress::default(),
        }
    }

    async fn run(&mut self) -> Result<Bytes, FetchError> {
        loop {
            let error = match self.attempt().await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => error,
            };
            let left = self
                .until
                .map(|until| until.saturating_duration_since(Instant::now()));
            match next(
                error,
                self.attempts,
                self.progress.retry_after,
                left,
                &self.inner.limits,
            ) {
                Next::GiveUp(error) => return Err(error),
                Next::TryAfter(pause) => sleep(pause).await,
            }
        }
    }

    /// Follows the URL to its body once.
    async fn attempt(&mut self) -> Result<Bytes, FetchError> {
        let inner = self.inner;
        let mut left = inner.limits.request_timeout;
        let mut path: Vec<TargetUrl> = Vec::new();
        self.final_url = None;
        self.progress = Progress::default();
        loop {
            let url = path.last().unwrap_or(self.url);
            inner.exchange.connector().guard().precheck(url)?;
            let host = inner.hosts.of(url);
            self.ask_robots(&host, url).await?;
            // Given back before the next hop asks for its own: two hosts that redirect to each other cannot block each other.
            let turns = self.turn_at(&host).await?;
            host.breaker.check()?;
            let begun = Instant::now();
            if path.is_empty() {
                self.attempts += 1;
                self.started.get_or_insert(begun);
            }
            let end = self.hop(&host, url, begun + left).await;
            drop(turns);
            let own = self.progress.own.so_far();
            self.waited += own;
            self.note_manners(&host, &end);
            let location = match end? {
                End::Body(bytes) => {
                    if let Some(refused) = self.stand_in(&path, &bytes) {
                        return Err(refused);
                    }
                    return Ok(bytes);
                }
                End::NotModified => {
                    self.is_not_modified = true;
                    return Ok(Bytes::new());
                }
                End::Redirect(location) => location,
            };
            let target = self.follow(&path, &location)?;
            self.final_url = Some(target.canonical().to_owned());
            path.push(target);
            left = left.saturating_sub(begun.elapsed().saturating_sub(own));
        }
    }

    /// Refuses what the host's robots.txt disallows, reading that first if need be. No turn is held meanwhile.
    async fn ask_robots(&mut self, host: &Arc<Host>, url: &TargetUrl) -> Result<(), FetchError> {
        let inner = self.inner;
        if inner.robots == Robots::Ignore || matches!(self.wanted, Wanted::Rules) {
            return Ok(());
        }
        let began = Instant::now();
        let lookup = match self.until {
            Some(until) => timeout_at(until, host.rules.get())
                .await
                .map_err(|_| FetchError::out_of_time())?,
            None => host.rules.get().await,
        };
        let rules = match lookup {
            Lookup::Known(rules) => rules?,
            Lookup::Unknown(loading) => {
                let file = url.join("/robots.txt", &inner.limits);
                let file = file.map_err(|reason| {
                    FetchError::new(FetchErrorKind::Unusable, reason.to_string())
                })?;
                let mut fetch = Box::new(Fetch::new(inner, &file, Wanted::Rules, self.until));
                let read = Box::pin(fetch.run()).await;
                let was_redirected = fetch.final_url.is_some();
                let robot = inner.exchange.robot();
                let rules = host.rules.learn(loading, read, was_redirected, robot)?;
                let delay = rules.crawl_delay().unwrap_or_default();
                host.gate.ask_interval(delay.min(MAX_CRAWL_DELAY));
                inner.rules_memory.note(host, &rules);
                rules
            }
        };
        if self.started.is_some() {
            self.waited += began.elapsed();
        }
        if allow(&rules, url.path_and_query()).await {
            Ok(())
        } else {
            Err(disallowed())
        }
    }

    /// Waits for a turn at the host and then for one among all requests, in this order: a crowd in front of one host must not keep
    /// the others from being asked.
    async fn turn_at(
        &mut self,
        host: &Arc<Host>,
    ) -> Result<(Turn, SemaphorePermit<'a>), FetchError> {
        let began = Instant::now();
        if self.until.is_some_and(|until| until <= began) {
            return Err(FetchError::out_of_time());
        }
        let inner = self.inner;
        let both = async {
            let pace = host.gate.keep_pace().await;
            let turn = Gate::enter(host).await;
            let permit = inner.take_turn().await;
            if let Some(pace) = pace {
                pace.begin();
            }
            permit
                .map(|permit| (turn, permit))
                .map_err(|_| FetchError::out_of_time())
        };
        let turns = match self.until {
            Some(until) => timeout_at(until, both)
                .await
                .unwrap_or_else(|_| Err(FetchError::out_of_time())),
            None => both.await,
        };
        if self.started.is_some() {
            self.waited += began.elapsed();
        }
        turns
    }

    async fn hop(
        &mut self,
        host: &Host,
        url: &TargetUrl,
        deadline: Instant,
    ) -> Result<End, FetchError> {
        self.progress = Progress::default();
        let own = self.progress.own.clone();
        let exchange = &self.inner.exchange;
        // Validators mean something only to the URL that they came with (RFC 9110, section 8.8).
        let known = self.known.filter(|known| known.url == url.canonical());
        let run = exchange.run(host, url, self.wanted, known, &mut self.progress);
        if let Some((end, rest)) = own.run_until(deadline, self.until, run).await {
            if let Some(rest) = rest {
                // The result stands, whether or not there is time for this.
                let deadline = deadline + own.so_far();
                let until = self.until.map_or(deadline, |until| until.min(deadline));
                let _ = timeout_at(until, exchange.drain(host, rest)).await;
            }
            self.note_patience(host, end.as_ref().err().map(FetchError::kind));
            return end;
        }
        if self.until.is_some_and(|until| until <= Instant::now()) {
            return Err(FetchError::out_of_time());
        }
        if self.progress.is_connecting {
            host.breaker.note_failure();
        } else {
            host.breaker.note_silence();
        }
        let limit = seconds(self.inner.limits.request_timeout);
        let detail = match self.progress.status {
            Some(_) => format!("the answer was not complete within {limit}"),
            None => format!("no answer came within {limit}"),
        };
        Err(FetchError::new(FetchErrorKind::Timeout, detail))
    }

    /// Notes whether the host made us wait for nothing, or answered.
    fn note_patience(&self, host: &Host, error: Option<FetchErrorKind>) {
        match error {
            Some(FetchErrorKind::Timeout | FetchErrorKind::TooSlow) => host.breaker.note_silence(),
            _ if self.progress.status.is_some() => host.breaker.note_answered(),
            _ => {}
        }
    }

    fn note_manners(&self, host: &Host, end: &Result<End, FetchError>) {
        let Some(status) = self.progress.status else {
            return;
        };
        if let Some(reset_in) = self.progress.quota_reset {
            host.gate.note_quota_used_up(reset_in);
        }
        let is_challenge = matches!(end, Err(error) if error.kind() == FetchErrorKind::BotWall);
        if is_challenge
            || !matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
            )
        {
            host.gate.note_served();
            return;
        }
        let complaints = host.gate.note_complaint(self.progress.retry_after);
        if let Some(told) = self.progress.retry_after
            && told > self.inner.limits.max_retry_after
            && complaints >= Gate::SERIOUS_COMPLAINTS
        {
            host.breaker.rest(told);
        }
    }

    /// The error of a page that the redirects in `path` led to in place of what was asked for.
    fn stand_in(&self, path: &[TargetUrl], body: &[u8]) -> Option<FetchError> {
        let last = path.last()?;
        let declared_type = self.progress.declared_type.as_deref();
        let is_stand_in = soft_404::is_stand_in(self.url, last) && is_html(declared_type, body);
        is_stand_in.then(|| {
            FetchError::new(
                FetchErrorKind::NotFound,
                "the host redirected to its home page or an error page, which it answered with status 200",
            )
        })
    }

    /// The target of a redirect after those in `path`.
    fn follow(&self, path: &[TargetUrl], location: &str) -> Result<TargetUrl, FetchError> {
        let limits = &self.inner.limits;
        if path.len() as u64 >= u64::from(limits.max_redirects) {
            let detail = format!("there are more than {} redirects", limits.max_redirects);
            return Err(FetchError::new(FetchErrorKind::RedirectLimit, detail));
        }
        let from = path.last().unwrap_or(self.url);
        let target = from.join(location, limits).map_err(|reason| {
            FetchError::new(
                FetchErrorKind::Unusable,
                format!("the host redirected to no fetchable URL: {reason}"),
            )
        })?;
        // Nothing is remembered between requests, so the same URL would answer the same again.
        if target == *self.url || path.contains(&target) {
            return Err(FetchError::new(
                FetchErrorKind::RedirectLimit,
                "the redirects lead in a circle",
            ));
        }
        Ok(target)
    }

    fn finish(self, result: Result<Bytes, FetchError>) -> Fetched {
        let elapsed = self
            .started
            .map(|started| started.elapsed().saturating_sub(self.waited));
        let fetched = Fetched {
            attempts: self.attempts,
            elapsed: elapsed.unwrap_or_default(),
            http_status: self.progress.status.map(|status| status.as_u16()),
            final_url: self.final_url,
            declared_type: self.progress.declared_type,
            etag: self.progress.etag,
            last_modified: self.progress.last_modified,
            total_bytes: self.progress.total_bytes,
            is_not_modified: self.is_not_modified,
            result,
        };
        tracing::debug!(
            url = %self.url.redacted(),
            fetch.attempts = fetched.attempts,
            fetch.elapsed_ms = fetched.elapsed.as_millis() as u64,
            fetch.status = fetched.http_status,
            fetch.error = fetched.result.as_ref().err().map(tracing::field::display),
            "fetched"
        );
        fetched
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Fetcher")
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle_after(fetcher: &Fetcher, requests: usize) -> usize {
        fetcher.allow_concurrent(requests);
        fetcher.idle_turns()
    }

    #[tokio::test]
    async fn turns_in_use_are_owed_until_they_end() {
        let options = FetchOptions {
            max_concurrent: 4,
            ..FetchOptions::default()
        };
        let fetcher = Fetcher::new(&Limits::default(), options).unwrap();
        assert_eq!(idle_after(&fetcher, 6), 6);
        assert_eq!(idle_after(&fetcher, 3), 3);
        let mut in_use = Vec::new();
        for _ in 0..3 {
            in_use.push(fetcher.0.take_turn().await.unwrap());
        }
        // All are in use: two are owed, and one of them is forgiven again.
        assert_eq!(idle_after(&fetcher, 1), 0);
        assert_eq!(idle_after(&fetcher, 2), 0);
        in_use.clear();
        let held = fetcher.0.take_turn().await.unwrap();
        assert_eq!(
            fetcher.idle_turns(),
            1,
            "two are allowed, one of them in use"
        );
        drop(held);
        assert_eq!(idle_after(&fetcher, 0), 1, "never none");
    }
}
