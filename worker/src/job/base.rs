//! Where a new conversation starts: at the source of what visitors see, so that what it publishes later takes nothing of that
//! away; at the default branch when that has gone on by itself, or nothing is live.

use common::cloud::CloudError;
use common::domain::names;
use common::domain::site::Release;
use git2::Repository;

use super::publish::live_releases;
use super::{JobContext, Trouble};
use crate::git::{self, Access, Advertised, Line, Oid};

/// So many commits of what is live are looked through for the tip of the default branch.
const MAX_HISTORY: i32 = 500;

/// The source of the live site, and of what it was before.
#[derive(Debug, Clone)]
pub(super) struct Live {
    /// The branch on which it was made.
    branch: String,
    commit: Oid,
    /// The commits of all releases that can be put up again, the present one first.
    releases: Vec<Oid>,
}

impl Live {
    /// As its manifest says; none when nothing is live, or its source is not known.
    pub(super) async fn of(context: &JobContext) -> Result<Option<Self>, Trouble> {
        match live_releases(context).await {
            Ok(releases) => Ok(Self::read(&releases)),
            Err(CloudError::Invalid(reason)) => {
                tracing::warn!(reason, "it is not known what the live site was built from");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn read(releases: &[Release]) -> Option<Self> {
        let commit = |release: &Release| Oid::from_str(&release.commit_id).ok();
        let present = releases.first()?;
        Some(Self {
            branch: names::branch(present.thread_id.as_ref()?),
            commit: commit(present)?,
            releases: releases.iter().filter_map(commit).collect(),
        })
    }

    /// The branch that has to be fetched for it.
    pub(super) fn missing_branch(&self, repo: &Repository) -> Option<String> {
        repo.find_commit(self.commit).is_err().then(|| self.branch.clone())
    }

    /// The commit to start from instead of the tip of the default branch: this one when it goes on from there, as far as can
    /// be found out.
    pub(super) fn start(&self, repo: &Repository, access: &Access, advertised: &Advertised, tip: Oid) -> Oid {
        let since = repo.find_commit(tip).map_or(0, |commit| commit.time().seconds());
        let mut line = Line::of(repo, self.commit, since);
        if !line.has(tip) && line.is_cut && repo.is_shallow() && advertised.branch(&self.branch).is_some() {
            match git::fetch_history(repo, access, &self.branch, MAX_HISTORY) {
                Ok(()) => line = Line::of(repo, self.commit, since),
                Err(error) => tracing::warn!(%error, "the history of what is live could not be had"),
            }
        }
        let goes_on = line.has(tip) && repo.find_commit(self.commit).is_ok();
        if !goes_on {
            tracing::info!(live = %self.commit, %tip, "what is live does not go on from the default branch, which is where this starts");
        }
        if goes_on { self.commit } else { tip }
    }

    /// The commits of releases that this one goes on from.
    pub(super) fn included(&self, repo: &Repository, tip: Oid) -> Vec<String> {
        let times = self.releases.iter().filter_map(|id| Some(repo.find_commit(*id).ok()?.time().seconds()));
        let line = Line::of(repo, tip, times.min().unwrap_or(i64::MAX));
        let included = self.releases.iter().filter(|id| line.has(**id)).map(Oid::to_string);
        included.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }
}
