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

/// Its command line for that, with the settings of our own end: copies, batches of 64, wake-ups where they are needed.
#[must_use]
pub fn arguments(doing: Doing, is_skb: bool, seconds: u64) -> Vec<OsString> {
    let doing = match doing {
        Doing::Send => "--txonly",
        Doing::Drop => "--rxdrop",
        Doing::Forward => "--l2fwd",
    };
    let mode = if is_skb { "--xdp-skb" } else { "--xdp-native" };
    let seconds = seconds.to_string();
    // With the check sequence, as it counts.
    let bytes = (FRAME_BYTES + 4).to_string();
    [
        ["--interface", "veth0"].as_slice(),
        &["--queue", "0", doing, mode, "--copy"],
        &["--duration", &seconds, "--tx-pkt-size", &bytes, "--batch-size", "64"],
    ]
    .concat()
    .into_iter()
    .map(OsString::from)
    .collect()
}

/// Packets per second in each table that it printed: of its lines `rx` or `tx`, the first number.
#[must_use]
pub fn rates(output: &str, direction: &str) -> Vec<f64> {
    let lines = output.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let of_direction = lines.filter(|words| words.first() == Some(&direction));
    of_direction.filter_map(|words| words.get(1)?.replace(',', "").parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_tables_are_read() {
        let output = "\n sock0@veth0:0 rxdrop xdp-drv \n                   pps            pkts           1.00           \nrx                 412,345        412,345        \ntx                 0              0              \n sock0@veth0:0 rxdrop xdp-drv \nrx                 400,000        812,345        \ntx                 1              7              \n";
        assert_eq!((rates(output, "rx"), rates(output, "tx")), (vec![412_345.0, 400_000.0], vec![0.0, 1.0]));
        assert!(rates("", "rx").is_empty());
    }
}
