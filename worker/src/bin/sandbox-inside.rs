//! The part of the sandbox that runs on the child's side of it: `enter` before the walls are up, `serve` behind them.
//! Started by the worker only.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    worker::inside::run(worker::inside::Inside::parse())
}
