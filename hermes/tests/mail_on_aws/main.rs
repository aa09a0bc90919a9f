//! What hermes does at its queues and tables once more, over AWS-compatible endpoints: the same tests, another world.
//! Nothing in them knows which one it is. Mail goes to files here too; SES has its own tests.
#![cfg(feature = "aws")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

#[path = "../all/dead_letters.rs"]
mod dead_letters;
#[path = "../all/ingest.rs"]
mod ingest;
mod links;
#[path = "../all/results.rs"]
mod results;
#[path = "../all/returned.rs"]
mod returned;
mod sns;
#[path = "../all/stored.rs"]
mod stored;
#[allow(dead_code, reason = "each test binary uses its part")]
#[path = "../all/support.rs"]
mod support;
mod task_role;
#[path = "../all/unclaimed.rs"]
mod unclaimed;
