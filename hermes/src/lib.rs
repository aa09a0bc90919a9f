//! The control plane: mail in, work out, results back, operators served.

pub mod mail;
