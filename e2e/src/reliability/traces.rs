//! What stays behind of jobs that are done: rows, messages, folders. Some of it there must be, one for each job; all else
//! must not grow with the number of jobs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, ensure};
use common::clock::Clock;
use common::cloud::store::Table;
use common::cloud::{Cloud, local};
use common::domain::ids::ProjectUser;
use common::domain::names::Queue;

use crate::wait;
use crate::world::World;

const PAGE: usize = 1_000;
/// The last messages are deleted after the answer is seen.
const SETTLED: Duration = Duration::from_secs(30);
/// A mail and its answer.
const MAPPINGS: usize = 2;

/// Everything that was counted.
#[derive(Debug, Clone, Default)]
pub struct Traces {
    /// Rows of each table.
    pub rows: BTreeMap<&'static str, usize>,
    /// Claims that are held.
    pub claims: usize,
    /// Messages of users, of claim requests and of results.
    pub messages: u64,
    /// Working folders.
    pub folders: usize,
}

impl fmt::Display for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, claims, messages, folders } = self;
        write!(f, "claims held {claims}, messages left {messages}, working folders {folders}, rows {rows:?}")
    }
}

impl Traces {
    /// Those of a world in which nothing is left to do, as soon as its queues are empty.
    pub async fn of(world: &World, keys: &[ProjectUser]) -> anyhow::Result<Self> {
        let cloud = local::open(&world.data_dir(), "webordinary".parse()?, Clock::System)?;
        let mut queues: Vec<Queue> = keys.iter().cloned().map(Queue::Input).collect();
        queues.extend([Queue::Unclaimed, Queue::Output]);
        let empty = || async { Ok((messages(&cloud, &queues).await? == 0).then_some(())) };
        wait::until("empty queues", SETTLED, empty).await?;
        let mut traces = Self { messages: messages(&cloud, &queues).await?, ..Self::default() };
        for table in Table::ALL {
            traces.rows.insert(table.spec().name, count(&cloud, table).await?);
        }
        traces.claims = cloud.claims.held(PAGE).await?.len();
        let workspaces = world.data_dir().join("workspaces");
        for entry in std::fs::read_dir(workspaces).context("the working folders")? {
            traces.folders += usize::from(entry?.path().join("lock").is_file());
        }
        Ok(traces)
    }

    /// One of each for every job, or for every user, and nothing more.
    pub fn are_no_more_than(&self, jobs: usize, users: usize, workers: usize) -> anyhow::Result<()> {
        let rows = |table: Table| self.rows.get(table.spec().name).copied().unwrap_or_default();
        for table in [Table::Jobs, Table::Mails, Table::Threads, Table::EditSessions, Table::Outbox] {
            ensure!(rows(table) == jobs, "{table:?} of {jobs} jobs: {self}");
        }
        ensure!(rows(Table::ThreadMappings) <= MAPPINGS * jobs, "{self}");
        ensure!(rows(Table::ActiveJobs) == 0 && self.messages == 0, "nothing is left to do: {self}");
        ensure!(rows(Table::Containers) == workers && rows(Table::Senders) == users, "{self}");
        ensure!(self.claims <= workers && self.folders <= users, "{self}");
        Ok(())
    }
}

async fn messages(cloud: &Cloud, queues: &[Queue]) -> anyhow::Result<u64> {
    let mut all = 0;
    for queue in queues {
        let depth = cloud.queues.depth(queue).await?;
        all += depth.visible + depth.in_flight + depth.delayed;
    }
    Ok(all)
}

async fn count(cloud: &Cloud, table: Table) -> anyhow::Result<usize> {
    let (mut all, mut after) = (0, None);
    loop {
        let page = cloud.store.scan(table, PAGE, after).await?;
        all += page.rows.len();
        if page.next.is_none() {
            return Ok(all);
        }
        after = page.next;
    }
}
