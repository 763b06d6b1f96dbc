//! The other host as an XDP program: it costs a fraction of what a scanner costs, so that it is never what is measured.
//!
//! ```text
//! Ethernet -> IPv4 without options -> TCP
//!   flags are SYN alone  -> addresses, ports and numbers are swapped, SYN becomes SYN-ACK -> back out of the interface
//!   otherwise            -> dropped (the RST to the answer)
//! anything else          -> to the kernel, which answers ARP
//! ```
//! Swapping leaves both checksums as they are. What changes is the acknowledgement, by one, and the flags, by ACK: the
//! checksum is made smaller by that (RFC 1624). Timestamps that stand where Linux puts them are swapped, too.

use wirehaul_core::filter::Verdict;
use wirehaul_core::filter::asm::Condition::{Equal, Greater, NotEqual};
use wirehaul_core::filter::asm::Operation::{Add, Move};
use wirehaul_core::filter::asm::Register::{self, R0, R1, R2, R3, R4, R5, R6};
use wirehaul_core::filter::asm::Width::{self, Byte, Half, Word};
use wirehaul_core::filter::asm::{AsmError, Assembler, Helper, Instruction, Label};

/// Room for the program.
const CAPACITY: usize = 128;

type Asm = Assembler<CAPACITY>;

/// Where the frame begins and ends.
const FRAME: Register = R2;
const END: Register = R3;

// Offsets of an Ethernet frame with IPv4 and TCP, both without options.
const ETHER_TYPE: i16 = 12;
const IP_VERSION: i16 = 14;
const IP_PROTOCOL: i16 = 23;
const IP_SOURCE: i16 = 26;
const IP_DESTINATION: i16 = 30;
const TCP_SOURCE: i16 = 34;
const TCP_DESTINATION: i16 = 36;
const TCP_SEQUENCE: i16 = 38;
const TCP_ACKNOWLEDGEMENT: i16 = 42;
const TCP_LENGTH: i16 = 46;
const TCP_FLAGS: i16 = 47;
const TCP_CHECKSUM: i16 = 50;
const TCP_END: i32 = 54;
/// The kind of the third option of a Linux SYN (MSS, SACK permitted, timestamps), its two values, and where its options end.
const OPTION_TIMESTAMPS: i16 = 60;
const TIMESTAMP: i16 = 62;
const TIMESTAMP_ECHO: i16 = 66;
const OPTIONS_END: i32 = 74;

const SYN: i32 = 0x02;
const SYN_ACK: i32 = 0x12;
const KIND_TIMESTAMPS: i32 = 8;

/// What becomes of a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Manner {
    /// It is answered with a SYN-ACK.
    Answer,
    /// The interface counts it, and it is dropped.
    Count,
}

/// The program for the interface with this index.
///
/// Answers are redirected to the interface that they came from: the kernel's own verdict for that (XDP_TX) wakes the other end of
/// a veth pair only where that has an XDP program, too (`veth_xdp_flush` of drivers/net/veth.c), which masscan and zmap have not.
///
/// # Errors
/// None, unless it outgrows its room; the tests see that it does not.
pub fn program(manner: Manner, interface: u32) -> Result<Vec<Instruction>, AsmError> {
    let mut asm = Asm::new();
    let [pass, drop] = [(); 2].map(|()| asm.label());
    // Fields of `struct xdp_md`: where the frame begins and where it ends.
    asm.load(Word, FRAME, R1, 0);
    asm.load(Word, END, R1, 4);
    need(&mut asm, TCP_END, pass);
    asm.load(Half, R0, FRAME, ETHER_TYPE);
    asm.jump_if(NotEqual, R0, as_read([0x08, 0x00]), pass);
    asm.load(Byte, R0, FRAME, IP_VERSION);
    asm.jump_if(NotEqual, R0, 0x45, pass);
    asm.load(Byte, R0, FRAME, IP_PROTOCOL);
    asm.jump_if(NotEqual, R0, 6, pass);
    if manner == Manner::Answer {
        asm.load(Byte, R0, FRAME, TCP_FLAGS);
        asm.jump_if(NotEqual, R0, SYN, drop);
        answer(&mut asm);
        asm.compute(Move, R1, interface.cast_signed());
        asm.compute(Move, R2, 0);
        asm.call(Helper::Redirect);
        asm.exit();
    }
    asm.place(drop);
    verdict(&mut asm, Verdict::Drop);
    asm.place(pass);
    verdict(&mut asm, Verdict::Pass);
    asm.finish().map(|program| program.to_vec())
}

/// Makes a SYN-ACK of the SYN.
fn answer(asm: &mut Asm) {
    swap_hardware_addresses(asm);
    swap(asm, Word, IP_SOURCE, IP_DESTINATION);
    swap(asm, Half, TCP_SOURCE, TCP_DESTINATION);
    // The answer's own number is what the SYN has for the acknowledgement: mostly zero.
    swap(asm, Word, TCP_SEQUENCE, TCP_ACKNOWLEDGEMENT);
    count_up(asm, TCP_ACKNOWLEDGEMENT);
    asm.store(Byte, FRAME, TCP_FLAGS, SYN_ACK);
    lower_checksum(asm);
    swap_timestamps(asm);
}

fn swap_hardware_addresses(asm: &mut Asm) {
    asm.load(Word, R0, FRAME, 0);
    asm.load(Half, R4, FRAME, 4);
    asm.load(Word, R5, FRAME, 6);
    asm.load(Half, R6, FRAME, 10);
    asm.store(Word, FRAME, 0, R5);
    asm.store(Half, FRAME, 4, R6);
    asm.store(Word, FRAME, 6, R0);
    asm.store(Half, FRAME, 10, R4);
}

/// Adds one to a word in network order, byte by byte from the last. Over its end it goes on at zero, and the checksum is one
/// off then: once in 2^32.
fn count_up(asm: &mut Asm, word: i16) {
    let done = asm.label();
    for byte in (word..word + 4).rev() {
        asm.load(Byte, R0, FRAME, byte);
        asm.compute(Add, R0, 1);
        asm.store(Byte, FRAME, byte, R0);
        asm.jump_if(NotEqual, R0, 0x100, done);
    }
    asm.place(done);
}

/// The sum grew by the one of the acknowledgement and by ACK: its complement, the checksum, shrinks. Around its end it goes on at
/// 0xffff, in either byte order (RFC 1071).
fn lower_checksum(asm: &mut Asm) {
    let shrinks = as_read([0, (1 + SYN_ACK - SYN) as u8]);
    let is_enough = asm.label();
    asm.load(Half, R0, FRAME, TCP_CHECKSUM);
    asm.jump_if(Greater, R0, shrinks, is_enough);
    asm.compute(Add, R0, 0xffff);
    asm.place(is_enough);
    asm.compute(Add, R0, -shrinks);
    asm.store(Half, FRAME, TCP_CHECKSUM, R0);
}

/// Gives the sender's time back (RFC 7323), where the options are those of Linux.
fn swap_timestamps(asm: &mut Asm) {
    let [are_there, done] = [(); 2].map(|()| asm.label());
    asm.load(Byte, R0, FRAME, TCP_LENGTH);
    asm.jump_if(Equal, R0, 0xa0, are_there);
    asm.jump(done);
    asm.place(are_there);
    need(asm, OPTIONS_END, done);
    asm.load(Byte, R0, FRAME, OPTION_TIMESTAMPS);
    asm.jump_if(NotEqual, R0, KIND_TIMESTAMPS, done);
    swap(asm, Word, TIMESTAMP, TIMESTAMP_ECHO);
    asm.place(done);
}

fn swap(asm: &mut Asm, width: Width, one: i16, other: i16) {
    asm.load(width, R0, FRAME, one);
    asm.load(width, R4, FRAME, other);
    asm.store(width, FRAME, one, R4);
    asm.store(width, FRAME, other, R0);
}

/// Goes elsewhere unless the frame has so many bytes.
fn need(asm: &mut Asm, bytes: i32, otherwise: Label) {
    asm.compute(Move, R4, FRAME);
    asm.compute(Add, R4, bytes);
    asm.jump_if(Greater, R4, END, otherwise);
}

fn verdict(asm: &mut Asm, verdict: Verdict) {
    asm.compute(Move, R0, verdict as i32);
    asm.exit();
}

/// What a load of these two bytes gives.
fn as_read(bytes: [u8; 2]) -> i32 {
    i32::from(u16::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::{Manner, program};

    #[test]
    fn both_programs_fit() {
        let counting = program(Manner::Count, 2).expect("it fits").len();
        let answering = program(Manner::Answer, 2).expect("it fits").len();
        assert!(counting < answering, "{counting} {answering}");
    }
}
