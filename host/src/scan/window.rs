//! The source ports of a survey: 4096 that nobody else has or gets.
//!
//! What answers to them is taken for the survey's. So no socket of this host may have one of them, and the kernel may not give one
//! away meanwhile: it gives ports from `ip_local_port_range` without those in `ip_local_reserved_ports` (Documentation/networking/
//! ip-sysctl.rst).

use std::ops::RangeInclusive;

use wirehaul_core::scan::PortWindow;

use crate::kernel_files::Files;

/// What the kernel gives out where it does not say.
const DEFAULT_RANGE: RangeInclusive<u16> = 32768..=60999;
/// Sockets of this thread's network namespace.
const TABLES: [&str; 4] = ["tcp", "udp", "tcp6", "udp6"];

/// Why there is no window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// The kernel may give away ports of every one.
    #[error(
        "no 4096 source ports are free for the survey: this host's sockets get ports {first} to {last} \
         (net.ipv4.ip_local_port_range). Reserve some: `sysctl -w net.ipv4.ip_local_reserved_ports=61440-65535`"
    )]
    Range {
        /// The lowest that sockets get.
        first: u16,
        /// The highest.
        last: u16,
    },
    /// Sockets have ports of each that the kernel gives nothing of.
    #[error(
        "no 4096 source ports are free for the survey: a socket of this host has port {port}, among others (`ss -tuln`)"
    )]
    InUse {
        /// A port that is in the way: of the window that would be taken first.
        port: u16,
    },
}

/// The highest window that is free.
///
/// # Errors
/// There is none.
pub fn choose() -> Result<PortWindow, WindowError> {
    Facts::read(&Files::of_machine()).choose()
}

/// What decides.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Facts {
    given: RangeInclusive<u16>,
    reserved: Vec<RangeInclusive<u16>>,
    used: Vec<u16>,
}

impl Facts {
    fn read(files: &Files) -> Self {
        let sysctl = |name: &str| files.text(format!("proc/sys/net/ipv4/{name}")).unwrap_or_default();
        let mut used: Vec<u16> = TABLES
            .iter()
            .filter_map(|table| files.text(format!("proc/thread-self/net/{table}")))
            .flat_map(|text| text.lines().filter_map(local_port).collect::<Vec<_>>())
            .collect();
        used.sort_unstable();
        used.dedup();
        Self {
            given: range(&sysctl("ip_local_port_range"), char::is_whitespace).unwrap_or(DEFAULT_RANGE),
            reserved: sysctl("ip_local_reserved_ports")
                .split(',')
                .filter_map(|part| range(part, |c| c == '-'))
                .collect(),
            used,
        }
    }

    fn choose(&self) -> Result<PortWindow, WindowError> {
        let mut in_the_way = None;
        for first in (1..16_u16).rev().map(|number| number * PortWindow::COUNT) {
            let Some(window) = PortWindow::new(first).filter(|window| !self.is_given_away(*window)) else { continue };
            match self.used.iter().find(|port| window.contains(**port)) {
                None => return Ok(window),
                Some(port) => in_the_way = in_the_way.or(Some(*port)),
            }
        }
        Err(match in_the_way {
            Some(port) => WindowError::InUse { port },
            None => WindowError::Range { first: *self.given.start(), last: *self.given.end() },
        })
    }

    /// Whether the kernel may give a port of the window to a socket.
    fn is_given_away(&self, window: PortWindow) -> bool {
        let (first, last) = (window.first().max(*self.given.start()), window.last().min(*self.given.end()));
        (first..=last).any(|port| !self.reserved.iter().any(|range| range.contains(&port)))
    }
}

/// One port, or two with something in between.
fn range(text: &str, between: impl Fn(char) -> bool) -> Option<RangeInclusive<u16>> {
    let mut ports = text.trim().split(between).filter(|part| !part.is_empty()).map(str::parse);
    let first = ports.next()?.ok()?;
    let last = ports.next().transpose().ok()?.unwrap_or(first);
    Some(first..=last)
}

/// The local port in a line of /proc/net/tcp and its like: `sl local_address rem_address ...`, in hexadecimal. None in the heading.
fn local_port(line: &str) -> Option<u16> {
    let (_, port) = line.split_whitespace().nth(1)?.rsplit_once(':')?;
    u16::from_str_radix(port, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(range: RangeInclusive<u16>, reserved: &[RangeInclusive<u16>], used: &[u16]) -> Facts {
        Facts { given: range, reserved: reserved.to_vec(), used: used.to_vec() }
    }

    fn first(facts: &Facts) -> Result<u16, WindowError> {
        facts.choose().map(PortWindow::first)
    }

    #[test]
    fn the_highest_window_is_taken_that_nobody_has_or_gets() {
        assert_eq!(first(&facts(DEFAULT_RANGE, &[], &[80, 22])), Ok(0xf000));
        assert_eq!(first(&facts(DEFAULT_RANGE, &[], &[0xf000])), Ok(0x7000), "all between are given away");
        assert_eq!(first(&facts(DEFAULT_RANGE, &[], &[0xffff, 0x7123, 0x6000])), Ok(0x5000));
        assert_eq!(first(&facts(1024..=65535, &[61440..=65535], &[])), Ok(0xf000), "it is reserved");
        assert_eq!(
            first(&facts(1024..=65535, &[61441..=65535], &[])),
            Err(WindowError::Range { first: 1024, last: 65535 })
        );
        assert_eq!(first(&facts(4097..=65535, &[], &[])), Err(WindowError::Range { first: 4097, last: 65535 }));
        assert_eq!(first(&facts(8192..=65535, &[], &[5000])), Err(WindowError::InUse { port: 5000 }));
    }

    #[test]
    fn files_of_the_kernel_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/sys/net/ipv4/ip_local_port_range", "1024\t65535\n");
        write("proc/sys/net/ipv4/ip_local_reserved_ports", "8080,9148-9150\n");
        write(
            "proc/thread-self/net/tcp",
            "  sl  local_address rem_address   st tx_queue\n   0: 0100007F:1F90 00000000:0000 0A 00000000\n",
        );
        write("proc/thread-self/net/udp6", "  sl\n  9: 00000000000000000000000000000000:F00D 00:0000 07\n");
        let expected = facts(1024..=65535, &[8080..=8080, 9148..=9150], &[0x1f90, 0xf00d]);
        assert_eq!(Facts::read(&Files::below(folder.path())), expected);
        assert_eq!(Facts::read(&Files::below("/nowhere")), facts(DEFAULT_RANGE, &[], &[]));
    }
}
