//! The filter itself.
//!
//! ```text
//! Ethernet, 0 to 2 VLAN tags -> IPv4 without fragments, or IPv6 with UDP directly behind -> UDP
//!   -> is {destination address, destination port} in `front` or in `ports`? -> the socket in `sockets` at the queue of the packet
//! ```
//! Wherever that path is left, and where no socket is bound to the queue, the kernel gets the packet untouched. What is
//! needed to find address and port is checked and no more: lengths and checksums are for whoever takes the packet. Only a
//! datagram that says that it is longer than a frame holds is left to the kernel too, which would have to drop it otherwise.

use heapless::Vec;

use super::asm::Condition::{Equal, Greater, Less, NotEqual};
use super::asm::Operation::{Add, And, Move, ShiftLeft, ShiftRight};
use super::asm::Register::{R0, R1, R2, R3, R4, R5, R6, R7, R8, R10};
use super::asm::Width::{Byte, Double, Half, Word};
use super::asm::{AsmError, Assembler, Helper, Instruction, Label, Register};
use super::key::{Front, PROTOCOL_TCP, PROTOCOL_UDP, PortKey};
use super::scan::WINDOW_MASK;

/// The most instructions of a filter.
pub const PROGRAM_CAPACITY: usize = 144;

/// A program to load.
pub type Program = Vec<Instruction, PROGRAM_CAPACITY>;

type Asm = Assembler<PROGRAM_CAPACITY>;

/// What an XDP program says should become of a packet (`enum xdp_action` of linux/bpf.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Verdict {
    /// The program failed; dropped, and traced.
    Aborted = 0,
    /// Dropped.
    Drop = 1,
    /// The kernel goes on with it.
    Pass = 2,
    /// Sent back out of the interface that it came from.
    Transmit = 3,
    /// To the socket, interface or processor that the program named.
    Redirect = 4,
}

impl Verdict {
    /// The verdict of this number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Aborted),
            1 => Some(Self::Drop),
            2 => Some(Self::Pass),
            3 => Some(Self::Transmit),
            4 => Some(Self::Redirect),
            _ => None,
        }
    }
}

/// File descriptors of the filter's maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maps {
    /// A hash map with keys of [`PortKey::BYTES`]; what the values are does not matter.
    pub ports: i32,
    /// An array with one entry, a [`Front`]: a part of what `ports` holds.
    pub front: i32,
    /// An XSKMAP: AF_XDP sockets by the number of the receive queue.
    pub sockets: i32,
}

// Fields of the context (`struct xdp_md` of linux/bpf.h).
const CONTEXT_DATA: i16 = 0;
const CONTEXT_DATA_END: i16 = 4;
const CONTEXT_QUEUE: i16 = 16;

/// Where the packet is read: behind the headers that were read already.
const CURSOR: Register = R2;
/// Where the packet ends, or where its first buffer does.
const END: Register = R3;
/// The EtherType, as the machine reads its two bytes.
const ETHER_TYPE: Register = R5;
/// The receive queue of the packet.
const QUEUE: Register = R6;
/// Destination address, destination port and protocol as one number, as [`Front`] has them.
const PAIR: Register = R8;

/// Where on the stack the key begins.
const KEY: i16 = -(PortKey::BYTES as i16);

/// What IP has to carry for a packet to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    Udp,
    TcpOrUdp,
}

/// What the destination port has to be, and how it gets into the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ports {
    /// Any, as it is, of a datagram that says that it is no longer than this.
    Each { longest: u16 },
    /// One of a window: its first is in the key.
    Window { first: u16 },
}

/// The filter over these maps. Datagrams whose UDP length (header and payload) exceeds `longest` are the kernel's: above all
/// the many in one that a peer on the same machine hands over where nothing has segmented them (UDP_SEGMENT, udp(7)).
///
/// # Errors
/// None, unless the program outgrows [`PROGRAM_CAPACITY`]; the tests see that it does not.
pub fn port_filter(maps: Maps, longest: u16) -> Result<Program, AsmError> {
    filter(maps, Carried::Udp, Ports::Each { longest })
}

/// A filter over these maps for what IP carries and for its ports.
pub(super) fn filter(maps: Maps, carried: Carried, ports: Ports) -> Result<Program, AsmError> {
    let mut asm = Asm::new();
    let [network, ipv4, look_up, redirect, pass] = [(); 5].map(|()| asm.label());
    asm.load(Word, QUEUE, R1, CONTEXT_QUEUE);
    asm.load(Word, CURSOR, R1, CONTEXT_DATA);
    asm.load(Word, END, R1, CONTEXT_DATA_END);
    ethernet(&mut asm, network, pass);
    asm.place(network);
    asm.jump_if(Equal, ETHER_TYPE, as_read([0x08, 0x00]), ipv4);
    asm.jump_if(NotEqual, ETHER_TYPE, as_read([0x86, 0xdd]), pass);
    ipv6_header(&mut asm, carried, pass);
    transport_header(&mut asm, ports, pass);
    asm.jump(look_up);
    asm.place(ipv4);
    ipv4_header(&mut asm, carried, pass);
    transport_header(&mut asm, ports, pass);
    compare(&mut asm, maps.front, redirect);
    asm.place(look_up);
    look_up_key(&mut asm, maps.ports, pass);
    asm.place(redirect);
    redirect_to_socket(&mut asm, maps.sockets);
    asm.place(pass);
    asm.compute(Move, R0, Verdict::Pass as i32);
    asm.exit();
    asm.finish()
}

/// Leaves the EtherType behind up to two tags in its register. A third tag is an EtherType that nobody knows.
fn ethernet(asm: &mut Asm, network: Label, pass: Label) {
    need(asm, 14, pass);
    asm.load(Half, ETHER_TYPE, CURSOR, 12);
    asm.compute(Add, CURSOR, 14);
    for _ in 0..2 {
        let tagged = asm.label();
        asm.jump_if(Equal, ETHER_TYPE, as_read([0x81, 0x00]), tagged);
        asm.jump_if(NotEqual, ETHER_TYPE, as_read([0x88, 0xa8]), network);
        asm.place(tagged);
        need(asm, 4, pass);
        asm.load(Half, ETHER_TYPE, CURSOR, 2);
        asm.compute(Add, CURSOR, 4);
    }
}

/// Puts the destination into the key and goes behind the header.
fn ipv6_header(asm: &mut Asm, carried: Carried, pass: Label) {
    need(asm, 40, pass);
    asm.load(Byte, R0, CURSOR, 0);
    asm.compute(ShiftRight, R0, 4);
    asm.jump_if(NotEqual, R0, 6, pass);
    asm.load(Byte, R0, CURSOR, 6);
    protocol(asm, carried, pass);
    for word in 0..4 {
        asm.load(Word, R0, CURSOR, 24 + 4 * word);
        asm.store(Word, R10, KEY + 4 * word, R0);
    }
    asm.compute(Add, CURSOR, 40);
}

/// Puts the destination into the key, mapped into IPv6, and goes behind header and options.
fn ipv4_header(asm: &mut Asm, carried: Carried, pass: Label) {
    need(asm, 20, pass);
    asm.load(Byte, R0, CURSOR, 0);
    asm.compute(Move, R7, R0);
    asm.compute(ShiftRight, R0, 4);
    asm.jump_if(NotEqual, R0, 4, pass);
    // The header's length in words; fewer than five are no header.
    asm.compute(And, R7, 0xf);
    asm.jump_if(Less, R7, 5, pass);
    asm.load(Byte, R0, CURSOR, 9);
    protocol(asm, carried, pass);
    // More fragments follow, or an offset: only the kernel puts them together.
    asm.load(Half, R0, CURSOR, 6);
    asm.compute(And, R0, as_read([0x3f, 0xff]));
    asm.jump_if(NotEqual, R0, 0, pass);
    asm.store(Word, R10, KEY, 0);
    asm.store(Word, R10, KEY + 4, 0);
    asm.store(Word, R10, KEY + 8, i32::from_ne_bytes([0, 0, 0xff, 0xff]));
    asm.load(Word, PAIR, CURSOR, 16);
    asm.store(Word, R10, KEY + 12, PAIR);
    asm.compute(Add, CURSOR, 20);
    skip_options(asm);
}

/// Goes behind the words of a header beyond five, whose number is in R7. In constant steps: only who has CAP_PERFMON
/// may load a program that adds what it has read to a packet's address (kernel/bpf/verifier.c, `sanitize_ptr_alu`).
fn skip_options(asm: &mut Asm) {
    let without_any = asm.label();
    asm.jump_if(Equal, R7, 5, without_any);
    asm.compute(Add, R7, -5);
    for words in [1, 2, 4, 8] {
        let without = asm.label();
        asm.compute(Move, R0, R7);
        asm.compute(And, R0, words);
        asm.jump_if(Equal, R0, 0, without);
        asm.compute(Add, CURSOR, 4 * words);
        asm.place(without);
    }
    asm.place(without_any);
}

/// Leaves the packet to the kernel unless the number in R0 is a protocol that is looked at.
fn protocol(asm: &mut Asm, carried: Carried, pass: Label) {
    let found = asm.label();
    if carried == Carried::TcpOrUdp {
        asm.jump_if(Equal, R0, i32::from(PROTOCOL_TCP), found);
    }
    asm.jump_if(NotEqual, R0, i32::from(PROTOCOL_UDP), pass);
    asm.place(found);
}

/// Puts port and protocol into the key, and leaves the port in R0. Ports are in the first bytes of UDP and TCP alike. The key's
/// protocol is UDP in any case: of a window both are open, or neither.
fn transport_header(asm: &mut Asm, ports: Ports, pass: Label) {
    need(asm, 8, pass);
    match ports {
        Ports::Each { longest } => {
            asm.load(Byte, R0, CURSOR, 4);
            asm.compute(ShiftLeft, R0, 8);
            asm.load(Byte, R7, CURSOR, 5);
            asm.compute(Add, R0, R7);
            asm.jump_if(Greater, R0, i32::from(longest), pass);
            asm.load(Half, R0, CURSOR, 2);
        }
        Ports::Window { first } => {
            asm.load(Half, R0, CURSOR, 2);
            asm.compute(And, R0, as_read(WINDOW_MASK.to_be_bytes()));
            asm.jump_if(NotEqual, R0, as_read(first.to_be_bytes()), pass);
        }
    }
    asm.store(Half, R10, KEY + PortKey::PORT_AT as i16, R0);
    asm.store(Half, R10, KEY + PortKey::PROTOCOL_AT as i16, as_read([PROTOCOL_UDP, 0]));
}

/// Goes on at `found` where address and port have a place in front: they are in their registers still.
fn compare(asm: &mut Asm, front: i32, found: Label) {
    asm.compute(ShiftLeft, PAIR, Front::ADDRESS_SHIFT);
    asm.compute(ShiftLeft, R0, Front::PORT_SHIFT);
    asm.compute(Add, PAIR, R0);
    asm.compute(Add, PAIR, i32::from(PROTOCOL_UDP));
    asm.load_map_value(R1, front);
    for place in 0..Front::PLACES {
        asm.load(Double, R0, R1, (place * size_of::<u64>()) as i16);
        asm.jump_if(Equal, R0, PAIR, found);
    }
}

/// Leaves the packet to the kernel unless the key is in the map.
fn look_up_key(asm: &mut Asm, ports: i32, pass: Label) {
    asm.load_map(R1, ports);
    asm.compute(Move, R2, R10);
    asm.compute(Add, R2, i32::from(KEY));
    asm.call(Helper::MapLookup);
    asm.jump_if(Equal, R0, 0, pass);
}

/// Ends the program with what the map has for the packet's queue.
fn redirect_to_socket(asm: &mut Asm, sockets: i32) {
    asm.load_map(R1, sockets);
    asm.compute(Move, R2, QUEUE);
    asm.compute(Move, R3, Verdict::Pass as i32);
    asm.call(Helper::RedirectMap);
    asm.exit();
}

/// Leaves the packet to the kernel unless so many bytes are there. The kernel loads no program that reads without asking.
fn need(asm: &mut Asm, bytes: i32, pass: Label) {
    asm.compute(Move, R4, CURSOR);
    asm.compute(Add, R4, bytes);
    asm.jump_if(Greater, R4, END, pass);
}

/// What a load of these two bytes gives.
fn as_read(bytes: [u8; 2]) -> i32 {
    i32::from(u16::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_fits_and_names_its_maps() {
        let program = port_filter(Maps { ports: 77, front: 79, sockets: 78 }, u16::MAX).unwrap();
        let maps: Vec<i32, 4> = program.iter().filter(|i| i.opcode == 0x18).map(|i| i.immediate).collect();
        assert_eq!(maps, [79, 77, 78]);
        assert!(program.len() < PROGRAM_CAPACITY, "{}", program.len());
        assert_eq!(program.last().map(|i| i.opcode), Some(0x95));
    }

    /// The kernel's verifier wants a program without loops; this one only jumps forward.
    #[test]
    fn every_jump_goes_forward_and_stays_inside() {
        let program = port_filter(Maps { ports: 3, front: 5, sockets: 4 }, 1472).unwrap();
        for (index, instruction) in program.iter().enumerate() {
            let is_jump = instruction.opcode & 7 == 5 && !matches!(instruction.opcode, 0x85 | 0x95);
            let offset = usize::try_from(instruction.offset);
            assert!(!is_jump || offset.is_ok_and(|offset| index + 1 + offset < program.len()), "{index}");
        }
    }

    #[test]
    fn verdicts_have_the_kernel_s_numbers() {
        for number in 0..5 {
            assert_eq!(Verdict::from_number(number).map(|verdict| verdict as u32), Some(number));
        }
        assert_eq!(Verdict::from_number(5), None);
    }
}
