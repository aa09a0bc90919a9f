//! The fenced resource: one row per project+user that keeps every beginning and every effect with the epoch it was made under, so that the
//! end of a schedule is judged by what is stored and not by what its players believe.

use std::collections::HashSet;
use std::ops::ControlFlow;

use common::cloud::store::Store;
use common::cloud::{CloudError, Result};
use common::domain::claim::Epoch;
use common::domain::ids::CommandId;
use common::domain::job::Job;

use super::schedule::Fences;
use super::tally::Tally;

/// What is written under a fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write<'a> {
    /// A newer owner begins: from now on older ones are refused.
    Charge,
    /// The effect of a command; one that is there already is adopted.
    Effect(&'a CommandId),
    /// The outcome, in the job's own row.
    Finish,
}

/// Writes into a row, unless somebody newer has; the same rule as that of a job's journal and of a site's manifest.
pub(super) async fn write(
    store: &dyn Store,
    row: &CommandId,
    epoch: Epoch,
    what: Write<'_>,
    fences: Fences,
) -> Result<()> {
    let mut stale = false;
    let written = store.update::<Job>(row, |job| {
        stale = job.epoch > epoch && fences == Fences::Kept;
        if stale {
            return ControlFlow::Break(());
        }
        job.epoch = epoch;
        match what {
            Write::Charge => job.files_changed.push(format!("@{epoch}")),
            Write::Effect(command) => {
                let mark = format!("{command}@");
                if !job.files_changed.iter().any(|effect| effect.starts_with(&mark)) {
                    job.files_changed.push(format!("{mark}{epoch}"));
                }
            }
            Write::Finish => {
                job.summary = Some("done".to_owned());
                job.pending = None;
            }
        }
        ControlFlow::Continue(())
    });
    match written.await? {
        _ if stale => Err(CloudError::FenceLost(row.to_string())),
        None => Err(CloudError::Invalid(format!("row {row} is gone"))),
        Some(_) => Ok(()),
    }
}

/// Judges the effects of one project+user.
pub(super) fn judge(site: &Job, tally: &mut Tally) {
    let effects: Vec<(&str, u64)> = site
        .files_changed
        .iter()
        .filter_map(|effect| effect.split_once('@'))
        .map(|(command, epoch)| (command, epoch.parse().unwrap_or(0)))
        .collect();
    let made = effects.iter().map(|(command, _)| *command).filter(|command| !command.is_empty());
    let commands: HashSet<&str> = made.clone().collect();
    tally.double_effects += (made.count() - commands.len()) as u64;
    tally.stale_effects += effects.windows(2).filter(|pair| pair[1].1 < pair[0].1).count() as u64;
}
