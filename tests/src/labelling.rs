//! A provider of labels without a network, for tests that label.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use domain::ports::Clock;
use secrecy::ExposeSecret;
use test_support::vision_provider::{StandInProvider, Verdict, an_answer_about};
use vision::{ApiKey, BadAnswer, CallError, Reply, Task, Usage, VisionProvider};

/// The stand-in, asked in the same process.
pub struct InProcess {
    /// What decides.
    pub provider: Arc<StandInProvider>,
    /// What time it is told.
    pub clock: Arc<dyn Clock>,
    /// What it is asked.
    pub task: Task,
    /// Images that one call takes.
    pub max_images: usize,
    /// Calls that were paid and whose answer nobody was there to hear.
    pub lost: Arc<AtomicU64>,
}

/// A call under way: lost if it is dropped before its answer is there.
struct UnderWay<'a>(&'a AtomicU64);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl VisionProvider for InProcess {
    fn name(&self) -> &'static str {
        "stand-in/model"
    }

    fn max_images(&self) -> usize {
        self.max_images
    }

    async fn label(&self, key: &ApiKey, images: &[Bytes]) -> Result<Reply, CallError> {
        let key = key.secret().expose_secret();
        let files: Vec<Vec<u8>> = images.iter().map(|image| image.to_vec()).collect();
        let usage = Usage {
            input_tokens: 1_000,
            output_tokens: 100,
        };
        match self.provider.call(key, &files, self.clock.now()) {
            Verdict::Answer(latency) => {
                let under_way = UnderWay(&self.lost);
                tokio::time::sleep(latency).await;
                std::mem::forget(under_way);
                let answers = files
                    .iter()
                    .map(|file| self.task.parse(&an_answer_about(file)));
                let answers = answers.collect();
                Ok(Reply { answers, usage })
            }
            Verdict::Malformed(latency) => {
                tokio::time::sleep(latency).await;
                let bad = || Err(BadAnswer("it is not JSON".to_owned()));
                let answers = files.iter().map(|_| bad()).collect();
                Ok(Reply { answers, usage })
            }
            Verdict::Failing => Err(CallError::Failed("500".to_owned())),
            Verdict::TooMany(pause) => Err(CallError::TooMany {
                retry_after: Some(pause),
            }),
            Verdict::UnknownModel => Err(CallError::Misconfigured("model_not_found".to_owned())),
            Verdict::UnknownKey => Err(CallError::BadKey("invalid_api_key".to_owned())),
        }
    }
}
