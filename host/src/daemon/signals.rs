//! Signals, as things to do.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator;

/// What the process leaves with where a signal comes once it is stopping: interrupted, resumable (OPS-4).
const INTERRUPTED: i32 = 5;

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGTERM: finish what is under way, and end.
    Terminate,
    /// SIGINT: end now. The flag that says so is set when this is heard.
    Interrupt,
}

/// The signals of this process.
#[derive(Debug)]
pub struct Signals(iterator::Signals);

impl Signals {
    /// Takes them: from now on they end the process only where `stop` is set and it does not end by itself.
    ///
    /// # Errors
    /// What the system says.
    pub fn take(stop: &Arc<AtomicBool>) -> io::Result<Self> {
        let signals = iterator::Signals::new([SIGHUP, SIGINT, SIGTERM])?;
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(stop))?;
        }
        // At once, also while the one who looks for signals is not there yet.
        flag::register(SIGINT, Arc::clone(stop))?;
        Ok(Self(signals))
    }

    /// Those that came since the last look.
    pub fn pending(&mut self) -> Vec<Signal> {
        let signals = self.0.pending().filter_map(|signal| match signal {
            SIGHUP => Some(Signal::Reload),
            SIGTERM => Some(Signal::Terminate),
            SIGINT => Some(Signal::Interrupt),
            _ => None,
        });
        signals.collect()
    }
}
