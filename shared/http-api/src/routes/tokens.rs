//! Tokens: made, listed, revoked by administrators; seen by whoever holds one.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use domain::ports::Creation;
use domain::{AccessToken, Scope};
use http::StatusCode;
use jiff::Timestamp;
use pipeline::PipelineError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::{Caller, new_secret};
use crate::extract::{Json, Path};
use crate::openapi::Problems;
use crate::{ApiState, Problem};

/// Longest name of a token or owner, in characters.
const MAX_NAME_CHARS: usize = 100;

/// Largest quota.
const MAX_QUOTA: u32 = 1_000_000;

/// The token that asks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OwnToken {
    name: String,
    /// Whose batches it makes and sees.
    owner: String,
    scope: Scope,
}

/// Says who asks: name, owner and scope of the token.
#[utoipa::path(
    get,
    path = "/api/v1/token",
    tag = "tokens",
    responses((status = 200, description = "The token that asks.", body = OwnToken), Problems)
)]
pub(crate) async fn own(Extension(caller): Extension<Caller>) -> Answer<OwnToken> {
    Answer(OwnToken {
        name: caller.name,
        owner: caller.owner,
        scope: caller.scope,
    })
}

/// A token as it is listed: without its secret, which nobody knows any more.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListedToken {
    name: String,
    owner: String,
    scope: Scope,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
    /// Null for the server's bound.
    requests_per_minute: Option<u32>,
    /// Null for the server's bound.
    uploads_per_day: Option<u32>,
}

impl From<AccessToken> for ListedToken {
    fn from(token: AccessToken) -> Self {
        Self {
            name: token.name,
            owner: token.owner,
            scope: token.scope,
            created_at: token.created_at,
            revoked_at: token.revoked_at,
            requests_per_minute: token.requests_per_minute,
            uploads_per_day: token.uploads_per_day,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenList {
    data: Vec<ListedToken>,
}

/// Lists every token that was made through this API or the command, revoked ones included. For administrators.
#[utoipa::path(
    get,
    path = "/api/v1/tokens",
    tag = "tokens",
    responses((status = 200, description = "The tokens, by name.", body = TokenList), Problems)
)]
pub(crate) async fn list(State(state): State<ApiState>) -> Result<Answer<TokenList>, Problem> {
    let tokens = state.access.tokens().await.map_err(PipelineError::from)?;
    Ok(Answer(TokenList {
        data: tokens.into_iter().map(ListedToken::from).collect(),
    }))
}

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// What it is called; no two have the same name, ever.
    #[schema(min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9_.@-]+$")]
    name: String,
    /// Whose batches it makes and sees; its name when unset.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100, pattern = "^[A-Za-z0-9_.@-]+$")]
    owner: Option<String>,
    scope: Scope,
    /// Requests in a minute; the server's bound when unset.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1_000_000)]
    requests_per_minute: Option<u32>,
    /// Lists handed in on a day (UTC); the server's bound when unset.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1_000_000)]
    uploads_per_day: Option<u32>,
}

/// A token that was made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MadeToken {
    /// The secret to send. It is not kept: this is the one time that it is shown.
    token: String,
    #[serde(flatten)]
    listed: ListedToken,
}

/// Makes a token. For administrators.
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    tag = "tokens",
    request_body = NewToken,
    responses((status = 201, description = "The token, with its secret.", body = MadeToken), Problems)
)]
pub(crate) async fn create(
    State(state): State<ApiState>,
    Json(wanted): Json<NewToken>,
) -> Result<Response, Problem> {
    let owner = wanted.owner.unwrap_or_else(|| wanted.name.clone());
    for (field, name) in [("name", &wanted.name), ("owner", &owner)] {
        check_name(field, name)?;
    }
    for (field, quota) in [
        ("requests_per_minute", wanted.requests_per_minute),
        ("uploads_per_day", wanted.uploads_per_day),
    ] {
        if quota.is_some_and(|quota| !(1..=MAX_QUOTA).contains(&quota)) {
            let detail = format!(
                "`{field}` is a number from 1 to {MAX_QUOTA}; leave it out for the server's bound."
            );
            return Err(Problem::bad_request(detail));
        }
    }
    let (secret, sha256) = new_secret().map_err(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "no random numbers"
        );
        Problem::internal()
    })?;
    let token = AccessToken {
        name: wanted.name,
        owner,
        scope: wanted.scope,
        sha256,
        created_at: state.ports.clock.now(),
        revoked_at: None,
        requests_per_minute: wanted.requests_per_minute,
        uploads_per_day: wanted.uploads_per_day,
    };
    let created = state.access.create_token(&token).await;
    if created.map_err(PipelineError::from)? == Creation::AlreadyThere {
        return Err(Problem::token_name_taken());
    }
    let made = MadeToken {
        token: secret,
        listed: token.into(),
    };
    Ok((StatusCode::CREATED, Answer(made)).into_response())
}

/// Names go into paths and log lines as they are.
fn check_name(field: &str, name: &str) -> Result<(), Problem> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_.@-".contains(letter);
    if (1..=MAX_NAME_CHARS).contains(&name.len()) && name.chars().all(is_plain) {
        return Ok(());
    }
    let detail =
        format!("`{field}` has 1 to {MAX_NAME_CHARS} letters, digits, `_`, `.`, `@` and `-`.");
    Err(Problem::bad_request(detail))
}

/// Revokes a token: within seconds nobody is let in with it. Its batches stay. May be repeated. For administrators.
#[utoipa::path(
    delete,
    path = "/api/v1/tokens/{name}",
    tag = "tokens",
    params(("name" = String, Path, description = "The token's name.", pattern = "^[A-Za-z0-9_.@-]{1,100}$")),
    responses((status = 204, description = "It is revoked."), Problems)
)]
pub(crate) async fn revoke(
    State(state): State<ApiState>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let now = state.ports.clock.now();
    let revoked = state.access.revoke_token(&name, now).await;
    if !revoked.map_err(PipelineError::from)? {
        return Err(Problem::no_such_token());
    }
    state.settings.known_tokens.forget();
    Ok(StatusCode::NO_CONTENT)
}
