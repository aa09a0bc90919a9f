//! A claim as an item of the ownership table, attribute by attribute: the state machine and people read it too.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue as Attribute;

use crate::cloud::{CloudError, Result};
use crate::domain::claim::{ClaimRecord, ClaimStatus, ClaimVersion, Epoch};
use crate::domain::ids::{Nonce, Owner, ProjectUser, WorkerId};
use crate::domain::timestamp::Timestamp;

/// An item.
pub(super) type Item = HashMap<String, Attribute>;

pub(super) const PROJECT_KEY: &str = "projectKey";
pub(super) const CONTAINER_ID: &str = "containerId";
pub(super) const NONCE: &str = "nonce";
pub(super) const CONTROL_QUEUE: &str = "controlQueueUrl";

/// The word of a status.
pub(super) fn word(status: ClaimStatus) -> &'static str {
    match status {
        ClaimStatus::Held => "held",
        ClaimStatus::Free => "free",
    }
}

/// A text.
pub(super) fn text(value: impl Into<String>) -> Attribute {
    Attribute::S(value.into())
}

/// A number.
pub(super) fn number(value: impl ToString) -> Attribute {
    Attribute::N(value.to_string())
}

/// The item of a claim.
pub(super) fn write(row: &ClaimRecord) -> Item {
    let owner = row.owner.as_ref();
    let always = [
        (PROJECT_KEY, text(row.project_key.to_string())),
        ("epoch", number(row.epoch.0)),
        ("version", text(row.version.as_str())),
        ("leaseSecs", number(row.lease_secs)),
        ("claimedAt", number(row.claimed_at.millis())),
        ("lastActivity", number(row.last_activity.millis())),
        ("status", text(word(row.status))),
    ];
    let sometimes = [
        (CONTAINER_ID, owner.map(|owner| text(owner.worker.as_str()))),
        (NONCE, owner.map(|owner| text(owner.nonce.as_str()))),
        (CONTROL_QUEUE, row.control_queue.clone().map(text)),
    ];
    let sometimes = sometimes.into_iter().filter_map(|(name, value)| Some((name, value?)));
    always.into_iter().chain(sometimes).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The claim of an item.
pub(super) fn read(item: &Item) -> Result<ClaimRecord> {
    let owner = match (get(item, CONTAINER_ID), get(item, NONCE)) {
        (Some(worker), Some(nonce)) => Some(Owner {
            worker: WorkerId::parse(worker).map_err(unreadable)?,
            nonce: Nonce::parse(nonce).map_err(unreadable)?,
        }),
        _ => None,
    };
    Ok(ClaimRecord {
        project_key: ProjectUser::parse(get(item, PROJECT_KEY).unwrap_or_default()).map_err(unreadable)?,
        status: if owner.is_some() { ClaimStatus::Held } else { ClaimStatus::Free },
        owner,
        epoch: Epoch(count(item, "epoch")),
        version: ClaimVersion::from_stored(get(item, "version").unwrap_or_default().to_owned()),
        lease_secs: count(item, "leaseSecs"),
        claimed_at: time(item, "claimedAt"),
        last_activity: time(item, "lastActivity"),
        control_queue: get(item, CONTROL_QUEUE).map(str::to_owned),
    })
}

/// The text of an attribute, or the digits of a number.
pub(super) fn get<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    match item.get(name)? {
        Attribute::S(text) | Attribute::N(text) => Some(text),
        _ => None,
    }
}

fn count(item: &Item, name: &str) -> u64 {
    get(item, name).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn time(item: &Item, name: &str) -> Timestamp {
    Timestamp::from_millis(get(item, name).and_then(|digits| digits.parse().ok()).unwrap_or(0))
}

fn unreadable(error: impl std::fmt::Display) -> CloudError {
    CloudError::Invalid(format!("a row of the ownership table cannot be read: {error}"))
}
