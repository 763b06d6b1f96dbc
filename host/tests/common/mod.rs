//! What the tests of the real binary share.

pub mod data;
pub mod faulty;
pub mod host;
pub mod machine;
pub mod peer;
pub mod process;
pub mod relay;
pub mod tree;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Tests that measure, or that move gigabytes, have the machine to themselves; all others share it.
static MACHINE: RwLock<()> = RwLock::new(());

/// Held by a test that may run beside others.
pub fn shared() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Held by a test that must run alone.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}
