//! The six doors with a plan in front of each call.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use super::operation::Operation;
use super::plan::Plan;
use crate::cloud::Result;
use crate::cloud::callback::{Callback, Errand, Heard};
use crate::cloud::claims::{Claims, TakeAnswer};
use crate::cloud::files::{At, Etag, FileContent, FilePart, Files, IfMatch, Space};
use crate::cloud::mailer::{Mailer, OutgoingMail, Ready, Sent};
use crate::cloud::queue::{Delivery, Depth, Outgoing, Queues, Receipt};
use crate::cloud::store::{Cursor, Expect, Key, Page, Query, Row, Store, Table, Version};
use crate::domain::claim::{ClaimRecord, ClaimVersion, Fence, Take};
use crate::domain::ids::{EmailAddress, ProjectUser, WorkerId};
use crate::domain::names::{PublicHost, Queue, SiteTarget};
use crate::domain::timestamp::Timestamp;

/// A door and the plan that stands before it.
pub(super) struct Around<D: ?Sized> {
    door: Arc<D>,
    plan: Plan,
}

impl<D: ?Sized> Around<D> {
    /// This door under this plan.
    pub(super) fn new(door: Arc<D>, plan: Plan) -> Self {
        Self { door, plan }
    }
}

#[async_trait]
impl Queues for Around<dyn Queues> {
    async fn send(&self, queue: &Queue, message: Outgoing) -> Result<String> {
        self.plan.around(Operation::Send, self.door.send(queue, message)).await
    }

    async fn receive(&self, queue: &Queue, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        self.plan.around(Operation::Receive, self.door.receive(queue, max, wait)).await
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<()> {
        self.plan.around(Operation::Extend, self.door.extend(receipt, visibility)).await
    }

    async fn delete(&self, receipt: &Receipt) -> Result<()> {
        self.plan.around(Operation::DeleteMessage, self.door.delete(receipt)).await
    }

    async fn remove_queue(&self, queue: &Queue) -> Result<()> {
        self.plan.around(Operation::RemoveQueue, self.door.remove_queue(queue)).await
    }

    async fn depth(&self, queue: &Queue) -> Result<Depth> {
        self.plan.around(Operation::Depth, self.door.depth(queue)).await
    }
}

#[async_trait]
impl Claims for Around<dyn Claims> {
    async fn get(&self, key: &ProjectUser) -> Result<Option<ClaimRecord>> {
        self.plan.around(Operation::GetClaim, self.door.get(key)).await
    }

    async fn take(&self, key: &ProjectUser, wanted: &Take) -> Result<TakeAnswer> {
        self.plan.around(Operation::Take, self.door.take(key, wanted)).await
    }

    async fn renew(&self, fence: &Fence, version: &ClaimVersion, now: Timestamp) -> Result<()> {
        self.plan.around(Operation::Renew, self.door.renew(fence, version, now)).await
    }

    async fn release(&self, fence: &Fence, version: &ClaimVersion, now: Timestamp) -> Result<()> {
        self.plan.around(Operation::Release, self.door.release(fence, version, now)).await
    }

    async fn free_lapsed(
        &self,
        key: &ProjectUser,
        lapsed: &ClaimVersion,
        version: &ClaimVersion,
        now: Timestamp,
    ) -> Result<()> {
        self.plan.around(Operation::FreeLapsed, self.door.free_lapsed(key, lapsed, version, now)).await
    }

    async fn held_by(&self, worker: &WorkerId) -> Result<Vec<ClaimRecord>> {
        self.plan.around(Operation::HeldBy, self.door.held_by(worker)).await
    }

    async fn held(&self, limit: usize) -> Result<Vec<ClaimRecord>> {
        self.plan.around(Operation::Held, self.door.held(limit)).await
    }
}

#[async_trait]
impl Store for Around<dyn Store> {
    async fn get(&self, table: Table, key: &Key) -> Result<Option<Row>> {
        let row = self.plan.around(Operation::GetRow, self.door.get(table, key)).await?;
        self.plan.note_rows(usize::from(row.is_some()));
        Ok(row)
    }

    async fn put(&self, table: Table, body: Value, expect: Expect) -> Result<Version> {
        self.plan.around(Operation::PutRow, self.door.put(table, body, expect)).await
    }

    async fn delete(&self, table: Table, key: &Key, expect: Expect) -> Result<()> {
        self.plan.around(Operation::DeleteRow, self.door.delete(table, key, expect)).await
    }

    async fn query(&self, table: Table, query: Query) -> Result<Page> {
        let page = self.plan.around(Operation::QueryRows, self.door.query(table, query)).await?;
        self.plan.note_rows(page.rows.len());
        Ok(page)
    }

    async fn scan(&self, table: Table, limit: usize, after: Option<Cursor>) -> Result<Page> {
        let page = self.plan.around(Operation::ScanRows, self.door.scan(table, limit, after)).await?;
        self.plan.note_rows(page.rows.len());
        Ok(page)
    }
}

#[async_trait]
impl Files for Around<dyn Files> {
    async fn put(&self, at: &At, bytes: Bytes, condition: IfMatch) -> Result<Etag> {
        self.plan.around(Operation::PutFile, self.door.put(at, bytes, condition)).await
    }

    async fn get(&self, at: &At) -> Result<Option<FileContent>> {
        self.plan.around(Operation::GetFile, self.door.get(at)).await
    }

    async fn read_range(&self, at: &At, offset: u64, len: usize) -> Result<Option<FilePart>> {
        self.plan.around(Operation::ReadRange, self.door.read_range(at, offset, len)).await
    }

    async fn etag(&self, at: &At) -> Result<Option<Etag>> {
        self.plan.around(Operation::FileEtag, self.door.etag(at)).await
    }

    async fn exists(&self, at: &At) -> Result<bool> {
        self.plan.around(Operation::FileEtag, self.door.exists(at)).await
    }

    async fn copy(&self, from: &At, to: &At, condition: IfMatch) -> Result<Etag> {
        self.plan.around(Operation::CopyFile, self.door.copy(from, to, condition)).await
    }

    async fn delete(&self, at: &At, condition: IfMatch) -> Result<()> {
        self.plan.around(Operation::DeleteFile, self.door.delete(at, condition)).await
    }

    async fn list(&self, space: &Space, prefix: &str) -> Result<Vec<String>> {
        self.plan.around(Operation::ListFiles, self.door.list(space, prefix)).await
    }

    async fn objects_bucket(&self) -> Result<String> {
        self.door.objects_bucket().await
    }

    fn public_host(&self, site: &SiteTarget) -> Option<PublicHost> {
        self.door.public_host(site)
    }
}

#[async_trait]
impl Mailer for Around<dyn Mailer> {
    async fn send(&self, mail: &OutgoingMail) -> Result<Sent> {
        self.plan.around(Operation::SendMail, self.door.send(mail)).await
    }

    async fn ready(&self, from: &EmailAddress) -> Result<Ready> {
        self.plan.around(Operation::AskMailer, self.door.ready(from)).await
    }

    fn longest(&self) -> Duration {
        self.door.longest()
    }

    fn goes_out(&self) -> bool {
        self.door.goes_out()
    }
}

#[async_trait]
impl Callback for Around<dyn Callback> {
    async fn success(&self, token: &str, output: &str) -> Result<Heard> {
        self.plan.around(Operation::Success, self.door.success(token, output)).await
    }

    async fn failure(&self, token: &str, error: &str, cause: &str) -> Result<Heard> {
        self.plan.around(Operation::Failure, self.door.failure(token, error, cause)).await
    }

    async fn heartbeat(&self, token: &str) -> Result<Heard> {
        self.plan.around(Operation::Heartbeat, self.door.heartbeat(token)).await
    }

    async fn hand_over(&self, errand: &Errand) -> Result<()> {
        self.plan.around(Operation::HandOver, self.door.hand_over(errand)).await
    }
}
