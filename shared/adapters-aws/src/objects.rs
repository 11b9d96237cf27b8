//! Objects in one S3 bucket, and addresses at which tables are fetched.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ports::{DownloadUrls, PortError, PortErrorKind, PortResult};
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut, S3CopyIfNotExists};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{BackoffConfig, RetryConfig};

use crate::clients::Clients;

/// How long an address is of use. Temporary credentials may end before that, and the address with them.
const URL_LIFETIME: Duration = Duration::from_secs(15 * 60);
const MAX_RETRIES: usize = 4;
/// No new attempt begins after this.
const RETRY_TIMEOUT: Duration = Duration::from_secs(12);
const INITIAL_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// The bucket. Opens no connection.
pub(crate) fn bucket(clients: &Clients) -> PortResult<AmazonS3> {
    let settings = &clients.settings;
    let credentials = &settings.credentials;
    let mut builder = AmazonS3Builder::new()
        .with_region(&settings.region)
        .with_bucket_name(&settings.bucket)
        .with_access_key_id(credentials.access_key_id())
        .with_secret_access_key(credentials.secret_access_key())
        .with_http_connector(clients.transport.clone())
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_copy_if_not_exists(S3CopyIfNotExists::Header(
            "if-none-match".to_owned(),
            "*".to_owned(),
        ))
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: INITIAL_BACKOFF,
                max_backoff: MAX_BACKOFF,
                base: 2.0,
            },
            max_retries: MAX_RETRIES,
            retry_timeout: RETRY_TIMEOUT,
        });
    if let Some(token) = credentials.session_token() {
        builder = builder.with_token(token);
    }
    builder = match &settings.endpoints.s3 {
        // Stand-ins for S3 have one name, not one for every bucket.
        Some(endpoint) => builder
            .with_endpoint(endpoint)
            .with_allow_http(endpoint.starts_with("http:")),
        None => builder.with_virtual_hosted_style_request(true),
    };
    builder
        .build()
        .map_err(|error| PortError::new(PortErrorKind::Rejected, "open bucket", error))
}

/// Presigned addresses of S3.
pub(crate) struct PresignedDownloads {
    pub(crate) bucket: Arc<AmazonS3>,
}

/// Without the bucket, which holds credentials.
impl fmt::Debug for PresignedDownloads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PresignedDownloads")
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl DownloadUrls for PresignedDownloads {
    async fn download_url(&self, key: &str) -> PortResult<String> {
        let key = Path::from(key);
        let url = self
            .bucket
            .signed_url(http::Method::GET, &key, URL_LIFETIME)
            .await;
        let url = url.map_err(|error| {
            PortError::new(PortErrorKind::Rejected, "sign download address", error)
        })?;
        Ok(url.into())
    }
}
