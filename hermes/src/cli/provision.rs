//! `hermes provision` and `hermes doctor`

use clap::Args;
use common::cloud::files::{At, IfMatch};
use common::cloud::provision::{self, Item, Standing};
use common::cloud::store::{Key, Table};
use common::cloud::{Cloud, Result as CloudResult};
use common::config::{CloudKind, CloudSettings};
use common::domain::names::Queue;
use serde_json::{Value, json};

use super::{CliError, Output, Result};
use crate::config::{CarrierSettings, LinkSettings};

/// How far to go.
#[derive(Debug, Args)]
pub struct ProvisionArguments {
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,

    /// Fail when something would have to be done, and do nothing.
    #[arg(long, conflicts_with = "dry_run")]
    check: bool,
}

/// What owners are sent.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Where the links in answers lead.
    #[command(flatten)]
    links: LinkSettings,

    /// Who carries answers.
    #[command(flatten)]
    carrier: CarrierSettings,
}

impl DoctorArguments {
    /// What is wrong with the links in mails that leave this machine.
    fn dead_ends(&self, cloud: &Cloud) -> Option<String> {
        let goes_out = self.carrier.smtp_url.is_some() || cloud.mailer.goes_out();
        let ends = self.links.dead_ends();
        (goes_out && !ends.is_empty()).then(|| ends.join("; "))
    }
}

/// Makes what an environment needs, or says what that would be.
pub(super) async fn run(
    settings: &CloudSettings,
    arguments: &ProvisionArguments,
    out: &Output,
) -> Result<()> {
    let changes = !arguments.dry_run && !arguments.check;
    let items = if changes { provision::make(settings).await? } else { provision::look(settings).await? };
    let value = json!({"changed": changes, "items": items.iter().map(to_json).collect::<Vec<_>>()});
    if settings.cloud == CloudKind::Local {
        return Ok(out.say(&value, || "nothing to do: the local cloud makes what it needs by itself".into())?);
    }
    let deed = |item: &Item| said(&item.standing, changes);
    let rows =
        || items.iter().map(|item| vec![item.kind.word().into(), item.name.clone(), deed(item)]).collect();
    out.list(&value, &["kind", "name", "plan"], rows)?;
    let due = items.iter().filter(|item| item.standing != Standing::Ready).count();
    if arguments.check && due > 0 { Err(CliError::NotProvisioned { due, all: items.len() }) } else { Ok(()) }
}

fn said(standing: &Standing, changes: bool) -> String {
    match (standing, changes) {
        (Standing::Ready, _) => "is ready".to_owned(),
        (Standing::Missing, true) => "made".to_owned(),
        (Standing::Missing, false) => "to be made".to_owned(),
        (Standing::Differs(why), true) => format!("mended: {why}"),
        (Standing::Differs(why), false) => format!("to be mended: {why}"),
        (Standing::Foreign(whose), _) => format!("not ours: {whose}; nothing will be done"),
    }
}

fn to_json(item: &Item) -> Value {
    let (standing, detail) = match &item.standing {
        Standing::Ready => ("ready", None),
        Standing::Missing => ("missing", None),
        Standing::Differs(why) => ("differs", Some(why)),
        Standing::Foreign(whose) => ("foreign", Some(whose)),
    };
    json!({"kind": item.kind.word(), "name": item.name, "standing": standing, "detail": detail})
}

/// Asks every door, and looks whether all is there; fails when something stands in the way of working.
pub(super) async fn doctor(
    settings: &CloudSettings,
    arguments: &DoctorArguments,
    cloud: &Cloud,
    out: &Output,
) -> Result<()> {
    let (store, queues, files) =
        tokio::join!(tables(cloud), cloud.queues.depth(&Queue::Output), objects(cloud));
    let claims = cloud.claims.held(1).await.map(|_| ());
    let there = provision::look(settings).await.map(|items| {
        let due: Vec<String> = items
            .iter()
            .filter(|item| item.standing != Standing::Ready)
            .map(|item| format!("{} {}: {}", item.kind.word(), item.name, said(&item.standing, false)))
            .collect();
        (!due.is_empty()).then(|| format!("run `hermes provision`: {}", due.join("; ")))
    });
    let checks = [
        ("tables", trouble(store)),
        ("queues", trouble(queues.map(|_| ()))),
        ("claims", trouble(claims)),
        ("files", trouble(files)),
        ("provisioned", there.unwrap_or_else(|error| Some(error.to_string()))),
        ("links", arguments.dead_ends(cloud)),
    ];
    let value: Vec<Value> = checks
        .iter()
        .map(|(name, wrong)| json!({"check": name, "ok": wrong.is_none(), "detail": wrong}))
        .collect();
    let row = |(name, wrong): &(&str, Option<String>)| {
        vec![(*name).to_owned(), wrong.clone().unwrap_or_else(|| "well".to_owned())]
    };
    out.list(&value, &["check", "finding"], || checks.iter().map(row).collect())?;
    let ill = checks.iter().filter(|(_, wrong)| wrong.is_some()).count();
    if ill > 0 { Err(CliError::Ill(ill)) } else { Ok(()) }
}

fn trouble(answer: CloudResult<()>) -> Option<String> {
    answer.err().map(|error| error.to_string())
}

async fn tables(cloud: &Cloud) -> CloudResult<()> {
    for table in Table::ALL {
        let sort = table.spec().sort.map(|_| "doctor".to_owned());
        cloud.store.get(table, &Key { partition: "doctor".to_owned(), sort }).await?;
    }
    Ok(())
}

async fn objects(cloud: &Cloud) -> CloudResult<()> {
    let at = At::object("probe");
    cloud.files.put(&at, "doctor".into(), IfMatch::Any).await?;
    cloud.files.get(&at).await.map(|_| ())
}
