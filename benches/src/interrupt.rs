//! Ctrl-C and `kill` as an ordinary way out: a flag that every wait looks at, so that guards are dropped and
//! namespaces, control groups and scratch files go with the program.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

static RAISED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Turns SIGINT, SIGTERM and SIGHUP into the flag that [`raised`] reads. To be called once, before anything is set up.
///
/// # Errors
/// What the operating system says when a handler cannot be installed.
pub fn install() -> io::Result<()> {
    let flag = RAISED.get_or_init(|| Arc::new(AtomicBool::new(false)));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    Ok(())
}

/// True once one of the signals has arrived; false for ever where [`install`] was not called.
pub fn raised() -> bool {
    RAISED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}
