//! The layer over queues.

use std::time::Duration;

use async_trait::async_trait;
use domain::ports::{Delivery, Outgoing, PortResult, Queue, QueueDepth, WorkQueue};

use super::{Fault, Tapped};

#[async_trait]
impl WorkQueue for Tapped<dyn WorkQueue> {
    async fn send(&self, queue: Queue, messages: &[Outgoing]) -> PortResult<Vec<usize>> {
        let fault = self.process.fault_of(&format!("queue send {queue}")).await;
        if fault == Some(Fault::HalfAccepted) {
            let accepted: Vec<Outgoing> = messages.iter().step_by(2).cloned().collect();
            self.port.send(queue, &accepted).await?;
            return Ok((1..messages.len()).step_by(2).collect());
        }
        let work = || self.port.send(queue, messages);
        self.process.call_with(fault, work).await
    }

    async fn receive(
        &self,
        queue: Queue,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> PortResult<Vec<Delivery>> {
        let work = || self.port.receive(queue, max, visibility, wait);
        self.process.call("queue receive", work).await
    }

    async fn extend(&self, queue: Queue, receipt: &str, visibility: Duration) -> PortResult<bool> {
        let work = || self.port.extend(queue, receipt, visibility);
        self.process.call("queue extend", work).await
    }

    async fn delete(&self, queue: Queue, receipts: &[String]) -> PortResult<()> {
        let work = || self.port.delete(queue, receipts);
        self.process.call("queue delete", work).await
    }

    async fn receive_dead(
        &self,
        queue: Queue,
        max: usize,
        visibility: Duration,
    ) -> PortResult<Vec<Delivery>> {
        let work = || self.port.receive_dead(queue, max, visibility);
        self.process.call("queue receive_dead", work).await
    }

    async fn delete_dead(&self, queue: Queue, receipts: &[String]) -> PortResult<()> {
        let work = || self.port.delete_dead(queue, receipts);
        let name = format!("queue delete_dead {queue}");
        self.process.call(&name, work).await
    }

    async fn depth(&self, queue: Queue) -> PortResult<QueueDepth> {
        let work = || self.port.depth(queue);
        self.process.call("queue depth", work).await
    }
}
