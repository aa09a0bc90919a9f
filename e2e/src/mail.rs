//! Real mails, as a mail program writes them.

use std::fmt::Write;

/// A mail to be posted. The fields are written as they are, so that tests can write odd ones.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The From header.
    pub from: String,
    /// The To header.
    pub to: String,
    /// The Subject header; none leaves the header out.
    pub subject: Option<String>,
    /// The Message-ID header; none leaves the header out.
    pub message_id: Option<String>,
    /// The In-Reply-To and References headers.
    pub in_reply_to: Option<String>,
    /// The text.
    pub text: String,
}

impl Letter {
    /// A plain mail with a Message-ID of its own.
    pub fn new(from: &str, subject: &str, text: &str) -> Self {
        Self {
            from: from.to_owned(),
            to: "edit@hermes.localhost".to_owned(),
            subject: Some(subject.to_owned()),
            message_id: Some(format!("<{}@mail.example.org>", uuid_like())),
            in_reply_to: None,
            text: text.to_owned(),
        }
    }

    /// The same, as an answer to another mail.
    #[must_use]
    pub fn answering(mut self, message_id: &str) -> Self {
        self.in_reply_to = Some(message_id.to_owned());
        self
    }

    /// The bytes on the wire with a file that comes along.
    pub fn with_file(&self, name: &str, kind: &str, file: &[u8]) -> Vec<u8> {
        let plain = String::from_utf8_lossy(&self.to_bytes()).into_owned();
        let (head, words) = plain.split_once("\r\n\r\n").unwrap_or((&plain, ""));
        let text = "Content-Type: text/plain; charset=utf-8";
        let head = head.replace(text, "Content-Type: multipart/mixed; boundary=part");
        let fields = format!(
            "Content-Type: {kind}\r\nContent-Transfer-Encoding: binary\r\nContent-Disposition: attachment; filename=\"{name}\""
        );
        let above = format!("{head}\r\n\r\n--part\r\n{text}\r\n\r\n{words}\r\n--part\r\n{fields}\r\n\r\n");
        [above.as_bytes(), file, b"\r\n--part--\r\n"].concat()
    }

    /// The bytes on the wire (RFC 5322).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut raw = String::new();
        let mut header = |name: &str, value: &str| {
            let _ = write!(raw, "{name}: {value}\r\n");
        };
        header("From", &self.from);
        header("To", &self.to);
        for (name, value) in [("Subject", &self.subject), ("Message-ID", &self.message_id)] {
            if let Some(value) = value {
                header(name, value);
            }
        }
        if let Some(parent) = &self.in_reply_to {
            header("In-Reply-To", parent);
            header("References", parent);
        }
        header("Date", "Fri, 20 Nov 2026 10:00:00 +0000");
        header("MIME-Version", "1.0");
        header("Content-Type", "text/plain; charset=utf-8");
        header("Content-Transfer-Encoding", "8bit");
        let _ = write!(raw, "\r\n{}\r\n", self.text.replace('\n', "\r\n"));
        raw.into_bytes()
    }
}

/// An id that differs between calls and processes.
pub fn uuid_like() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = common::clock::Clock::System.now().millis();
    format!("{now:x}.{:x}.{:x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
