//! What hermes and worker must agree on, and nothing else: the vocabulary ([`domain`]), what crosses a queue
//! ([`messages`]) and the six doors to the outside ([`cloud`]).

pub mod checkpoint;
pub mod clock;
pub mod cloud;
pub mod config;
pub mod domain;
pub mod messages;
pub mod shutdown;
pub mod telemetry;
