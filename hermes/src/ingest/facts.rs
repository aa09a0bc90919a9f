//! Looks up what the decision needs to know about a request's author. Reads only.

use std::collections::BTreeMap;

use common::cloud::Result;
use common::cloud::store::{Query, Store};
use common::domain::ids::{EmailAddress, ProjectId, ProjectUser, ThreadId};
use common::domain::project::{Project, Sender};
use common::domain::thread::{Direction, Thread, ThreadMapping};

use crate::app::App;
use crate::mail::thread::ThreadSignal;
use crate::mail::{MailRequest, recipient};
use crate::route::Facts;

/// The most recipients that are looked up as projects.
const MAX_NAMED: usize = 5;

/// The facts about a request.
pub(super) async fn gather(app: &App, request: &MailRequest) -> Result<Facts> {
    let store = &*app.cloud.store;
    let (senders, _) = store.find::<Sender>(Query::partition(&request.from)).await?;
    if senders.is_empty() {
        return Ok(Facts::default());
    }
    let (projects, foreign, (threads, namesake)) = tokio::try_join!(
        projects(store, &senders),
        foreign(store, request, &senders, &app.mail_from.address),
        threads(store, request, &senders),
    )?;
    Ok(Facts { senders, projects, foreign, threads, namesake })
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

/// A project that a recipient names and that the author does not stand for. The address that all may write to names none.
async fn foreign(
    store: &dyn Store,
    request: &MailRequest,
    senders: &[Sender],
    all: &EmailAddress,
) -> Result<Option<ProjectId>> {
    let named = request.recipients.iter().filter(|to| *to != all).filter_map(recipient::site);
    for project in named.take(MAX_NAMED) {
        let own = senders.iter().any(|sender| sender.project_id == project);
        if !own && store.load::<Project>(&project).await?.is_some() {
            return Ok(Some(project));
        }
    }
    Ok(None)
}

/// For each project+user the conversation of the first signal that leads to one of theirs; and whether a mail of theirs with
/// the same id is known.
async fn threads(
    store: &dyn Store,
    request: &MailRequest,
    senders: &[Sender],
) -> Result<(BTreeMap<ProjectUser, ThreadId>, bool)> {
    let own_id = |signal: &ThreadSignal| matches!(signal, ThreadSignal::Itself(_));
    let at = request.signals.iter().position(own_id).unwrap_or(request.signals.len());
    let (stronger, rest) = request.signals.split_at(at);
    let (mut found, mut namesake) = (BTreeMap::new(), false);
    for key in senders.iter().map(Sender::project_user) {
        let (itself, thread) = tokio::try_join!(itself(store, &key, rest), first(store, &key, stronger))?;
        let direction = itself.as_ref().map(|known| known.direction);
        namesake |= direction == Some(Direction::Inbound);
        let mentioned = itself.filter(|known| known.direction == Direction::Mentioned);
        let thread = match thread.or(mentioned.map(|known| known.thread_id)) {
            Some(thread) => Some(thread),
            None => first(store, &key, rest).await?,
        };
        found.extend(thread.map(|thread| (key, thread)));
    }
    Ok((found, namesake))
}

/// Where the first of the signals leads that leads anywhere, within the conversations of this project+user. What is known
/// under the mail's own id is asked for elsewhere.
async fn first(store: &dyn Store, key: &ProjectUser, signals: &[ThreadSignal]) -> Result<Option<ThreadId>> {
    for signal in signals {
        let thread = match signal {
            ThreadSignal::ReplyAddress(thread)
            | ThreadSignal::OwnMessage(thread)
            | ThreadSignal::ConversationLine(thread) => {
                let row = store.load::<Thread>(thread).await?;
                let is_theirs = |thread: &Thread| thread.project_key == *key && thread.removed_at.is_none();
                row.map(|row| row.value).filter(is_theirs).map(|row| row.thread_id)
            }
            ThreadSignal::Answers(id) => match mapping(store, key, id).await? {
                Some(known) if !is_removed(store, &known.thread_id).await? => Some(known.thread_id),
                Some(_) | None => None,
            },
            ThreadSignal::Itself(_) => None,
        };
        if thread.is_some() {
            return Ok(thread);
        }
    }
    Ok(None)
}

/// Work that ran while its conversation was removed may have noted its answer after.
async fn is_removed(store: &dyn Store, thread: &ThreadId) -> Result<bool> {
    let row = store.load::<Thread>(thread).await?;
    Ok(row.is_some_and(|row| row.value.removed_at.is_some()))
}

/// What is known under the mail's own id.
async fn itself(
    store: &dyn Store,
    key: &ProjectUser,
    signals: &[ThreadSignal],
) -> Result<Option<ThreadMapping>> {
    match signals.first() {
        Some(ThreadSignal::Itself(id)) => mapping(store, key, id).await,
        _ => Ok(None),
    }
}

async fn mapping(store: &dyn Store, key: &ProjectUser, id: &str) -> Result<Option<ThreadMapping>> {
    let row = store.load::<ThreadMapping>(&(key.clone(), id.to_owned())).await?;
    Ok(row.map(|row| row.value))
}
