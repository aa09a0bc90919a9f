//! Messages too large for a queue: the body lies among the private objects under its hash, the queue holds where. Nobody
//! deletes such a body: the bucket's lifecycle does, after every queue has forgotten the message.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::files::AwsFiles;
use crate::cloud::Result;
use crate::cloud::files::{At, Files, IfMatch};
use crate::cloud::queue::{MAX_MESSAGE_BYTES, Outgoing, limits};
use crate::domain::names::{self, ContentHash};

/// The attribute that marks a pointer: the hash of the body.
pub(super) const MARK: &str = "hermes-body";

/// Puts bodies aside and fetches them.
pub(super) struct Pointers {
    files: Arc<AwsFiles>,
}

impl Pointers {
    /// Over the private objects.
    pub(super) fn new(files: Arc<AwsFiles>) -> Self {
        Self { files }
    }

    /// The message as the queue can hold it.
    pub(super) async fn shrink(&self, message: Outgoing) -> Result<Outgoing> {
        if limits::size_bytes(&message) <= MAX_MESSAGE_BYTES {
            return Ok(message);
        }
        let bytes = Bytes::from(message.body.clone());
        let hash = ContentHash::of(&bytes);
        let note =
            json!({"type": "pointer", "key": names::message_body_key(&hash), "sizeBytes": bytes.len()});
        self.files.put(&At::object(names::message_body_key(&hash)), bytes, IfMatch::Any).await?;
        Ok(Outgoing { body: note.to_string(), ..message }.attribute(MARK, hash.to_string()))
    }

    /// The body behind a mark; none when it is gone, or is not what was put there.
    pub(super) async fn fetch(&self, mark: &str) -> Result<Option<String>> {
        let Ok(hash) = ContentHash::parse(mark) else { return Ok(None) };
        let found = self.files.get(&At::object(names::message_body_key(&hash))).await?;
        let bytes = found.map(|file| file.bytes).filter(|bytes| ContentHash::of(bytes) == hash);
        Ok(bytes.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok()))
    }
}
