//! Copies within S3: the bytes do not pass through here.

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::copy_object::{CopyObjectError, CopyObjectOutput};
use aws_sdk_s3::types::MetadataDirective;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

use super::attempts::Attempts;
use super::buckets::Place;
use super::error::says;
use super::files::{AwsFiles, MAX_TURNS, NOTHING, REFUSED, Tried, WRITE_ID, etag, headers, served_as};
use crate::cloud::files::{At, Etag, IfMatch};
use crate::cloud::{CloudError, Result};

/// What stays as it is in the header that names the source.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

type Answer = std::result::Result<CopyObjectOutput, SdkError<CopyObjectError>>;

impl AwsFiles {
    /// Copies if the condition holds for what is at `to`.
    pub(super) async fn copied(&self, from: &At, to: &At, condition: &IfMatch) -> Result<Etag> {
        let (source, target) = (self.buckets.place(from).await?, self.buckets.place(to).await?);
        for _ in 0..MAX_TURNS {
            match self.copy_once(from, &source, to, &target, condition).await? {
                Tried::Done(etag) => return Ok(etag),
                Tried::Refused => return Err(CloudError::Conflict(to.to_string())),
                Tried::Again => {}
            }
        }
        Err(CloudError::Throttled(format!("{to} is written by too many at once")))
    }

    async fn copy_once(
        &self,
        from: &At,
        source: &Place,
        to: &At,
        target: &Place,
        condition: &IfMatch,
    ) -> Result<Tried> {
        let (write_id, attempts) = (Uuid::new_v4().simple().to_string(), Attempts::default());
        match self.send_copy(source, to, target, condition, &write_id, attempts.clone()).await {
            Ok(answer) => {
                etag(to, answer.copy_object_result.and_then(|result| result.e_tag)).map(Tried::Done)
            }
            // Source, target and their buckets are missing in the same words.
            Err(error) if says(&error, NOTHING) && self.head(from).await?.is_none() => {
                Err(CloudError::NotFound(from.to_string()))
            }
            Err(error) if says(&error, REFUSED) && attempts.were_repeated() => {
                self.recognise(to, target, &write_id).await
            }
            Err(error) => self.not_written(to, &target.bucket, &error).await,
        }
    }

    async fn send_copy(
        &self,
        source: &Place,
        to: &At,
        target: &Place,
        condition: &IfMatch,
        write_id: &str,
        attempts: Attempts,
    ) -> Answer {
        let (if_match, if_none_match) = headers(condition);
        let (content_type, cache_control) = served_as(to);
        self.s3
            .copy_object()
            .copy_source(format!("{}/{}", source.bucket, utf8_percent_encode(&source.key, PLAIN)))
            .bucket(&target.bucket)
            .key(&target.key)
            // The source may be an object, which is served as nothing; a page says what it is.
            .metadata_directive(MetadataDirective::Replace)
            .metadata(WRITE_ID, write_id)
            .set_content_type(content_type)
            .set_cache_control(cache_control)
            .set_if_match(if_match)
            .set_if_none_match(if_none_match)
            .customize()
            .interceptor(attempts)
            .send()
            .await
    }
}
