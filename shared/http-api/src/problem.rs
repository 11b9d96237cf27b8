//! Errors as RFC 9457 problem details: a stable type, a sentence for a person, no internals.

use axum::response::{IntoResponse, Response};
use domain::Scope;
use http::{HeaderValue, StatusCode, header};
use pipeline::PipelineError;
use serde::Serialize;

/// The type of problem details.
const PROBLEM_JSON: &str = "application/problem+json";
/// Seconds after which a refused request is worth repeating.
const RETRY_AFTER_S: u64 = 5;

/// What a client is told when its request failed: problem details (RFC 9457).
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// A reference that names the kind of problem and never changes.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// This case in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Seconds after which to come again.
    #[serde(skip)]
    retry_after_s: Option<i64>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str) -> Self {
        Self {
            kind,
            title,
            status: status.as_u16(),
            detail: None,
            retry_after_s: None,
        }
    }

    fn with(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "/problems/unauthorized",
            "A valid token is needed",
        )
        .with("Send the header `Authorization: Bearer <token>`.")
    }

    pub(crate) fn scope_too_small(has: Scope, needs: Scope) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "/problems/scope-too-small",
            "The token is not good for this",
        )
        .with(format!(
            "The token has the scope `{has}`; this needs `{needs}`."
        ))
    }

    pub(crate) fn quota_used_up(limit: u32, window_s: i64, retry_after_s: i64) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let what = if window_s == 60 {
            "requests a minute"
        } else {
            "lists a day"
        };
        let mut problem = Self::new(
            status,
            "/problems/quota-used-up",
            "The token's quota is used up",
        )
        .with(format!(
            "The token allows {limit} {what}. Come again in {retry_after_s} seconds."
        ));
        problem.retry_after_s = Some(retry_after_s);
        problem
    }

    pub(crate) fn unreadable_list(detail: String) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(
            status,
            "/problems/unreadable-list",
            "The list cannot be read",
        )
        .with(detail)
    }

    pub(crate) fn no_such_cursor() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "/problems/no-such-cursor",
            "There is no such page",
        )
        .with("The cursor is not one that this route gave out.")
    }

    pub(crate) fn no_such_token() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "/problems/no-such-token",
            "There is no token of this name",
        )
    }

    pub(crate) fn token_name_taken() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "/problems/token-name-taken",
            "There is a token of this name",
        )
        .with("Names are never given twice, also when the token is revoked. To share its batches, give the new one the same `owner`.")
    }

    pub(crate) fn nothing_to_compare() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "/problems/no-figures",
            "There is nothing to save",
        )
        .with("No row ended within the last hour.")
    }

    pub(crate) fn body_too_large() -> Self {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Self::new(
            status,
            "/problems/body-too-large",
            "The body is longer than this route takes",
        )
    }

    /// A handler panicked.
    pub(crate) fn internal() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "/problems/internal", "The service made a mistake")
            .with("The answer's x-request-id header finds it in the log.")
    }

    pub(crate) fn no_such_route() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "/problems/no-such-route",
            "There is no such route",
        )
    }

    pub(crate) fn method_not_allowed() -> Self {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(
            status,
            "/problems/method-not-allowed",
            "The route has no such method",
        )
    }

    pub(crate) fn no_such_batch() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "/problems/no-such-batch",
            "There is no such batch",
        )
    }

    pub(crate) fn no_report_yet() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "/problems/no-report-yet",
            "The report is not written yet",
        )
        .with("It is written once the batch is COMPLETED.")
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "/problems/bad-request",
            "The request is not valid",
        )
        .with(detail)
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "/problems/conflict",
            "The batch is not in a state for that",
        )
        .with(detail)
    }

    pub(crate) fn key_reused() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "/problems/idempotency-key-reused",
            "The Idempotency-Key stands for another request",
        )
        .with("It was sent with another list or other parameters within the last 24 hours. Use a new key for a new request.")
    }

    pub(crate) fn key_spent() -> Self {
        Self::new(
            StatusCode::GONE,
            "/problems/idempotency-key-spent",
            "The batch that this Idempotency-Key created has been deleted",
        )
        .with("Use a new key to create it anew.")
    }

    pub(crate) fn bad_signature() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "/problems/bad-upload-address",
            "The address is not one that was given out, or it has expired",
        )
        .with("POST /api/v1/batches answers with a new one.")
    }

    /// The list is longer than any request may be.
    pub(crate) fn list_too_large(max_bytes: u64) -> Self {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Self::new(status, "/problems/list-too-large", "The list is too large for one request").with(
            format!("An upload takes {max_bytes} bytes. Compress the list with gzip or zstd, or cut it into several."),
        )
    }

    pub(crate) fn too_large(max_bytes: u64) -> Self {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Self::new(status, "/problems/list-too-large", "The list is too large for one request").with(
            format!(
                "This route takes {max_bytes} bytes. Compress the list with gzip or zstd, or hand in larger ones through \
                 POST /api/v1/batches, which answers with a presigned address to upload to."
            ),
        )
    }
}

impl From<PipelineError> for Problem {
    fn from(error: PipelineError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "request failed");
        if error.is_retryable() {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Self::new(
                status,
                "/problems/unavailable",
                "The service cannot answer right now",
            )
            .with("Nothing that was accepted before is lost. Try again in a few seconds.");
        }
        Self::internal()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after_s = self.retry_after_s;
        let mut response = (status, axum::Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        response
    }
}

/// Problem details for what the router itself refuses, with what it says in its header fields: `Allow` where a method is wrong.
pub(crate) async fn of_refusal(response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    if !is_error || content_type.is_some_and(|value| value == PROBLEM_JSON) {
        return response;
    }
    let problem = match status {
        StatusCode::METHOD_NOT_ALLOWED => Problem::method_not_allowed(),
        StatusCode::PAYLOAD_TOO_LARGE => Problem::body_too_large(),
        status if status.is_server_error() => Problem::internal(),
        _ => Problem::bad_request("The request cannot be read."),
    };
    let mut refusal = problem.into_response();
    if let Some(allowed) = response.headers().get(header::ALLOW) {
        refusal.headers_mut().insert(header::ALLOW, allowed.clone());
    }
    refusal
}
