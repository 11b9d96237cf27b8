//! What an image shows: what an owner asks for, and what it came to.

use std::ops::{AddAssign, SubAssign};

use serde::{Deserialize, Serialize};

/// Which of two queues the images of a batch wait in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// In turn.
    #[default]
    Normal,
    /// Before all that are normal.
    High,
}

/// When two images are the same to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum VisionReuse {
    /// The same bytes.
    #[default]
    Exact,
    /// The same perceptual hashes: copies that were saved anew, in another size or format.
    Near,
}

/// That a model is to say what the images of a batch show, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct VisionOptions {
    /// Which queue its images wait in.
    pub priority: Priority,
    /// Which images share an answer.
    pub reuse: VisionReuse,
    /// Millionths of a US dollar from which on nothing more is asked; no bound when unset.
    pub budget_micro_usd: Option<u64>,
}

/// How far the labelling is, and what it cost. Sums over parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct VisionCounters {
    /// Rows whose image is to be labelled.
    pub expected: u64,
    /// Of them, those that are through, in whatever way.
    pub done: u64,
    /// Rows with an answer.
    pub labelled: u64,
    /// Rows without one, because the provider gave none that can be used.
    pub errors: u64,
    /// Rows without one, because the budget was used up.
    pub over_budget: u64,
    /// Rows whose answer was there already, and cost nothing.
    pub reused: u64,
    /// Calls that were paid.
    pub calls: u64,
    /// Tokens that went in.
    pub input_tokens: u64,
    /// Tokens that came out.
    pub output_tokens: u64,
    /// What the calls cost, in millionths of a US dollar.
    pub micro_usd: u64,
}

impl VisionCounters {
    /// Whether nothing was labelled or is to be.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The sums with their names, for whoever stores each by itself.
    pub const fn named(&self) -> [(&'static str, u64); 10] {
        let Self {
            expected,
            done,
            labelled,
            errors,
            over_budget,
            reused,
            calls,
            input_tokens,
            output_tokens,
            micro_usd,
        } = *self;
        [
            ("expected", expected),
            ("done", done),
            ("labelled", labelled),
            ("errors", errors),
            ("over_budget", over_budget),
            ("reused", reused),
            ("calls", calls),
            ("input_tokens", input_tokens),
            ("output_tokens", output_tokens),
            ("micro_usd", micro_usd),
        ]
    }

    /// The sum of a name; `None` for any other name.
    pub fn of_name(&mut self, name: &str) -> Option<&mut u64> {
        Some(match name {
            "expected" => &mut self.expected,
            "done" => &mut self.done,
            "labelled" => &mut self.labelled,
            "errors" => &mut self.errors,
            "over_budget" => &mut self.over_budget,
            "reused" => &mut self.reused,
            "calls" => &mut self.calls,
            "input_tokens" => &mut self.input_tokens,
            "output_tokens" => &mut self.output_tokens,
            "micro_usd" => &mut self.micro_usd,
            _ => return None,
        })
    }

    fn combine(&mut self, other: &Self, combine: impl Fn(u64, u64) -> u64) {
        for (name, value) in other.named() {
            if let Some(sum) = self.of_name(name) {
                *sum = combine(*sum, value);
            }
        }
    }
}

impl AddAssign<&Self> for VisionCounters {
    fn add_assign(&mut self, other: &Self) {
        self.combine(other, |sum, value| sum + value);
    }
}

impl SubAssign<&Self> for VisionCounters {
    fn sub_assign(&mut self, other: &Self) {
        self.combine(other, u64::saturating_sub);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sum_has_its_name() {
        let mut counters = VisionCounters::default();
        for (position, (name, _)) in VisionCounters::default().named().into_iter().enumerate() {
            *counters.of_name(name).unwrap() = position as u64 + 1;
        }
        let values = counters.named().map(|(_, value)| value);
        assert_eq!(values, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        let mut twice = counters;
        twice += &counters;
        assert_eq!(twice.micro_usd, 20);
        twice -= &counters;
        assert_eq!(twice, counters);
    }
}
