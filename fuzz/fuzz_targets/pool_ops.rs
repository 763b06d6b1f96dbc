//! Fuzzes the buffer pool with operations in any order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wirehaul_proptests::corpus;

fuzz_target!(|bytes: &[u8]| corpus::ask("pool_ops", bytes));
