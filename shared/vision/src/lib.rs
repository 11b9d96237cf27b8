//! What an image shows, asked of a model that others run and that is paid by the call.
//!
//! | module | what |
//! |---|---|
//! | [`KeyState`], [`RateSettings`] | how fast one key may be used: pure arithmetic |
//! | [`KeyPool`] | the keys of a provider, shared by any number of processes through a store |
//! | [`Task`] | prompt, model and schema: what is asked, and what an answer has to look like |
//! | [`VisionProvider`] | somebody who answers; [`OpenAi`] for everything that speaks its protocol, [`Rekognition`] |
//! | [`VisionSettings`] | all of it from variables |
//!
//! Nothing here connects, allocates a client or reads a key before the first call.

mod batching;
mod openai;
mod pool;
mod provider;
mod rate;
mod rekognition;
mod settings;
mod task;

pub use batching::AdaptiveBatch;
pub use openai::OpenAi;
pub use pool::{ApiKey, Block, KeyPool, PoolStats, Take};
pub use provider::{Answer, BadAnswer, CallError, Reply, Usage, VisionProvider};
pub use rate::{BlockReport, KeyState, RateSettings};
pub use rekognition::{Rekognition, RekognitionCalls};
pub use settings::{
    OpenAiSettings, ProviderKind, VisionSettings, VisionSettingsError, model_image_side, pricing,
    read_keys,
};
pub use task::{Pricing, Task, TaskError};
