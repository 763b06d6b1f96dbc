//! Benchmarks of Wirehaul and the comparisons with its peers.
