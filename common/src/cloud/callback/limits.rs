//! The limits of Step Functions, kept by every cloud.

use crate::cloud::{CloudError, Result};

const MAX_TOKEN_CHARS: usize = 2048;
const MAX_OUTPUT_BYTES: usize = 262_144;
const MAX_ERROR_CHARS: usize = 256;
const MAX_CAUSE_CHARS: usize = 32_768;

/// What can be a task token.
pub(in crate::cloud) fn check_token(token: &str) -> Result<()> {
    match token.chars().count() {
        1..=MAX_TOKEN_CHARS => Ok(()),
        count => Err(CloudError::Invalid(format!(
            "a task token of {count} characters; 1 to {MAX_TOKEN_CHARS} are allowed"
        ))),
    }
}

/// What can be the output of a task.
pub(in crate::cloud) fn check_output(output: &str) -> Result<()> {
    if output.len() > MAX_OUTPUT_BYTES {
        return Err(CloudError::Invalid(format!(
            "the output of a task has more than {MAX_OUTPUT_BYTES} bytes"
        )));
    }
    serde_json::from_str::<serde::de::IgnoredAny>(output)
        .map(|_| ())
        .map_err(|e| CloudError::Invalid(format!("the output of a task is not JSON: {e}")))
}

/// As much of error and cause as is allowed.
pub(in crate::cloud) fn cut(error: &str, cause: &str) -> (String, String) {
    (error.chars().take(MAX_ERROR_CHARS).collect(), cause.chars().take(MAX_CAUSE_CHARS).collect())
}
