//! An XDP filter under an interpreter of eBPF, with the kernel's part of it played here.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;

use wirehaul_core::filter::asm::Instruction;
use wirehaul_core::filter::{Front, Maps, PortKey, Verdict};

/// File descriptors that the interpreter takes for the maps.
const PORTS: i32 = 1001;
const SOCKETS: i32 = 1002;
const FRONT: i32 = 1003;
pub const MAPS: Maps = Maps { ports: PORTS, front: FRONT, sockets: SOCKETS };
/// The only queue with a socket.
pub const BOUND_QUEUE: u32 = 3;

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

/// Empties the hash map.
#[allow(dead_code, reason = "not every test that has an interpreter does so")]
pub fn forget_open_keys() {
    OPEN_KEYS.set(Vec::new());
}

/// A filter, loaded.
pub struct Interpreter {
    program: Vec<u8>,
    front: Box<[u8; Front::BYTES]>,
    oracle: fn(&[u8]) -> bool,
}

impl Interpreter {
    /// The program over maps that hold these pairs; `oracle` says which frames are ours.
    pub fn of(
        program: &[Instruction],
        open: impl Iterator<Item = SocketAddr>,
        front: Front,
        oracle: fn(&[u8]) -> bool,
    ) -> Self {
        OPEN_KEYS.set(open.map(|address| PortKey::udp(address.ip(), address.port()).bytes()).collect());
        let front = Box::new(front.bytes());
        Self { program: for_interpreter(program, front.as_ptr().addr() as u64), front, oracle }
    }

    /// What the filter says of a frame on this queue. The interpreter fails on reads outside of frame, context and stack.
    pub fn run(&self, frame: &[u8], queue: u32) -> Verdict {
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
    pub fn check(&self, frame: &[u8], name: &str) {
        let expected = if (self.oracle)(frame) { Verdict::Redirect } else { Verdict::Pass };
        assert_eq!(self.run(frame, BOUND_QUEUE), expected, "{name} {frame:02x?}");
        assert_eq!(self.run(frame, BOUND_QUEUE + 1), Verdict::Pass, "{name} on a queue without a socket");
    }
}
