//! Mails whose author has to say that they wrote them: a one-time link goes to the registered address. Opening it shows what
//! would be done; only its button acts, and then the kept mail goes on its way as if it had been shown to be genuine.

use std::ops::ControlFlow;
use std::time::Duration;

use common::cloud::files::At;
use common::cloud::store::{Key, Record, Table};
use common::cloud::{CloudError, Result};
use common::domain::ids::MailId;
use common::domain::language::Language;
use common::domain::outcome::MailEnding;
use common::domain::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::ingest::record::{MailRecord, OPEN};
use crate::mail::attachment::File;
use crate::mail::trace::Trace;
use crate::mail::verdict::Evidence;
use crate::reply::page::{Page, Shown};
use crate::{answers, ingest, mail};

/// A link is good for so long.
const GOOD_FOR: Duration = Duration::from_hours(72);
/// A mail with a link that goes out later is of little use: its author shall have a day to open it.
pub(crate) const ASKED_WITHIN: Duration = Duration::from_hours(48);
/// Its row is kept for so long: whoever comes late hears that the link is no longer good, by whatever it held.
const KEPT: Duration = Duration::from_hours(30 * 24);
const KIND: &str = "confirmation";

/// A row of the access table. Only the hash of what the link holds is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Confirmation {
    kind: String,
    id: String,
    mail_id: MailId,
    expires_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used_at: Option<Timestamp>,
    /// Unix seconds; garbage collection only.
    #[serde(default)]
    ttl: i64,
}

impl Record for Confirmation {
    const TABLE: Table = Table::Access;
    type Id = str;
    fn key(token: &str) -> Key {
        Key::pair(KIND, hash(token))
    }
}

fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

/// Asks the author of a mail whether they wrote it. Done again it makes the same link and no second mail.
pub async fn ask(app: &App, mail: &MailRecord) -> Result<()> {
    let token = app.secret.confirmation(&mail.mail_id);
    let now = app.cloud.clock.now();
    let row = Confirmation {
        kind: KIND.to_owned(),
        id: hash(&token),
        mail_id: mail.mail_id.clone(),
        expires_at: now.plus(GOOD_FOR),
        used_at: None,
        ttl: now.ttl(KEPT),
    };
    match app.cloud.store.insert(&row).await {
        Ok(_) | Err(CloudError::Conflict(_)) => {}
        Err(error) => return Err(error),
    }
    answers::confirm(app, mail, app.public_url.of_own(&format!("confirm/{token}"))).await
}

/// What a link shows, and in which language. Changes nothing.
pub async fn look(app: &App, token: &str) -> Result<(Page, Language)> {
    let mail = match find(app, token).await? {
        Found::Waiting(mail) => mail,
        Found::Confirmed(language) => return Ok((Page::Confirmed, language)),
        Found::Nothing => return Ok((Page::Gone, Language::default())),
    };
    let language = mail.language.unwrap_or_default();
    let Some(raw) = app.cloud.files.get(&At::object(&mail.raw_key)).await? else {
        return Ok((Page::Gone, language));
    };
    // Off the async threads: a mail may be large, and its files are looked at.
    let read = tokio::task::spawn_blocking(move || what_it_says(&raw.bytes)).await;
    let Some((instruction, files)) = read.ok().flatten() else { return Ok((Page::Gone, language)) };
    let page = Page::Waiting {
        site: mail.project_key.map(|key| key.project.to_string()),
        from: mail.sender.map(|address| address.to_string()).unwrap_or_default(),
        subject: mail.subject,
        instruction,
        files,
    };
    Ok((page, language))
}

/// What a mail would have done, and the files that would go along.
fn what_it_says(raw: &[u8]) -> Option<(String, Vec<Shown>)> {
    let parsed = mail::read(raw).ok()?;
    let instruction = mail::instruction::instruction(&parsed, &mut Trace::default()).new;
    let (files, _) = mail::attachment::files(raw);
    let shown = |file: File| Shown { name: file.name, size_bytes: file.bytes.len() as u64 };
    Some((instruction, files.into_iter().map(shown).collect()))
}

/// What there is behind a link.
enum Found {
    /// A mail that waits for its author's word.
    Waiting(Box<MailRecord>),
    /// One whose author gave it, and reads this language.
    Confirmed(Language),
    /// None, or too late.
    Nothing,
}

async fn find(app: &App, token: &str) -> Result<Found> {
    let Some(row) = app.cloud.store.load::<Confirmation>(token).await? else { return Ok(Found::Nothing) };
    let Some(mail) = app.cloud.store.load::<MailRecord>(&row.value.mail_id).await? else {
        return Ok(Found::Nothing);
    };
    let mail = mail.value;
    Ok(if row.value.used_at.is_some() || matches!(mail.evidence, Some(Evidence::Confirmed(_))) {
        Found::Confirmed(mail.language.unwrap_or_default())
    } else if is_open(&mail) && row.value.expires_at > app.cloud.clock.now() {
        Found::Waiting(Box::new(mail))
    } else {
        Found::Nothing
    })
}

fn is_open(mail: &MailRecord) -> bool {
    mail.ending == Some(MailEnding::ConfirmationAsked)
}

/// Takes the word of whoever holds the link, once. The mail is opened again first: whatever fails behind that leaves it to the
/// sweep, which finishes open mails.
pub async fn confirm(app: &App, token: &str) -> Result<(Page, Language)> {
    let mail = match find(app, token).await? {
        Found::Waiting(mail) => mail,
        Found::Confirmed(language) => return Ok((Page::Confirmed, language)),
        Found::Nothing => return Ok((Page::Gone, Language::default())),
    };
    let now = app.cloud.clock.now();
    let mut opened = false;
    let open = |row: &mut MailRecord| {
        opened = is_open(row);
        if !opened {
            return ControlFlow::Break(());
        }
        (row.ending, row.open) = (None, Some(OPEN.to_owned()));
        row.evidence = Some(Evidence::Confirmed(now));
        ControlFlow::Continue(())
    };
    app.cloud.store.update::<MailRecord>(&mail.mail_id, open).await?;
    if opened && let Err(error) = go_on(app, token, &mail.mail_id).await {
        tracing::warn!(%error, mail.id = %mail.mail_id, "a mail that was confirmed is left to the sweep");
    }
    Ok((Page::Confirmed, mail.language.unwrap_or_default()))
}

/// Notes that a link was used, and takes its mail, which is open again, up.
async fn go_on(app: &App, token: &str, mail: &MailId) -> Result<()> {
    let now = app.cloud.clock.now();
    let used = |row: &mut Confirmation| {
        row.used_at = row.used_at.or(Some(now));
        ControlFlow::Continue(())
    };
    app.cloud.store.update::<Confirmation>(token, used).await?;
    tracing::info!(mail.id = %mail, "the author of a mail confirmed it");
    match app.cloud.store.load::<MailRecord>(mail).await? {
        Some(stored) => ingest::resume(app, stored).await.map(drop),
        None => Ok(()),
    }
}
