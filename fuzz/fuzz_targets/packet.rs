//! Fuzzes the reading of whole datagrams.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wirehaul_proptests::oracle;

fuzz_target!(|bytes: &[u8]| {
    // A refusal is a right answer; a property that fails panics.
    let _ = oracle::packet(bytes);
});
