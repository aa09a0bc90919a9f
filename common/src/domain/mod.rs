//! The vocabulary of Hermes as values and pure rules: no I/O, no async, no clock reads.

pub mod active_job;
pub mod budget;
pub mod claim;
pub mod container;
pub mod ids;
pub mod job;
pub mod language;
pub mod left_out;
pub mod names;
pub mod outcome;
pub mod project;
pub mod repo_url;
pub mod session;
pub mod site;
pub mod text;
pub mod thread;
pub mod timestamp;
