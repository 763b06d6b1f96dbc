//! The filter of a survey (SCAN-1): what answers its probes goes to the sockets.
//!
//! ```text
//! Ethernet, 0 to 2 VLAN tags -> IPv4 without fragments, or IPv6 with TCP or UDP directly behind -> TCP or UDP
//!   -> is the destination port in the window? -> is {destination address, the window's first port} in `front` or in `ports`?
//!   -> the socket in `sockets` at the queue of the packet
//! ```
//! All else is the kernel's, untouched, as with the port filter: ICMP, ARP and neighbour discovery above all, which the kernel
//! needs and a survey hears by another way.

use super::asm::AsmError;
use super::program::{Carried, Maps, Ports, Program, filter};

/// How many source ports the probes of a survey have.
pub const WINDOW_PORTS: u16 = 4096;
/// The bits of a port that say whether it is in a window.
pub(super) const WINDOW_MASK: u16 = !(WINDOW_PORTS - 1);

/// Whether a window can begin at this port: a multiple of [`WINDOW_PORTS`], and not zero, where no port of a probe may be.
#[must_use]
pub const fn is_window(first: u16) -> bool {
    first != 0 && first & !WINDOW_MASK == 0
}

/// The filter over these maps for TCP and UDP to the window that begins at `first`, of the addresses whose
/// [`super::PortKey::udp`] with that port is in the maps. It looks at no length: what is longer than a frame, the kernel drops.
///
/// # Errors
/// None, unless the program outgrows [`super::PROGRAM_CAPACITY`]; the tests see that it does not.
pub fn scan_filter(maps: Maps, first: u16) -> Result<Program, AsmError> {
    filter(maps, Carried::TcpOrUdp, Ports::Window { first: first & WINDOW_MASK })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::PROGRAM_CAPACITY;

    #[test]
    fn the_program_fits() {
        let program = scan_filter(Maps { ports: 77, front: 79, sockets: 78 }, 0xf000).unwrap();
        assert!(program.len() < PROGRAM_CAPACITY, "{}", program.len());
        assert_eq!(program.last().map(|i| i.opcode), Some(0x95));
    }

    /// The kernel's verifier wants a program without loops; this one only jumps forward.
    #[test]
    fn every_jump_goes_forward_and_stays_inside() {
        let program = scan_filter(Maps { ports: 3, front: 5, sockets: 4 }, 0x1000).unwrap();
        for (index, instruction) in program.iter().enumerate() {
            let is_jump = instruction.opcode & 7 == 5 && !matches!(instruction.opcode, 0x85 | 0x95);
            let offset = usize::try_from(instruction.offset);
            assert!(!is_jump || offset.is_ok_and(|offset| index + 1 + offset < program.len()), "{index}");
        }
    }

    #[test]
    fn windows_begin_at_multiples_of_their_size() {
        let firsts: heapless::Vec<u16, 16> = (0..=u16::MAX).filter(|first| is_window(*first)).collect();
        assert_eq!(firsts.len(), 15);
        assert!(firsts.iter().zip(1..).all(|(first, number)| *first == number * 4096));
    }
}
