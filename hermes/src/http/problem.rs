//! The one late mapping of what went wrong to HTTP: problem details (RFC 9457) that say what to do. What is private is logged
//! here, once, and not shown.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use common::cloud::CloudError;
use common::domain::ids::InvalidId;
use common::domain::outcome::MailEnding;
use serde::Serialize;
use utoipa::ToSchema;

use crate::operations::OperationError;

/// Why a request was not carried out.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    ending: Option<MailEnding>,
    retry_after_secs: Option<u32>,
}

/// A problem as it is written (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status.
    #[schema(value_type = u16)]
    status: u16,
    /// What was wrong, and what to do.
    detail: String,
    /// How the mail ended, if this is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    ending: Option<MailEnding>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), ending: None, retry_after_secs: None }
    }

    pub(super) fn ending(mut self, ending: MailEnding) -> Self {
        self.ending = Some(ending);
        self
    }

    pub(super) fn retry_after(mut self, secs: u32) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }

    /// A body that is too large for any request is a mail that is too large.
    pub(super) fn about_mail(self) -> Self {
        if self.status == StatusCode::PAYLOAD_TOO_LARGE { self.ending(MailEnding::TooLarge) } else { self }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Problem"),
            status: self.status.as_u16(),
            detail: self.detail,
            ending: self.ending,
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<OperationError> for Problem {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::NotFound(detail) => Self::new(StatusCode::NOT_FOUND, detail),
            OperationError::Invalid(detail) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail),
            error @ OperationError::BadCursor(_) => Self::bad_request(error.to_string()),
            OperationError::Cloud(error) => error.into(),
        }
    }
}

impl From<CloudError> for Problem {
    fn from(error: CloudError) -> Self {
        tracing::warn!(%error, "a request could not be carried out");
        if error.is_retryable() {
            let detail = "something behind hermes does not answer at present; nothing was acknowledged, send the request again";
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(5);
        }
        match error {
            CloudError::Conflict(_) | CloudError::FenceLost(_) => Self::new(
                StatusCode::CONFLICT,
                "somebody else changed it at the same time; read it again and retry",
            ),
            CloudError::NotFound(what) => Self::new(StatusCode::NOT_FOUND, format!("{what} does not exist")),
            CloudError::Invalid(_) | CloudError::Throttled(_) | CloudError::Unavailable { .. } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "hermes could not do this; its log says why")
            }
        }
    }
}

impl From<InvalidId> for Problem {
    fn from(error: InvalidId) -> Self {
        Self::bad_request(error.to_string())
    }
}
