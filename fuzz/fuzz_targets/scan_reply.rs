//! Fuzzes the judging of answers to the survey's probes, against a reader that works byte by byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wirehaul_proptests::corpus;

fuzz_target!(|bytes: &[u8]| corpus::ask("scan_reply", bytes));
