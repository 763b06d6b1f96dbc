//! Fuzzes the reading of decrypted packet bodies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wirehaul_proptests::corpus;

fuzz_target!(|bytes: &[u8]| corpus::ask("frame", bytes));
