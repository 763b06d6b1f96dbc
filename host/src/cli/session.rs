//! What `send` and `recv` set up alike.

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
