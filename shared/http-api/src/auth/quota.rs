//! How often a token may ask: requests a minute, lists a day. Counted in the store, in blocks, so that all processes together keep to it
//! and few requests cost a write.

use std::collections::HashMap;

use domain::ports::AccessStore;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use pipeline::PipelineError;

use super::Caller;
use crate::{ApiState, Problem};

const MINUTE_S: i64 = 60;
const DAY_S: i64 = 24 * 60 * 60;
/// A process takes at most this share of what is allowed at once. It begins with one and doubles: what processes hold that stand idle or
/// have died is no more than what they used.
const BLOCKS: u32 = 20;
/// Counters kept in memory; beyond it those of past windows are dropped.
const MAX_KEPT: usize = 1_000;

/// What a token may do that has no quota of its own; `None` for no bound.
#[derive(Debug, Clone, Copy, Default)]
pub struct QuotaSettings {
    /// Requests in a minute.
    pub requests_per_minute: Option<u32>,
    /// Lists handed in on a day (UTC).
    pub uploads_per_day: Option<u32>,
}

/// Keeps count.
#[derive(Debug, Default)]
pub struct Quotas {
    settings: QuotaSettings,
    taken: Mutex<HashMap<String, Taken>>,
}

/// What this process took out of one counter in one window.
#[derive(Debug, Default)]
struct Taken {
    window: i64,
    left: u32,
    /// Size of the last block.
    block: u32,
    is_spent: bool,
}

/// One counter: whose, over which time, how much.
struct Allowance {
    counter: String,
    window_s: i64,
    limit: u32,
    max_block: u32,
}

impl Quotas {
    /// With these for tokens that have none of their own.
    pub fn new(settings: QuotaSettings) -> Self {
        Self {
            settings,
            taken: Mutex::default(),
        }
    }

    /// Takes one request, and one upload if it is one, or says when to come again.
    pub(super) async fn take(
        &self,
        state: &ApiState,
        caller: &Caller,
        is_upload: bool,
    ) -> Result<(), Problem> {
        let requests = caller
            .requests_per_minute
            .or(self.settings.requests_per_minute);
        if let Some(limit) = requests {
            let allowance = Allowance {
                counter: format!("requests/{}", caller.name),
                window_s: MINUTE_S,
                limit,
                max_block: (limit / BLOCKS).max(1),
            };
            self.take_one(state, &allowance).await?;
        }
        let uploads = caller.uploads_per_day.or(self.settings.uploads_per_day);
        if let (true, Some(limit)) = (is_upload, uploads) {
            let allowance = Allowance {
                counter: format!("uploads/{}", caller.name),
                window_s: DAY_S,
                limit,
                max_block: 1,
            };
            self.take_one(state, &allowance).await?;
        }
        Ok(())
    }

    async fn take_one(&self, state: &ApiState, allowance: &Allowance) -> Result<(), Problem> {
        let now = state.ports.clock.now();
        let window = now.as_second().div_euclid(allowance.window_s);
        let ends = (window + 1) * allowance.window_s;
        let refused = || {
            let retry_after_s = (ends - now.as_second()).max(1);
            Err(Problem::quota_used_up(
                allowance.limit,
                allowance.window_s,
                retry_after_s,
            ))
        };
        if let Some(is_allowed) = self.take_here(&allowance.counter, window) {
            return if is_allowed { Ok(()) } else { refused() };
        }
        let block = self.next_block(allowance, window);
        let granted = reserve(state.access.as_ref(), allowance, block, window, ends).await;
        let granted = granted.map_err(PipelineError::from)?;
        let mut taken = self.taken.lock();
        if taken.len() >= MAX_KEPT {
            // Windows of minutes and days are numbered apart; a count that is dropped is reserved again.
            taken.clear();
        }
        let entry = taken.entry(allowance.counter.clone()).or_default();
        if entry.window != window {
            *entry = Taken {
                window,
                ..Taken::default()
            };
        }
        entry.block = block;
        let Some(left) = granted.checked_sub(1) else {
            entry.is_spent = true;
            return refused();
        };
        entry.left += left;
        Ok(())
    }

    /// How much to reserve next: twice as much as last time in this window.
    fn next_block(&self, allowance: &Allowance, window: i64) -> u32 {
        let taken = self.taken.lock();
        let entry = taken.get(&allowance.counter);
        let last = entry
            .filter(|entry| entry.window == window)
            .map_or(0, |entry| entry.block);
        last.saturating_mul(2).clamp(1, allowance.max_block)
    }

    /// Takes one of what this process has reserved; `None` when it has to reserve more.
    fn take_here(&self, counter: &str, window: i64) -> Option<bool> {
        let mut taken = self.taken.lock();
        let entry = taken.get_mut(counter)?;
        if entry.window != window {
            return None;
        }
        if entry.left > 0 {
            entry.left -= 1;
            return Some(true);
        }
        entry.is_spent.then_some(false)
    }
}

/// Takes a block out of the counter; how much of it is within the limit.
async fn reserve(
    access: &dyn AccessStore,
    allowance: &Allowance,
    block: u32,
    window: i64,
    ends: i64,
) -> domain::ports::PortResult<u32> {
    let counter = format!("{}/{window}", allowance.counter);
    let expires_at = Timestamp::from_second(ends).unwrap_or(Timestamp::MAX)
        + SignedDuration::from_secs(allowance.window_s.min(3_600));
    let block = u64::from(block);
    let sum = access.count_use(&counter, block, expires_at).await?;
    let before = sum.saturating_sub(block);
    let left = u64::from(allowance.limit).saturating_sub(before);
    Ok(left.min(block) as u32)
}
