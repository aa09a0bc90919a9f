#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: hermes_fuzz::own_panics_are_findings(), |bytes: &[u8]| hermes_fuzz::parse(bytes));
