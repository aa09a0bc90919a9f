//! Files that came with a mail and do not go to the site. Their owner and the agent are told which, and why.

use serde::{Deserialize, Serialize};

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// How its sender calls it; one short line.
    pub name: String,
    /// Why it stays behind.
    pub reason: LeftOutReason,
}

/// Why a file stays behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum LeftOutReason {
    /// Nothing is in it.
    #[error("it is empty")]
    Empty,
    /// More bytes than a file may have.
    #[error("it is larger than 25 MB")]
    TooLarge,
    /// It came after as many as one mail may bring.
    #[error("more than 20 files came along")]
    TooMany,
    /// It could be run.
    #[error("it is a program")]
    Program,
    /// A kind of picture that could tell where it was taken, and is not made anew.
    #[error("pictures of this kind (HEIC, TIFF, AVIF, raw) cannot be made anew; send a JPEG")]
    PictureKind,
    /// Its pixels would fill the memory.
    #[error("the picture has too many pixels")]
    TooManyPixels,
    /// Whatever was attached, packed by Outlook in a way that nobody else opens (`winmail.dat`).
    #[error("Outlook packed what was attached in a format of its own; send the mail as HTML or plain text")]
    OutlookPack,
    /// It is damaged; or a newer program says something else.
    #[error("the file cannot be read")]
    #[serde(other)]
    Unreadable,
}

impl LeftOutReason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Empty,
        Self::TooLarge,
        Self::TooMany,
        Self::Program,
        Self::PictureKind,
        Self::TooManyPixels,
        Self::OutlookPack,
        Self::Unreadable,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_read_as_it_is_written_and_an_unknown_one_stops_nobody() {
        for reason in LeftOutReason::ALL {
            let written = serde_json::to_string(&reason).unwrap();
            assert_eq!(serde_json::from_str::<LeftOutReason>(&written).unwrap(), reason, "{written}");
        }
        assert_eq!(
            serde_json::from_str::<LeftOutReason>("\"of-tomorrow\"").unwrap(),
            LeftOutReason::Unreadable
        );
    }
}
