//! The loops that hermes is made of: each runs until it is told to stop, and one that ends before takes the process with
//! it, so that whatever watches the process starts it anew.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// How long the loops are given to end.
const GRACE: Duration = Duration::from_secs(15);

/// A loop that ended although nobody told it to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the loop \"{0}\" ended by itself; nothing is lost, start hermes again and report what the log says")]
pub struct EndedEarly(pub &'static str);

/// Loops and their names.
#[derive(Debug, Default)]
pub struct Loops {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Loops {
    /// Starts a loop.
    pub fn start(&mut self, name: &'static str, run: impl Future<Output = ()> + Send + 'static) {
        self.names.insert(self.tasks.spawn(run).id(), name);
    }

    /// Waits for `stop`, or for a loop to end before; then all are told to stop, and waited for.
    pub async fn watch(mut self, stop: &CancellationToken) -> Result<(), EndedEarly> {
        let ended = tokio::select! {
            () = stop.cancelled() => None,
            Some(ended) = self.tasks.join_next_with_id() => Some(ended),
        };
        // A loop that was told to stop may have ended before we heard of it.
        let early = ended.filter(|_| !stop.is_cancelled()).map(|ended| self.tell(ended));
        stop.cancel();
        self.wait().await;
        early.map_or(Ok(()), Err)
    }

    fn tell(&self, ended: Result<(Id, ()), JoinError>) -> EndedEarly {
        let (id, why) = match ended {
            Ok((id, ())) => (id, "it returned".to_owned()),
            Err(error) => (error.id(), error.to_string()),
        };
        let name = self.names.get(&id).copied().unwrap_or("unknown");
        tracing::error!(why, "the loop \"{name}\" ended by itself, so hermes ends too");
        EndedEarly(name)
    }

    async fn wait(&mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, all).await.is_err() {
            tracing::warn!(
                "some loops did not end within {} s and are cut off; nothing is lost",
                GRACE.as_secs()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn panics() {
        tokio::task::yield_now().await;
        panic!("on purpose");
    }

    #[tokio::test]
    async fn a_loop_that_dies_is_noticed_and_the_others_are_told() {
        let (mut loops, stop) = (Loops::default(), CancellationToken::new());
        loops.start("steady", stop.clone().cancelled_owned());
        loops.start("brittle", panics());
        assert_eq!(loops.watch(&stop).await, Err(EndedEarly("brittle")));
        assert!(stop.is_cancelled());
    }

    #[tokio::test]
    async fn a_loop_that_returns_early_is_noticed_too() {
        let (mut loops, stop) = (Loops::default(), CancellationToken::new());
        loops.start("short", async {});
        assert_eq!(loops.watch(&stop).await, Err(EndedEarly("short")));
    }

    #[tokio::test]
    async fn loops_that_were_told_to_stop_end_well() {
        let (mut loops, stop) = (Loops::default(), CancellationToken::new());
        loops.start("steady", stop.clone().cancelled_owned());
        stop.cancel();
        assert_eq!(loops.watch(&stop).await, Ok(()));
    }
}
