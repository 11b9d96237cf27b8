//! Objects in one S3 bucket.

use std::time::Duration;

use domain::ports::{PortError, PortErrorKind, PortResult};
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut, S3CopyIfNotExists};
use object_store::{BackoffConfig, RetryConfig};

use crate::clients::Clients;

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
