//! Keeps what came along with a mail among the objects, each by its content, and tells the work of it. Pictures are made anew
//! off the async threads, one after the other.

use std::time::Duration;

use bytes::Bytes;
use common::cloud::files::{At, IfMatch};
use common::cloud::{CloudError, Result};
use common::domain::left_out::{LeftOut, LeftOutReason};
use common::domain::names::{ContentHash, attachment_key};
use common::messages::{Attachment, Work};
use tokio::sync::Semaphore;

use crate::app::App;
use crate::mail::attachment::{File, Kind, files, leave_out};
use crate::mail::trace::{Stage, Trace};
use crate::picture::{self, Rendition, Unusable};

/// Making pictures needs memory and a core; one mail does it at a time.
static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

/// A mail waits so long for its turn; then it is not acknowledged and comes again.
const MAX_WAIT: Duration = Duration::from_mins(2);

/// A file as it is kept.
struct Ready {
    name: String,
    mime_type: String,
    size: Option<(u32, u32)>,
    bytes: Vec<u8>,
}

/// Keeps the files of a mail; tells its work, and the trace, what is handed on and what is not.
pub(super) async fn keep(app: &App, raw: Bytes, work: &mut Work, trace: &mut Trace) -> Result<()> {
    let busy = |_| CloudError::unavailable("make pictures", "those of other mails took too long");
    let _turn = tokio::time::timeout(MAX_WAIT, ONE_AT_A_TIME.acquire()).await.map_err(busy)?;
    let made = tokio::task::spawn_blocking(move || make(&raw)).await;
    let unreadable = || vec![leave_out("attachments", LeftOutReason::Unreadable)];
    let (ready, left_out) = made.unwrap_or_else(|_| (Vec::new(), unreadable()));
    for LeftOut { name, reason } in &left_out {
        trace.note(Stage::Attachment, format!("left out: {name}: {reason}"));
    }
    work.context.left_out = left_out;
    for file in ready {
        let attachment = store(app, file).await?;
        if !work.attachments.contains(&attachment) {
            trace.note(
                Stage::Attachment,
                format!("{} ({}) goes along", attachment.name, attachment.mime_type),
            );
            work.attachments.push(attachment);
        }
    }
    Ok(())
}

fn make(raw: &[u8]) -> (Vec<Ready>, Vec<LeftOut>) {
    let (files, mut left_out) = files(raw);
    let mut ready = Vec::new();
    for file in files {
        match file.kind {
            Kind::Plain => ready.push(Ready {
                name: file.name,
                mime_type: file.mime_type,
                size: None,
                bytes: file.bytes,
            }),
            Kind::Picture => match picture::renditions(&file.bytes) {
                Ok(renditions) => ready.extend(renditions.into_iter().map(|one| of_picture(&file, one))),
                Err(unusable) => left_out.push(leave_out(&file.name, reason(&unusable))),
            },
        }
    }
    (ready, left_out)
}

fn reason(unusable: &Unusable) -> LeftOutReason {
    match unusable {
        Unusable::TooManyPixels(..) => LeftOutReason::TooManyPixels,
        Unusable::Broken | Unusable::Unwritable => LeftOutReason::Unreadable,
    }
}

fn of_picture(file: &File, one: Rendition) -> Ready {
    let stem = file.name.rsplit_once('.').map_or(file.name.as_str(), |(stem, _)| stem);
    Ready {
        name: format!("{stem}.{}", one.ending),
        mime_type: one.mime_type.to_owned(),
        size: Some((one.width, one.height)),
        bytes: one.bytes,
    }
}

/// The same content is the same object; it is written again, so that it is kept as long as what came last.
async fn store(app: &App, file: Ready) -> Result<Attachment> {
    let sha256 = ContentHash::of(&file.bytes);
    let key = attachment_key(&sha256);
    let size_bytes = file.bytes.len() as u64;
    app.cloud.files.put(&At::object(&key), file.bytes.into(), IfMatch::Any).await?;
    let (width, height) = file.size.unzip();
    Ok(Attachment { key, name: file.name, mime_type: file.mime_type, size_bytes, sha256, width, height })
}
