//! Looks up what the decision needs to know about a request's author. Reads only.

use std::collections::BTreeMap;

use common::cloud::store::{Query, Store};
use common::cloud::{Cloud, Result};
use common::domain::ids::{ProjectId, ProjectUser, ThreadId};
use common::domain::project::{Project, Sender};
use common::domain::thread::{Direction, Thread, ThreadMapping};

use crate::mail::thread::ThreadSignal;
use crate::mail::{MailRequest, recipient};
use crate::route::Facts;

/// The most recipients that are looked up as projects.
const MAX_NAMED: usize = 5;

/// The facts about a request.
pub(super) async fn gather(cloud: &Cloud, request: &MailRequest) -> Result<Facts> {
    let store = &*cloud.store;
    let (senders, _) = store.find::<Sender>(Query::partition(&request.from)).await?;
    if senders.is_empty() {
        return Ok(Facts::default());
    }
    let (projects, foreign, threads) = tokio::try_join!(
        projects(store, &senders),
        foreign(store, request, &senders),
        threads(store, request, &senders),
    )?;
    Ok(Facts { senders, projects, foreign, threads })
}

async fn projects(store: &dyn Store, senders: &[Sender]) -> Result<BTreeMap<ProjectId, Project>> {
    let mut found = BTreeMap::new();
    for sender in senders {
        if let Some(project) = store.load::<Project>(&sender.project_id).await? {
            found.insert(sender.project_id.clone(), project.value);
        }
    }
    Ok(found)
}

/// A project that a recipient names and that the author does not stand for.
async fn foreign(store: &dyn Store, request: &MailRequest, senders: &[Sender]) -> Result<Option<ProjectId>> {
    let named = request.recipients.iter().filter_map(recipient::site);
    for project in named.take(MAX_NAMED) {
        let own = senders.iter().any(|sender| sender.project_id == project);
        if !own && store.load::<Project>(&project).await?.is_some() {
            return Ok(Some(project));
        }
    }
    Ok(None)
}

/// For each project+user the conversation of the first signal that leads to one of theirs.
async fn threads(
    store: &dyn Store,
    request: &MailRequest,
    senders: &[Sender],
) -> Result<BTreeMap<ProjectUser, ThreadId>> {
    let mut found = BTreeMap::new();
    for key in senders.iter().map(Sender::project_user) {
        for signal in &request.signals {
            if let Some(thread) = follow(store, &key, signal).await? {
                found.insert(key, thread);
                break;
            }
        }
    }
    Ok(found)
}

/// Where a signal leads, within the conversations of this project+user.
async fn follow(store: &dyn Store, key: &ProjectUser, signal: &ThreadSignal) -> Result<Option<ThreadId>> {
    match signal {
        ThreadSignal::ReplyAddress(thread)
        | ThreadSignal::OwnMessage(thread)
        | ThreadSignal::ConversationLine(thread) => {
            let row = store.load::<Thread>(thread).await?;
            Ok(row.filter(|row| row.value.project_key == *key).map(|row| row.value.thread_id))
        }
        ThreadSignal::Answers(id) => Ok(mapping(store, key, id).await?.map(|known| known.thread_id)),
        ThreadSignal::Itself(id) => {
            let known = mapping(store, key, id).await?;
            Ok(known.filter(|known| known.direction == Direction::Mentioned).map(|known| known.thread_id))
        }
    }
}

async fn mapping(store: &dyn Store, key: &ProjectUser, id: &str) -> Result<Option<ThreadMapping>> {
    let row = store.load::<ThreadMapping>(&(key.clone(), id.to_owned())).await?;
    Ok(row.map(|row| row.value))
}
