//! A provider of labels that stands in for a real one: what it permits, and what is wrong with it, is up to the test.
//!
//! The logic knows no network and is told the time, so that minutes of it pass in a second; the HTTP server over it speaks `OpenAI`'s
//! protocol.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// What a key may do.
#[derive(Debug, Clone)]
pub struct KeyRules {
    /// Calls in any sixty seconds.
    pub per_minute: usize,
    /// Calls in any second; no limit of its own when `None`.
    pub per_second: Option<usize>,
    /// Whether the provider knows the key.
    pub is_valid: bool,
}

impl Default for KeyRules {
    fn default() -> Self {
        Self {
            per_minute: 60,
            per_second: None,
            is_valid: true,
        }
    }
}

/// What goes wrong, each in one of so many calls that were permitted; 0 for never.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mischief {
    /// An answer with status 500.
    pub failing: u64,
    /// An answer that is not what was asked for.
    pub malformed: u64,
    /// An answer that takes ten times as long.
    pub slow: u64,
}

/// How the provider answers a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// With labels, after a while.
    Answer(Duration),
    /// With something else, after a while.
    Malformed(Duration),
    /// With 500.
    Failing,
    /// With 429, and this Retry-After.
    TooMany(Duration),
    /// With 401.
    UnknownKey,
    /// With 404: there is no such model.
    UnknownModel,
}

/// What became of the calls of one key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyCount {
    /// Calls that were permitted, and so are paid.
    pub permitted: u64,
    /// Calls answered with 429.
    pub rejected: u64,
    /// Calls answered with 401.
    pub unknown: u64,
}

/// The provider.
pub struct StandInProvider {
    state: Mutex<State>,
    latency: Duration,
}

#[derive(Default)]
struct State {
    rules: HashMap<String, KeyRules>,
    /// When calls of each key were permitted.
    permitted: HashMap<String, VecDeque<Timestamp>>,
    counts: BTreeMap<String, KeyCount>,
    calls: u64,
    mischief: Mischief,
    is_without_model: bool,
    /// How often each image was paid for.
    paid: HashMap<Vec<u8>, u64>,
}

impl StandInProvider {
    /// One that knows these keys and takes so long for an answer.
    pub fn new(keys: impl IntoIterator<Item = (String, KeyRules)>, latency: Duration) -> Self {
        let state = State {
            rules: keys.into_iter().collect(),
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
            latency,
        }
    }

    /// Changes what every key may do a minute, and says so to nobody.
    pub fn permit(&self, per_minute: usize) {
        for rules in self.state().rules.values_mut() {
            rules.per_minute = per_minute;
        }
    }

    /// Lets things go wrong.
    pub fn misbehave(&self, mischief: Mischief) {
        self.state().mischief = mischief;
    }

    /// Whether it has the model that it is asked for.
    pub fn has_model(&self, has_model: bool) {
        self.state().is_without_model = !has_model;
    }

    /// What became of the calls, by key.
    pub fn counts(&self) -> BTreeMap<String, KeyCount> {
        self.state().counts.clone()
    }

    /// Calls that are paid.
    pub fn paid_calls(&self) -> u64 {
        self.counts().values().map(|count| count.permitted).sum()
    }

    /// How often each image was paid for.
    pub fn paid_images(&self) -> HashMap<Vec<u8>, u64> {
        self.state().paid.clone()
    }

    /// Decides about a call with `key` about `images` at `now`.
    pub fn call(&self, key: &str, images: &[Vec<u8>], now: Timestamp) -> Verdict {
        let mut state = self.state();
        let rules = state.rules.get(key).cloned();
        let count = state.counts.entry(key.to_owned()).or_default();
        let Some(rules) = rules.filter(|rules| rules.is_valid) else {
            count.unknown += 1;
            return Verdict::UnknownKey;
        };
        if state.is_without_model {
            return Verdict::UnknownModel;
        }
        let permitted = state.permitted.entry(key.to_owned()).or_default();
        while permitted
            .front()
            .is_some_and(|at| *at <= now - Duration::from_secs(60))
        {
            permitted.pop_front();
        }
        // When the window, or the second, has room again.
        let in_minute = permitted.len();
        let mut room_at = now;
        if in_minute >= rules.per_minute {
            let oldest = permitted[in_minute - rules.per_minute];
            room_at = room_at.max(oldest + Duration::from_secs(60));
        }
        if let Some(per_second) = rules.per_second {
            let second = now - Duration::from_secs(1);
            let in_second = permitted.iter().filter(|at| **at > second).count();
            if in_second >= per_second {
                room_at = room_at.max(now + Duration::from_secs(1));
            }
        }
        if room_at > now {
            let pause = room_at.duration_since(now).unsigned_abs();
            if let Some(count) = state.counts.get_mut(key) {
                count.rejected += 1;
            }
            // Whole seconds, as providers say it.
            return Verdict::TooMany(Duration::from_secs(pause.as_secs() + 1));
        }
        permitted.push_back(now);
        if let Some(count) = state.counts.get_mut(key) {
            count.permitted += 1;
        }
        state.calls += 1;
        for image in images {
            *state.paid.entry(image.clone()).or_default() += 1;
        }
        let hits = |one_in: u64| one_in > 0 && state.calls.is_multiple_of(one_in);
        let Mischief {
            failing,
            malformed,
            slow,
        } = state.mischief;
        let latency = if hits(slow) {
            self.latency * 10
        } else {
            self.latency
        };
        if hits(failing) {
            Verdict::Failing
        } else if hits(malformed) {
            Verdict::Malformed(latency)
        } else {
            Verdict::Answer(latency)
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to any image, of the product's own schema.
pub fn an_answer_about(image: &[u8]) -> String {
    let sum: u64 = image.iter().map(|byte| u64::from(*byte)).sum();
    format!(
        "{{\"caption\":\"Image {sum}.\",\"labels\":[{{\"name\":\"shoe\",\"confidence\":0.97}}],\
         \"text\":[],\"safety\":{{\"safe\":true,\"concerns\":[]}}}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_held_to_its_minute_and_told_when_there_is_room() {
        let rules = KeyRules {
            per_minute: 2,
            ..KeyRules::default()
        };
        let provider = StandInProvider::new([("k".to_owned(), rules)], Duration::from_millis(100));
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let call = |second: u64| provider.call("k", &[], start + Duration::from_secs(second));
        assert!(matches!(call(0), Verdict::Answer(_)));
        assert!(matches!(call(10), Verdict::Answer(_)));
        assert_eq!(call(20), Verdict::TooMany(Duration::from_secs(41)));
        assert!(matches!(call(60), Verdict::Answer(_)));
        assert_eq!(provider.call("x", &[], start), Verdict::UnknownKey);
        assert_eq!(provider.paid_calls(), 3);
    }
}
