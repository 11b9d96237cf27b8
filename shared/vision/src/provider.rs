//! Somebody who says what images show.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ApiKey;

/// What an image shows: an object that the task's schema allows.
pub type Answer = Map<String, Value>;

/// What a call was billed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens that went in, images included.
    pub input_tokens: u64,
    /// Tokens that came out.
    pub output_tokens: u64,
}

/// The provider answered, but not with what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer cannot be used: {0}")]
pub struct BadAnswer(pub String);

/// What one call gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// One an image, in their order.
    pub answers: Vec<Result<Answer, BadAnswer>>,
    /// What is paid for, whatever the answers are worth.
    pub usage: Usage,
}

/// Why a call gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// Too many calls with this key (429).
    #[error("the provider takes no more calls with this key for now")]
    TooMany {
        /// How long to leave the key alone.
        retry_after: Option<Duration>,
    },
    /// The provider does not know the key (401, or its own words in a 400).
    #[error("the provider does not know the key: {0}")]
    BadKey(String),
    /// The provider knows the key, and will not work for it until somebody sees to it (402, 403, exhausted quotas).
    #[error("the provider does not work for the key: {0}")]
    LockedKey(String),
    /// The provider is asked for something that it does not have, whatever the image: an address, a model.
    #[error("the provider cannot be asked like this: {0}")]
    Misconfigured(String),
    /// The provider is in trouble: a status of the 500 class, no connection, no answer in time.
    #[error("the provider failed: {0}")]
    Failed(String),
    /// The provider will not take this question from anybody (any other status of the 400 class).
    #[error("the provider refused the question: {0}")]
    Refused(String),
}

/// A key that the provider does not know is tried again after this long: somebody may have entered it there by then.
const UNKNOWN_FOR: Duration = Duration::from_secs(24 * 3_600);
/// A key that is locked is tried again after this long: quotas are renewed, and bills are paid.
const LOCKED_FOR: Duration = Duration::from_secs(3_600);

impl CallError {
    /// How long the key is of no use; `None` when it is not to blame.
    pub const fn retires_for(&self) -> Option<Duration> {
        match self {
            Self::BadKey(_) => Some(UNKNOWN_FOR),
            Self::LockedKey(_) => Some(LOCKED_FOR),
            _ => None,
        }
    }
}

/// Says what images show.
#[async_trait]
pub trait VisionProvider: Send + Sync + 'static {
    /// Its name, with the model: part of what an answer says about itself.
    fn name(&self) -> &str;

    /// Most images in one call.
    fn max_images(&self) -> usize {
        1
    }

    /// Asks about `images`, JPEG or PNG files, in one call with `key`. Not repeated: the caller counts calls.
    async fn label(&self, key: &ApiKey, images: &[Bytes]) -> Result<Reply, CallError>;
}
