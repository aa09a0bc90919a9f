//! Repeats what may be repeated: a call that only reads, and a write whose effect can be seen. The doors to AWS do so
//! themselves; without it a mail would wait for seconds because one read of a file failed once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable as _};
use bytes::Bytes;
use serde_json::Value;

use super::claims::{Claims, TakeAnswer};
use super::files::{At, Etag, FileContent, FilePart, Files, IfMatch, Space};
use super::queue::{Delivery, Depth, Outgoing, Queues, Receipt};
use super::store::{Cursor, Expect, Key, Page, Query, Row, Store, Table, Version, shape};
use super::{Cloud, CloudError, Result};
use crate::domain::claim::{ClaimRecord, ClaimVersion, Fence, Take};
use crate::domain::ids::{ProjectUser, WorkerId};
use crate::domain::names::{PublicHost, Queue, SiteTarget};
use crate::domain::timestamp::Timestamp;

/// How often a call is made at most.
const TRIES: usize = 3;
/// Before the second one; twice as long before the next.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The same cloud; what may be repeated is repeated.
pub(super) fn steady(cloud: Cloud) -> Cloud {
    Cloud {
        queues: Arc::new(Steady(cloud.queues)),
        claims: Arc::new(Steady(cloud.claims)),
        store: Arc::new(Steady(cloud.store)),
        files: Arc::new(Steady(cloud.files)),
        ..cloud
    }
}

struct Steady<D: ?Sized>(Arc<D>);

async fn repeat<T, F: Future<Output = Result<T>>>(call: impl FnMut() -> F) -> Result<T> {
    let pauses = ExponentialBuilder::default().with_jitter().with_min_delay(FIRST_PAUSE);
    call.retry(pauses.with_max_times(TRIES - 1)).when(CloudError::is_retryable).await
}

/// A conditional write: when a repetition is refused, what is there tells whether the first try wrote it and only its answer
/// was lost.
async fn write_once<T, Write, Look>(write: impl Fn() -> Write, written: impl Fn() -> Look) -> Result<T>
where
    Write: Future<Output = Result<T>>,
    Look: Future<Output = Result<Option<T>>>,
{
    let repeated = AtomicBool::new(false);
    let call = || async {
        let again = repeated.swap(true, Ordering::Relaxed);
        match write().await {
            Err(CloudError::Conflict(what)) if again => written().await?.ok_or(CloudError::Conflict(what)),
            answer => answer,
        }
    };
    repeat(call).await
}

#[async_trait]
impl Queues for Steady<dyn Queues> {
    /// Not repeated on a standard queue, where it would be two messages.
    async fn send(&self, queue: &Queue, message: Outgoing) -> Result<String> {
        if !queue.is_fifo() {
            return self.0.send(queue, message).await;
        }
        repeat(|| self.0.send(queue, message.clone())).await
    }

    async fn receive(&self, queue: &Queue, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        self.0.receive(queue, max, wait).await
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<()> {
        repeat(|| self.0.extend(receipt, visibility)).await
    }

    async fn delete(&self, receipt: &Receipt) -> Result<()> {
        repeat(|| self.0.delete(receipt)).await
    }

    async fn remove_queue(&self, queue: &Queue) -> Result<()> {
        repeat(|| self.0.remove_queue(queue)).await
    }

    async fn depth(&self, queue: &Queue) -> Result<Depth> {
        repeat(|| self.0.depth(queue)).await
    }
}

/// A claim's writes are not repeated: whoever makes them knows their version and looks again.
#[async_trait]
impl Claims for Steady<dyn Claims> {
    async fn get(&self, key: &ProjectUser) -> Result<Option<ClaimRecord>> {
        repeat(|| self.0.get(key)).await
    }

    async fn take(&self, key: &ProjectUser, wanted: &Take) -> Result<TakeAnswer> {
        self.0.take(key, wanted).await
    }

    async fn renew(&self, fence: &Fence, version: &ClaimVersion, now: Timestamp) -> Result<()> {
        self.0.renew(fence, version, now).await
    }

    async fn release(&self, fence: &Fence, version: &ClaimVersion, now: Timestamp) -> Result<()> {
        self.0.release(fence, version, now).await
    }

    async fn free_lapsed(
        &self,
        key: &ProjectUser,
        lapsed: &ClaimVersion,
        version: &ClaimVersion,
        now: Timestamp,
    ) -> Result<()> {
        self.0.free_lapsed(key, lapsed, version, now).await
    }

    async fn held_by(&self, worker: &WorkerId) -> Result<Vec<ClaimRecord>> {
        repeat(|| self.0.held_by(worker)).await
    }

    async fn held(&self, limit: usize) -> Result<Vec<ClaimRecord>> {
        repeat(|| self.0.held(limit)).await
    }
}

#[async_trait]
impl Store for Steady<dyn Store> {
    async fn get(&self, table: Table, key: &Key) -> Result<Option<Row>> {
        repeat(|| self.0.get(table, key)).await
    }

    async fn put(&self, table: Table, body: Value, expect: Expect) -> Result<Version> {
        let key = shape::key_of(table, &body)?;
        let write = || self.0.put(table, body.clone(), expect);
        write_once(write, || async {
            let row = self.0.get(table, &key).await?;
            Ok(row.filter(|row| row.body == body).map(|row| row.version))
        })
        .await
    }

    async fn delete(&self, table: Table, key: &Key, expect: Expect) -> Result<()> {
        match expect {
            Expect::Any => repeat(|| self.0.delete(table, key, expect)).await,
            Expect::Absent | Expect::Version(_) => self.0.delete(table, key, expect).await,
        }
    }

    async fn query(&self, table: Table, query: Query) -> Result<Page> {
        repeat(|| self.0.query(table, query.clone())).await
    }

    async fn scan(&self, table: Table, limit: usize, after: Option<Cursor>) -> Result<Page> {
        repeat(|| self.0.scan(table, limit, after.clone())).await
    }
}

#[async_trait]
impl Files for Steady<dyn Files> {
    async fn put(&self, at: &At, bytes: Bytes, condition: IfMatch) -> Result<Etag> {
        let write = || self.0.put(at, bytes.clone(), condition.clone());
        write_once(write, || async {
            let file = self.0.get(at).await?;
            Ok(file.filter(|file| file.bytes == bytes).map(|file| file.etag))
        })
        .await
    }

    async fn get(&self, at: &At) -> Result<Option<FileContent>> {
        repeat(|| self.0.get(at)).await
    }

    async fn read_range(&self, at: &At, offset: u64, len: usize) -> Result<Option<FilePart>> {
        repeat(|| self.0.read_range(at, offset, len)).await
    }

    async fn etag(&self, at: &At) -> Result<Option<Etag>> {
        repeat(|| self.0.etag(at)).await
    }

    async fn exists(&self, at: &At) -> Result<bool> {
        repeat(|| self.0.exists(at)).await
    }

    async fn copy(&self, from: &At, to: &At, condition: IfMatch) -> Result<Etag> {
        let write = || self.0.copy(from, to, condition.clone());
        write_once(write, || async {
            let (from, to) = (self.0.get(from).await?, self.0.get(to).await?);
            Ok(to.filter(|to| from.is_some_and(|from| from.bytes == to.bytes)).map(|to| to.etag))
        })
        .await
    }

    async fn delete(&self, at: &At, condition: IfMatch) -> Result<()> {
        match condition {
            IfMatch::Any => repeat(|| self.0.delete(at, IfMatch::Any)).await,
            condition => self.0.delete(at, condition).await,
        }
    }

    async fn list(&self, space: &Space, prefix: &str) -> Result<Vec<String>> {
        repeat(|| self.0.list(space, prefix)).await
    }

    async fn objects_bucket(&self) -> Result<String> {
        self.0.objects_bucket().await
    }

    fn public_host(&self, site: &SiteTarget) -> Option<PublicHost> {
        self.0.public_host(site)
    }
}

#[cfg(test)]
mod tests {
    use super::super::failing::{Calls, Failing, Fate, Operation, Plan, When};
    use super::super::local;
    use super::*;
    use crate::clock::Clock;
    use crate::domain::names::Prefix;
    use serde_json::json;

    fn cloud(plan: &Plan) -> (tempfile::TempDir, Cloud) {
        let folder = tempfile::tempdir().unwrap();
        let cloud = local::open(folder.path(), Prefix::parse("t").unwrap(), Clock::System).unwrap();
        (folder, steady(Failing::wrap(cloud, plan.clone())))
    }

    fn project() -> Value {
        json!({"projectId": "bakery", "name": "Bakery"})
    }

    #[tokio::test]
    async fn a_read_that_fails_twice_is_made_a_third_time_and_not_a_fourth() {
        let plan = Plan::default();
        let (_folder, cloud) = cloud(&plan);
        plan.add(Calls::Of(Operation::GetRow), When::Nth(1), Fate::FailBefore);
        plan.add(Calls::Of(Operation::GetRow), When::Nth(2), Fate::LoseAnswer);
        assert_eq!(cloud.store.get(Table::Projects, &Key::of("bakery")).await.unwrap(), None);
        plan.heal();
        plan.add(Calls::Of(Operation::GetRow), When::Always, Fate::FailBefore);
        assert!(cloud.store.get(Table::Projects, &Key::of("bakery")).await.unwrap_err().is_retryable());
        assert_eq!(plan.count(Operation::GetRow, Fate::FailBefore), 1 + TRIES as u64);
    }

    #[tokio::test]
    async fn a_write_whose_answer_was_lost_is_known_by_what_is_there() {
        let plan = Plan::default();
        let (_folder, cloud) = cloud(&plan);
        plan.add(Calls::Of(Operation::PutRow), When::Nth(1), Fate::LoseAnswer);
        let version = cloud.store.put(Table::Projects, project(), Expect::Absent).await.unwrap();
        let row = cloud.store.get(Table::Projects, &Key::of("bakery")).await.unwrap().unwrap();
        assert_eq!((row.version, row.body), (version, project()));
    }

    #[tokio::test]
    async fn what_somebody_else_wrote_meanwhile_is_a_conflict() {
        let plan = Plan::default();
        let (_folder, cloud) = cloud(&plan);
        let other = json!({"projectId": "bakery", "name": "Another"});
        cloud.store.put(Table::Projects, other, Expect::Absent).await.unwrap();
        plan.add(Calls::Of(Operation::PutRow), When::Nth(1), Fate::FailBefore);
        let refused = cloud.store.put(Table::Projects, project(), Expect::Absent).await;
        assert!(matches!(refused, Err(CloudError::Conflict(_))), "{refused:?}");
    }
}
