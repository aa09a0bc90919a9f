//! What a published site is: a manifest of paths and contents, and how each file is served.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::claim::Epoch;
use super::ids::{CommandId, ThreadId, UserId};
use super::job::WorkAction;
use super::names::ContentHash;
use super::timestamp::Timestamp;

/// So many releases of a site are kept beside the present one, each of which can be put up again.
pub const KEPT_RELEASES: usize = 20;

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

/// One version of a site as it was put up at a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Counted from 1 at each target.
    #[serde(default)]
    pub number: u64,
    /// The command that put it up.
    pub command_id: CommandId,
    /// The commit it was built from.
    pub commit_id: String,
    /// What the command asked for.
    #[serde(default)]
    pub action: WorkAction,
    /// Whose preview it was; absent in manifests of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<ThreadId>,
    /// Who asked for it; absent in manifests of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The earlier release whose files these are, after an undo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<u64>,
    /// The other conversation whose change was live before, and is not part of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<ThreadId>,
    /// When it was published.
    pub published_at: Timestamp,
}

/// What is published at a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Which version this is.
    #[serde(flatten)]
    pub release: Release,
    /// The fence it was published under.
    pub epoch: Epoch,
    /// Whether every page is in place.
    pub state: ManifestState,
    /// The highest fence under which each user's claim has published here: several users share the live site.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fences: BTreeMap<UserId, Epoch>,
    /// The releases before this one, newest first, at most [`KEPT_RELEASES`]; empty at a thread's preview.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Release>,
    /// Of a preview: the commits of live releases that it goes on from, as far as they were live when it was begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub includes: Vec<String>,
    /// Path (with '/', no leading '/') to content; none when a preview was taken down.
    pub files: BTreeMap<String, SiteFile>,
    /// The etag of each page that is known to be in place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub etags: BTreeMap<String, String>,
    /// Paths of the manifest before that are no longer there; deleted last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}

impl Manifest {
    /// The releases since this time, the present one first. What was put up before a project was made is the site of another
    /// one that had its name: no release of its own.
    pub fn releases_since(&self, made: Timestamp) -> impl Iterator<Item = &Release> {
        let all = std::iter::once(&self.release).chain(&self.earlier);
        all.take_while(move |release| release.published_at >= made)
    }

    /// Whether nothing is shown any more: a site that is put up has files.
    pub fn is_taken_down(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether a newer owner of the same user's claim has published here.
    pub fn outdates(&self, user: Option<&UserId>, epoch: Epoch) -> bool {
        let known = match user.and_then(|user| self.fences.get(user)) {
            Some(known) => *known,
            None if self.fences.is_empty() => self.epoch,
            None => return false,
        };
        known > epoch
    }
}

/// The media type by the file's ending; UTF-8 for text (RFC 9110, section 8.3).
pub fn content_type(path: &str) -> String {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    let text = guess.type_() == "text" || matches!(guess.subtype().as_str(), "javascript" | "json" | "xml");
    if text { format!("{}; charset=utf-8", guess.essence_str()) } else { guess.essence_str().to_owned() }
}

/// How long a browser may keep the file: files whose name carries a hash for ever, all others not without asking.
pub fn cache_control(path: &str) -> &'static str {
    if is_hashed_asset(path) {
        "public, max-age=31536000, immutable"
    } else {
        "public, max-age=0, must-revalidate"
    }
}

/// A hash in a name has so many characters at least.
const HASH_MIN: usize = 8;

/// Astro (and Vite) put what they name by its content under `_astro/` (`assets/`): `index.Dx3k9aBc.css`, `index-Dx3k9aBc.js`. Files
/// that somebody named lie there too, and their content changes.
fn is_hashed_asset(path: &str) -> bool {
    let Some(("_astro" | "assets", below)) = path.split_once('/') else { return false };
    let name = below.rsplit_once('/').map_or(below, |(_, name)| name);
    let stem = name.rsplit_once('.').map(|(stem, _ending)| stem);
    let last = stem.and_then(|stem| stem.rsplit_once('.').or_else(|| stem.rsplit_once('-')));
    last.is_some_and(|(_, part)| is_hash(part))
}

/// Whether it looks like a hash rather than like words, a date or a camera's count (`McDonald`, `20241224`, `menu2024`): those
/// change less often between small letters, capitals and digits. What is taken for no hash is only asked for once more.
fn is_hash(part: &str) -> bool {
    let legal = part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    let kind = |b: u8| (b.is_ascii_digit(), b.is_ascii_uppercase());
    let changes = part
        .as_bytes()
        .windows(2)
        .filter(|pair| pair.iter().all(u8::is_ascii_alphanumeric) && kind(pair[0]) != kind(pair[1]));
    let enough = if part.bytes().any(|b| b.is_ascii_digit()) { 3 } else { 4 };
    part.len() >= HASH_MIN && legal && changes.count() >= enough
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(fences: &[(&str, u64)], epoch: u64) -> Manifest {
        let fence = |(user, epoch): &(&str, u64)| (user.parse().unwrap(), Epoch(*epoch));
        serde_json::from_value(serde_json::json!({
            "commandId": "c", "commitId": "", "epoch": epoch, "state": "published", "publishedAt": 0, "files": {},
            "fences": fences.iter().map(fence).collect::<BTreeMap<UserId, Epoch>>()
        }))
        .unwrap()
    }

    #[test]
    fn a_fence_is_held_against_publications_of_the_same_user_only() {
        let (scott, amelia) = ("scott".parse().unwrap(), "amelia".parse().unwrap());
        let live = manifest(&[("scott", 7)], 7);
        assert!(live.outdates(Some(&scott), Epoch(6)) && !live.outdates(Some(&scott), Epoch(7)));
        assert!(!live.outdates(Some(&amelia), Epoch(1)), "another user has a claim of their own");
        let old = manifest(&[], 7);
        assert!(old.outdates(Some(&scott), Epoch(6)), "a manifest of before was one user's");
    }

    #[test]
    fn pages_are_utf_8_html_and_asked_for_again() {
        assert_eq!(content_type("a/index.html"), "text/html; charset=utf-8");
        assert_eq!(content_type("logo.svg"), "image/svg+xml");
        assert_eq!(content_type("x.unknown-ending"), "application/octet-stream");
        assert!(cache_control("index.html").contains("must-revalidate"));
        assert!(cache_control("_astro/index.B1c2d3E4.css").contains("immutable"));
    }

    #[test]
    fn only_what_is_named_by_its_content_is_kept_without_asking() {
        for path in [
            "_astro/index.Dx3k9aBc.css",
            "_astro/hero.Dx3-9aBc_Z1b4cD.webp",
            "_astro/deep/inter-latin-400-normal.C38fXH4l.woff2",
            "_astro/hoisted.astro_astro_type_script_index_0_lang.DMtjkp0S.js",
            "assets/index-Dx3k9aBc.js",
            "assets/main.3f2a9bc1.js",
        ] {
            assert!(is_hashed_asset(path), "{path}");
        }
        for path in [
            "_astro/style.css",
            "_astro/page.v4551.css",
            "_astro/hoisted-Navigation.js",
            "_astro/index.Dx3k9aBc.css.map",
            "_astro/Dx3k9aBc.css",
            "_astro/.Dx3k9aBc",
            "assets/menu.pdf",
            "assets/menu-20241224.pdf",
            "assets/menu-december2024.pdf",
            "assets/price.price-list-2024b.pdf",
            "assets/team-photo-2024.jpg",
            "assets/Anna-McDonald.jpg",
            "assets/IMG-20240131-WA0012.jpg",
            "images/index.Dx3k9aBc.css",
            "de/_astro/index.Dx3k9aBc.css",
            "index.Dx3k9aBc.css",
            "_astro",
        ] {
            assert!(!is_hashed_asset(path), "{path}");
        }
    }
}
