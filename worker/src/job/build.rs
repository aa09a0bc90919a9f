//! The site from its source: packages installed only when their list or lock changed, then the project's own build command, both
//! as children with limits. Out come regular files that may be published.

mod checks;
mod folder;
mod inspect;
mod links;
mod packages;
mod pointers;
mod vanished;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use common::domain::outcome::JobOutcome;
use common::domain::project::Build;

use checks::{MAX_FINDINGS, listed};
use packages::Packages;
use tokio::task::JoinHandle;

pub(super) use packages::{LOCK_BEHIND, LOCK_OF_THE_SOURCE};

use super::caches::{self, Writer};
use super::handover::{Checkout, Commit, Site};
use super::workspace::Workspace;
use super::{Cut, Failure, JobContext, Stopper, Trouble, fetched};
use crate::git::{self, off_thread};
use crate::process::{End, Exceeded, Finished};
use crate::sandbox::Who;

/// Installing and building each end after this.
const LIMIT: Duration = Duration::from_mins(15);
/// The failure of a build that came to its end.
const BUILD_FAILED: &str = "build-failed";
const KEPT_OUTPUT_BYTES: usize = 64 * 1024;
const SHOWN_OUTPUT_CHARS: usize = 4000;
/// Kept from build to build beside what is installed; any of it can be made anew.
const WARM: [&str; 2] = [".astro", ".cache"];

/// Builds what was committed, and looks at what came of it.
pub async fn build(context: &JobContext, checkout: &Checkout, commit: &Commit) -> Result<Site, Trouble> {
    let build = settings(context);
    if !build.command.is_empty() {
        fresh_home(context, checkout).await?;
        install(context, checkout, commit).await?;
        let failed = |said: &str, output: &str| build_failed(format!("{said}:\n{}", last_chars(output)));
        let done = run(context, checkout, build.command.clone(), Step::Build, failed).await;
        if let Err(trouble) = done {
            return Err(explained(checkout, commit, trouble).await);
        }
    }
    inspect::inspect(context, checkout, commit, build).await
}

/// A build that failed may have missed what is not fetched.
async fn explained(checkout: &Checkout, commit: &Commit, trouble: Trouble) -> Trouble {
    let Trouble::Failed(failure) = trouble else { return trouble };
    if failure.code != BUILD_FAILED {
        return failure.into();
    }
    let (path, tree) = (checkout.workspace.repo(), commit.tree);
    let missing = off_thread(move || pointers::of_tree(&git::open(&path)?, tree, MAX_FINDINGS)).await;
    let missing = missing.ok().filter(|missing| !missing.is_empty());
    let also = missing.map(|missing| format!("\nin Git LFS, which is not fetched, lie:{}", listed(&missing)));
    Failure { detail: failure.detail + &also.unwrap_or_default(), ..failure }.into()
}

fn settings(context: &JobContext) -> Build {
    context.project.as_ref().map(|project| project.build.clone()).unwrap_or_default()
}

/// Nothing that builds of other commits left there is obeyed.
async fn fresh_home(context: &JobContext, checkout: &Checkout) -> Result<(), Trouble> {
    let made = checkout.workspace.beside(Workspace::fresh_build_home);
    aside(context, made, "make a home for the build").await
}

/// Waits for work on files, but not once the job is cut off.
async fn aside(context: &JobContext, work: JoinHandle<io::Result<()>>, what: &str) -> Result<(), Trouble> {
    let done = context.stopper.within(Duration::ZERO, work).await.map_err(Trouble::Cut)?;
    let done = done.map_err(io::Error::other).flatten();
    done.map_err(|error| not_run(format!("{what}: {error}")).into())
}

/// Installs the packages when what decides on them is another than at the last time.
async fn install(context: &JobContext, checkout: &Checkout, commit: &Commit) -> Result<(), Trouble> {
    let repo = checkout.workspace.repo();
    let Some(packages) = Packages::of(&repo)? else { return Ok(()) };
    let marker = checkout.workspace.installed_marker();
    let installed = tokio::fs::read_to_string(&marker).await.unwrap_or_default();
    let (path, tree) = (repo.clone(), commit.tree);
    let wanted = off_thread(move || packages::fingerprint(&git::open(&path)?, tree)).await?;
    if installed == wanted.as_str() && repo.join("node_modules").is_dir() {
        return Ok(());
    }
    tokio::fs::remove_file(&marker).await.ok();
    let emptied = checkout.workspace.beside(|workspace| caches::remove_packages(&workspace.repo()));
    aside(context, emptied, "remove packages that were installed before").await?;
    let failed = |said: &str, output: &str| packages.failed(commit, said, output);
    run(context, checkout, words(packages.install()), Step::Install, failed).await?;
    let home = checkout.workspace.places("build").home;
    if !fetched::is_all_there_is(&home).unwrap_or(false) {
        tracing::info!("packages left more in the home than can be kept; they are installed again next time");
        return Ok(());
    }
    if let Err(error) = tokio::fs::write(&marker, wanted.as_str()).await {
        tracing::warn!(%error, "what was installed could not be remembered; it is installed again next time");
    }
    Ok(())
}

/// Lets the lock file of the packages follow their list, as both lie in the checkout.
pub(super) async fn lock(context: &JobContext, checkout: &Checkout, commit: &Commit) -> Result<(), Trouble> {
    let Some(packages) = Packages::of(&checkout.workspace.repo())? else { return Ok(()) };
    let Some(lock_only) = packages.lock_only() else { return Ok(()) };
    fresh_home(context, checkout).await?;
    let failed = |said: &str, output: &str| packages.failed(commit, said, output);
    run(context, checkout, words(lock_only), Step::Lock, failed).await
}

/// Refuses a source whose packages nobody here can install, before anything is spent on it. What nothing is built with is
/// installed by nobody.
pub(super) fn can_install(context: &JobContext, checkout: &Checkout) -> Result<(), Trouble> {
    if settings(context).command.is_empty() {
        return Ok(());
    }
    let Some(packages) = Packages::of(&checkout.workspace.repo())? else { return Ok(()) };
    let argv = words(packages.install());
    program(context, &argv, Step::Install)
        .map(drop)
        .map_err(|failure| Failure { outcome: JobOutcome::Refused, ..failure }.into())
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// What a program is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Packages change.
    Install,
    /// Their lock file changes, and none of them.
    Lock,
    /// Caches change, and no packages.
    Build,
}

impl Step {
    /// "install (npm ci)".
    fn of(self, argv: &[String]) -> String {
        let name = if self == Self::Build { "build" } else { "install" };
        format!("{name} ({})", argv.join(" "))
    }

    /// Caches are a build's own only.
    fn writer(self) -> Writer {
        if self == Self::Build { Writer::Build } else { Writer::Agent }
    }

    /// It took too long. A registry that answers slowly may be faster next time.
    fn timed_out(self, detail: String) -> Failure {
        if self == Self::Build { over_limit(detail) } else { packages::unfetched(detail) }
    }
}

/// Runs a program to its end; what it means that it failed is said by `failed`, in view of what was run and its output.
async fn run(
    context: &JobContext,
    checkout: &Checkout,
    mut argv: Vec<String>,
    step: Step,
    failed: impl Fn(&str, &str) -> Failure,
) -> Result<(), Trouble> {
    let what = step.of(&argv);
    let found = program(context, &argv, step)?;
    if let (Some(found), Some(program)) = (found, argv.first_mut()) {
        *program = found;
    }
    let unstarted = |error: io::Error| not_run(format!("{what}: {error}"));
    let mut finished = once(context, checkout, argv.clone(), step).await.map_err(unstarted)?;
    if finished.exceeded == Some(Exceeded::Disk) && forgotten(context, checkout).await? {
        finished = once(context, checkout, argv, step).await.map_err(unstarted)?;
    }
    let Finished { end, output, exceeded } = finished;
    match end {
        End::Exited(status) if status.success() => Ok(()),
        End::Exited(status) => {
            let said = format!("{what} ended with {status}");
            let over = exceeded.map(|_| over_limit(format!("{said}:\n{}", last_chars(&output))));
            Err(over.unwrap_or_else(|| failed(&said, &output)).into())
        }
        End::TimedOut => {
            let minutes = LIMIT.as_secs() / 60;
            let detail = format!("{what} took over {minutes} minutes:\n{}", last_chars(&output));
            Err(step.timed_out(detail).into())
        }
        End::Cancelled => Err(Trouble::Cut(context.stopper.stopped().unwrap_or(Cut::Stopped))),
    }
}

/// Where a program is that is called by its bare name.
fn program(context: &JobContext, argv: &[String], step: Step) -> Result<Option<String>, Failure> {
    let Some(name) = argv.first().filter(|name| !name.contains('/')) else { return Ok(None) };
    context.settings.environment.programs().find(name).map(Some).ok_or_else(|| {
        let text =
            format!("Your site cannot be built here: it needs the program {name}, which is not there.");
        let detail = format!("{}: {name} is not on the PATH of the worker", step.of(argv));
        Failure::new(JobOutcome::BuildFailed, "build-program", text, detail)
    })
}

/// One start, to its end.
async fn once(
    context: &JobContext,
    checkout: &Checkout,
    argv: Vec<String>,
    step: Step,
) -> io::Result<Finished> {
    let (settings, stopper) = (&context.settings, &context.stopper);
    let cell = settings.sandbox.cell(&checkout.workspace, Who::Build);
    let Ok(cell) = stopper.within(Duration::ZERO, cell).await else { return Ok(Finished::cancelled()) };
    let cell = cell?;
    if step != Step::Install {
        // From when its files are given to it: that changes them.
        let begins = move |workspace: &Workspace| caches::begins(&workspace.repo(), step.writer());
        checkout.workspace.beside(begins).await.map_err(io::Error::other)??;
    }
    let launch = cell.enclose(argv, settings.environment.for_build(&cell.view().places()))?;
    let finished = launch.run(LIMIT, KEPT_OUTPUT_BYTES, &settings.secrets, context.stopper.token()).await?;
    if finished.end != End::Cancelled {
        empty_tmp(stopper, &checkout.workspace).await;
    }
    Ok(finished)
}

/// Room that a build took for a while is not taken until the next one begins. Whoever is cut off has no time for it.
async fn empty_tmp(stopper: &Stopper, workspace: &Workspace) {
    let emptied = stopper.within(Duration::ZERO, workspace.beside(Workspace::build_places)).await;
    if !matches!(emptied, Ok(Ok(Ok(_)))) {
        tracing::warn!(
            ?emptied,
            "temporary files of a build are not removed yet; the next one does that first"
        );
    }
}

/// Whether builds of before had left something that took room, which is removed now.
async fn forgotten(context: &JobContext, checkout: &Checkout) -> Result<bool, Trouble> {
    let forget = |workspace: &Workspace| {
        let (home, repo) = (workspace.places("build").home, workspace.repo());
        let caches = WARM.iter().map(|name| repo.join(name));
        let holds = |path: &PathBuf| std::fs::read_dir(path).is_ok_and(|mut inside| inside.next().is_some());
        let kept: Vec<_> = std::iter::once(home).chain(caches).filter(holds).collect();
        let removed = kept.iter().all(|path| crate::folders::remove(path).is_ok());
        removed && !kept.is_empty()
    };
    let forgotten = context.stopper.within(Duration::ZERO, checkout.workspace.beside(forget)).await;
    let forgotten = forgotten.map_err(Trouble::Cut)?.unwrap_or_default();
    if forgotten {
        tracing::warn!(
            "a build met the bound of the disk; what earlier ones left was removed, and it is started once more"
        );
    }
    Ok(forgotten)
}

fn build_failed(detail: String) -> Failure {
    let text = "Your change was made, but the site could not be built with it. \
        The site that was up stays up, and your change is kept.";
    Failure::new(JobOutcome::BuildFailed, BUILD_FAILED, text, detail)
}

/// It took more than it may, which is no fault of a page; more of the same would not help.
fn over_limit(detail: String) -> Failure {
    let text = "Your change was made, but building the site takes more time, memory or room than it may. \
        The site that was up stays up, and your change is kept.";
    Failure::new(JobOutcome::BuildFailed, "build-limit", text, detail)
}

/// Something of ours failed before the site could be judged; that may pass.
fn not_run(detail: String) -> Failure {
    let text = "Your change was made, but something on our side kept the site from being built. \
        The site that was up stays up, and your change is kept.";
    Failure::new(JobOutcome::Failed, "build-not-run", text, detail)
}

fn first_chars(text: &str) -> &str {
    text.char_indices().nth(SHOWN_OUTPUT_CHARS).map_or(text, |(at, _)| &text[..at])
}

fn last_chars(text: &str) -> &str {
    let skip = text.chars().count().saturating_sub(SHOWN_OUTPUT_CHARS);
    text.char_indices().nth(skip).map_or("", |(at, _)| &text[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_what_is_shown() {
        let log = format!("{}é-end", "x".repeat(SHOWN_OUTPUT_CHARS));
        assert!(last_chars(&log).ends_with("é-end"));
        assert_eq!(last_chars(&log).chars().count(), SHOWN_OUTPUT_CHARS);
        let log = format!("begin-é{log}");
        assert!(first_chars(&log).starts_with("begin-é"));
        assert_eq!(first_chars(&log).chars().count(), SHOWN_OUTPUT_CHARS);
        assert_eq!((first_chars("é"), last_chars("é")), ("é", "é"));
    }
}
