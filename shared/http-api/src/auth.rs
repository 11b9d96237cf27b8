//! Bearer tokens (RFC 6750): hashed at rest, compared in constant time.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{ApiState, Problem};

/// A token as it is kept: by its hash.
#[derive(Clone)]
pub struct Token {
    name: String,
    sha256: [u8; 32],
}

impl Token {
    /// The token `secret`, known as `name`, which owns the batches created with it.
    pub fn new(name: impl Into<String>, secret: &str) -> Self {
        Self {
            name: name.into(),
            sha256: Sha256::digest(secret.as_bytes()).into(),
        }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Token")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Everybody who may ask.
#[derive(Debug, Clone, Default)]
pub struct Tokens(Vec<Token>);

impl Tokens {
    /// These and no others.
    pub const fn new(tokens: Vec<Token>) -> Self {
        Self(tokens)
    }

    /// Name of the token that is `secret`. Every token is compared, so that the time taken tells nothing.
    fn name_of(&self, secret: &str) -> Option<&str> {
        let hash: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let mut found = None;
        for token in &self.0 {
            if bool::from(token.sha256.ct_eq(&hash)) {
                found = Some(token.name.as_str());
            }
        }
        found
    }
}

/// Whose request it is; set by [`require_token`].
#[derive(Debug, Clone)]
pub(crate) struct Owner(pub(crate) String);

/// Lets a request through when it carries a token that is known.
pub(crate) async fn require_token(
    State(state): State<ApiState>,
    mut request: Request,
    next: Next,
) -> Response {
    let owner = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(bearer)
        .and_then(|secret| state.tokens.name_of(secret))
        .map(|name| Owner(name.to_owned()));
    match owner {
        Some(owner) => {
            request.extensions_mut().insert(owner);
            next.run(request).await
        }
        None => Problem::unauthorized().into_response(),
    }
}

/// The token in `Bearer <token>`; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, secret) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(secret.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_secret_only() {
        let tokens = Tokens::new(vec![
            Token::new("alice", "s3cret"),
            Token::new("bob", "other"),
        ]);
        assert_eq!(tokens.name_of("s3cret"), Some("alice"));
        assert_eq!(tokens.name_of("alice"), None);
        assert_eq!(tokens.name_of(""), None);
    }

    #[test]
    fn debug_output_shows_no_hash() {
        let shown = format!("{:?}", Token::new("alice", "s3cret"));
        assert_eq!(shown, r#"Token { name: "alice", .. }"#);
    }
}
