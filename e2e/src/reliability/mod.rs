//! Disasters that meet the real programs: at every named point of a job, all at once, or by chance for a long time. What
//! counts is what the world sees afterwards: commits on the remote, the published manifest, mails that were sent.

mod burst;
mod disaster;
mod effects;
mod storm;
mod switch;
mod traces;

pub use burst::{Burst, burst};
pub use disaster::{Disaster, Met, meet, meet_all};
pub use effects::Effects;
pub use storm::{Storm, Weather, storm};
pub use switch::{Switch, meet_in_switch};
pub use traces::Traces;
