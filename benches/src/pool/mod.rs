//! What the buffer pool costs next to others ([`cost`]), and how much memory it takes for many sessions ([`memory`]).

pub mod cost;
pub mod memory;
