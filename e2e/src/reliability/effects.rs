//! What the world sees of a job.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::remote::Remote;
use crate::world::World;

/// Effects of one job, counted where they are seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effects {
    /// Finished commits of the command on its branch; saved unfinished work does not count.
    pub commits: usize,
    /// The manifests that are in place.
    pub manifests: Vec<String>,
    /// Mails that were sent.
    pub mails: usize,
}

impl Effects {
    /// Those of the only job of a world.
    pub fn of(world: &World, remote: &Remote, job: &Value) -> anyhow::Result<Self> {
        let branch = job["branch"].as_str().context("a branch")?;
        let command = job["commandId"].as_str().context("a commandId")?;
        let mut manifests = Vec::new();
        for path in files_below(&world.data_dir().join("objects"))? {
            if path.ends_with("manifest.json") {
                manifests.push(std::fs::read_to_string(path)?);
            }
        }
        let commits = remote.finished_commits(branch, command)?;
        Ok(Self { commits, manifests, mails: world.sent_mails()?.len() })
    }

    /// One commit, one publication of exactly it, one answer.
    pub fn are_made_once(&self, job: &Value) -> anyhow::Result<()> {
        ensure!(job["outcome"] == "changed", "the job ended otherwise: {job}");
        ensure!(self.commits == 1, "{} commits instead of one", self.commits);
        ensure!(self.mails == 1, "{} mails instead of one", self.mails);
        ensure!(self.manifests.len() == 1, "{} publications instead of one", self.manifests.len());
        let manifest: Value = serde_json::from_str(&self.manifests[0])?;
        ensure!(manifest["state"] == "published", "a publication is half done: {manifest}");
        ensure!(manifest["commitId"] == job["commitId"], "another commit is shown: {manifest}, {job}");
        Ok(())
    }

    /// The same commit was not put up again. Whoever cannot reach the folder of a sleeper makes another commit, and puts
    /// that up.
    pub fn is_put_up_once(&self) -> anyhow::Result<()> {
        let numbers =
            self.manifests.iter().map(|text| Ok(serde_json::from_str::<Value>(text)?["number"].clone()));
        let numbers = numbers.collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(numbers == [1], "it was put up more than once: {numbers:?}");
        Ok(())
    }
}

fn files_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_below(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}
