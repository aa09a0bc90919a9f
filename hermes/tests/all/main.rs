//! hermes over the local cloud: real SQLite, real files, a clock that the tests step, and doors that fail on demand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod attachments;
mod command_line;
mod commands;
mod confirmations;
mod conversations;
mod crashes;
mod dead_letters;
mod fleet;
mod http;
mod in_hand;
mod ingest;
mod injections;
mod interrupts;
mod late;
mod limits;
mod mails_of_the_world;
mod names;
mod outages;
mod previews;
mod projects;
mod releases;
mod removals;
mod results;
mod returned;
mod serving;
mod sessions;
mod simulating;
mod sites;
mod smtp;
mod smtp_server;
mod sns;
mod spoofs;
mod stops;
mod stored;
#[allow(dead_code, reason = "each test binary uses its part")]
#[path = "../../../common/tests/support/strace.rs"]
mod strace;
mod support;
mod sweep;
mod tarpit;
mod templates;
mod threads;
mod trust;
mod unclaimed;
mod webhooks;
mod workers;
