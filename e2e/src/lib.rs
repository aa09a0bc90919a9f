//! Support for everything that drives the real programs from outside: the end-to-end tests, the demo and the benchmarks.
//! It starts `hermes` and `worker` as processes, makes git remotes and mails, and talks to the API; it never reaches
//! into either program.

pub mod api;
pub mod chaos;
pub mod claude_api;
pub mod corpus;
pub mod figures;
pub mod mail;
pub mod process;
pub mod reliability;
pub mod remote;
pub mod wait;
pub mod world;
