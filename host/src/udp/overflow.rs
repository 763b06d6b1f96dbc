//! How many datagrams the kernel dropped for want of room in the receive buffer. Asked while packets move, so nothing is made on the heap.

#[cfg(target_os = "linux")]
use std::fs::File;
#[cfg(any(target_os = "linux", test))]
use std::io::Read;
use std::net::UdpSocket;

/// The drops of `socket`; `None` where the system does not say.
#[cfg(target_os = "linux")]
pub(super) fn drops(socket: &UdpSocket) -> Option<u64> {
    let inode = nix::sys::stat::fstat(socket).ok()?.st_ino;
    // Of the thread, for a worker may live in another network namespace than the process's first thread.
    let table = match socket.local_addr().ok()?.is_ipv6() {
        true => "/proc/thread-self/net/udp6",
        false => "/proc/thread-self/net/udp",
    };
    drops_in(&mut File::open(table).ok()?, inode)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn drops(_: &UdpSocket) -> Option<u64> {
    None
}

/// The last column of the line with this inode (proc_net_udp(5): the inode is the tenth, the drops are the last).
#[cfg(any(target_os = "linux", test))]
fn drops_in(table: &mut impl Read, inode: u64) -> Option<u64> {
    // Lines of procfs have 128 bytes.
    let mut buffer = [0; 4096];
    let mut filled = 0;
    loop {
        let read = table.read(buffer.get_mut(filled..)?).ok().filter(|read| *read > 0)?;
        filled += read;
        let mut begin = 0;
        while let Some(end) = buffer[begin..filled].iter().position(|byte| *byte == b'\n') {
            if let Some(drops) = drops_of(&buffer[begin..begin + end], inode) {
                return Some(drops);
            }
            begin += end + 1;
        }
        buffer.copy_within(begin..filled, 0);
        filled -= begin;
    }
}

#[cfg(any(target_os = "linux", test))]
fn drops_of(line: &[u8], inode: u64) -> Option<u64> {
    let line = str::from_utf8(line).ok()?;
    let is_ours = line.split_whitespace().nth(9).and_then(|field| field.parse().ok()) == Some(inode);
    is_ours.then(|| line.split_whitespace().next_back()?.parse().ok())?
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
        let drops = |inode| drops_in(&mut table.as_bytes(), inode);
        assert_eq!((drops(4712), drops(4711), drops(1)), (Some(42), Some(3), None));
    }

    /// Whatever a read of procfs returns at a time.
    #[test]
    fn a_long_table_is_read_in_pieces() {
        let line = |inode| format!("{:>5}: a b c d e f g h {inode} 2 0 {}\n", 1, inode * 2);
        let table: String = (1000..1200).map(line).collect();
        let mut pieces = table
            .as_bytes()
            .chunks(77)
            .fold(Box::new(std::io::empty()) as Box<dyn Read>, |all, piece| Box::new(all.chain(piece)));
        assert_eq!(drops_in(&mut pieces, 1199), Some(2398));
    }
}
