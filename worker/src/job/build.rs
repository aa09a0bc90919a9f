//! The site from its source: packages installed only when their list changed, then the project's own build command, both
//! as children with limits. Out come regular files that may be published.

mod checks;
mod inspect;
mod links;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::domain::names::ContentHash;
use common::domain::outcome::JobOutcome;

use super::handover::{Checkout, Commit, Site};
use super::workspace::Workspace;
use super::{Cut, Failure, JobContext, Stopper, Trouble};
use crate::process::{End, Exceeded, Finished};
use crate::sandbox::Who;

/// Installing and building each end after this.
const LIMIT: Duration = Duration::from_mins(15);
const KEPT_OUTPUT_BYTES: usize = 64 * 1024;
const SHOWN_OUTPUT_CHARS: usize = 4000;
/// Kept from build to build beside what is installed; any of it can be made anew.
const WARM: [&str; 2] = [".astro", ".cache"];

/// Builds what was committed, and looks at what came of it.
pub async fn build(context: &JobContext, checkout: &Checkout, commit: &Commit) -> Result<Site, Trouble> {
    let build = context.project.as_ref().map(|project| project.build.clone()).unwrap_or_default();
    install(context, checkout).await?;
    if !build.command.is_empty() {
        run(context, checkout, build.command.clone(), "build").await?;
    }
    inspect::inspect(context, checkout, commit, build).await
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
    let shown = argv.join(" ");
    if let Some(program) = argv.first_mut().filter(|program| !program.contains('/')) {
        *program = context.settings.environment.programs().find(program).ok_or_else(|| {
            let detail = format!("{step} ({shown}): {program} is not on the PATH of the worker");
            Failure { code: "build-program", ..build_failed(step, detail) }
        })?;
    }
    let failed = |error: io::Error| build_failed(step, format!("{step} ({shown}): {error}"));
    let mut finished = once(context, checkout, argv.clone()).await.map_err(failed)?;
    if finished.exceeded == Some(Exceeded::Disk) && forgotten(context, checkout).await? {
        finished = once(context, checkout, argv).await.map_err(failed)?;
    }
    let Finished { end, output, .. } = finished;
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

/// One start, to its end.
async fn once(context: &JobContext, checkout: &Checkout, argv: Vec<String>) -> io::Result<Finished> {
    let (settings, stopper) = (&context.settings, &context.stopper);
    let cell = settings.sandbox.cell(&checkout.workspace, Who::Build);
    let Ok(cell) = stopper.within(Duration::ZERO, cell).await else { return Ok(Finished::cancelled()) };
    let cell = cell?;
    let launch = cell.enclose(argv, settings.environment.for_build(&cell.view().places()))?;
    let finished = launch.run(LIMIT, KEPT_OUTPUT_BYTES, &settings.secrets, context.stopper.token()).await?;
    if finished.end != End::Cancelled {
        empty_tmp(stopper, &checkout.workspace).await;
    }
    Ok(finished)
}

/// Room that a build took for a while is not taken until the next one begins. Whoever is cut off has no time for it.
async fn empty_tmp(stopper: &Stopper, workspace: &Workspace) {
    let folder = workspace.clone();
    let emptied = tokio::task::spawn_blocking(move || folder.build_places());
    let emptied = stopper.within(Duration::ZERO, emptied).await;
    if !matches!(emptied, Ok(Ok(Ok(_)))) {
        tracing::warn!(
            ?emptied,
            "temporary files of a build are not removed yet; the next one does that first"
        );
    }
}

/// Whether builds of before had left something that took room, which is removed now.
async fn forgotten(context: &JobContext, checkout: &Checkout) -> Result<bool, Trouble> {
    let workspace = checkout.workspace.clone();
    let forget = move || {
        let (home, repo) = (workspace.places("build").home, workspace.repo());
        let caches = WARM.iter().map(|name| repo.join(name));
        let holds = |path: &PathBuf| std::fs::read_dir(path).is_ok_and(|mut inside| inside.next().is_some());
        let kept: Vec<_> = std::iter::once(home).chain(caches).filter(holds).collect();
        let removed = kept.iter().all(|path| crate::folders::remove(path).is_ok());
        removed && !kept.is_empty()
    };
    let forgotten = context.stopper.within(Duration::ZERO, tokio::task::spawn_blocking(forget)).await;
    let forgotten = forgotten.map_err(Trouble::Cut)?.unwrap_or_default();
    if forgotten {
        tracing::warn!(
            "a build met the bound of the disk; what earlier ones left was removed, and it is started once more"
        );
    }
    Ok(forgotten)
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

#[cfg(test)]
mod tests {
    use super::*;

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
