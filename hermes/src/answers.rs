//! The mails that owners get: written by the pure [`reply`] room and put into the outbox, each under a key of its own, so
//! that whatever is done twice is said once.

use common::cloud::{CloudError, Result};
use common::domain::ids::{EmailAddress, ThreadId};
use common::domain::job::Job;
use common::domain::names::RECORDS_KEPT;
use common::domain::project::{Role, Sender};

use crate::app::App;
use crate::ingest::record::MailRecord;
use crate::limits;
use crate::outbox::{Conversation, OutboxRecord, OutboxState, Purpose, post};
use crate::reply::message::{Envelope, compose};
use crate::reply::{self, Answered, Refusal, Topic};
use crate::route::Question;

/// One mail that we mean to send.
struct Plan<'a> {
    purpose: Purpose,
    /// What makes it one of its purpose.
    about: &'a str,
    /// The mail it answers.
    mail: &'a MailRecord,
    to: &'a EmailAddress,
    topic: Topic<'a>,
    conversation: Option<Conversation>,
}

/// The answer to the mail that ordered a job, which has ended.
pub async fn job_ended(app: &App, job: &Job, mail: &MailRecord, to: &EmailAddress) -> Result<()> {
    let plan = Plan {
        purpose: Purpose::Answer,
        about: job.command_id.as_str(),
        mail,
        to,
        topic: Topic::Ended(job),
        conversation: Some(conversation(job)),
    };
    send(app, plan).await
}

/// Says that the work on a mail takes longer than usual.
pub async fn late(app: &App, job: &Job, mail: &MailRecord, to: &EmailAddress) -> Result<()> {
    let plan = Plan {
        purpose: Purpose::Acknowledgement,
        about: job.command_id.as_str(),
        mail,
        to,
        topic: Topic::Late,
        conversation: Some(conversation(job)),
    };
    send(app, plan).await
}

/// Says why a mail became no work: to each address once a day for each reason. Whoever it was not shown to be hears nothing,
/// so that a forged sender gets no mail; nor does one whose mails nobody reads. Why it was not said, if it was not.
pub async fn refuse(app: &App, mail: &MailRecord, refusal: Refusal) -> Result<Option<&'static str>> {
    let Some(to) = &mail.sender else { return Ok(Some("it names no author")) };
    if is_unread(to) {
        return Ok(Some("nobody reads what is sent to its author's address"));
    }
    if !limits::take_notice(app, to, refusal.as_str(), &mail.mail_id).await? {
        return Ok(Some("its author was told so today already"));
    }
    let about = mail.mail_id.as_str();
    let topic = Topic::Refused(refusal);
    send(app, Plan { purpose: Purpose::Notice, about, mail, to, topic, conversation: None }).await?;
    Ok(None)
}

/// Whether an address says that nobody reads what is sent to it, as those of machines do.
fn is_unread(address: &EmailAddress) -> bool {
    let (local, _) = address.as_str().rsplit_once('@').unwrap_or_default();
    let name: String = local.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let begins = ["noreply", "donotreply", "dontreply", "mailerdaemon"];
    begins.iter().any(|begin| name.starts_with(begin))
        || ["notification", "notifications", "bounce", "bounces"].contains(&name.as_str())
}

/// The one answer to a mail that stopped work.
pub async fn stopped(
    app: &App,
    mail: &MailRecord,
    topic: Topic<'_>,
    conversation: Conversation,
) -> Result<()> {
    let Some(to) = &mail.sender else { return Ok(()) };
    let (about, conversation) = (mail.mail_id.as_str(), Some(conversation));
    send(app, Plan { purpose: Purpose::Answer, about, mail, to, topic, conversation }).await
}

/// The one answer to a mail that was another command.
pub async fn command(
    app: &App,
    mail: &MailRecord,
    topic: Topic<'_>,
    conversation: Option<Conversation>,
) -> Result<()> {
    let Some(to) = &mail.sender else { return Ok(()) };
    let about = mail.mail_id.as_str();
    send(app, Plan { purpose: Purpose::Command, about, mail, to, topic, conversation }).await
}

/// Asks the author of a mail, at the address that is registered, whether they wrote it.
pub async fn confirm(app: &App, mail: &MailRecord, link: String) -> Result<()> {
    let Some(to) = &mail.sender else { return Ok(()) };
    let (about, topic) = (mail.mail_id.as_str(), Topic::Confirm(link));
    send(app, Plan { purpose: Purpose::Confirmation, about, mail, to, topic, conversation: None }).await
}

/// Asks the author of a mail something.
pub async fn ask(app: &App, mail: &MailRecord, question: &Question) -> Result<()> {
    let Some(to) = &mail.sender else { return Ok(()) };
    let domain = app.mail_from.domain();
    let topic = match question {
        Question::WhatToDo => Topic::WhatToDo,
        Question::WhichPreview => Topic::WhichPreview,
        Question::WhichSite(sites) => {
            Topic::WhichSite(sites.iter().map(|site| (site.clone(), format!("{site}@{domain}"))).collect())
        }
    };
    let about = mail.mail_id.as_str();
    send(app, Plan { purpose: Purpose::Question, about, mail, to, topic, conversation: None }).await
}

/// The conversation of a job.
pub fn conversation(job: &Job) -> Conversation {
    Conversation { project_key: job.project_key.clone(), thread_id: job.thread_id.clone() }
}

async fn send(app: &App, plan: Plan<'_>) -> Result<()> {
    let thread = plan.conversation.as_ref().map(|known| &known.thread_id);
    let language = plan.mail.language.unwrap_or_default();
    let answered = Answered { subject: &plan.mail.subject, language, thread, role: role(app, &plan).await? };
    let letter = reply::write(&plan.topic, &answered).map_err(|e| CloudError::Invalid(e.to_string()))?;
    let (message_id, created_at) = (message_id(app, &plan, thread), app.cloud.clock.now());
    let reply_to = thread.and_then(|thread| app.secret.reply_address(&app.mail_from.address, thread));
    let envelope = Envelope {
        from: &app.mail_from.mailbox,
        reply_to: reply_to.as_ref(),
        to: plan.to,
        message_id: &message_id,
        in_reply_to: plan.mail.message_id.as_deref(),
        references: &plan.mail.references,
        at: created_at,
    };
    let (state, message, note) = match compose(&letter, &envelope) {
        Ok(message) => (OutboxState::Pending, message, None),
        Err(error) => {
            tracing::error!(%error, mail.id = %plan.mail.mail_id, "an answer cannot be written; it is kept as failed");
            (OutboxState::Failed, letter.text, Some(error.to_string()))
        }
    };
    let record = OutboxRecord {
        dedup_key: plan.purpose.key(plan.about),
        purpose: plan.purpose,
        state,
        to: plan.to.clone(),
        message,
        message_id,
        mail_id: plan.mail.mail_id.clone(),
        conversation: plan.conversation,
        attempts: 0,
        unanswered: 0,
        not_before: None,
        note,
        created_at,
        sent_at: None,
        renamed: false,
        ttl: Some(created_at.ttl(RECORDS_KEPT)),
    };
    post(app, record).await
}

/// What whoever a mail goes to may do, as far as its words depend on that.
async fn role(app: &App, plan: &Plan<'_>) -> Result<Role> {
    let site = plan.conversation.as_ref().map(|known| &known.project_key).or(plan.mail.project_key.as_ref());
    let Some(key) = site.filter(|_| plan.topic.is_of_live()) else { return Ok(Role::default()) };
    let sender = app.cloud.store.load::<Sender>(&(plan.to.clone(), key.project.clone())).await?;
    Ok(sender.map(|row| row.value.role).unwrap_or_default())
}

/// Chosen once, before the mail is written down. In a conversation it carries a tag that only we can make.
fn message_id(app: &App, plan: &Plan<'_>, thread: Option<&ThreadId>) -> String {
    let (domain, purpose) = (app.mail_from.domain(), plan.purpose.as_str());
    match (plan.purpose, thread) {
        (Purpose::Answer, Some(thread)) => app.secret.message_id(thread, plan.about, domain),
        (_, Some(thread)) => app.secret.message_id(thread, plan.purpose.key(plan.about), domain),
        (_, None) => format!("{purpose}.{}@{domain}", plan.about),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_nobody_reads_are_told_by_their_names() {
        let is_unread =
            |local: &str| is_unread(&EmailAddress::parse(&format!("{local}@example.org")).unwrap());
        for machine in [
            "no-reply",
            "noreply",
            "NoReply",
            "no_reply",
            "donotreply",
            "do-not-reply",
            "noreply+4711",
            "notifications",
        ] {
            assert!(is_unread(machine), "{machine}");
        }
        for person in ["scott", "norep", "reply", "info", "nora.eply", "notifications.desk"] {
            assert!(!is_unread(person), "{person}");
        }
    }
}
