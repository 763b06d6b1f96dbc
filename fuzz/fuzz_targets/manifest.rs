//! Fuzzes the reading of manifests.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wirehaul_proptests::corpus;

fuzz_target!(|bytes: &[u8]| corpus::ask("manifest", bytes));
