//! Which packets the kernel shows a socket: programs of classic BPF (Documentation/networking/filter.rst).
//!
//! They look at the protocol that the kernel has found out, and at headers from the IP header on: so they are the same on every
//! link, with and without Ethernet, and behind VLAN tags that the kernel took off.

use heapless::Vec;

/// The most instructions of a program.
const CAPACITY: usize = 48;
/// What is taken of a packet: all.
const WHOLE: u32 = u32::MAX;
/// Where the kernel's own facts about a packet are (SKF_AD_OFF), and where the network header begins (SKF_NET_OFF).
const FACTS: u32 = (-0x1000_i32).cast_unsigned();
const NETWORK: u32 = (-0x10_0000_i32).cast_unsigned();
const FACT_PROTOCOL: u32 = 0;
const FACT_KIND: u32 = 4;
/// The last kind of packet that is for us: to this host, to all, to a group. Behind it are those for others, and our own
/// (linux/if_packet.h).
const LAST_KIND_FOR_US: u32 = 2;
const ETHER_IPV4: u32 = 0x0800;
const ETHER_ARP: u32 = 0x0806;
const ETHER_IPV6: u32 = 0x86dd;
const TCP: u32 = 6;
const UDP: u32 = 17;
const ICMP: u32 = 1;
const ICMPV6: u32 = 58;
const ARP_REPLY: u32 = 2;
/// More fragments, or an offset: what the kernel has to put together first.
const FRAGMENT: u32 = 0x3fff;
const IPV6_BYTES: u32 = 40;

/// What a socket listens for. In every case to this host: neither what goes out, nor what is for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// TCP and UDP to the 4096 ports from this one on, which is a multiple of 4096.
    Window(u16),
    /// What else answers probes and requests: ARP replies, neighbour advertisements, and of ICMP and ICMPv6 the echo replies, the
    /// messages that a destination is unreachable, and those that a packet took too many hops.
    Tap,
}

/// One instruction (`struct sock_filter` of linux/filter.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What is done.
    pub code: u16,
    /// How many instructions to leave out where a condition holds.
    pub if_true: u8,
    /// The same where it does not.
    pub if_false: u8,
    /// A number.
    pub operand: u32,
}

// Classes, sizes, modes and conditions of linux/bpf_common.h.
const LOAD_HALF: u16 = 0x08 | 0x20;
const LOAD_BYTE: u16 = 0x10 | 0x20;
const LOAD_HALF_AT_X: u16 = 0x08 | 0x40;
const LOAD_BYTE_AT_X: u16 = 0x10 | 0x40;
/// X = 4 * (byte & 15): the length of an IPv4 header.
const LOAD_X_HEADER: u16 = 0x01 | 0x10 | 0xa0;
const AND: u16 = 0x04 | 0x50;
const JUMP_EQUAL: u16 = 0x05 | 0x10;
const JUMP_GREATER: u16 = 0x05 | 0x20;
const JUMP_BITS: u16 = 0x05 | 0x40;
const RETURN: u16 = 0x06;

/// A program to attach.
pub(super) type Program = Vec<Instruction, CAPACITY>;

impl Listen {
    /// The program that shows a socket this and nothing else.
    pub(super) fn program(&self) -> Program {
        let mut program = Builder::default();
        program.load(LOAD_BYTE, FACTS + FACT_KIND);
        program.refuse_if(JUMP_GREATER, LAST_KIND_FOR_US);
        program.load(LOAD_HALF, FACTS + FACT_PROTOCOL);
        match self {
            Self::Window(first) => {
                let first = u32::from(*first) & 0xf000;
                program.branch(ETHER_IPV4, |program| {
                    program.ipv4_header(&[TCP, UDP]);
                    program.load(LOAD_HALF_AT_X, NETWORK + 2);
                    program.window(first);
                });
                program.branch(ETHER_IPV6, |program| {
                    program.ipv6_header(&[TCP, UDP]);
                    program.load(LOAD_HALF, NETWORK + IPV6_BYTES + 2);
                    program.window(first);
                });
            }
            Self::Tap => {
                program.branch(ETHER_ARP, |program| {
                    program.load(LOAD_HALF, NETWORK + 6);
                    program.accept_only(&[ARP_REPLY]);
                });
                program.branch(ETHER_IPV4, |program| {
                    program.ipv4_header(&[ICMP]);
                    program.load(LOAD_BYTE_AT_X, NETWORK);
                    // RFC 792: echo reply, destination unreachable, time exceeded.
                    program.accept_only(&[0, 3, 11]);
                });
                program.branch(ETHER_IPV6, |program| {
                    program.ipv6_header(&[ICMPV6]);
                    program.load(LOAD_BYTE, NETWORK + IPV6_BYTES);
                    // RFC 4443: destination unreachable, time exceeded, echo reply. RFC 4861: neighbour advertisement.
                    program.accept_only(&[1, 3, 129, 136]);
                });
            }
        }
        program.give(0);
        program.instructions
    }
}

/// Puts a program together. What does not fit is left out, which the tests would see.
#[derive(Default)]
struct Builder {
    instructions: Program,
}

impl Builder {
    fn push(&mut self, code: u16, if_true: u8, if_false: u8, operand: u32) {
        let _ = self.instructions.push(Instruction { code, if_true, if_false, operand });
    }

    fn load(&mut self, code: u16, at: u32) {
        self.push(code, 0, 0, at);
    }

    /// Ends the program: so many bytes are taken of the packet, none where zero.
    fn give(&mut self, bytes: u32) {
        self.push(RETURN, 0, 0, bytes);
    }

    /// Refuses the packet where the condition holds.
    fn refuse_if(&mut self, condition: u16, operand: u32) {
        self.push(condition, 0, 1, operand);
        self.give(0);
    }

    /// Takes the packet where what was loaded is one of these, and refuses it otherwise.
    fn accept_only(&mut self, values: &[u32]) {
        self.go_on_only(values);
        self.give(WHOLE);
    }

    /// Refuses the packet unless what was loaded is one of these.
    fn go_on_only(&mut self, values: &[u32]) {
        for (value, left) in values.iter().zip((0..values.len() as u8).rev()) {
            // Behind the comparisons that are left and the refusal; the last one falls into that.
            self.push(JUMP_EQUAL, left + 1, 0, *value);
        }
        self.give(0);
    }

    /// What the packets of this protocol go through; others go on behind. The protocol was loaded before.
    fn branch(&mut self, protocol: u32, write: impl FnOnce(&mut Self)) {
        let at = self.instructions.len();
        self.push(JUMP_EQUAL, 0, 0, protocol);
        write(self);
        let body = self.instructions.len().saturating_sub(at + 1);
        if let Some(jump) = self.instructions.get_mut(at) {
            jump.if_false = u8::try_from(body).unwrap_or(0);
        }
    }

    /// Refuses fragments and all protocols but these; has X say how long the header is.
    fn ipv4_header(&mut self, protocols: &[u32]) {
        self.load(LOAD_HALF, NETWORK + 6);
        self.refuse_if(JUMP_BITS, FRAGMENT);
        self.load(LOAD_BYTE, NETWORK + 9);
        self.go_on_only(protocols);
        self.load(LOAD_X_HEADER, NETWORK);
    }

    /// Refuses all next headers but these.
    fn ipv6_header(&mut self, protocols: &[u32]) {
        self.load(LOAD_BYTE, NETWORK + 6);
        self.go_on_only(protocols);
    }

    /// Takes the packet where the port that was loaded is in the window, and refuses it otherwise.
    fn window(&mut self, first: u32) {
        self.push(AND, 0, 0, 0xf000);
        self.accept_only(&[first]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_fit_and_every_path_ends() {
        for listen in [Listen::Window(0xf000), Listen::Window(0x1000), Listen::Tap] {
            let program = listen.program();
            assert!(program.len() < CAPACITY, "{listen:?}: {}", program.len());
            assert_eq!(program.last().map(|last| (last.code, last.operand)), Some((RETURN, 0)));
            for (index, instruction) in program.iter().enumerate() {
                if instruction.code & 7 == 5 {
                    let farthest = instruction.if_true.max(instruction.if_false);
                    assert!(index + 1 + usize::from(farthest) < program.len(), "{listen:?} {index}");
                }
            }
        }
    }
}
