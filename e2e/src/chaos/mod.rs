//! Seeded schedules of three workers, hermes and its sweep over the real local cloud, with lost answers, failing calls,
//! crashes, pauses beyond the lease and wall clocks that are up to ten minutes wrong.
//!
//! Cloud, claims, queues and tables are the real code. The worker and the sweep are small restatements of the programs'
//! decisions on a stepped monotonic clock, one call after the other, because the programs themselves run on the machine's
//! own time: what is shown here is the protocol, not `worker::run`.

mod dice;
mod hermes;
mod schedule;
mod site;
mod tally;
mod worker;

pub(crate) use dice::Dice;
pub use schedule::{Fences, run};
pub use tally::Tally;
