//! XDP-8: the port filter under an interpreter, against an oracle that reads frames byte by byte.
//!
//! `WIREHAUL_WRITE_SEEDS=1` writes `data/filter-frames.txt` anew, the frames that the host's tests show to the kernel.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected should stop there")]

use std::cell::{Cell, RefCell};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::prelude::*;
use wirehaul_core::filter::asm::Instruction;
use wirehaul_core::filter::{Front, Maps, PortKey, Verdict, port_filter};
use wirehaul_proptests::choices::Choices;
use wirehaul_proptests::filtering::{OPEN, cases, cases_as_text, is_ours};
use wirehaul_proptests::frames::Frame;

/// File descriptors that the interpreter takes for the maps.
const PORTS: i32 = 1001;
const SOCKETS: i32 = 1002;
const FRONT: i32 = 1003;
/// The only queue with a socket.
const BOUND_QUEUE: u32 = 3;

thread_local! {
    static OPEN_KEYS: RefCell<Vec<[u8; PortKey::BYTES]>> = const { RefCell::new(Vec::new()) };
    static REDIRECTED_TO: Cell<Option<u64>> = const { Cell::new(None) };
}

/// `bpf_map_lookup_elem`, with the key in registers; see [`for_interpreter`].
fn look_up(map: u64, low: u64, high: u64, last: u64, _: u64) -> u64 {
    assert_eq!(map, PORTS as u64);
    let key = [&low.to_ne_bytes()[..], &high.to_ne_bytes(), &(last as u32).to_ne_bytes()].concat();
    u64::from(OPEN_KEYS.with_borrow(|keys| keys.iter().any(|open| open[..] == key[..])))
}

/// `bpf_redirect_map`
fn redirect(map: u64, index: u64, flags: u64, _: u64, _: u64) -> u64 {
    assert_eq!(map, SOCKETS as u64);
    if index != u64::from(BOUND_QUEUE) {
        return flags & 3;
    }
    REDIRECTED_TO.set(Some(index));
    Verdict::Redirect as u64
}

/// The program with what the kernel, too, replaces when it loads one: the array's descriptor by where its value lies.
///
/// The context has addresses of 32 bits, for which the kernel loads pointers from structures of its own: here from 8-byte
/// fields. And a function of the interpreter cannot read memory without `unsafe`: it gets the key in registers.
fn for_interpreter(program: &[Instruction], front: u64) -> Vec<u8> {
    const LOAD_WORD: u8 = 0x61;
    const LOAD_DOUBLE: u8 = 0x79;
    const CALL: u8 = 0x85;
    const LOAD_NUMBER: u8 = 0x18;
    const MAP_VALUE: u8 = 2;
    let after_value =
        |index: usize| program[..index].last().is_some_and(|i| (i.opcode, i.source) == (LOAD_NUMBER, MAP_VALUE));
    let replace = |(index, instruction): (usize, &Instruction)| match (
        instruction.opcode,
        instruction.source,
        instruction.immediate,
    ) {
        (LOAD_WORD, 1, _) => {
            let offset = match instruction.offset {
                0 => 0,
                4 => 8,
                16 => 16,
                other => panic!("no field of the context is at {other}"),
            };
            vec![Instruction { opcode: LOAD_DOUBLE, offset, ..*instruction }]
        }
        (CALL, _, 1) => {
            let load =
                |destination, offset, opcode| Instruction { opcode, destination, source: 2, offset, immediate: 0 };
            vec![load(4, 16, LOAD_WORD), load(3, 8, LOAD_DOUBLE), load(2, 0, LOAD_DOUBLE), *instruction]
        }
        (LOAD_NUMBER, MAP_VALUE, map) => {
            assert_eq!(map, FRONT);
            vec![Instruction { source: 0, immediate: front as i32, ..*instruction }]
        }
        (0, ..) if after_value(index) => vec![Instruction { immediate: (front >> 32) as i32, ..*instruction }],
        _ => vec![*instruction],
    };
    let replaced: Vec<_> = program.iter().enumerate().map(replace).collect();
    let place = |index: usize| replaced[..index].iter().map(Vec::len).sum::<usize>();
    let mut bytes = Vec::new();
    for (index, group) in replaced.iter().enumerate() {
        for instruction in group {
            let mut instruction = *instruction;
            if instruction.opcode & 7 == 5 && !matches!(instruction.opcode, 0x85 | 0x95) {
                let to = place(index + 1 + instruction.offset as usize);
                instruction.offset = (to - place(index) - 1) as i16;
            }
            bytes.extend(instruction.encode());
        }
    }
    bytes
}

/// What the filter is open for.
fn open() -> impl Iterator<Item = SocketAddr> {
    OPEN.iter().map(|address| address.parse().unwrap())
}

struct Interpreter {
    program: Vec<u8>,
    front: Box<[u8; Front::BYTES]>,
}

impl Interpreter {
    fn new() -> Self {
        Self::up_to(u16::MAX)
    }

    fn up_to(longest: u16) -> Self {
        let mut front = Front::default();
        for address in open() {
            front.add(address.ip(), address.port());
        }
        Self::with(longest, front)
    }

    fn with(longest: u16, front: Front) -> Self {
        OPEN_KEYS.set(open().map(|address| PortKey::udp(address.ip(), address.port()).bytes()).collect());
        let front = Box::new(front.bytes());
        let program = port_filter(Maps { ports: PORTS, front: FRONT, sockets: SOCKETS }, longest).unwrap();
        Self { program: for_interpreter(&program, front.as_ptr().addr() as u64), front }
    }

    /// What the filter says of a frame on this queue. The interpreter fails on reads outside of frame, context and stack.
    fn run(&self, frame: &[u8], queue: u32) -> Verdict {
        let mut machine = rbpf::EbpfVmMbuff::new(Some(&self.program)).unwrap();
        machine.register_helper(1, look_up).unwrap();
        machine.register_helper(51, redirect).unwrap();
        let places = self.front.as_ptr().addr() as u64;
        machine.register_allowed_memory(places..places + Front::BYTES as u64);
        // As large as the frame, so that a read past its end is seen.
        let frame: Box<[u8]> = frame.into();
        let start = frame.as_ptr().addr() as u64;
        let context = [start, start + frame.len() as u64, u64::from(queue)].map(u64::to_ne_bytes).concat();
        REDIRECTED_TO.set(None);
        let number =
            machine.execute_program(&frame, &context).unwrap_or_else(|error| panic!("{error:?}: {frame:02x?}"));
        let verdict = Verdict::from_number(number as u32).unwrap();
        assert_eq!(REDIRECTED_TO.get().is_some(), verdict == Verdict::Redirect);
        verdict
    }

    #[track_caller]
    fn check(&self, frame: &[u8], name: &str) {
        let expected = if is_ours(frame) { Verdict::Redirect } else { Verdict::Pass };
        assert_eq!(self.run(frame, BOUND_QUEUE), expected, "{name} {frame:02x?}");
        assert_eq!(self.run(frame, BOUND_QUEUE + 1), Verdict::Pass, "{name} on a queue without a socket");
    }
}

#[test]
fn every_case_is_redirected_or_passed_as_the_oracle_says() {
    let interpreter = Interpreter::new();
    for (name, frame) in cases() {
        interpreter.check(&frame, &name);
        (0..frame.len().min(14)).for_each(|length| interpreter.check(&frame[..length], &name));
    }
}

/// A pair need not have a place in front: what has none is found in the hash map, and who has one is the only one that it is for.
#[test]
fn a_pair_is_found_wherever_its_place_is() {
    let pairs: Vec<_> = open().filter(SocketAddr::is_ipv4).collect();
    let strangers: Vec<SocketAddr> = (3..6).map(|last| SocketAddr::from(([10, 74, 0, last], 9))).collect();
    for places in [vec![], pairs[..1].to_vec(), pairs[1..].to_vec(), [strangers, pairs].concat()] {
        let mut front = Front::default();
        for address in &places {
            front.add(address.ip(), address.port());
        }
        let interpreter = Interpreter::with(u16::MAX, front);
        for (name, frame) in cases() {
            interpreter.check(&frame, &name);
        }
    }
}

/// A hit in front asks no map.
#[test]
fn a_pair_in_front_needs_no_look_up() {
    let (_, frame) = cases().into_iter().find(|(name, _)| name == "ipv4-plain").unwrap();
    let interpreter = Interpreter::new();
    OPEN_KEYS.set(Vec::new());
    assert_eq!(interpreter.run(&frame, BOUND_QUEUE), Verdict::Redirect);
    let interpreter = Interpreter::with(u16::MAX, Front::default());
    OPEN_KEYS.set(Vec::new());
    assert_eq!(interpreter.run(&frame, BOUND_QUEUE), Verdict::Pass);
}

/// What no frame holds is the kernel's, to the byte: a peer on the same machine may hand over many datagrams in one.
#[test]
fn a_datagram_that_no_frame_holds_is_passed() {
    let (_, frame) = cases().into_iter().find(|(name, _)| name == "ipv6-qinq").unwrap();
    for longest in [8, 255, 256, 1472, 1730, 12_226] {
        let interpreter = Interpreter::up_to(longest);
        for length in [8, longest - 1, longest, longest + 1, longest | 0xff, longest + 255, u16::MAX] {
            let mut frame = frame.clone();
            let at = 14 + 8 + 40 + 4;
            frame[at..at + 2].copy_from_slice(&length.to_be_bytes());
            let expected = if length <= longest { Verdict::Redirect } else { Verdict::Pass };
            assert_eq!(interpreter.run(&frame, BOUND_QUEUE), expected, "{length} of {longest}");
        }
    }
}

#[test]
fn the_oracle_says_what_the_names_promise() {
    let passed = ["port-before", "port-swapped", "port-of-source", "other-address", "ends-swapped", "icmp", "icmpv6"]
        .into_iter()
        .chain(["tcp", "hop-by-hop", "fragment-header", "old-qinq-tag", "arp-type", "odd-version"]);
    let passed: Vec<_> = passed.collect();
    for (name, frame) in cases() {
        let ends_with = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        if ends_with(&passed) || name.starts_with("ipv4") && ends_with(&["-fragment", "-fragment-low", "short-header"])
        {
            assert!(!is_ours(&frame), "{name}");
        } else if ends_with(&["plain", "-vlan", "-qinq", "-vlans", "no-payload", "padded", "may-be-split", "flag"]) {
            assert!(is_ours(&frame), "{name}");
        }
    }
}

#[test]
fn the_frames_that_the_kernel_is_shown_are_these() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/filter-frames.txt");
    if std::env::var_os("WIREHAUL_WRITE_SEEDS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).and_then(|()| fs::write(&file, cases_as_text())).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap();
    assert!(committed == cases_as_text(), "run again with WIREHAUL_WRITE_SEEDS=1");
    let count = |verdict: &str| committed.lines().filter(|line| line.starts_with(verdict)).count();
    assert!(count("redirect") > 100 && count("pass") > 100);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_passed_or_redirected(bytes in vec(any::<u8>(), 0..200)) {
        Interpreter::new().check(&bytes, "any bytes");
    }

    #[test]
    fn any_datagram_is_found_out(bytes in vec(any::<u8>(), 0..200), to in 0..4_usize, cut in 0..100_usize) {
        let mut frame = Frame::draw(&mut Choices::Bytes(&bytes));
        if let Some(Ok(open)) = OPEN.get(to).map(|open| open.parse::<SocketAddr>())
            && open.is_ipv4() == frame.destination.is_ipv4()
        {
            (frame.destination, frame.ports.1) = (open.ip(), open.port());
        }
        let bytes = frame.bytes();
        let interpreter = Interpreter::new();
        interpreter.check(&bytes, "drawn");
        interpreter.check(&bytes[..cut.min(bytes.len())], "cut");
    }
}
