//! What becomes of an image.

use caching::Cached;
use domain::{PartRef, VisionCounters};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An answer as it is kept: with what it cost, so that a part whose process died, or was overtaken by another, still counts what was
/// paid for it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptAnswer {
    pub(super) answer: Map<String, Value>,
    /// The part that paid.
    pub(super) paid_by: String,
    /// What it paid: of several images in a call, the first carries all of it.
    #[serde(default)]
    pub(super) paid: VisionCounters,
}

/// The name of a part in what it paid for.
pub(super) fn payer(part: PartRef) -> String {
    format!("{}/{}.{}", part.batch, part.chunk, part.part)
}

/// What became of an image.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum End {
    /// What it shows, and whether that was known already.
    Answer {
        answer: Map<String, Value>,
        is_reused: bool,
        /// What an attempt at the same part has paid for it that never came to store its step.
        recovered: VisionCounters,
    },
    /// No answer, and why.
    Error(String),
    OverBudget,
    Cancelled,
}

impl End {
    /// What is known already, to the part `by`.
    pub(super) fn of_cached(cached: &Cached, by: &str) -> Self {
        match serde_json::from_slice::<KeptAnswer>(&cached.value) {
            Ok(kept) if !cached.is_negative => {
                let is_ours = kept.paid_by == by;
                Self::Answer {
                    answer: kept.answer,
                    is_reused: !is_ours,
                    recovered: if is_ours {
                        kept.paid
                    } else {
                        VisionCounters::default()
                    },
                }
            }
            _ => Self::Error(String::from_utf8_lossy(&cached.value).into_owned()),
        }
    }

    pub(super) fn count(&self, rows: u64, total: &mut VisionCounters) {
        total.done += rows;
        match self {
            Self::Answer {
                is_reused,
                recovered,
                ..
            } => {
                *total += recovered;
                total.labelled += rows;
                // Of several rows with the image that was paid for, all but one cost nothing.
                total.reused += if *is_reused { rows } else { rows - 1 };
            }
            Self::Error(_) => total.errors += rows,
            Self::OverBudget => total.over_budget += rows,
            Self::Cancelled => {}
        }
    }

    /// The field `vision` of its rows.
    pub(super) fn row(self, provider: &str) -> Option<Map<String, Value>> {
        let mut row = match self {
            Self::Answer { answer, .. } => answer,
            Self::Error(reason) => Map::from_iter([("error".to_owned(), reason.into())]),
            Self::OverBudget => {
                let reason = "the budget of the batch is used up";
                return Some(Map::from_iter([("skipped".to_owned(), reason.into())]));
            }
            Self::Cancelled => return None,
        };
        row.insert("provider".to_owned(), provider.into());
        Some(row)
    }
}
