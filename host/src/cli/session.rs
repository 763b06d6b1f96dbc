//! What `send` and `recv` set up alike.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use wirehaul_core::congestion::ControllerKind;
use wirehaul_core::limits::MAX_DATAGRAM_BYTES;
use wirehaul_core::session::Config;

use super::args::{CongestionControl, TransferArgs};
use crate::crypto::local_suites;

/// The session settings that the command line asks for.
#[must_use]
pub fn config_for(args: &TransferArgs) -> Config {
    let controller = match args.cc {
        CongestionControl::Bbr => ControllerKind::Bbr,
        CongestionControl::Cubic => ControllerKind::Cubic,
    };
    Config { suites: local_suites(), controller, max_datagram_bytes: MAX_DATAGRAM_BYTES, ..Config::default() }
}

/// A flag that SIGINT and SIGTERM set; a second signal ends the process at once.
#[must_use]
pub fn stop_flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signals(&stop);
    stop
}

/// Lets SIGINT and SIGTERM set this flag; a second signal ends the process at once.
pub fn stop_on_signals(stop: &Arc<AtomicBool>) {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // Without the handlers a signal ends the process, which a transfer survives as it survives `kill -9`.
        let _ = signal_hook::flag::register_conditional_shutdown(signal, 5, Arc::clone(stop));
        let _ = signal_hook::flag::register(signal, Arc::clone(stop));
    }
}
