//! Who asks: bearer tokens (RFC 6750), hashed at rest, compared in constant time; what they are good for, and how often they may ask.

mod known;
mod quota;
mod tokens;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::{Scope, TokenHash};
use http::{HeaderValue, Method, header};
use pipeline::PipelineError;
use sha2::{Digest, Sha256};

use crate::{ApiState, Problem};

pub use known::KnownTokens;
pub use quota::{QuotaSettings, Quotas};
pub use tokens::{InvalidTokens, Token, TokenSource, Tokens, new_secret};

/// Routes that only administrators may change anything with; reading them is for everybody, unless they are of [`ADMIN_ONLY`].
const ADMIN_TO_CHANGE: &[&str] = &[
    "/api/v1/system/intake",
    "/api/v1/system/cache",
    "/api/v1/monitoring/baseline",
];
/// Routes that only administrators see.
const ADMIN_ONLY: &[&str] = &["/api/v1/tokens", "/api/v1/tokens/{name}"];
/// Routes that change nothing, though their method looks like it.
const READ_ONLY: &[&str] = &["/api/v1/lists/preview"];
/// Routes that hand a list in.
const UPLOADS: &[(&Method, &str)] = &[
    (&Method::POST, "/upload"),
    (&Method::POST, "/api/v1/batches"),
];

/// Whose request it is; set by [`require_token`].
#[derive(Debug, Clone)]
pub(crate) struct Owner(pub(crate) String);

/// The token that a request came with; set by [`require_token`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) scope: Scope,
    pub(crate) requests_per_minute: Option<u32>,
    pub(crate) uploads_per_day: Option<u32>,
}

/// Lets a request through when it carries a token that is known, good for the route, and not used up.
pub(crate) async fn require_token(
    State(state): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Response {
    let header = request.headers().get(header::AUTHORIZATION).cloned();
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map_or("", MatchedPath::as_str).to_owned();
    match admit(&state, header.as_ref(), request.method(), &path).await {
        Ok(caller) => {
            tracing::Span::current().record("token", caller.name.as_str());
            let extensions = request.extensions_mut();
            extensions.insert(Owner(caller.owner.clone()));
            extensions.insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn admit(
    state: &ApiState,
    header: Option<&HeaderValue>,
    method: &Method,
    path: &str,
) -> Result<Caller, Problem> {
    let caller = caller_of(state, header).await?;
    let needed = needed_scope(method, path);
    if caller.scope < needed {
        return Err(Problem::scope_too_small(caller.scope, needed));
    }
    let is_upload = UPLOADS.contains(&(method, path));
    let quotas = &state.settings.quotas;
    quotas.take(state, &caller, is_upload).await?;
    Ok(caller)
}

async fn caller_of(state: &ApiState, header: Option<&HeaderValue>) -> Result<Caller, Problem> {
    let secret = header
        .and_then(|value| value.to_str().ok())
        .and_then(bearer)
        .ok_or_else(Problem::unauthorized)?;
    let hash = TokenHash(Sha256::digest(secret.as_bytes()).into());
    let tokens = state.tokens.tokens().await.map_err(PipelineError::from)?;
    if let Some(name) = tokens.name_of(&hash) {
        return Ok(Caller {
            name: name.to_owned(),
            owner: name.to_owned(),
            scope: Scope::Admin,
            requests_per_minute: None,
            uploads_per_day: None,
        });
    }
    let token = state.settings.known_tokens.find(state, &hash).await?;
    let token = token.ok_or_else(Problem::unauthorized)?;
    Ok(Caller {
        name: token.name,
        owner: token.owner,
        scope: token.scope,
        requests_per_minute: token.requests_per_minute,
        uploads_per_day: token.uploads_per_day,
    })
}

/// What a token must be good for.
fn needed_scope(method: &Method, path: &str) -> Scope {
    if ADMIN_ONLY.contains(&path) {
        return Scope::Admin;
    }
    let is_read = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if is_read || READ_ONLY.contains(&path) {
        return Scope::Read;
    }
    if ADMIN_TO_CHANGE.contains(&path) {
        return Scope::Admin;
    }
    Scope::Write
}

/// The token in `Bearer <token>`; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, secret) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(secret.trim())
        .filter(|secret| !secret.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something_needs_more_than_what_reads() {
        for (method, path, needed) in [
            (Method::GET, "/api/v1/batches", Scope::Read),
            (Method::HEAD, "/api/v1/batches", Scope::Read),
            (Method::POST, "/api/v1/lists/preview", Scope::Read),
            (Method::POST, "/upload", Scope::Write),
            (Method::DELETE, "/api/v1/batches/{id}", Scope::Write),
            (Method::GET, "/api/v1/system/intake", Scope::Read),
            (Method::POST, "/api/v1/system/intake", Scope::Admin),
            (Method::POST, "/api/v1/system/cache", Scope::Admin),
            (Method::GET, "/api/v1/tokens", Scope::Admin),
            (Method::DELETE, "/api/v1/tokens/{name}", Scope::Admin),
        ] {
            assert_eq!(needed_scope(&method, path), needed, "{method} {path}");
        }
    }

    #[test]
    fn a_bearer_token_follows_its_scheme() {
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("Bearer "), None);
        assert_eq!(bearer("Bearer"), None);
    }
}
