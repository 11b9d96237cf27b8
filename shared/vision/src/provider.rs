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
    /// The provider does not know the key, or has locked it (401, 403; 402 and exhausted quotas).
    #[error("the provider does not accept the key: {0}")]
    BadKey(String),
    /// The provider is in trouble: a status of the 500 class, no connection, no answer in time.
    #[error("the provider failed: {0}")]
    Failed(String),
    /// The provider will not take this question from anybody (any other status of the 400 class).
    #[error("the provider refused the question: {0}")]
    Refused(String),
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
