//! Fuzzes the reading of folders of facts about CDNs, and the tables made of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wirehaul_proptests::corpus;

fuzz_target!(|bytes: &[u8]| corpus::ask("cdn_folder", bytes));
