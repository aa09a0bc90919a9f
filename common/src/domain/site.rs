//! What a published site is: a manifest of paths and contents, and how each file is served.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::claim::Epoch;
use super::ids::CommandId;
use super::names::ContentHash;
use super::timestamp::Timestamp;

/// One published file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteFile {
    /// Its content.
    pub sha256: ContentHash,
    /// Its length.
    pub size_bytes: u64,
}

/// Whether all pages of a manifest are in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ManifestState {
    /// Pages are being switched; whoever finds this finishes it (all contents are stored).
    Publishing,
    /// Every page is in place.
    Published,
}

/// What is published at a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The command whose site this is.
    pub command_id: CommandId,
    /// The commit it was built from.
    pub commit_id: String,
    /// The fence it was published under.
    pub epoch: Epoch,
    /// Whether every page is in place.
    pub state: ManifestState,
    /// When it was published.
    pub published_at: Timestamp,
    /// Path (with '/', no leading '/') to content.
    pub files: BTreeMap<String, SiteFile>,
    /// Paths of the manifest before that are no longer there; deleted last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}

/// The media type by the file's ending; UTF-8 for text (RFC 9110, section 8.3).
pub fn content_type(path: &str) -> String {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    let text = guess.type_() == "text" || matches!(guess.subtype().as_str(), "javascript" | "json" | "xml");
    if text { format!("{}; charset=utf-8", guess.essence_str()) } else { guess.essence_str().to_owned() }
}

/// How long a browser may keep the file: files whose name carries a hash for ever, pages not without asking.
pub fn cache_control(path: &str) -> &'static str {
    if is_hashed_asset(path) {
        "public, max-age=31536000, immutable"
    } else {
        "public, max-age=0, must-revalidate"
    }
}

/// Astro (and Vite) put assets with a content hash in their name under `_astro/` (`assets/`).
fn is_hashed_asset(path: &str) -> bool {
    path.starts_with("_astro/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_utf_8_html_and_asked_for_again() {
        assert_eq!(content_type("a/index.html"), "text/html; charset=utf-8");
        assert_eq!(content_type("logo.svg"), "image/svg+xml");
        assert_eq!(content_type("x.unknown-ending"), "application/octet-stream");
        assert!(cache_control("index.html").contains("must-revalidate"));
        assert!(cache_control("_astro/index.B1c2.css").contains("immutable"));
    }
}
