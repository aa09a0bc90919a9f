//! Objects and sites over S3. Conditions are S3's own (`If-Match`, `If-None-Match`), so that of two writers one wins; every
//! write carries a mark, by which a first write is recognised whose answer was lost.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::{AggregatedBytes, ByteStream};
use bytes::Bytes;
use uuid::Uuid;

use super::attempts::Attempts;
use super::buckets::{Buckets, Place};
use super::error::{failed, says};
use crate::cloud::files::{At, Etag, FileContent, FilePart, Files, Headers, IfMatch, Space, keys};
use crate::cloud::{CloudError, Result};
use crate::domain::names::{PublicHost, SiteTarget};

/// The bucket is not there yet.
pub(super) const NO_BUCKET: &[&str] = &["NoSuchBucket"];
/// Nothing is there. An answer to HEAD has no body, so its code is made from the status.
pub(super) const NOTHING: &[&str] = &["NoSuchKey", "NoSuchBucket", "NotFound"];
/// The condition did not hold.
pub(super) const REFUSED: &[&str] = &["PreconditionFailed"];
/// Another conditional write of the same key was under way.
pub(super) const RACED: &[&str] = &["ConditionalRequestConflict"];
/// The part lies beyond the end.
const BEYOND: &[&str] = &["InvalidRange"];
/// How often a write is tried that met others, or whose bucket had to be made.
pub(super) const MAX_TURNS: usize = 5;
/// The object's metadata that says which write made it.
pub(super) const WRITE_ID: &str = "hermes-write";

/// The door.
pub(super) struct AwsFiles {
    pub(super) s3: Client,
    pub(super) buckets: Arc<Buckets>,
}

/// What became of one try of a write.
pub(super) enum Tried {
    Done(Etag),
    Refused,
    Again,
}

impl AwsFiles {
    /// Over this client.
    pub(super) fn new(s3: Client, buckets: Arc<Buckets>) -> Self {
        Self { s3, buckets }
    }

    async fn put_once(&self, at: &At, place: &Place, bytes: Bytes, condition: &IfMatch) -> Result<Tried> {
        let (write_id, attempts) = (Uuid::new_v4().simple().to_string(), Attempts::default());
        let (if_match, if_none_match) = headers(condition);
        let (content_type, cache_control) = served_as(at);
        let request = self
            .s3
            .put_object()
            .bucket(&place.bucket)
            .key(&place.key)
            .body(ByteStream::from(bytes))
            .metadata(WRITE_ID, &write_id)
            .set_content_type(content_type)
            .set_cache_control(cache_control)
            .set_if_match(if_match)
            .set_if_none_match(if_none_match);
        match request.customize().interceptor(attempts.clone()).send().await {
            Ok(answer) => etag(at, answer.e_tag).map(Tried::Done),
            Err(error) if says(&error, REFUSED) && attempts.were_repeated() => {
                self.recognise(at, place, &write_id).await
            }
            Err(error) => self.not_written(at, &place.bucket, &error).await,
        }
    }

    /// After a refusal of a repeated try: is what lies there our own first write?
    pub(super) async fn recognise(&self, at: &At, place: &Place, write_id: &str) -> Result<Tried> {
        let head = match self.s3.head_object().bucket(&place.bucket).key(&place.key).send().await {
            Ok(head) => head,
            Err(error) if says(&error, NOTHING) => return Ok(Tried::Refused),
            Err(error) => return Err(failed(&format!("writing {at}"), &error)),
        };
        let mark = head.metadata.as_ref().and_then(|all| all.get(WRITE_ID));
        if mark.is_some_and(|mark| mark == write_id) {
            return etag(at, head.e_tag).map(Tried::Done);
        }
        Ok(Tried::Refused)
    }

    /// What a refused write means; a bucket that is not there is made.
    pub(super) async fn not_written<E, R>(
        &self,
        at: &At,
        bucket: &str,
        error: &SdkError<E, R>,
    ) -> Result<Tried>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug,
    {
        if says(error, RACED) {
            return Ok(Tried::Again);
        }
        if says(error, NO_BUCKET) {
            self.buckets.make(bucket).await?;
            return Ok(Tried::Again);
        }
        // S3 says of a condition on nothing that there is nothing.
        if says(error, REFUSED) || says(error, NOTHING) {
            return Ok(Tried::Refused);
        }
        Err(failed(&format!("writing {at}"), error))
    }

    async fn object(&self, at: &At, range: Option<String>) -> Result<Object> {
        let place = self.buckets.place(at).await?;
        let request = self.s3.get_object().bucket(&place.bucket).key(&place.key).set_range(range);
        match request.send().await {
            Ok(answer) => Ok(Object::There(Box::new(answer))),
            Err(error) if says(&error, NOTHING) => Ok(Object::Nothing),
            Err(error) if says(&error, BEYOND) => Ok(Object::Beyond),
            Err(error) => Err(failed(&format!("reading {at}"), &error)),
        }
    }

    /// Size and etag alone.
    pub(super) async fn head(&self, at: &At) -> Result<Option<FilePart>> {
        let place = self.buckets.place(at).await?;
        match self.s3.head_object().bucket(&place.bucket).key(&place.key).send().await {
            Ok(head) => Ok(Some(FilePart {
                bytes: Bytes::new(),
                total: u64::try_from(head.content_length.unwrap_or(0)).unwrap_or(0),
                etag: etag(at, head.e_tag)?,
            })),
            Err(error) if says(&error, NOTHING) => Ok(None),
            Err(error) => Err(failed(&format!("looking for {at}"), &error)),
        }
    }
}

enum Object {
    There(Box<GetObjectOutput>),
    Nothing,
    Beyond,
}

#[async_trait]
impl Files for AwsFiles {
    async fn put(&self, at: &At, bytes: Bytes, condition: IfMatch) -> Result<Etag> {
        keys::check_key(at)?;
        let place = self.buckets.place(at).await?;
        for _ in 0..MAX_TURNS {
            match self.put_once(at, &place, bytes.clone(), &condition).await? {
                Tried::Done(etag) => return Ok(etag),
                Tried::Refused => return Err(CloudError::Conflict(at.to_string())),
                Tried::Again => {}
            }
        }
        Err(CloudError::Throttled(format!("{at} is written by too many at once")))
    }

    async fn get(&self, at: &At) -> Result<Option<FileContent>> {
        keys::check_key(at)?;
        match self.object(at, None).await? {
            Object::There(answer) => {
                let etag = etag(at, answer.e_tag.clone())?;
                let headers = served(at, &answer);
                Ok(Some(FileContent { bytes: body(at, *answer).await?, etag, headers }))
            }
            Object::Nothing | Object::Beyond => Ok(None),
        }
    }

    async fn read_range(&self, at: &At, offset: u64, len: usize) -> Result<Option<FilePart>> {
        keys::check_key(at)?;
        if len == 0 {
            return self.head(at).await;
        }
        let last = offset.saturating_add(u64::try_from(len).unwrap_or(u64::MAX)).saturating_sub(1);
        match self.object(at, Some(format!("bytes={offset}-{last}"))).await? {
            Object::There(answer) => {
                let (etag, total) = (etag(at, answer.e_tag.clone())?, total(&answer));
                Ok(Some(FilePart { bytes: body(at, *answer).await?, total, etag }))
            }
            Object::Nothing => Ok(None),
            Object::Beyond => self.head(at).await,
        }
    }

    async fn etag(&self, at: &At) -> Result<Option<Etag>> {
        keys::check_key(at)?;
        Ok(self.head(at).await?.map(|part| part.etag))
    }

    async fn copy(&self, from: &At, to: &At, condition: IfMatch) -> Result<Etag> {
        keys::check_key(from)?;
        keys::check_key(to)?;
        self.copied(from, to, &condition).await
    }

    async fn delete(&self, at: &At, condition: IfMatch) -> Result<()> {
        keys::check_key(at)?;
        if condition == IfMatch::Absent {
            let there = self.head(at).await?.is_some();
            return if there { Err(CloudError::Conflict(at.to_string())) } else { Ok(()) };
        }
        let place = self.buckets.place(at).await?;
        let request = self.s3.delete_object().bucket(&place.bucket).key(&place.key);
        match request.set_if_match(headers(&condition).0).send().await {
            Ok(_) => Ok(()),
            Err(error) if says(&error, NOTHING) => Ok(()),
            Err(error) if says(&error, REFUSED) || says(&error, RACED) => {
                Err(CloudError::Conflict(at.to_string()))
            }
            Err(error) => Err(failed(&format!("deleting {at}"), &error)),
        }
    }

    async fn list(&self, space: &Space, prefix: &str) -> Result<Vec<String>> {
        keys::check_prefix(prefix)?;
        let root = self.buckets.root(space).await?;
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let request = self.s3.list_objects_v2().bucket(&root.bucket);
            let request = request.prefix(format!("{}{prefix}", root.prefix)).set_continuation_token(after);
            let page = match request.send().await {
                Ok(page) => page,
                Err(error) if says(&error, NO_BUCKET) => break,
                Err(error) => return Err(failed(&format!("listing {prefix:?}"), &error)),
            };
            let keys = page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key);
            found.extend(keys.filter_map(|key| key.strip_prefix(&root.prefix).map(str::to_owned)));
            after = page.next_continuation_token;
            if after.is_none() {
                break;
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    async fn objects_bucket(&self) -> Result<String> {
        Ok(self.buckets.root(&Space::Objects).await?.bucket)
    }

    fn public_host(&self, site: &SiteTarget) -> Option<PublicHost> {
        self.buckets.public_host(site)
    }
}

/// `If-Match` and `If-None-Match`.
pub(super) fn headers(condition: &IfMatch) -> (Option<String>, Option<String>) {
    match condition {
        IfMatch::Any => (None, None),
        IfMatch::Absent => (None, Some("*".to_owned())),
        IfMatch::Etag(Etag(etag)) => (Some(etag.clone()), None),
    }
}

/// What a page was written with.
fn served(at: &At, answer: &GetObjectOutput) -> Option<Headers> {
    let found = || Headers {
        content_type: answer.content_type.clone().unwrap_or_default(),
        cache_control: answer.cache_control.clone().unwrap_or_default(),
    };
    matches!(at.space, Space::Site(_)).then(found)
}

/// What a page is written with.
pub(super) fn served_as(at: &At) -> (Option<String>, Option<String>) {
    match Headers::of(at) {
        Some(headers) => (Some(headers.content_type), Some(headers.cache_control)),
        None => (None, None),
    }
}

/// The etag of an answer.
pub(super) fn etag(at: &At, etag: Option<String>) -> Result<Etag> {
    etag.map(Etag).ok_or_else(|| CloudError::unavailable(at.to_string(), "it came without an etag"))
}

/// The size of the whole object, of which an answer may hold a part (RFC 9110, section 14.4).
fn total(answer: &GetObjectOutput) -> u64 {
    let of_range = answer.content_range.as_deref().and_then(|range| range.rsplit_once('/')?.1.parse().ok());
    of_range.unwrap_or_else(|| u64::try_from(answer.content_length.unwrap_or(0)).unwrap_or(0))
}

async fn body(at: &At, answer: GetObjectOutput) -> Result<Bytes> {
    let body = answer.body.collect().await;
    body.map(AggregatedBytes::into_bytes)
        .map_err(|error| CloudError::unavailable(format!("reading {at}"), error))
}
