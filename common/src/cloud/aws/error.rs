//! What AWS answers, in our words. What is not known to be wrong for ever may pass: nothing is thrown away for it.

use std::error::Error;

use aws_sdk_sqs::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use crate::cloud::CloudError;

/// Try later, more slowly.
const THROTTLED: &[&str] = &[
    "LimitExceededException",
    "OverLimit",
    "ProvisionedThroughputExceededException",
    "QueueDeletedRecently",
    "AWS.SimpleQueueService.QueueDeletedRecently",
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TooManyTaggedResources",
];

/// The same call can never work.
const INVALID: &[&str] = &[
    "BadRequestException",
    "EntityTooLarge",
    "InvalidArgument",
    "InvalidAttributeValue",
    "InvalidBucketName",
    "InvalidMessageContents",
    "InvalidOutput",
    "InvalidParameterValue",
    "ItemCollectionSizeLimitExceededException",
    "KeyTooLongError",
    "MessageRejected",
    "MissingParameter",
    "UnsupportedOperation",
    "ValidationException",
];

/// A failed call.
pub(super) fn failed<E, R>(what: &str, error: &SdkError<E, R>) -> CloudError
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
{
    let Some(code) = error.code() else {
        return CloudError::unavailable(what, DisplayErrorContext(error));
    };
    let message = error.message().unwrap_or("no more is said");
    let sentence = || format!("{what}: {message} ({code})");
    match code {
        code if THROTTLED.contains(&code) => CloudError::Throttled(sentence()),
        code if INVALID.contains(&code) => CloudError::Invalid(sentence()),
        "ResourceNotFoundException" => CloudError::unavailable(
            what,
            format!("{message}; has `hermes provision` been run for this HERMES_PREFIX?"),
        ),
        _ => CloudError::unavailable(what, format!("{message} ({code})")),
    }
}

/// Whether the answer was one of these codes.
pub(super) fn says<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>, codes: &[&str]) -> bool {
    error.code().is_some_and(|code| codes.contains(&code))
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::error::ErrorMetadata;
    use aws_sdk_sqs::operation::send_message::SendMessageError;

    use super::*;

    fn answered(code: &str) -> CloudError {
        let said = ErrorMetadata::builder().code(code).message("no").build();
        failed("sending", &SdkError::<_, ()>::service_error(SendMessageError::generic(said), ()))
    }

    /// A policy can be mended, and nothing may be thrown away for it meanwhile.
    #[test]
    fn what_we_may_not_do_may_pass() {
        for code in ["AccessDenied", "AccessDeniedException", "UnrecognizedClientException", "ExpiredToken"] {
            assert!(answered(code).is_retryable(), "{code}");
        }
        assert!(!answered("InvalidMessageContents").is_retryable());
    }
}
