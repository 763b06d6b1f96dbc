//! The `wirehaul` command.

fn main() {}
