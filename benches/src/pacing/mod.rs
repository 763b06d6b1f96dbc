//! How exactly senders pace: what a relay with kernel receive timestamps saw of them, and the figures made of it.

pub mod arrivals;
pub mod quinn_fixed;
pub mod relay;
pub mod report;
