//! Fuzzes the reading of Ethernet frames, and the writing of headers from what was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wirehaul_proptests::corpus;

fuzz_target!(|bytes: &[u8]| corpus::ask("net", bytes));
