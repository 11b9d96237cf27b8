//! Tokens, and how much they were used.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Creation, PortResult};
use crate::{AccessToken, TokenHash};

/// Who may ask, and how often they did.
///
/// After an `Err` of a kind that may be retried, the call may have been carried out or not.
#[async_trait]
pub trait AccessStore: Send + Sync + 'static {
    /// Stores a new token, if there is none of its name, revoked ones included.
    async fn create_token(&self, token: &AccessToken) -> PortResult<Creation>;

    /// The token with this hash, revoked or not, or `None`.
    async fn token_by_hash(&self, hash: &TokenHash) -> PortResult<Option<AccessToken>>;

    /// Every token, revoked ones included, by name.
    async fn tokens(&self) -> PortResult<Vec<AccessToken>>;

    /// Revokes the token of this name; one that is revoked keeps its time. `false` when there is none.
    async fn revoke_token(&self, name: &str, now: Timestamp) -> PortResult<bool>;

    /// Adds `amount` to a counter, which begins at 0, and returns its sum. From `expires_at` on, seconds or days later, the counter may
    /// be forgotten. A repeat counts again.
    async fn count_use(&self, counter: &str, amount: u64, expires_at: Timestamp)
    -> PortResult<u64>;
}
