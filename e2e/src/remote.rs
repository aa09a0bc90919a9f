//! Git remotes on this machine: bare repositories made from a folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use git2::{DiffFormat, IndexAddOption, Repository, RepositoryInitOptions, Signature};
use tokio::process::Command;

/// A bare repository.
pub struct Remote {
    path: PathBuf,
}

impl Remote {
    /// Makes a bare repository at `path` whose branch `main` holds the files of `folder` (what its `.gitignore` names is
    /// left out).
    pub fn from_folder(folder: &Path, path: &Path) -> anyhow::Result<Self> {
        let repo = Repository::init_opts(
            path,
            RepositoryInitOptions::new().bare(true).initial_head("main").mkpath(true),
        )?;
        let source = tempfile::tempdir()?;
        let staging = Repository::init_opts(source.path().join("git"), &RepositoryInitOptions::new())?;
        staging.set_workdir(folder, false)?;
        let mut index = staging.index()?;
        index.add_all(["*"], IndexAddOption::DEFAULT, None)?;
        let tree_id = index.write_tree_to(&staging)?;
        let author = Signature::now("Amelia", "amelia@example.org")?;
        let tree = staging.find_tree(tree_id)?;
        staging.commit(Some("refs/heads/main"), &author, &author, "The site as it is", &tree, &[])?;
        let url = repo.path().to_str().context("the path is not UTF-8")?.to_owned();
        staging.remote_anonymous(&url)?.push(&["refs/heads/main:refs/heads/main"], None)?;
        Ok(Self { path: path.to_owned() })
    }

    /// An existing bare repository.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The URL a project is given.
    pub fn url(&self) -> String {
        format!("file://{}", self.path.display())
    }

    /// Packs what was pushed, as hosts do from time to time: whoever pushes over `file://` opens every pack there is.
    #[allow(clippy::disallowed_methods, reason = "the host's side of a repository, with git as hosts run it")]
    pub async fn pack(&self) -> anyhow::Result<()> {
        let mut git = Command::new("git");
        let status =
            git.arg("-C").arg(&self.path).args(["gc", "--quiet"]).status().await.context("start git gc")?;
        ensure!(status.success(), "git gc: {status}");
        Ok(())
    }

    /// The repository, to look into.
    pub fn open(&self) -> anyhow::Result<Repository> {
        Repository::open_bare(&self.path).with_context(|| format!("open {}", self.path.display()))
    }

    /// The commit a branch points at, as hex.
    pub fn head(&self, branch: &str) -> anyhow::Result<String> {
        let repo = self.open()?;
        let commit = repo.find_branch(branch, git2::BranchType::Local)?.get().peel_to_commit()?;
        Ok(commit.id().to_string())
    }

    /// The message of a branch's last commit.
    pub fn message(&self, branch: &str) -> anyhow::Result<String> {
        let repo = self.open()?;
        let commit = repo.find_branch(branch, git2::BranchType::Local)?.get().peel_to_commit()?;
        Ok(String::from_utf8_lossy(commit.message_bytes()).into_owned())
    }

    /// How many commits a branch has beyond `main`.
    pub fn commits_beyond_main(&self, branch: &str) -> anyhow::Result<usize> {
        let repo = self.open()?;
        let mut walk = repo.revwalk()?;
        walk.push_ref(&format!("refs/heads/{branch}"))?;
        walk.hide_ref("refs/heads/main")?;
        Ok(walk.count())
    }

    /// How many commits of a command a branch has beyond `main`, without saved unfinished work.
    pub fn finished_commits(&self, branch: &str, command: &str) -> anyhow::Result<usize> {
        let repo = self.open()?;
        let mut walk = repo.revwalk()?;
        walk.push_ref(&format!("refs/heads/{branch}"))?;
        walk.hide_ref("refs/heads/main")?;
        let mut count = 0;
        for id in walk {
            let commit = repo.find_commit(id?)?;
            let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
            count += usize::from(message.contains(command) && !message.starts_with("WIP:"));
        }
        Ok(count)
    }

    /// A text file of a branch.
    pub fn file(&self, branch: &str, path: &str) -> anyhow::Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes(branch, path)?).into_owned())
    }

    /// A file of a branch.
    pub fn bytes(&self, branch: &str, path: &str) -> anyhow::Result<Vec<u8>> {
        let repo = self.open()?;
        let tree = repo.find_branch(branch, git2::BranchType::Local)?.get().peel_to_tree()?;
        let blob = tree.get_path(Path::new(path))?.to_object(&repo)?.peel_to_blob()?;
        Ok(blob.content().to_vec())
    }

    /// What a branch changes against `main`, as a unified diff.
    pub fn diff(&self, branch: &str) -> anyhow::Result<String> {
        let repo = self.open()?;
        let tree = |name: &str| repo.find_branch(name, git2::BranchType::Local)?.get().peel_to_tree();
        let diff = repo.diff_tree_to_tree(Some(&tree("main")?), Some(&tree(branch)?), None)?;
        let mut text = String::new();
        diff.print(DiffFormat::Patch, |_, _, line| {
            if matches!(line.origin(), '+' | '-' | ' ') {
                text.push(line.origin());
            }
            text.push_str(&String::from_utf8_lossy(line.content()));
            true
        })?;
        Ok(text)
    }
}
