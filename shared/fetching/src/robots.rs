//! robots.txt (RFC 9309): read once per host, kept for a while, in bounded memory.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::MutexGuard;
use tokio::time::Instant;

use crate::hosts::Host;
use crate::{Enough, FetchError, FetchErrorKind};

/// How long rules are believed (RFC 9309, section 2.4).
const RULES_TTL: Duration = Duration::from_hours(24);
/// How long a host whose rules could not be read is not asked for them again.
const FAILURE_TTL: Duration = Duration::from_secs(30);
/// The same where the trouble was on the way there, and may be over with the next request.
const PASSING_FAILURE_TTL: Duration = Duration::from_secs(1);
/// Rules times bytes of a URL that are matched at once, by what that takes: well below a millisecond. More go to another thread.
const MATCHED_AT_ONCE: usize = 256 * 1024;
/// Longest pause between two requests that a host is granted: a list must come to its end.
pub(crate) const MAX_CRAWL_DELAY: Duration = Duration::from_secs(10);
/// Memory of the rules of all hosts together; beyond that, those read first are forgotten.
const MAX_MEMORY: usize = 32 * 1024 * 1024;
/// What a rule and a site map take beside their text.
const RULE_OVERHEAD: usize = 64;
const SITEMAP_OVERHEAD: usize = 128;

/// The rules of one host.
#[derive(Default)]
pub(crate) struct CachedRules {
    known: Mutex<Option<Known>>,
    loading: tokio::sync::Mutex<()>,
}

struct Known {
    rules: Result<Arc<robotxt::Robots>, FetchError>,
    valid_until: Instant,
}

/// The right to find out the rules of a host, which one request has at a time while the others wait.
pub(crate) struct Loading<'a>(MutexGuard<'a, ()>);

/// What is known about the rules of a host.
pub(crate) enum Lookup<'a> {
    Known(Result<Arc<robotxt::Robots>, FetchError>),
    /// Nothing: load them and hand them to [`CachedRules::learn`].
    Unknown(Loading<'a>),
}

impl CachedRules {
    /// The rules, or the task of loading them.
    pub(crate) async fn get(&self) -> Lookup<'_> {
        if let Some(known) = self.known() {
            return Lookup::Known(known);
        }
        let loading = self.loading.lock().await;
        match self.known() {
            Some(known) => Lookup::Known(known),
            None => Lookup::Unknown(Loading(loading)),
        }
    }

    fn known(&self) -> Option<Result<Arc<robotxt::Robots>, FetchError>> {
        let mut known = self.known.lock();
        let left = known
            .as_ref()?
            .valid_until
            .saturating_duration_since(Instant::now());
        if left.is_zero() {
            *known = None;
            return None;
        }
        let rules = known.as_ref()?.rules.clone();
        Some(rules.map_err(|error| {
            if is_overtaxed(error.kind()) {
                error.later(Some(left))
            } else {
                error
            }
        }))
    }

    /// Keeps what the file said, or why it could not be read. Running out of the caller's time says nothing about the host.
    pub(crate) fn learn(
        &self,
        loading: Loading<'_>,
        read: Result<Bytes, FetchError>,
        was_redirected: bool,
        robot: &str,
    ) -> Result<Arc<robotxt::Robots>, FetchError> {
        let rules = match read {
            Ok(text) => Ok(Arc::new(robotxt::Robots::parse(&text, robot))),
            Err(error) if error.kind() == FetchErrorKind::OutOfTime => return Err(error),
            Err(error) if is_absent(error.kind(), was_redirected) => {
                Ok(Arc::new(robotxt::Robots::allow_all()))
            }
            Err(error) if is_of_the_host(error.kind()) && !was_redirected => {
                Err(error.of_prerequisite(None))
            }
            Err(error) => Err(error.of_prerequisite(Some("robots.txt"))),
        };
        let ttl = match &rules {
            Ok(_) => RULES_TTL,
            Err(error) if is_passing(error.kind()) => PASSING_FAILURE_TTL,
            Err(_) => FAILURE_TTL,
        };
        *self.known.lock() = Some(Known {
            rules: rules.clone(),
            valid_until: Instant::now() + ttl,
        });
        drop(loading.0);
        rules
    }

    fn forget(&self) {
        *self.known.lock() = None;
    }
}

/// Whether the host has no rules, as opposed to not telling them for now (RFC 9309, sections 2.3.1.2 to 2.3.1.4). In the second case
/// everything is disallowed until it does. A redirect to where nobody may go leads to no rules, and says nothing about the URLs of the
/// host itself.
fn is_absent(kind: FetchErrorKind, was_redirected: bool) -> bool {
    let is_beyond_reach = was_redirected
        && matches!(
            kind,
            FetchErrorKind::Blocked | FetchErrorKind::NoSuchName | FetchErrorKind::Tls
        );
    is_beyond_reach
        || matches!(
            kind,
            FetchErrorKind::NotFound
                | FetchErrorKind::Forbidden
                | FetchErrorKind::ClientError
                | FetchErrorKind::BotWall
                | FetchErrorKind::RedirectLimit
                | FetchErrorKind::Unusable
                | FetchErrorKind::Empty
        )
}

/// Whether the image itself would have met the same error.
fn is_of_the_host(kind: FetchErrorKind) -> bool {
    matches!(
        kind,
        FetchErrorKind::Blocked
            | FetchErrorKind::NoSuchName
            | FetchErrorKind::NameLookup
            | FetchErrorKind::Connect
            | FetchErrorKind::NoSocket
            | FetchErrorKind::PutAside
            | FetchErrorKind::Tls
            | FetchErrorKind::TlsStalled
    )
}

/// Whether the trouble was with looking the host up or with this machine.
fn is_passing(kind: FetchErrorKind) -> bool {
    matches!(kind, FetchErrorKind::NameLookup | FetchErrorKind::NoSocket)
}

/// Whether `rules` allow a URL. A file may hold tens of thousands of rules, and matching them all must not hold up other requests.
pub(crate) async fn allow(rules: &Arc<robotxt::Robots>, path_and_query: &str) -> bool {
    if rules.rules().len().saturating_mul(path_and_query.len()) <= MATCHED_AT_ONCE {
        return rules.is_allowed(path_and_query);
    }
    let (rules, path) = (Arc::clone(rules), path_and_query.to_owned());
    // The task can only be gone because the run time is going down.
    tokio::task::spawn_blocking(move || rules.is_allowed(&path))
        .await
        .unwrap_or(false)
}

/// Whether the host is there and may well tell its rules later. One that is not there is as good as asked for every row.
fn is_overtaxed(kind: FetchErrorKind) -> bool {
    matches!(
        kind,
        FetchErrorKind::ServerError
            | FetchErrorKind::RateLimited
            | FetchErrorKind::Timeout
            | FetchErrorKind::TooSlow
    )
}

/// Bytes of a file of which the parser ignores what follows.
pub(crate) const MOST_BYTES: u64 = robotxt::BYTE_LIMIT as u64 + 1;

/// Whether a file is long enough for the parser to ignore what follows.
pub(crate) fn is_enough(file: &[u8]) -> Enough {
    if file.len() as u64 >= MOST_BYTES {
        Enough::Yes
    } else {
        Enough::No
    }
}

/// The error of a URL that the rules disallow.
pub(crate) fn disallowed() -> FetchError {
    FetchError::new(
        FetchErrorKind::Robots,
        "the host's robots.txt disallows this URL",
    )
}

/// Bounds the memory of all rules.
#[derive(Default)]
pub(crate) struct RulesMemory(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    bytes: usize,
    hosts: VecDeque<(Weak<Host>, usize)>,
}

impl RulesMemory {
    /// Notes that `host` holds `rules`, and makes room for them.
    pub(crate) fn note(&self, host: &Arc<Host>, rules: &robotxt::Robots) {
        let bytes = memory_of(rules);
        let mut remembered = self.0.lock();
        remembered.bytes += bytes;
        remembered.hosts.push_back((Arc::downgrade(host), bytes));
        while remembered.bytes > MAX_MEMORY && remembered.hosts.len() > 1 {
            let Some((host, bytes)) = remembered.hosts.pop_front() else {
                return;
            };
            remembered.bytes -= bytes;
            if let Some(host) = host.upgrade() {
                host.rules.forget();
            }
        }
    }
}

fn memory_of(rules: &robotxt::Robots) -> usize {
    let rules_size: usize = rules
        .rules()
        .iter()
        .map(|rule| rule.pattern().len() + RULE_OVERHEAD)
        .sum();
    let sitemaps = rules.sitemaps().iter();
    let sitemaps_size: usize = sitemaps
        .map(|url| url.as_str().len() + SITEMAP_OVERHEAD)
        .sum();
    size_of::<robotxt::Robots>() + rules_size + sitemaps_size
}

#[cfg(test)]
mod tests {
    use domain::Limits;
    use tokio::time::advance;

    use super::*;
    use crate::TargetUrl;
    use crate::hosts::Hosts;

    fn host(hosts: &Hosts, number: usize) -> Arc<Host> {
        let url = format!("http://host-{number}.example/");
        hosts.of(&TargetUrl::parse(&url, &Limits::default()).unwrap())
    }

    async fn learn(
        host: &Host,
        read: Result<&[u8], FetchErrorKind>,
    ) -> Result<Arc<robotxt::Robots>, FetchError> {
        let Lookup::Unknown(loading) = host.rules.get().await else {
            panic!("the rules are known already");
        };
        let read = read
            .map(Bytes::copy_from_slice)
            .map_err(|kind| FetchError::new(kind, "no file"));
        host.rules.learn(loading, read, false, "imgsweep")
    }

    #[tokio::test(start_paused = true)]
    async fn rules_are_kept_for_a_day() {
        let host = host(&Hosts::with(1, Duration::ZERO), 0);
        let rules = learn(&host, Ok(b"User-agent: ImgSweep\nDisallow: /private\n"))
            .await
            .unwrap();
        assert!(!rules.is_allowed("/private/a.jpg"));
        advance(RULES_TTL / 2).await;
        assert!(matches!(host.rules.get().await, Lookup::Known(Ok(_))));
        advance(RULES_TTL / 2).await;
        assert!(matches!(host.rules.get().await, Lookup::Unknown(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_file_allows_everything_and_an_unreachable_one_nothing_for_now() {
        let hosts = Hosts::with(1, Duration::ZERO);
        for (number, kind) in [
            FetchErrorKind::NotFound,
            FetchErrorKind::Forbidden,
            FetchErrorKind::Empty,
        ]
        .into_iter()
        .enumerate()
        {
            assert!(
                learn(&host(&hosts, number), Err(kind))
                    .await
                    .unwrap()
                    .is_allowed("/a"),
                "{kind:?}"
            );
        }
        let host = host(&hosts, 10);
        learn(&host, Err(FetchErrorKind::ServerError))
            .await
            .unwrap_err();
        advance(Duration::from_secs(10)).await;
        let Lookup::Known(Err(error)) = host.rules.get().await else {
            panic!("the failure is forgotten");
        };
        assert_eq!(error.to_string(), "robots.txt: no file");
        assert_eq!(
            error.retry_later().unwrap().not_before,
            Some(Duration::from_secs(20))
        );
        advance(Duration::from_secs(20)).await;
        assert!(matches!(host.rules.get().await, Lookup::Unknown(_)));
    }

    #[tokio::test]
    async fn running_out_of_time_teaches_nothing_about_the_host() {
        let host = host(&Hosts::with(1, Duration::ZERO), 0);
        learn(&host, Err(FetchErrorKind::OutOfTime))
            .await
            .unwrap_err();
        assert!(matches!(host.rules.get().await, Lookup::Unknown(_)));
    }

    #[tokio::test]
    async fn many_rules_are_matched_beside_other_requests() {
        let host = host(&Hosts::with(1, Duration::ZERO), 0);
        let mut file = b"User-agent: *\n".to_vec();
        for number in 0..20_000 {
            file.extend_from_slice(format!("Disallow: /*q*{number}$\n").as_bytes());
        }
        let rules = learn(&host, Ok(&file)).await.unwrap();
        let (disallowed, allowed) = (format!("/{}?q=123", "x".repeat(200)), "/x?p=123");
        let matching = allow(&rules, &disallowed);
        assert!(
            !futures::FutureExt::now_or_never(matching).unwrap_or(false),
            "it goes to another thread"
        );
        assert!(!allow(&rules, &disallowed).await);
        assert!(allow(&rules, allowed).await);
    }

    #[tokio::test]
    async fn the_memory_of_all_rules_is_bounded() {
        let (hosts, memory) = (Hosts::with(1, Duration::ZERO), RulesMemory::default());
        let mut file = b"User-agent: *\n".to_vec();
        while file.len() < 400_000 {
            file.extend_from_slice(b"Disallow: /some/longer/path/that/takes/room/in/memory\n");
        }
        let mut known = Vec::new();
        for number in 0..100 {
            let host = host(&hosts, number);
            let rules = learn(&host, Ok(&file)).await.unwrap();
            memory.note(&host, &rules);
            known.push(host);
        }
        assert!(memory.0.lock().bytes <= MAX_MEMORY);
        assert!(
            matches!(known[0].rules.get().await, Lookup::Unknown(_)),
            "the oldest is forgotten"
        );
        assert!(
            matches!(known[99].rules.get().await, Lookup::Known(Ok(_))),
            "the newest is kept"
        );
    }
}
