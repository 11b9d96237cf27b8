//! What the consumers of queues do with a message, each in a process of its own.

use domain::ports::Queue;
use domain::{ChunkMessage, FinalizeMessage, MetricsMessage, SplitMessage, VisionMessage};
use futures::TryFutureExt;
use pipeline::analyze_chunk::{AnalyzeSettings, Analyzer, Budget};
use pipeline::earlier::KeptComparison;
use pipeline::intake::IntakeGate;
use pipeline::split::{SplitSettings, split};
use pipeline::{PipelineResult, Ports, notify, parse_message, record_metrics};
use serde::Serialize;

use crate::model::Model;
use crate::world::World;

/// Longest side of the images that a model is shown.
const MODEL_IMAGE_SIDE: u32 = 64;

/// What handlers need beside ports.
pub(crate) struct Workshop {
    fetcher: fetching::Fetcher,
    limits: domain::Limits,
    model: Model,
    /// Whether it is looked if the intake is paused, before anything is begun.
    is_governed: bool,
}

impl Workshop {
    pub(crate) fn of(world: &World, is_governed: bool) -> Self {
        Self {
            fetcher: world.fetcher.clone(),
            limits: world.limits.clone(),
            model: world.model.clone(),
            is_governed,
        }
    }

    pub(crate) async fn handle(
        self,
        ports: &Ports,
        queue: Queue,
        body: &str,
        budget: Budget,
    ) -> PipelineResult<()> {
        match queue {
            Queue::Split => {
                let message: SplitMessage = parse_message(queue, body)?;
                if self.puts_off(ports, queue, &message).await? {
                    return Ok(());
                }
                let settings = SplitSettings {
                    limits: self.limits,
                    chunk_size: 1_000,
                    scratch: ports.scratch.clone(),
                    soft_deadline: budget.soft_deadline,
                    kept: KeptComparison::default(),
                };
                split(ports, &settings, &message).map_ok(drop).await
            }
            Queue::Chunks => {
                let message: ChunkMessage = parse_message(queue, body)?;
                if self.puts_off(ports, queue, &message).await? {
                    return Ok(());
                }
                let settings = AnalyzeSettings {
                    limits: self.limits,
                    concurrency: 8,
                    decoders: 1,
                    decode_bytes: 1024 * 1024,
                    model_image_side: Some(MODEL_IMAGE_SIDE),
                };
                Analyzer::new(ports.clone(), self.fetcher, settings, None)
                    .analyze_chunk(&message, budget)
                    .await
            }
            Queue::Vision | Queue::VisionHigh => {
                let message: VisionMessage = parse_message(queue, body)?;
                let labeller = self.model.labeller(ports);
                labeller.label(&message, budget.soft_deadline).await?;
                labeller.settle().await
            }
            Queue::Metrics => {
                let message: MetricsMessage = parse_message(queue, body)?;
                record_metrics::record_metrics(ports, &message)
                    .map_ok(drop)
                    .await
            }
            Queue::Finalize => {
                let message: FinalizeMessage = parse_message(queue, body)?;
                notify::report(ports, None, message).await
            }
            _ => unreachable!("no storm knows the queue {queue}"),
        }
    }

    /// As functions do, which cannot choose what they are handed.
    async fn puts_off<M: Serialize + Sync>(
        &self,
        ports: &Ports,
        queue: Queue,
        message: &M,
    ) -> PipelineResult<bool> {
        if !self.is_governed {
            return Ok(false);
        }
        IntakeGate::default().puts_off(ports, queue, message).await
    }
}
