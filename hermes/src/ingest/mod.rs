//! The one path of every inbound mail, whatever way it came: keep the bytes -> read -> look facts up -> decide -> write the
//! row with its ids -> act -> write the ending. Every step can be done again: a second delivery, or the sweep after a
//! crash, finds the row and goes on with the same ids.

mod attachments;
pub mod envelope;
mod facts;
pub mod origins;
pub mod queue;
pub mod record;
pub mod seen;
pub mod sns;
pub mod stored;
pub mod verify;

use std::ops::ControlFlow;

use bytes::Bytes;
use common::cloud::files::{At, IfMatch};
use common::cloud::store::Stored;
use common::cloud::{CloudError, Result};
use common::domain::ids::{CommandId, MailId, ThreadId};
use common::domain::job::Job;
use common::domain::language::Language;
use common::domain::outcome::MailEnding;
use common::domain::thread::Thread;
use common::domain::timestamp::Timestamp;
use uuid::Uuid;

use crate::app::App;
use crate::limits::{self, Room};
use crate::mail::sender::Assurance;
use crate::mail::trace::{Stage, Trace};
use crate::mail::verdict::Evidence;
use crate::mail::{self, Desk, MailCommand, ParsedMail, Unreadable};
use crate::reply::Refusal;
use crate::route::{Ids, Rejection, Said, ThreadChoice, Verdict, route};
use crate::simulate::{Decided, Simulation, ThreadFound};
use crate::{answers, commands, confirmations, dispatch, results};
use record::{MailRecord, Origin};
use verify::Word;

/// Larger mails are parsed on a thread of their own.
const PARSE_INLINE_BYTES: usize = 256 * 1024;

/// What was decided about a mail, and why.
struct Decision {
    verdict: std::result::Result<Verdict, Rejection>,
    language: Option<Language>,
    with_files: bool,
    /// Whether less than everything shows that its author wrote it to us.
    doubted: bool,
    /// Whether it has a Message-ID that no mail of its author had before, so that it is none that came again.
    is_new: bool,
    trace: Trace,
}

impl Decision {
    /// Whether its author was believed: something is done, or they hear why not.
    fn believes(&self) -> bool {
        !matches!(self.verdict, Err(Rejection { said: Said::Nothing, .. }))
    }
}

/// Whether a delivery is the first of its mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// What it became was decided now.
    First,
    /// The mail came before and its ending stands: nothing was done.
    Again,
}

/// A mail that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// Its row.
    pub record: MailRecord,
    /// Whether this delivery made it.
    pub delivery: Delivery,
}

impl Accepted {
    fn first(record: MailRecord) -> Self {
        Self { record, delivery: Delivery::First }
    }
}

/// A mail as it came in.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Its bytes.
    pub raw: Bytes,
    /// On which way.
    pub origin: Origin,
    /// What whoever brought it says about its sender.
    pub word: Word,
}

impl Arrival {
    /// Bytes about which nobody says anything.
    pub fn bare(raw: impl Into<Bytes>, origin: Origin) -> Self {
        Self { raw: raw.into(), origin, word: Word::Nothing }
    }
}

/// Takes a mail. When this returns `Ok`, the mail is durable and has its ending; when it does not, nothing may be
/// acknowledged: the same call again, or the sweep, goes on where it stopped.
pub async fn accept(app: &App, arrival: Arrival) -> Result<Accepted> {
    let Arrival { raw, origin, word } = arrival;
    app.stirred.notify_one();
    let at = app.cloud.clock.now();
    let key = At::object(record::raw_key(&raw));
    let decide = async {
        let read = parse(raw.clone()).await?;
        let evidence = match &read {
            Ok(mail) => Some(app.verifier.evidence(mail, &raw, &word).await?),
            Err(_) => None,
        };
        let decision = decide(app, &read, evidence.as_ref(), None, at).await?;
        Ok((read, evidence, decision))
    };
    let keep = app.cloud.files.put(&key, raw.clone(), IfMatch::Any);
    let (_, (read, evidence, mut decision)) = tokio::try_join!(keep, decide)?;
    let mut record = MailRecord::open(read.as_ref().ok(), key.key, &raw, origin, at);
    record.language = decision.language;
    record.evidence = evidence;
    record.doubted = decision.doubted;
    match &decision.verdict {
        Err(Rejection { ending, said: Said::Nothing }) => record.end(*ending, decision.trace.clone()),
        Ok(verdict) => take_ids(&mut record, verdict),
        Err(Rejection { said: Said::Confirmation(about), .. }) => record.project_key.clone_from(about),
        Err(_) => {}
    }
    let (inserted, room) = tokio::join!(app.cloud.store.insert(&record), room_ahead(app, &record, &decision));
    match inserted {
        Ok(version) => {
            let stored = Stored { value: record, version };
            finish(app, stored, raw, decision, Run::First(room?)).await.map(Accepted::first)
        }
        Err(CloudError::Conflict(_)) => match reopened(app, record, &decision).await? {
            Before::Reopened(stored) => {
                decision.trace.note(Stage::Sender, "a copy came before that was not shown to be genuine");
                finish(app, stored, raw, decision, Run::First(room?)).await.map(Accepted::first)
            }
            Before::Known(earlier) => seen_before(app, earlier).await,
        },
        Err(error) => Err(error),
    }
}

/// New work is counted while its row is written; what may have come before only when it is known that it did not.
async fn room_ahead(app: &App, mail: &MailRecord, decision: &Decision) -> Result<Option<Room>> {
    if !decision.is_new || !matches!(decision.verdict, Ok(Verdict::Work(_))) {
        return Ok(None);
    }
    room_for(app, mail).await.map(Some)
}

/// What is known of a mail that came before.
enum Before {
    /// No copy of it was shown to be genuine as it was and a person's, and this one is: its row is this one's now.
    Reopened(Stored<MailRecord>),
    /// Its row.
    Known(Stored<MailRecord>),
}

/// A copy that somebody sent on may come first, shown to be from nobody or with something changed in it; it does not stand for
/// the one that its author sent. That takes the whole row, with its own bytes and what shows them to be genuine, in one write: of
/// two at once one does, and whoever is cut short behind it leaves an open mail.
async fn reopened(app: &App, again: MailRecord, decision: &Decision) -> Result<Before> {
    let earlier = known(app, &again.mail_id).await?;
    if stands(&earlier.value, decision) {
        return Ok(Before::Known(earlier));
    }
    let mut stored = Stored { value: again, version: earlier.version };
    match app.cloud.store.replace(&stored).await {
        Ok(version) => {
            tracing::info!(mail.id = %stored.value.mail_id, "a mail is genuine of which a copy was not");
            stored.version = version;
            Ok(Before::Reopened(stored))
        }
        Err(CloudError::Conflict(_)) => known(app, &stored.value.mail_id).await.map(Before::Known),
        Err(error) => Err(error),
    }
}

/// Whether the ending of an earlier copy is that of this one too.
fn stands(earlier: &MailRecord, decision: &Decision) -> bool {
    let works = decision.verdict.is_ok();
    match earlier.ending {
        // A list that sends it on adds what makes it look as if a machine had written it.
        Some(MailEnding::Unauthenticated | MailEnding::Automatic) => !decision.believes(),
        // What nobody has to be asked about is done, and the link of the question leads nowhere any more.
        Some(MailEnding::ConfirmationAsked) => !works,
        // Nobody heard of it: whoever sent it on may have written it to another site.
        Some(MailEnding::NotPermitted | MailEnding::UnknownSender) if earlier.doubted => !decision.believes(),
        // Likewise; but whoever sends on what was asked about may not choose what it becomes.
        Some(MailEnding::QuestionAsked) if earlier.doubted => !works || decision.doubted,
        _ => true,
    }
}

async fn known(app: &App, mail: &MailId) -> Result<Stored<MailRecord>> {
    let vanished = || CloudError::unavailable("read a mail's row", "it vanished while it was read");
    app.cloud.store.load::<MailRecord>(mail).await?.ok_or_else(vanished)
}

/// The same mail came before: its recorded ending is the answer; without one the earlier run is taken up.
async fn seen_before(app: &App, earlier: Stored<MailRecord>) -> Result<Accepted> {
    if earlier.value.ending.is_none() {
        return resume(app, earlier).await.map(Accepted::first);
    }
    tracing::info!(mail.id = %earlier.value.mail_id, "a mail came again; its ending stands");
    Ok(Accepted { record: earlier.value, delivery: Delivery::Again })
}

/// Goes on with a mail whose earlier run was cut short, from its kept bytes and with the ids it was given then.
pub async fn resume(app: &App, stored: Stored<MailRecord>) -> Result<MailRecord> {
    let Some(raw) = app.cloud.files.get(&At::object(&stored.value.raw_key)).await? else {
        let mut trace = Trace::default();
        trace.note(Stage::Parse, "its bytes are no longer kept");
        return end(app, stored, MailEnding::Failed, trace).await;
    };
    let read = parse(raw.bytes.clone()).await?;
    let row = &stored.value;
    let mut decision = decide(app, &read, row.evidence.as_ref(), Some(row), row.received_at).await?;
    decision.trace.note(Stage::Route, "taken up again");
    let stored = keep_ids(app, stored, &decision).await?;
    finish(app, stored, raw.bytes, decision, Run::Again).await
}

/// Writes the ids of a mail down before anything is done, where its first run chose none: of two runs at once one goes on.
async fn keep_ids(
    app: &App,
    mut stored: Stored<MailRecord>,
    decision: &Decision,
) -> Result<Stored<MailRecord>> {
    let Ok(verdict) = &decision.verdict else { return Ok(stored) };
    if stored.value.command_id.is_some() || stored.value.ending.is_some() {
        return Ok(stored);
    }
    take_ids(&mut stored.value, verdict);
    stored.version = match app.cloud.store.replace(&stored).await {
        Ok(version) => version,
        Err(CloudError::Conflict(what)) => return Err(CloudError::unavailable("take up a mail", what)),
        Err(error) => return Err(error),
    };
    Ok(stored)
}

/// What would become of a mail if it came now, decided as a live one is. Nothing is written.
pub async fn simulate(app: &App, raw: Bytes) -> Result<Simulation> {
    let read = parse(raw.clone()).await?;
    let evidence = match &read {
        Ok(mail) => Some(app.verifier.evidence(mail, &raw, &Word::Nothing).await?),
        Err(_) => None,
    };
    let now = app.cloud.clock.now();
    let Decision { verdict, trace, .. } = decide(app, &read, evidence.as_ref(), None, now).await?;
    let id = verdict.as_ref().ok().and_then(Verdict::thread).cloned();
    let known = match &id {
        Some(id) => app.cloud.store.load::<Thread>(id).await?.is_some(),
        None => false,
    };
    let thread = ThreadFound { id: id.map(|id| id.to_string()), known };
    Ok(Simulation::tell(&read, Decided { verdict: &verdict, thread, trace }))
}

async fn parse(raw: Bytes) -> Result<std::result::Result<ParsedMail, Unreadable>> {
    if raw.len() <= PARSE_INLINE_BYTES {
        return Ok(mail::read(&raw));
    }
    tokio::task::spawn_blocking(move || mail::read(&raw))
        .await
        .map_err(|error| CloudError::unavailable("parse a large mail", error))
}

async fn decide(
    app: &App,
    read: &std::result::Result<ParsedMail, Unreadable>,
    evidence: Option<&Evidence>,
    earlier: Option<&MailRecord>,
    at: Timestamp,
) -> Result<Decision> {
    let mut trace = Trace::default();
    let reject = |ending, trace| {
        let verdict = Err(Rejection::silent(ending));
        Ok(Decision { verdict, language: None, with_files: false, doubted: true, is_new: false, trace })
    };
    let parsed = match read {
        Ok(parsed) => parsed,
        Err(unreadable) => {
            trace.note(Stage::Parse, unreadable.to_string());
            return reject(mail::ending_of(unreadable), trace);
        }
    };
    mail::trace_parsed(parsed, &mut trace);
    let unknown = Evidence::Nothing("what was found out about it is not kept".into());
    let evidence = evidence.unwrap_or(&unknown);
    let desk = Desk { own: &app.mail_from.address, places: &app.mail_to, key: &app.secret };
    let request = match mail::understand(parsed, desk, evidence, at, &mut trace) {
        Ok(request) => request,
        Err(ending) => return reject(ending, trace),
    };
    let quoted = request.quoted.as_deref();
    let language = mail::language::language(parsed, &request.instruction, quoted, &mut trace);
    let facts = facts::gather(app, &request).await?;
    if facts.namesake && earlier.is_none() {
        trace
            .note(Stage::Thread, "another mail with the same Message-ID came before and said something else");
    }
    let language = facts.senders.iter().find_map(|sender| sender.language).or(language);
    let verdict = route(&request, &facts, &ids(earlier, at), at, &mut trace);
    let with_files = !parsed.attachments.is_empty();
    let is_new = parsed.message_id.is_some() && !facts.namesake;
    let doubted = request.assurance != Assurance::Full;
    Ok(Decision { verdict, language, with_files, doubted, is_new, trace })
}

/// Those of the earlier run, else new ones.
fn ids(earlier: Option<&MailRecord>, at: Timestamp) -> Ids {
    let command = earlier.and_then(|record| record.command_id.clone());
    let thread = earlier.and_then(|record| record.thread_id.clone());
    Ids {
        command: command.unwrap_or_else(|| CommandId::from_uuid(uuid_at(at))),
        thread: thread
            .map_or_else(|| ThreadChoice::OrNew(ThreadId::from_uuid(Uuid::new_v4())), ThreadChoice::Chosen),
    }
}

/// A UUIDv7 of this moment (RFC 9562, section 5.7), so that commands sort by time.
pub(crate) fn uuid_at(at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.millis()).unwrap_or(0);
    let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, millis / 1000, nanos))
}

/// Whether a mail is handled for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Run {
    /// It is; what came of counting it, if that was done.
    First(Option<Room>),
    /// An earlier run was cut short and may have done some of it.
    Again,
}

/// The ids of a mail that becomes something, chosen before anything is done.
fn take_ids(record: &mut MailRecord, verdict: &Verdict) {
    match verdict {
        Verdict::Work(routed) => {
            record.command_id = Some(routed.work.command_id.clone());
            record.thread_id = Some(routed.work.thread_id.clone());
            record.project_key = Some(routed.work.project_user());
        }
        Verdict::Command(command) => {
            record.thread_id.clone_from(&command.thread);
            record.project_key = Some(command.project_user.clone());
        }
    }
}

/// Does what was decided, then writes the ending.
async fn finish(
    app: &App,
    mut stored: Stored<MailRecord>,
    raw: Bytes,
    decision: Decision,
    run: Run,
) -> Result<MailRecord> {
    if stored.value.ending.is_some() {
        log_ending(&stored.value);
        return Ok(stored.value);
    }
    let Decision { verdict, with_files, doubted, mut trace, .. } = decision;
    stored.value.doubted = doubted;
    let files = with_files.then_some(raw);
    if let Ok(verdict) = &verdict {
        take_ids(&mut stored.value, verdict);
    }
    match act(app, verdict, &stored.value, files, run, &mut trace).await {
        Ok(ending) => {
            if ending == MailEnding::RateLimited {
                (stored.value.command_id, stored.value.thread_id) = (None, None);
            }
            end(app, stored, ending, trace).await
        }
        Err(error) if error.is_retryable() => Err(error),
        Err(error) => {
            let reason = format!("it cannot be handed over: {error}");
            if let Some(command) = &stored.value.command_id {
                results::give_up(app, command, &reason).await?;
            }
            trace.note(Stage::Dispatch, reason);
            end(app, stored, MailEnding::Failed, trace).await
        }
    }
}

async fn act(
    app: &App,
    verdict: std::result::Result<Verdict, Rejection>,
    mail: &MailRecord,
    files: Option<Bytes>,
    run: Run,
    trace: &mut Trace,
) -> Result<MailEnding> {
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(rejection) => return reject(app, rejection, mail, trace).await,
    };
    let room = match run {
        // Whoever wrote too much has to be able to stop what came of it.
        _ if is_stop(&verdict) => Room::Taken,
        Run::First(Some(room)) => room,
        Run::First(None) => room_for(app, mail).await?,
        Run::Again => room_again(app, mail).await?,
    };
    if let Room::None { what, .. } = room {
        trace.note(Stage::Dispatch, format!("there were {what} already"));
        let full = Rejection::refusing(MailEnding::RateLimited, Refusal::RateLimited);
        return reject(app, full, mail, trace).await;
    }
    match verdict {
        Verdict::Work(mut routed) => {
            if let Some(raw) = files {
                attachments::keep(app, raw, &mut routed.work, trace).await?;
            }
            dispatch::dispatch(app, &routed, mail, trace).await.map(|()| MailEnding::Routed)
        }
        Verdict::Command(command) => {
            commands::carry_out(app, &command, mail, trace).await.map(|()| MailEnding::CommandDone)
        }
    }
}

fn is_stop(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Command(command) if command.command == MailCommand::Stop)
}

async fn room_for(app: &App, mail: &MailRecord) -> Result<Room> {
    let (Some(sender), Some(key)) = (&mail.sender, &mail.project_key) else { return Ok(Room::Taken) };
    limits::take_mail(app, &mail.mail_id, sender, &key.project).await
}

/// A mail is counted once: one whose earlier run got as far as its job was counted then.
async fn room_again(app: &App, mail: &MailRecord) -> Result<Room> {
    match &mail.command_id {
        Some(command) if app.cloud.store.load::<Job>(command).await?.is_some() => Ok(Room::Taken),
        _ => room_for(app, mail).await,
    }
}

async fn reject(app: &App, rejection: Rejection, mail: &MailRecord, trace: &mut Trace) -> Result<MailEnding> {
    match &rejection.said {
        Said::Nothing => {}
        Said::Question(question) => answers::ask(app, mail, question).await?,
        Said::Confirmation(_) => confirmations::ask(app, mail).await?,
        Said::Refusal(refusal) => {
            if let Some(why) = answers::refuse(app, mail, *refusal).await? {
                trace.note(Stage::Dispatch, why);
            }
        }
    }
    Ok(rejection.ending)
}

/// Writes the ending, unless another run of the same mail, with the same ids, was faster. Others may have written to the
/// row meanwhile (an answer that was sent), so a conflict is no obstacle.
async fn end(
    app: &App,
    mut stored: Stored<MailRecord>,
    ending: MailEnding,
    trace: Trace,
) -> Result<MailRecord> {
    stored.value.end(ending, trace);
    let store = &*app.cloud.store;
    let ended = match store.replace(&stored).await {
        Ok(_) => Some(stored.value),
        Err(CloudError::Conflict(_)) => {
            store.update::<MailRecord>(&stored.value.mail_id, |row| take_ending(row, &stored.value)).await?
        }
        Err(error) => return Err(error),
    };
    let record = ended.ok_or_else(|| CloudError::unavailable("end a mail", "its row vanished"))?;
    log_ending(&record);
    Ok(record)
}

fn take_ending(row: &mut MailRecord, ended: &MailRecord) -> ControlFlow<()> {
    if row.ending.is_some() {
        return ControlFlow::Break(());
    }
    *row = MailRecord {
        outcome: row.outcome,
        reply_message_id: row.reply_message_id.take(),
        unreached: row.unreached.take(),
        ..ended.clone()
    };
    ControlFlow::Continue(())
}

fn log_ending(record: &MailRecord) {
    let ending = record.ending.map_or("open", MailEnding::as_str);
    tracing::info!(
        mail.id = %record.mail_id,
        command.id = record.command_id.as_ref().map(tracing::field::display),
        thread.id = record.thread_id.as_ref().map(tracing::field::display),
        project.key = record.project_key.as_ref().map(tracing::field::display),
        "a mail ended as {ending}"
    );
}
