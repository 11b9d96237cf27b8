//! What the services say, in the words of the ports.

use std::error::Error;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use domain::ports::{PortError, PortErrorKind};

/// Codes that say "slower", of any of the services. <https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>
const THROTTLING_CODES: &[&str] = &[
    "KmsThrottled",
    "LimitExceededException",
    "OverLimit",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionConflictException",
    "TransactionInProgressException",
];

/// What a stored item or an answer must not look like.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    /// An item does not fit the type it holds.
    #[error("a stored item cannot be read")]
    Item(#[from] serde_dynamo::Error),
    /// An item lacks an attribute, or it has another type.
    #[error("the attribute {0} of a stored item cannot be read")]
    Attribute(String),
}

/// The port's error for an error of the SDK, met in `operation`.
pub(crate) fn fault<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> PortError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    PortError::new(kind_of(&error), operation, error)
}

/// The port's error for something stored that is not what was expected.
pub(crate) fn corrupt(operation: &'static str, error: impl Into<Malformed>) -> PortError {
    PortError::new(PortErrorKind::Corrupt, operation, error.into())
}

/// The port's error for a request that the adapter itself refuses.
pub(crate) fn rejected(
    operation: &'static str,
    reason: impl Into<Box<dyn Error + Send + Sync>>,
) -> PortError {
    PortError::new(PortErrorKind::Rejected, operation, reason)
}

fn kind_of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> PortErrorKind {
    match error {
        SdkError::TimeoutError(_) => PortErrorKind::TimedOut,
        SdkError::DispatchFailure(failure) if failure.is_timeout() => PortErrorKind::TimedOut,
        SdkError::DispatchFailure(failure) if failure.is_user() => PortErrorKind::Rejected,
        SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => PortErrorKind::Unavailable,
        SdkError::ServiceError(service) => {
            let status = service.raw().status();
            match service.err().code() {
                Some(code) if is_throttling(code) => PortErrorKind::Throttled,
                _ if status.as_u16() == 429 => PortErrorKind::Throttled,
                _ if status.is_server_error() => PortErrorKind::Unavailable,
                _ => PortErrorKind::Rejected,
            }
        }
        // Construction failures, and whatever kinds come to be.
        _ => PortErrorKind::Rejected,
    }
}

fn is_throttling(code: &str) -> bool {
    // The JSON protocol of SQS may put the names of its older protocol in front: `AWS.SimpleQueueService.…`.
    let name = code.rsplit(['.', '#']).next().unwrap_or(code);
    THROTTLING_CODES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::error::ErrorMetadata;
    use aws_sdk_dynamodb::operation::get_item::GetItemError;
    use aws_smithy_runtime_api::client::result::ConnectorError;
    use aws_smithy_types::body::SdkBody;

    fn answer(status: u16, code: &str) -> SdkError<GetItemError, HttpResponse> {
        let metadata = ErrorMetadata::builder().code(code).build();
        let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
        SdkError::service_error(GetItemError::generic(metadata), response)
    }

    #[test]
    fn answers_keep_whether_a_retry_helps() {
        for (status, code, expected) in [
            (
                400,
                "ProvisionedThroughputExceededException",
                PortErrorKind::Throttled,
            ),
            (400, "ThrottlingException", PortErrorKind::Throttled),
            (
                400,
                "AWS.SimpleQueueService.RequestThrottled",
                PortErrorKind::Throttled,
            ),
            (429, "", PortErrorKind::Throttled),
            (500, "InternalServerError", PortErrorKind::Unavailable),
            (503, "ServiceUnavailable", PortErrorKind::Unavailable),
            (400, "ValidationException", PortErrorKind::Rejected),
            (400, "AccessDeniedException", PortErrorKind::Rejected),
            (400, "ResourceNotFoundException", PortErrorKind::Rejected),
        ] {
            let fault = fault("test", answer(status, code));
            assert_eq!(fault.kind, expected, "{status} {code}");
            assert!(fault.source.is_some());
        }
    }

    #[test]
    fn a_missing_answer_says_whether_time_ran_out() {
        type Missing = SdkError<GetItemError, HttpResponse>;
        let timed_out = ConnectorError::timeout("late".into());
        let broken = ConnectorError::io("reset".into());
        for (error, expected) in [
            (Missing::timeout_error("late"), PortErrorKind::TimedOut),
            (
                Missing::dispatch_failure(timed_out),
                PortErrorKind::TimedOut,
            ),
            (
                Missing::dispatch_failure(broken),
                PortErrorKind::Unavailable,
            ),
            (
                Missing::construction_failure("no key"),
                PortErrorKind::Rejected,
            ),
        ] {
            assert_eq!(fault("test", error).kind, expected);
        }
    }
}
