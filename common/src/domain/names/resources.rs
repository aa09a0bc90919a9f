//! Tables and buckets of an environment.

use std::fmt;
use std::str::FromStr;

use super::{Prefix, PreviewKey, PublicHost, SiteTarget};
use crate::domain::ids::{InvalidId, ProjectId};

/// The ownership table's name after the prefix.
pub const OWNERSHIP_TABLE: &str = "container-ownership";

/// S3 allows 3 to 63 characters of `[a-z0-9.-]`, alphanumeric at both ends.
const BUCKET_NAME_MAX: usize = 63;
/// What stands for the project in a pattern.
const PLACE: &str = "{projectId}";
/// An id is at most so long.
const PROJECT_MAX: usize = 39;

/// A table's name under a prefix.
pub fn table(prefix: &Prefix, name: &str) -> String {
    format!("{}-{name}", prefix.as_str())
}

/// The private bucket of an environment. Bucket names are the world's, so the account is part of it.
pub fn objects_bucket(prefix: &Prefix, account: &str) -> String {
    format!("{}-objects-{account}", prefix.as_str())
}

/// The state machine of an environment.
pub fn state_machine(prefix: &Prefix) -> String {
    format!("{}-email-processor", prefix.as_str())
}

/// What the keys of a thread's own preview start with, among the private objects.
pub fn thread_pages_prefix(project: &ProjectId, key: &PreviewKey) -> String {
    format!("previews/{project}/{key}/")
}

/// A bucket's name with `{projectId}` in it, legal for every project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketPattern {
    before: String,
    after: String,
}

impl BucketPattern {
    /// Takes a pattern that makes legal names.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        const RULE: &str = "a bucket name of a-z, 0-9, '.' and '-' with {projectId} once in it, at most 63 characters \
                            for a project of 39";
        let invalid = || InvalidId::new("bucket pattern", text, RULE);
        let (before, after) = text.split_once(PLACE).ok_or_else(invalid)?;
        let plain = |part: &str| part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'));
        let ends = !before.starts_with(['.', '-']) && !after.ends_with(['.', '-']);
        let dots = !before.contains("..") && !after.contains("..");
        let fits = before.len() + PROJECT_MAX + after.len() <= BUCKET_NAME_MAX;
        // Ids may be of one or two characters: a name has three.
        let long = before.len() + after.len() >= 2;
        if plain(before) && plain(after) && ends && dots && fits && long {
            Ok(Self { before: before.to_owned(), after: after.to_owned() })
        } else {
            Err(invalid())
        }
    }

    /// The bucket of a project.
    pub fn of(&self, project: &ProjectId) -> String {
        format!("{}{project}{}", self.before, self.after)
    }
}

impl FromStr for BucketPattern {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::parse(text)
    }
}

impl fmt::Display for BucketPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{PLACE}{}", self.before, self.after)
    }
}

/// The buckets of the sites: one a project for its preview, one for the live site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteBuckets {
    /// Previews.
    pub preview: BucketPattern,
    /// Live sites.
    pub live: BucketPattern,
}

impl SiteBuckets {
    /// The bucket of a project's preview.
    pub fn preview(&self, project: &ProjectId) -> String {
        self.preview.of(project)
    }

    /// The bucket of a live site.
    pub fn live(&self, project: &ProjectId) -> String {
        self.live.of(project)
    }

    /// Where browsers get a site from its bucket; none for a thread's own preview, which lies among the private objects, and
    /// for buckets whose names are none of the web.
    pub fn public_host(&self, site: &SiteTarget) -> Option<PublicHost> {
        match site {
            SiteTarget::Live(project) => PublicHost::of_bucket(self.live(project)),
            SiteTarget::Preview(project) => PublicHost::of_bucket(self.preview(project)),
            SiteTarget::Thread(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_patterns_make_legal_names_for_the_longest_project() {
        let project = ProjectId::parse(&"x".repeat(39)).unwrap();
        for text in ["edit.{projectId}.webordinary.com", "{projectId}.webordinary.com"] {
            let pattern = BucketPattern::parse(text).unwrap();
            assert!((3..=63).contains(&pattern.of(&project).len()));
            assert_eq!(pattern.to_string(), text);
        }
    }

    #[test]
    fn a_live_site_and_a_projects_preview_have_the_addresses_of_their_buckets() {
        let project = ProjectId::parse("amelia").unwrap();
        let pattern = |text| BucketPattern::parse(text).unwrap();
        let buckets = SiteBuckets {
            preview: pattern("edit.{projectId}.webordinary.com"),
            live: pattern("agency-{projectId}"),
        };
        let url = |site: &SiteTarget| buckets.public_host(site).map(|host| host.url());
        let preview = SiteTarget::Preview(project.clone());
        assert_eq!(url(&preview).as_deref(), Some("https://edit.amelia.webordinary.com/"));
        assert_eq!(url(&SiteTarget::Live(project.clone())), None, "no browser finds a name without a dot");
        assert_eq!(url(&SiteTarget::Thread(project, PreviewKey::from_bytes(&[7; 12]))), None);
    }

    #[test]
    fn a_pattern_that_makes_illegal_names_is_refused() {
        for text in [
            "bucket",
            "{projectId}",
            "{project}.x",
            "Edit.{projectId}.x",
            ".{projectId}.x",
            "{projectId}..x",
            "{projectId}.{projectId}",
            "{projectId}.a-name-that-is-too-long-here",
        ] {
            assert!(BucketPattern::parse(text).is_err(), "{text}");
        }
    }
}
