//! Tokens that are there from the start: the one that `serve` prints, those of a secret manager. They may do everything.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::TokenHash;
use domain::ports::PortResult;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Begins every token, so that one that leaked into a repository is recognised.
const PREFIX: &str = "isw_";

/// A new token of 256 random bits and its hash. `Err` when the system gives no random numbers.
pub fn new_secret() -> io::Result<(String, TokenHash)> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).map_err(io::Error::other)?;
    let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bits));
    let hash = TokenHash(Sha256::digest(secret.as_bytes()).into());
    Ok((secret, hash))
}

/// A token as it is kept: by its hash.
#[derive(Debug, Clone)]
pub struct Token {
    name: String,
    sha256: TokenHash,
}

impl Token {
    /// The token `secret`, known as `name`, which owns the batches created with it.
    pub fn new(name: impl Into<String>, secret: &str) -> Self {
        Self {
            name: name.into(),
            sha256: TokenHash(Sha256::digest(secret.as_bytes()).into()),
        }
    }
}

/// Everybody who may ask from the start.
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
            match hash.parse() {
                Ok(sha256) => tokens.push(Token { name, sha256 }),
                Err(_) => return Err(InvalidTokens::Hash { name }),
            }
        }
        Ok(Self(tokens))
    }

    /// Name of the token with this hash. Every token is compared, so that the time taken tells nothing.
    pub(super) fn name_of(&self, hash: &TokenHash) -> Option<&str> {
        let mut found = None;
        for token in &self.0 {
            if bool::from(token.sha256.0.ct_eq(&hash.0)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of<'a>(tokens: &'a Tokens, secret: &str) -> Option<&'a str> {
        tokens.name_of(&TokenHash(Sha256::digest(secret.as_bytes()).into()))
    }

    #[test]
    fn a_token_is_known_by_its_secret_only() {
        let tokens = Tokens::new(vec![
            Token::new("alice", "s3cret"),
            Token::new("bob", "other"),
        ]);
        assert_eq!(name_of(&tokens, "s3cret"), Some("alice"));
        assert_eq!(name_of(&tokens, "alice"), None);
        assert_eq!(name_of(&tokens, ""), None);
    }

    #[test]
    fn tokens_are_read_from_their_hashes() {
        let hash = "2BB80D537B1DA3E38BD30361AA855686BDE0EACD7162FEF6A25FE97BF527A25B"; // of "secret"
        let json = format!(r#"{{"alice": "{hash}"}}"#);
        let tokens = Tokens::from_hashes(&json).unwrap();
        assert_eq!(name_of(&tokens, "secret"), Some("alice"));
        assert_eq!(name_of(&tokens, hash), None);
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
        assert_eq!(shown, r#"Token { name: "alice", sha256: TokenHash(..) }"#);
    }

    #[test]
    fn a_new_secret_has_256_bits_and_no_two_are_alike() {
        let (first, hash) = new_secret().unwrap();
        let (second, _) = new_secret().unwrap();
        assert_ne!(first, second);
        let bits = URL_SAFE_NO_PAD.decode(first.strip_prefix(PREFIX).unwrap());
        assert_eq!(bits.unwrap().len(), 32);
        assert_eq!(hash.0, <[u8; 32]>::from(Sha256::digest(first.as_bytes())));
    }
}
