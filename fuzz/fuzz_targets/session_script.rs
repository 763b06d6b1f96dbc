//! Fuzzes two sessions, driven by a script of operations.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wirehaul_proptests::corpus;

fuzz_target!(|bytes: &[u8]| corpus::ask("session_script", bytes));
