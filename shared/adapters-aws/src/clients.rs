//! The SDK's clients, each built when it is first used, all over one [`Transport`].

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};

use domain::ports::CallObserver;

use crate::observing::Observing;
use crate::settings::Settings;
use crate::transport::Transport;

/// One attempt. Answers take milliseconds; a connection that was lost while the process was frozen should not hold up the next one.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);
/// All attempts of one request with the pauses between them: well within the time that functions keep back for their last steps.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(12);
const MAX_ATTEMPTS: u32 = 6;
/// Pauses are drawn at random between nothing and this, doubled every time up to [`MAX_BACKOFF`].
const INITIAL_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

pub(crate) struct Clients {
    pub(crate) settings: Settings,
    pub(crate) transport: Transport,
    observer: Option<Arc<dyn CallObserver>>,
    dynamodb: OnceLock<aws_sdk_dynamodb::Client>,
    sns: OnceLock<aws_sdk_sns::Client>,
    sqs: OnceLock<aws_sdk_sqs::Client>,
    secrets_manager: OnceLock<aws_sdk_secretsmanager::Client>,
}

/// The configuration types of the services are alike but not the same.
macro_rules! client {
    ($sdk:ident, $clients:expr, $endpoint:ident) => {{
        let settings = &$clients.settings;
        let mut config = $sdk::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(settings.region.clone()))
            .credentials_provider(settings.credentials.clone())
            .http_client($clients.transport.clone())
            .retry_config(retries())
            .timeout_config(timeouts());
        config.set_endpoint_url(settings.endpoints.$endpoint.clone());
        config
    }};
}

impl Clients {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            transport: Transport::default(),
            observer: None,
            dynamodb: OnceLock::new(),
            sns: OnceLock::new(),
            sqs: OnceLock::new(),
            secrets_manager: OnceLock::new(),
        }
    }

    /// The same, whose calls to the table are shown to `observer`.
    pub(crate) fn observed_by(mut self, observer: Arc<dyn CallObserver>) -> Self {
        self.observer = Some(observer);
        self
    }

    pub(crate) fn dynamodb(&self) -> &aws_sdk_dynamodb::Client {
        self.dynamodb.get_or_init(|| {
            let mut config =
                client!(aws_sdk_dynamodb, self, dynamodb).retry_classifier(TransactionConflicts);
            if let Some(observer) = &self.observer {
                config = config.interceptor(Observing(Arc::clone(observer)));
            }
            aws_sdk_dynamodb::Client::from_conf(config.build())
        })
    }

    pub(crate) fn sns(&self) -> &aws_sdk_sns::Client {
        self.sns.get_or_init(|| {
            let config = client!(aws_sdk_sns, self, sns);
            aws_sdk_sns::Client::from_conf(config.build())
        })
    }

    pub(crate) fn sqs(&self) -> &aws_sdk_sqs::Client {
        self.sqs.get_or_init(|| {
            let config = client!(aws_sdk_sqs, self, sqs);
            aws_sdk_sqs::Client::from_conf(config.build())
        })
    }

    pub(crate) fn secrets_manager(&self) -> &aws_sdk_secretsmanager::Client {
        self.secrets_manager.get_or_init(|| {
            let config = client!(aws_sdk_secretsmanager, self, secrets_manager);
            aws_sdk_secretsmanager::Client::from_conf(config.build())
        })
    }
}

fn retries() -> RetryConfig {
    RetryConfig::standard()
        .with_max_attempts(MAX_ATTEMPTS)
        .with_initial_backoff(INITIAL_BACKOFF)
        .with_max_backoff(MAX_BACKOFF)
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(REQUEST_TIMEOUT)
        .build()
}

/// The time limits of a request that the service itself holds back for up to `wait`.
pub(crate) fn timeouts_with(wait: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .operation_attempt_timeout(wait + ATTEMPT_TIMEOUT)
        .operation_timeout(wait + REQUEST_TIMEOUT)
        .build()
}

/// Two transactions, or a transaction and an update, that met at one item: the one turned away does it again. The SDK leaves these to
/// its caller; here every one of them may be repeated.
#[derive(Debug)]
struct TransactionConflicts;

impl ClassifyRetry for TransactionConflicts {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let error = context.output_or_error().and_then(Result::err);
        let Some(error) = error.and_then(|error| error.as_operation_error()) else {
            return RetryAction::NoActionIndicated;
        };
        let met_another = match error.downcast_ref::<TransactWriteItemsError>() {
            Some(error) => was_cancelled_by_another(error),
            None => conflict_code(error) == Some("TransactionConflictException"),
        };
        if met_another {
            RetryAction::throttling_error()
        } else {
            RetryAction::NoActionIndicated
        }
    }

    fn name(&self) -> &'static str {
        "transaction conflicts"
    }
}

/// Whether a conflict or throttling is all that stands against a transaction: a condition that failed will fail again.
pub(crate) fn was_cancelled_by_another(error: &TransactWriteItemsError) -> bool {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else {
        return false;
    };
    let mut met_another = false;
    for reason in cancelled.cancellation_reasons() {
        match reason.code() {
            None | Some("None") => {}
            Some("TransactionConflict" | "ProvisionedThroughputExceeded" | "ThrottlingError") => {
                met_another = true;
            }
            Some(_) => return false,
        }
    }
    met_another
}

fn conflict_code(
    error: &aws_smithy_runtime_api::client::interceptors::context::Error,
) -> Option<&str> {
    use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
    use aws_sdk_dynamodb::operation::put_item::PutItemError;
    use aws_sdk_dynamodb::operation::update_item::UpdateItemError;

    let update = error.downcast_ref::<UpdateItemError>();
    let put = error.downcast_ref::<PutItemError>();
    let delete = error.downcast_ref::<DeleteItemError>();
    update
        .and_then(ProvideErrorMetadata::code)
        .or_else(|| put.and_then(ProvideErrorMetadata::code))
        .or_else(|| delete.and_then(ProvideErrorMetadata::code))
}
