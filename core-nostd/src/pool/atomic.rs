//! The atomics that the stack works with: in a module of their own, so that its models can put others in their place.

pub(super) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
