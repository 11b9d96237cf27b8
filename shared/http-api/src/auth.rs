//! Bearer tokens (RFC 6750): hashed at rest, compared in constant time.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::ports::PortResult;
use http::{HeaderValue, header};
use pipeline::PipelineError;
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

    /// Tokens by name, each as the SHA-256 of its secret in 64 hexadecimal digits: the JSON object that a secret manager keeps.
    pub fn from_hashes(json: &str) -> Result<Self, InvalidTokens> {
        let hashes: BTreeMap<String, String> =
            serde_json::from_str(json).map_err(|_| InvalidTokens::Json)?;
        let mut tokens = Vec::with_capacity(hashes.len());
        for (name, hash) in hashes {
            match sha256_of(&hash) {
                Some(sha256) => tokens.push(Token { name, sha256 }),
                None => return Err(InvalidTokens::Hash { name }),
            }
        }
        Ok(Self(tokens))
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

/// What a secret manager keeps is not what it should be. The message shows nothing of it but names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTokens {
    /// It is no JSON object of texts.
    #[error("the tokens are not a JSON object of names and hashes")]
    Json,
    /// A hash is none.
    #[error("the hash of the token {name:?} is not 64 hexadecimal digits")]
    Hash {
        /// Whose.
        name: String,
    },
}

fn sha256_of(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// Where the tokens come from.
#[async_trait]
pub trait TokenSource: Send + Sync + 'static {
    /// Everybody who may ask, now. Called for every request: an implementation that asks somebody else keeps the answer.
    async fn tokens(&self) -> PortResult<Arc<Tokens>>;
}

#[async_trait]
impl TokenSource for Tokens {
    async fn tokens(&self) -> PortResult<Arc<Tokens>> {
        Ok(Arc::new(self.clone()))
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
    let header = request.headers().get(header::AUTHORIZATION).cloned();
    match owner_of(&state, header.as_ref()).await {
        Ok(owner) => {
            request.extensions_mut().insert(owner);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn owner_of(state: &ApiState, header: Option<&HeaderValue>) -> Result<Owner, Problem> {
    let secret = header
        .and_then(|value| value.to_str().ok())
        .and_then(bearer)
        .ok_or_else(Problem::unauthorized)?;
    let tokens = state.tokens.tokens().await.map_err(PipelineError::from)?;
    let name = tokens.name_of(secret);
    name.map(|name| Owner(name.to_owned()))
        .ok_or_else(Problem::unauthorized)
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
    fn tokens_are_read_from_their_hashes() {
        let hash = "2BB80D537B1DA3E38BD30361AA855686BDE0EACD7162FEF6A25FE97BF527A25B"; // of "secret"
        let json = format!(r#"{{"alice": "{hash}"}}"#);
        let tokens = Tokens::from_hashes(&json).unwrap();
        assert_eq!(tokens.name_of("secret"), Some("alice"));
        assert_eq!(tokens.name_of(hash), None);
    }

    #[test]
    fn what_is_no_hash_is_refused_without_being_shown() {
        for json in [r#"{"alice": "hunter2"}"#, r#"{"alice": 1}"#, "hunter2"] {
            let error = Tokens::from_hashes(json).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let plus = format!(r#"{{"alice": "{}"}}"#, "+1".repeat(32));
        assert!(Tokens::from_hashes(&plus).is_err());
    }

    #[test]
    fn debug_output_shows_no_hash() {
        let shown = format!("{:?}", Token::new("alice", "s3cret"));
        assert_eq!(shown, r#"Token { name: "alice", .. }"#);
    }
}
