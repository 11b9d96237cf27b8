//! Untrusted URL to bytes: address guard, limits, retry, typed outcomes.
//!
//! A list points at other people's servers, and not always at servers. Everything here follows from that:
//!
//! | module | does |
//! |---|---|
//! | `target` | turns text into a [`TargetUrl`], once |
//! | `ranges`, `guard` | decide which addresses may be dialled; only what they checked is dialled |
//! | `resolve`, `connect`, `stream`, `header_blocks`, `pool` | names, connections, and how long they are kept |
//! | `exchange`, `body`, `budget`, `encoding` | one request, and its answer within limits |
//! | `challenge`, `soft_404`, `page`, `tags` | what kind of refusal an answer is |
//! | `hosts`, `gate`, `breaker`, `robots` | manners: what each host bears, and what it asked for |
//! | `post` | documents sent to an address that somebody chose, behind the same guard |
//! | `fetcher`, `retry` | turns, redirects, retries, deadlines |

mod body;
mod breaker;
mod budget;
mod challenge;
mod connect;
mod encoding;
mod error;
mod exchange;
mod fetched;
mod fetcher;
mod gate;
mod guard;
mod header_blocks;
mod hosts;
mod options;
mod own_time;
mod page;
mod pool;
mod post;
mod ranges;
mod resolve;
mod retry;
mod robots;
mod soft_404;
mod stream;
mod tags;
mod target;

pub use error::{FetchError, FetchErrorKind, FetchSetupError, Later};
pub use fetched::{Enough, FetchMode, Fetched, Validators};
pub use fetcher::Fetcher;
pub use options::{FetchOptions, Robots};
pub use post::Poster;
pub use ranges::special_ranges;
pub use resolve::{Resolve, ResolveError, Resolved};
pub use target::{InvalidUrl, Redacted, TargetUrl};
