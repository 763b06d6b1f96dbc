//! xdpsock, the example of xdp-project/bpf-examples that everybody measures with, where it is installed.

use std::ffi::OsString;
use std::path::PathBuf;

use super::FRAME_BYTES;

/// Where it is: the path in `WIREHAUL_XDPSOCK`, or the first directory of the search path that has it.
#[must_use]
pub fn xdpsock() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("WIREHAUL_XDPSOCK") {
        return Some(PathBuf::from(named)).filter(|path| path.exists());
    }
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join("xdpsock")).find(|path| path.exists())
}

/// What it is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Sends.
    Send,
    /// Receives and drops.
    Drop,
    /// Swaps hardware addresses and sends back.
    Forward,
}

/// Its command line for that on this interface, with the settings of our own end: copies, batches of 64, wake-ups where they are
/// needed. It goes on until it is told to end.
#[must_use]
pub fn arguments(doing: Doing, interface: &str, is_skb: bool) -> Vec<OsString> {
    let doing = match doing {
        Doing::Send => "--txonly",
        Doing::Drop => "--rxdrop",
        Doing::Forward => "--l2fwd",
    };
    let mode = if is_skb { "--xdp-skb" } else { "--xdp-native" };
    // With the check sequence, as it counts.
    let bytes = (FRAME_BYTES + 4).to_string();
    ["--interface", interface, "--queue", "0", doing, mode, "--copy", "--tx-pkt-size", &bytes, "--batch-size", "64"]
        .into_iter()
        .map(OsString::from)
        .collect()
}
