//! How many datagrams the kernel dropped for want of room in the receive buffer.

use std::net::UdpSocket;

/// The drops of `socket`; `None` where the system does not say.
#[cfg(target_os = "linux")]
pub(super) fn drops(socket: &UdpSocket) -> Option<u64> {
    let inode = nix::sys::stat::fstat(socket).ok()?.st_ino;
    let table = if socket.local_addr().ok()?.is_ipv6() { "udp6" } else { "udp" };
    // Of the thread, for a worker may live in another network namespace than the process's first thread.
    let text = std::fs::read_to_string(format!("/proc/thread-self/net/{table}")).ok()?;
    drops_in(&text, inode)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn drops(_: &UdpSocket) -> Option<u64> {
    None
}

/// The last column of the line with this inode (proc_net_udp(5): the inode is the tenth, the drops are the last).
#[cfg(any(target_os = "linux", test))]
fn drops_in(table: &str, inode: u64) -> Option<u64> {
    let line = table.lines().skip(1).find(|line| line.split_whitespace().nth(9) == Some(inode.to_string().as_str()))?;
    line.split_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_line_and_column_are_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref \
                     pointer drops\n  \
                     12: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 \
                     0000000000000000 3\n  \
                     13: 0100007F:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 \
                     0000000000000000 42\n";
        assert_eq!(drops_in(table, 4712), Some(42));
        assert_eq!(drops_in(table, 4711), Some(3));
        assert_eq!(drops_in(table, 1), None);
    }
}
