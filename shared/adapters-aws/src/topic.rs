//! A topic of SNS.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_sns::types::MessageAttributeValue;
use domain::BatchId;
use domain::ports::{Announcements, PortResult};

use crate::clients::Clients;
use crate::error::{fault, rejected};

/// Attribute that subscribers filter by.
const KIND: &str = "type";

pub(crate) struct SnsTopic {
    clients: Arc<Clients>,
    arn: String,
}

impl SnsTopic {
    pub(crate) const fn new(clients: Arc<Clients>, arn: String) -> Self {
        Self { clients, arn }
    }
}

#[async_trait]
impl Announcements for SnsTopic {
    async fn announce(&self, batch: BatchId, kind: &str, notice: &str) -> PortResult<()> {
        const OPERATION: &str = "announce";
        let attribute = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(kind)
            .build()
            .map_err(|error| rejected(OPERATION, error))?;
        self.clients
            .sns()
            .publish()
            .topic_arn(&self.arn)
            .subject(format!("{kind} {batch}"))
            .message(notice)
            .message_attributes(KIND, attribute)
            .send()
            .await
            .map_err(|error| fault(OPERATION, error))?;
        Ok(())
    }
}
