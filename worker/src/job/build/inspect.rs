//! The built site read once: its contents are hashed, and what must not be in it is found.

use std::collections::BTreeSet;
use std::sync::Arc;

use common::cloud::files::At;
use common::domain::names::{self, ContentHash, SiteTarget};
use common::domain::outcome::JobOutcome;
use common::domain::project::Build;
use common::domain::site::{Manifest, SiteFile};

use super::checks::{Finding, Reading, told, was_broken};
use crate::git::{self, During as _, off_thread};
use crate::job::handover::{Checkout, Commit, Site};
use crate::job::output::Output;
use crate::job::{Failure, JobContext, Trouble, tree};
use crate::secrets::Secrets;

/// Reads the output folder.
pub(super) async fn read(
    context: &JobContext,
    checkout: &Checkout,
    build: Build,
) -> Result<(Site, Reading), Trouble> {
    let (repo, secrets) = (checkout.workspace.repo(), context.settings.secrets.clone());
    let read = tokio::task::spawn_blocking(move || read_all(&repo, &build.output, &secrets)).await;
    read.unwrap_or_else(|error| Err(error.to_string())).map_err(|detail| {
        let text = "Your site was built, but the result could not be used.";
        Failure::new(JobOutcome::BuildFailed, "build-output", text, detail).into()
    })
}

fn read_all(repo: &std::path::Path, output: &str, secrets: &Secrets) -> Result<(Site, Reading), String> {
    let advice = "check build.output of the project";
    let folder = Output::open(repo, output)
        .map_err(|error| format!("the build made no folder {output:?} ({error}); {advice}"))?;
    let paths = folder.files().map_err(|error| format!("read the output folder {output:?}: {error}"))?;
    if paths.is_empty() {
        return Err(format!("the output folder {output:?} has no files; {advice}"));
    }
    let (mut reading, mut files) = (Reading::default(), Vec::with_capacity(paths.len()));
    for path in paths {
        let bytes = folder.read(&path).map_err(|error| format!("read {path} of {output:?}: {error}"))?;
        reading.file(&path, &bytes, secrets);
        let file = SiteFile { sha256: ContentHash::of(&bytes), size_bytes: bytes.len() as u64 };
        files.push((path, file));
    }
    Ok((Site { output: Arc::new(folder), files }, reading))
}

/// Fails when the site has what must not be published.
pub(super) async fn check(
    context: &JobContext,
    checkout: &Checkout,
    commit: &Commit,
    reading: &Reading,
) -> Result<(), Trouble> {
    let mut findings = without_owners_own(checkout, reading.plain.clone()).await?;
    if let Some(before) = before(context, checkout).await? {
        let touched = touched_since(checkout, commit, &before).await?;
        findings.extend(reading.vanished(&before, &touched));
        findings.extend(newly_broken(context, &before, reading).await?);
    }
    if findings.is_empty() {
        return Ok(());
    }
    let text = "Your change was made, but the site built with it has faults that visitors would see. \
        The site that was up stays up, and your change is kept.";
    Err(Failure::new(JobOutcome::BuildFailed, "build-checks", text, told(&findings)).into())
}

/// The site that this change was made on, as it was last put up: the thread's own preview, else the live site if it was
/// built from an ancestor.
async fn before(context: &JobContext, checkout: &Checkout) -> Result<Option<Manifest>, Trouble> {
    if let Some(own) = manifest(context, &context.target).await? {
        return Ok(Some(own));
    }
    let live = SiteTarget::Live(context.target.project().clone());
    let Some(live) = manifest(context, &live).await? else { return Ok(None) };
    let (path, tip, built_from) =
        (checkout.workspace.repo(), checkout.before, live.release.commit_id.clone());
    let is_ancestor = off_thread(move || {
        let repo = git::open(&path)?;
        Ok(git::Oid::from_str(&built_from).is_ok_and(|old| git::contains(&repo, tip, old)))
    });
    Ok(is_ancestor.await?.then_some(live))
}

/// The source files that are others than in the commit that the site of before was built from, whoever changed them.
async fn touched_since(
    checkout: &Checkout,
    commit: &Commit,
    before: &Manifest,
) -> Result<Vec<String>, Trouble> {
    let (path, tree) = (checkout.workspace.repo(), commit.tree);
    let (built_from, ours) = (before.release.commit_id.clone(), commit.files.clone());
    let touched = move || {
        let repo = git::open(&path)?;
        let old = git::Oid::from_str(&built_from).ok().filter(|old| repo.find_commit(*old).is_ok());
        let Some(old) = old else { return Ok(ours) };
        let changes = tree::diff(&repo, Some(old), tree)?;
        let paths = changes.deltas().flat_map(|delta| [delta.old_file().path(), delta.new_file().path()]);
        let paths = paths.flatten().map(|path| path.to_string_lossy().into_owned());
        Ok(paths.chain(ours).collect())
    };
    Ok(off_thread(touched).await?)
}

async fn manifest(context: &JobContext, target: &SiteTarget) -> Result<Option<Manifest>, Trouble> {
    let stored = context.files.get(&At::object(target.manifest_key())).await?;
    // One that cannot be read is told when it is to be replaced.
    let read = stored.and_then(|stored| serde_json::from_slice::<Manifest>(&stored.bytes).ok());
    Ok(read.filter(|manifest| !manifest.is_taken_down()))
}

async fn newly_broken(
    context: &JobContext,
    before: &Manifest,
    reading: &Reading,
) -> Result<BTreeSet<Finding>, Trouble> {
    let mut findings = BTreeSet::new();
    for (page, links) in reading.broken() {
        let old = match before.files.get(&page) {
            Some(old) => {
                let at = At::object(names::release_key(context.target.project(), &old.sha256));
                context.files.get(&at).await?.map(|content| content.bytes).unwrap_or_default()
            }
            None => bytes::Bytes::new(),
        };
        let new = links.into_iter().filter(|link| !was_broken(before, &page, link, &old));
        findings.extend(new.map(|link| Finding::Broken(page.clone(), link)));
    }
    Ok(findings)
}

/// Addresses of storage that stood in the source before the change are the owner's own.
async fn without_owners_own(
    checkout: &Checkout,
    findings: BTreeSet<Finding>,
) -> Result<BTreeSet<Finding>, Trouble> {
    if !findings.iter().any(|finding| matches!(finding, Finding::Storage(..))) {
        return Ok(findings);
    }
    let (path, before) = (checkout.workspace.repo(), checkout.before);
    let keep = move || {
        let repo = git::open(&path)?;
        let source = repo.find_commit(before).and_then(|commit| commit.tree());
        let source = source.during("look at the source before the change")?;
        let mut kept = BTreeSet::new();
        for finding in findings {
            let own = match &finding {
                Finding::Storage(_, address) => tree::holds(&repo, &source, address.as_bytes())?,
                Finding::Vanished(_) | Finding::Broken(..) | Finding::Secret(_) => false,
            };
            if !own {
                kept.insert(finding);
            }
        }
        Ok(kept)
    };
    Ok(off_thread(keep).await?)
}
