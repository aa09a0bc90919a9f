//! Named places in a run at which a test holds a process, to kill, freeze or end it exactly there. Only debug builds look;
//! a release build has neither the setting nor the look.

#[cfg(debug_assertions)]
use std::path::{Path, PathBuf};
#[cfg(debug_assertions)]
use std::sync::OnceLock;
#[cfg(debug_assertions)]
use std::time::Duration;

/// Declares the places.
macro_rules! points {
    ($($point:ident = $name:literal,)+) => {
        /// A place.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Point {
            $(#[doc = $name] $point,)+
        }

        impl Point {
            /// All of them, in the order of a run.
            pub const ALL: &[Self] = &[$(Self::$point,)+];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$point => $name,)+ }
            }
        }
    };
}

points! {
    ClaimTaken = "claim-taken",
    MessageReceived = "message-received",
    JobRowReady = "job-row-ready",
    MessageCarried = "message-carried",
    CheckoutBegun = "checkout-begun",
    CheckedOut = "checked-out",
    AgentCharged = "agent-charged",
    AgentEnded = "agent-ended",
    CommitBegun = "commit-begun",
    Committed = "committed",
    BuildBegun = "build-begun",
    Built = "built",
    PublishBegun = "publish-begun",
    ContentsStored = "contents-stored",
    ManifestWritten = "manifest-written",
    PagesWritten = "pages-written",
    Published = "published",
    PushBegun = "push-begun",
    ClaimConfirmed = "claim-confirmed",
    Pushed = "pushed",
    JobRan = "job-ran",
    OutcomeWritten = "outcome-written",
    ResultSent = "result-sent",
    MessageDeleted = "message-deleted",
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(debug_assertions)]
static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// From now on this process waits at a point for as long as `hold-POINT` lies in this folder, and says that it is there
/// by a file `at-POINT`.
#[cfg(debug_assertions)]
pub fn look_in(folder: &Path) {
    FOLDER.get_or_init(|| folder.to_owned());
}

/// Goes on, unless a test holds this process here.
pub async fn reach(point: Point) {
    #[cfg(debug_assertions)]
    if let Some(folder) = FOLDER.get() {
        wait(folder, point).await;
    }
    #[cfg(not(debug_assertions))]
    let _ = point;
}

#[cfg(debug_assertions)]
async fn wait(folder: &Path, point: Point) {
    const LOOK_EVERY: Duration = Duration::from_millis(10);
    let hold = folder.join(format!("hold-{point}"));
    if !hold.exists() {
        return;
    }
    if let Err(error) = std::fs::write(folder.join(format!("at-{point}")), point.name()) {
        tracing::error!(%error, "a test does not hear that {point} was reached");
    }
    while hold.exists() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_point_is_passed_unless_it_is_held_and_then_as_soon_as_it_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        wait(folder.path(), Point::Pushed).await;
        assert!(!folder.path().join("at-pushed").exists());
        let hold = folder.path().join("hold-pushed");
        std::fs::write(&hold, "").unwrap();
        let path = folder.path().to_owned();
        let waiting = tokio::spawn(async move { wait(&path, Point::Pushed).await });
        while !folder.path().join("at-pushed").exists() {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished());
        std::fs::remove_file(hold).unwrap();
        waiting.await.unwrap();
    }

    #[test]
    fn every_point_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Point::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), Point::ALL.len());
    }
}
