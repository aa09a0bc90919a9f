//! The site from its source: packages installed only when their list changed, then the project's own build command, both
//! as children with limits. Out come regular files, found without following a link.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use common::domain::names::ContentHash;
use common::domain::outcome::JobOutcome;
use common::domain::project::Build;

use super::handover::{Checkout, Site};
use super::{Cut, Failure, JobContext, Trouble};
use crate::process::{End, Finished};
use crate::sandbox::Who;

/// Installing and building each end after this.
const LIMIT: Duration = Duration::from_mins(15);
const KEPT_OUTPUT_BYTES: usize = 64 * 1024;
const SHOWN_OUTPUT_CHARS: usize = 4000;
/// A site has no more files than this.
const MAX_FILES: usize = 100_000;
/// Object keys end here (common::cloud::files).
const MAX_KEY_BYTES: usize = 1024;

/// Builds what was committed.
pub async fn build(context: &JobContext, checkout: &Checkout) -> Result<Site, Trouble> {
    let build = context.project.as_ref().map(|project| project.build.clone()).unwrap_or_default();
    install(context, checkout).await?;
    if !build.command.is_empty() {
        run(context, checkout, build.command.clone(), "build").await?;
    }
    let repo = checkout.workspace.repo();
    let site = tokio::task::spawn_blocking(move || collect(&repo, &build)).await;
    site.unwrap_or_else(|error| Err(error.to_string())).map_err(|detail| {
        let text = "Your site was built, but the result could not be used.";
        Failure::new(JobOutcome::BuildFailed, "build-output", text, detail).into()
    })
}

/// Installs the packages when their list is another than the one installed last.
async fn install(context: &JobContext, checkout: &Checkout) -> Result<(), Trouble> {
    let repo = checkout.workspace.repo();
    let Some((list, arguments)) = package_list(&repo) else { return Ok(()) };
    let marker = checkout.workspace.installed_marker();
    let wanted = ContentHash::of(&list);
    let installed = tokio::fs::read_to_string(&marker).await.unwrap_or_default();
    if installed == wanted.as_str() && repo.join("node_modules").is_dir() {
        return Ok(());
    }
    tokio::fs::remove_file(&marker).await.ok();
    let argv = ["npm"].iter().chain(arguments).map(|word| (*word).to_owned()).collect();
    run(context, checkout, argv, "install").await?;
    if let Err(error) = tokio::fs::write(&marker, wanted.as_str()).await {
        tracing::warn!(%error, "what was installed could not be remembered; it is installed again next time");
    }
    Ok(())
}

/// What says which packages are needed, and how they are installed; none without packages.
fn package_list(repo: &Path) -> Option<(Vec<u8>, &'static [&'static str])> {
    const LOCKED: &[&str] = &["ci", "--no-audit", "--no-fund"];
    const UNLOCKED: &[&str] = &["install", "--no-audit", "--no-fund", "--no-package-lock"];
    let package = regular_file(&repo.join("package.json"))?;
    match regular_file(&repo.join("package-lock.json")) {
        Some(lock) => Some((lock, LOCKED)),
        None if has_dependencies(&package) => Some((package, UNLOCKED)),
        None => None,
    }
}

fn has_dependencies(package: &[u8]) -> bool {
    let package: serde_json::Value = serde_json::from_slice(package).unwrap_or_default();
    ["dependencies", "devDependencies"]
        .iter()
        .any(|kind| package[kind].as_object().is_some_and(|list| !list.is_empty()))
}

fn regular_file(path: &Path) -> Option<Vec<u8>> {
    path.symlink_metadata().is_ok_and(|meta| meta.is_file()).then(|| std::fs::read(path).ok()).flatten()
}

async fn run(
    context: &JobContext,
    checkout: &Checkout,
    mut argv: Vec<String>,
    step: &'static str,
) -> Result<(), Trouble> {
    let settings = &context.settings;
    let workspace = &checkout.workspace;
    let shown = argv.join(" ");
    if let Some(program) = argv.first_mut().filter(|program| !program.contains('/')) {
        *program = settings.environment.programs().find(program).ok_or_else(|| {
            build_failed(step, format!("{step} ({shown}): {program} is not on the PATH of the worker"))
        })?;
    }
    let cell = settings.sandbox.cell(workspace, Who::Build).await.map_err(|error| {
        build_failed(step, format!("{step}: the folders of the build could not be prepared: {error}"))
    })?;
    let launch = cell.enclose(argv, settings.environment.for_build(&cell.view().places()));
    let launch = launch.map_err(|error| build_failed(step, format!("{step} ({shown}): {error}")))?;
    let finished = launch.run(LIMIT, KEPT_OUTPUT_BYTES, &settings.secrets, context.stopper.token()).await;
    let Finished { end, output, .. } =
        finished.map_err(|error| build_failed(step, format!("{step} ({shown}): {error}")))?;
    let output = last_chars(&output);
    match end {
        End::Exited(status) if status.success() => Ok(()),
        End::Exited(status) => {
            Err(build_failed(step, format!("{step} ({shown}) ended with {status}:\n{output}")).into())
        }
        End::TimedOut => {
            let minutes = LIMIT.as_secs() / 60;
            Err(build_failed(step, format!("{step} ({shown}) took over {minutes} minutes:\n{output}")).into())
        }
        End::Cancelled => Err(Trouble::Cut(context.stopper.stopped().unwrap_or(Cut::Stopped))),
    }
}

fn build_failed(step: &'static str, detail: String) -> Failure {
    let code = if step == "install" { "install-failed" } else { "build-failed" };
    let text = "Your change was made, but the site could not be built with it. \
        The site that was up stays up, and your change is kept.";
    Failure::new(JobOutcome::BuildFailed, code, text, detail)
}

fn last_chars(text: &str) -> &str {
    let skip = text.chars().count().saturating_sub(SHOWN_OUTPUT_CHARS);
    text.char_indices().nth(skip).map_or("", |(at, _)| &text[at..])
}

/// The regular files below the output folder, in order.
fn collect(repo: &Path, build: &Build) -> Result<Site, String> {
    let root = output_folder(repo, &build.output)?;
    let mut files = Vec::new();
    walk(&root, "", &mut files)
        .map_err(|error| format!("read the output folder {:?}: {error}", build.output))?;
    if files.is_empty() {
        return Err(format!(
            "the output folder {:?} has no files; check build.output of the project",
            build.output
        ));
    }
    files.sort();
    Ok(Site { files })
}

/// The folder, none of whose parts is a link.
fn output_folder(repo: &Path, output: &str) -> Result<PathBuf, String> {
    let mut path = repo.to_owned();
    for part in Path::new(output).components() {
        match part {
            Component::CurDir => continue,
            Component::Normal(name) => path.push(name),
            _ => return Err(format!("the output folder {output:?} must be a folder of the repository")),
        }
        if !path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            return Err(format!("the build made no folder {output:?}; check build.output of the project"));
        }
    }
    Ok(path)
}

/// Never through a link; names that are no object keys are an error, folders of tools are left out.
fn walk(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().filter(|name| !name.contains('\\')).ok_or_else(|| {
            io::Error::other(format!("{} has a name that no web address can have", entry.path().display()))
        })?;
        let key = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        if key.len() > MAX_KEY_BYTES || files.len() >= MAX_FILES {
            return Err(io::Error::other(format!("{key}: too long a path, or more than {MAX_FILES} files")));
        }
        let kind = entry.file_type()?;
        if kind.is_dir() && !matches!(name, ".git" | "node_modules") {
            walk(&entry.path(), &key, files)?;
        } else if kind.is_file() {
            files.push((key, entry.path()));
        } else if !kind.is_dir() {
            tracing::warn!(path = key, "not a regular file, so it is not published");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(repo: &Path, output: &str) -> Result<Vec<String>, String> {
        let build = Build { command: Vec::new(), output: output.to_owned() };
        collect(repo, &build).map(|site| site.files.into_iter().map(|(path, _)| path).collect())
    }

    #[test]
    fn only_regular_files_are_taken_and_no_link_is_followed() {
        let repo = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "x").unwrap();
        let dist = repo.path().join("dist");
        std::fs::create_dir_all(dist.join("a")).unwrap();
        std::fs::write(dist.join("a/index.html"), "x").unwrap();
        std::os::unix::fs::symlink(outside.path(), dist.join("linked")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), dist.join("secret")).unwrap();
        std::os::unix::fs::symlink(outside.path(), repo.path().join("out")).unwrap();
        assert_eq!(site(repo.path(), "dist").unwrap(), ["a/index.html"]);
        assert!(site(repo.path(), "out").is_err());
        assert!(site(repo.path(), "../x").is_err());
        assert!(site(repo.path(), "/etc").is_err());
    }

    #[test]
    fn packages_are_listed_by_the_lock_and_only_where_there_are_some() {
        let repo = tempfile::tempdir().unwrap();
        assert!(package_list(repo.path()).is_none());
        std::fs::write(repo.path().join("package.json"), "{}").unwrap();
        assert!(package_list(repo.path()).is_none());
        std::fs::write(repo.path().join("package.json"), r#"{"dependencies":{"a":"1"}}"#).unwrap();
        assert_eq!(package_list(repo.path()).unwrap().1[0], "install");
        std::fs::write(repo.path().join("package-lock.json"), "{}").unwrap();
        assert_eq!(package_list(repo.path()).unwrap().1[0], "ci");
    }

    #[test]
    fn the_end_of_a_log_is_what_is_shown() {
        let log = format!("{}é-end", "x".repeat(SHOWN_OUTPUT_CHARS));
        assert!(last_chars(&log).ends_with("é-end"));
        assert_eq!(last_chars(&log).chars().count(), SHOWN_OUTPUT_CHARS);
    }
}
