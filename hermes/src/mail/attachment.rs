//! What came along with a mail. This version only says so; the files stay in the raw mail.

use super::parse::ParsedMail;
use super::trace::{Stage, Trace};

/// Notes each file in the trace.
pub fn note(mail: &ParsedMail, trace: &mut Trace) {
    for file in mail.attachments.iter().take(20) {
        let name = file.name.as_deref().unwrap_or("a file without a name");
        trace.note(
            Stage::Attachment,
            format!("{name} ({} bytes) is kept in the raw mail and not handed to the agent", file.size_bytes),
        );
    }
}
