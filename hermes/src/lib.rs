//! The control plane: mail in, work out, results back, operators served.

pub mod mail;
pub mod reply;
pub mod route;
