//! The ports of `domain` on AWS: state in DynamoDB, queues in SQS, objects in S3, announcements on SNS, secrets in Secrets Manager.
//!
//! [`Aws`] is the way in: made from [`Settings`], it hands out the ports. Making it opens no connection and reads no file, so that a
//! function pays at its start for nothing that its first event does not need.
//!
//! Every request is tried again with random pauses while that may help, for up to 12 seconds. A caller with less time drops the call:
//! all of them may be dropped at any point and repeated.

mod clients;
mod error;
mod event_source;
mod objects;
mod observing;
mod queue;
mod secrets;
mod settings;
mod signed;
mod store;
mod topic;
mod transport;
mod uploads;

use std::sync::Arc;

use domain::ports::{
    AccessStore, Announcements, BatchStore, CacheStore, CallObserver, DownloadUrls, KeyStore,
    MonitoringStore, PortResult, Scaler, UploadUrls, WorkQueue,
};
use object_store::ObjectStore;
use object_store::aws::AmazonS3;

use crate::clients::Clients;
use crate::event_source::EventSource;
use crate::objects::PresignedDownloads;
use crate::queue::SqsQueue;
use crate::store::DynamoStore;
use crate::topic::SnsTopic;
use crate::uploads::PresignedUploads;

pub use event_source::{CHUNKS_A_POLLER, EventSourceKnob};
pub use secrets::Secrets;
pub use settings::{Settings, SettingsError};
pub use signed::RekognitionClient;

/// One deployment: its table, queues, bucket and secrets. All ports share one HTTP client.
pub struct Aws {
    clients: Arc<Clients>,
    bucket: Arc<AmazonS3>,
}

impl Aws {
    /// The deployment that `settings` names. `Rejected` when S3 cannot be asked with them.
    pub fn new(settings: Settings) -> PortResult<Self> {
        Self::over(Clients::new(settings))
    }

    /// The same, whose calls to the table are shown to `observer`.
    pub fn observed(settings: Settings, observer: Arc<dyn CallObserver>) -> PortResult<Self> {
        Self::over(Clients::new(settings).observed_by(observer))
    }

    fn over(clients: Clients) -> PortResult<Self> {
        let clients = Arc::new(clients);
        let bucket = Arc::new(objects::bucket(&clients)?);
        Ok(Self { clients, bucket })
    }

    /// Batches, shards and indicators, in one table.
    ///
    /// Beyond the port's contract: a shard of a batch that does not exist is `Rejected`, and so are indicators of more than 31 days at
    /// once. A deletion is not one step: the batch itself goes last, so that one that was broken off can be seen and repeated.
    pub fn store(&self) -> Arc<dyn BatchStore> {
        Arc::new(DynamoStore::new(Arc::clone(&self.clients)))
    }

    /// Who may ask, in the same table.
    pub fn access(&self) -> Arc<dyn AccessStore> {
        Arc::new(DynamoStore::new(Arc::clone(&self.clients)))
    }

    /// What operators see, in the same table.
    pub fn monitoring(&self) -> Arc<dyn MonitoringStore> {
        Arc::new(DynamoStore::new(Arc::clone(&self.clients)))
    }

    /// What is known of the keys of vision providers, in the same table.
    pub fn keys(&self) -> Arc<dyn KeyStore> {
        Arc::new(DynamoStore::new(Arc::clone(&self.clients)))
    }

    /// Answers worth keeping, in the same table.
    pub fn cache(&self) -> Arc<dyn CacheStore> {
        Arc::new(DynamoStore::new(Arc::clone(&self.clients)))
    }

    /// The work queues. A queue whose address is not configured is `Rejected` when it is used.
    ///
    /// Interruptions are always 0: SQS does not tell a receiver that failed from one that stopped, and counts both as receives. Delays
    /// and visibility time-outs are rounded up to whole seconds.
    pub fn queue(&self) -> Arc<dyn WorkQueue> {
        Arc::new(SqsQueue::new(Arc::clone(&self.clients)))
    }

    /// Lists, chunks, results and reports, in one bucket.
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.bucket) as _
    }

    /// Presigned addresses of objects, for downloads that do not pass through the API; each is of use for 15 minutes.
    pub fn download_urls(&self) -> Arc<dyn DownloadUrls> {
        Arc::new(PresignedDownloads {
            bucket: Arc::clone(&self.bucket),
        })
    }

    /// Presigned addresses for lists that are too large for the API; each is of use for 15 minutes.
    pub fn upload_urls(&self) -> Arc<dyn UploadUrls> {
        Arc::new(PresignedUploads {
            bucket: Arc::clone(&self.bucket),
            transport: self.clients.transport.clone(),
        })
    }

    /// The topic with this ARN.
    pub fn topic(&self, arn: impl Into<String>) -> Arc<dyn Announcements> {
        Arc::new(SnsTopic::new(Arc::clone(&self.clients), arn.into()))
    }

    /// Amazon Rekognition, which says what images show.
    pub fn rekognition(&self) -> RekognitionClient {
        RekognitionClient::new(Arc::clone(&self.clients))
    }

    /// The event source with this UUID, of which `knob` is turned. Asked once: whoever scales comes again.
    pub fn event_source(&self, uuid: impl Into<String>, knob: EventSourceKnob) -> Arc<dyn Scaler> {
        let clients = Arc::clone(&self.clients);
        Arc::new(EventSource::new(clients, uuid.into(), knob))
    }

    /// Secrets, such as the API's tokens.
    pub fn secrets(&self) -> Secrets {
        Secrets::new(Arc::clone(&self.clients))
    }
}
