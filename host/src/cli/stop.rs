//! How a command is told to stop.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A flag that SIGINT and SIGTERM set; a second signal ends the process at once.
#[cfg(unix)]
#[must_use]
pub fn stop_flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signals(&stop);
    stop
}

/// Lets SIGINT and SIGTERM set this flag; a second signal ends the process at once.
#[cfg(unix)]
pub fn stop_on_signals(stop: &Arc<AtomicBool>) {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // Without the handlers a signal ends the process, which a transfer survives as it survives `kill -9`.
        let _ = signal_hook::flag::register_conditional_shutdown(signal, 5, Arc::clone(stop));
        let _ = signal_hook::flag::register(signal, Arc::clone(stop));
    }
}

/// A flag that nothing sets: elsewhere an interrupt ends the process, which has nothing to tidy up.
#[cfg(not(unix))]
#[must_use]
pub fn stop_flag() -> Arc<AtomicBool> {
    Arc::default()
}
