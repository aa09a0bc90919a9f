//! The warm worker: it claims a project+user, runs its jobs and gives the claim back. It listens on
//! no socket but the gateway's, which is open while a child runs.

pub mod breaker;
pub mod budgets;
pub mod config;
pub mod doctor;
pub mod ecs;
pub mod folders;
pub mod gateway;
pub mod git;
pub mod halfway;
pub mod inside;
pub mod intake;
pub mod interrupts;
pub mod job;
mod leaks;
pub mod lease;
pub mod leftovers;
pub mod me;
pub mod meter;
pub mod offers;
pub mod poison;
pub mod presence;
pub mod process;
pub mod removals;
pub mod report;
pub mod run;
pub mod sandbox;
pub mod secrets;
pub mod sessions;
pub mod spent;
pub mod start;
pub mod tenure;
pub mod text;
pub mod tidy;
pub mod work;
pub mod yielding;

pub use start::start;
