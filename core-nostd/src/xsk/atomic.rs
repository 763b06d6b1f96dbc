//! The atomics that the rings work with: in a module of their own, so that their models can put others in their place.

pub(super) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
