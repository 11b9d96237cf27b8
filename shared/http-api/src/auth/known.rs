//! Tokens of the store, each kept in memory for a while: not every request asks the store.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use domain::{AccessToken, TokenHash};
use parking_lot::Mutex;
use pipeline::PipelineError;
use subtle::ConstantTimeEq;

use crate::{ApiState, Problem};

/// Tokens kept at most; beyond it all are asked for anew.
const MAX_KEPT: usize = 10_000;

/// Tokens that were asked for, found or not.
#[derive(Debug)]
pub struct KnownTokens {
    kept_for: Duration,
    kept: Mutex<HashMap<TokenHash, (Instant, Option<AccessToken>)>>,
}

impl KnownTokens {
    /// Keeps a token for this long: a token that was revoked elsewhere is let in no longer than that.
    pub fn kept_for(kept_for: Duration) -> Self {
        Self {
            kept_for,
            kept: Mutex::default(),
        }
    }

    /// The token with this hash, unless it is revoked.
    pub(super) async fn find(
        &self,
        state: &ApiState,
        hash: &TokenHash,
    ) -> Result<Option<AccessToken>, Problem> {
        let kept = self.kept.lock().get(hash).cloned();
        if let Some((at, token)) = kept
            && at.elapsed() < self.kept_for
        {
            return Ok(token);
        }
        let token = state.access.token_by_hash(hash).await;
        let token = token.map_err(PipelineError::from)?.filter(|token| {
            token.revoked_at.is_none() && bool::from(token.sha256.0.ct_eq(&hash.0))
        });
        let mut kept = self.kept.lock();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(*hash, (Instant::now(), token.clone()));
        Ok(token)
    }

    /// Forgets all: something about tokens has changed.
    pub(crate) fn forget(&self) {
        self.kept.lock().clear();
    }
}
