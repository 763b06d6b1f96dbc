//! A small assembler for eBPF (RFC 9669; `struct bpf_insn` of linux/bpf.h).

use heapless::Vec;

/// The most labels of one program.
const MAX_LABELS: usize = 16;

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "their names say all")]
pub enum Register {
    /// What a function returns.
    R0 = 0,
    /// First argument of a function. Calls overwrite R1 to R5.
    R1,
    R2,
    R3,
    R4,
    R5,
    /// Calls leave R6 to R9 as they are.
    R6,
    R7,
    R8,
    R9,
    /// Where the stack ends; cannot be written.
    R10,
}

/// How many bytes a load or store moves: the size bits of its opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Width {
    /// Four bytes.
    Word = 0x00,
    /// Two bytes.
    Half = 0x08,
    /// One byte.
    Byte = 0x10,
    /// Eight bytes.
    Double = 0x18,
}

/// What is done to a register, with 64 bits: the operation bits of the opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "their names say all")]
pub enum Operation {
    Add = 0x00,
    And = 0x50,
    ShiftLeft = 0x60,
    /// Zeros come in from the left.
    ShiftRight = 0x70,
    Move = 0xb0,
}

/// When a jump is taken, with 64 bits and no sign: the operation bits of the opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "their names say all")]
pub enum Condition {
    Equal = 0x10,
    Greater = 0x20,
    NotEqual = 0x50,
    Less = 0xa0,
}

/// The second operand: a register or a number, which is extended to 64 bits with its sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// What the register holds.
    Register(Register),
    /// This number.
    Immediate(i32),
}

impl From<Register> for Operand {
    fn from(register: Register) -> Self {
        Self::Register(register)
    }
}

impl From<i32> for Operand {
    fn from(number: i32) -> Self {
        Self::Immediate(number)
    }
}

/// A function of the kernel: its number in linux/bpf.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Helper {
    /// `bpf_map_lookup_elem(map, key)`: a pointer to the value, or zero.
    MapLookup = 1,
    /// `bpf_redirect(interface, flags)`: a verdict; the frame leaves by the interface with this index.
    Redirect = 23,
    /// `bpf_redirect_map(map, index, flags)`: a verdict; the low bits of `flags` where the map has nothing there.
    RedirectMap = 51,
}

// Classes and modes of opcodes.
const CLASS_LOAD: u8 = 0x00;
const CLASS_LOAD_REGISTER: u8 = 0x01;
const CLASS_STORE: u8 = 0x02;
const CLASS_STORE_REGISTER: u8 = 0x03;
const CLASS_JUMP: u8 = 0x05;
const CLASS_ALU64: u8 = 0x07;
const MODE_MEMORY: u8 = 0x60;
const SOURCE_REGISTER: u8 = 0x08;
const JUMP_ALWAYS: u8 = 0x00;
const JUMP_CALL: u8 = 0x80;
const JUMP_EXIT: u8 = 0x90;
/// In the source register of a load of 64 bits: the number is the file descriptor of a map (BPF_PSEUDO_MAP_FD).
const PSEUDO_MAP_FD: u8 = 1;
/// The same, and what is meant is where the map's only value lies (BPF_PSEUDO_MAP_VALUE, Linux 5.2).
const PSEUDO_MAP_VALUE: u8 = 2;

/// One instruction, or one half of a load of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What is done.
    pub opcode: u8,
    /// The number of the register that changes or is compared.
    pub destination: u8,
    /// The number of the other register, or what kind of number the immediate is.
    pub source: u8,
    /// Bytes from the address in a register, or instructions to jump over.
    pub offset: i16,
    /// A number.
    pub immediate: i32,
}

impl Instruction {
    /// Bytes of an instruction.
    pub const BYTES: usize = 8;

    /// The instruction as the kernel of this machine reads it, in its byte order.
    #[must_use]
    pub const fn encode(&self) -> [u8; Self::BYTES] {
        // The registers are bit fields, which begin at the low bits on little-endian machines and at the high ones on others.
        let registers = if cfg!(target_endian = "little") {
            self.source << 4 | self.destination
        } else {
            self.destination << 4 | self.source
        };
        let [o0, o1] = self.offset.to_ne_bytes();
        let [i0, i1, i2, i3] = self.immediate.to_ne_bytes();
        [self.opcode, registers, o0, o1, i0, i1, i2, i3]
    }
}

/// A place in the program that can be jumped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(u8);

/// Why no program came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsmError {
    /// The program has more instructions than there is room for.
    TooLong,
    /// The program has more labels than there is room for, or one that is another program's.
    Labels,
    /// A label was placed twice.
    PlacedTwice,
    /// A jump goes to a label that was never placed.
    NeverPlaced,
}

/// Puts a program of up to `N` instructions together; `N` is at most 32767, so that every jump reaches.
///
/// The first mistake is remembered and told by [`Assembler::finish`], so that a program can be written as a list.
#[derive(Debug)]
pub struct Assembler<const N: usize> {
    instructions: Vec<Instruction, N>,
    /// For each instruction that jumps: its index and where to.
    jumps: Vec<(usize, Label), N>,
    /// For each label: the index of the instruction that it stands before.
    labels: Vec<Option<usize>, MAX_LABELS>,
    mistake: Option<AsmError>,
}

impl<const N: usize> Assembler<N> {
    /// An empty program.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N <= i16::MAX as usize) };
        Self { instructions: Vec::new(), jumps: Vec::new(), labels: Vec::new(), mistake: None }
    }

    /// A new label, which is to be placed once.
    pub fn label(&mut self) -> Label {
        let number = self.labels.len() as u8;
        if self.labels.push(None).is_err() {
            self.fail(AsmError::Labels);
        }
        Label(number)
    }

    /// Places the label before the next instruction.
    pub fn place(&mut self, label: Label) {
        let here = self.instructions.len();
        match self.labels.get_mut(usize::from(label.0)) {
            Some(place @ None) => *place = Some(here),
            Some(Some(_)) => self.fail(AsmError::PlacedTwice),
            None => self.fail(AsmError::Labels),
        }
    }

    /// `destination = *(width *)(base + offset)`
    pub fn load(&mut self, width: Width, destination: Register, base: Register, offset: i16) {
        let opcode = CLASS_LOAD_REGISTER | MODE_MEMORY | width as u8;
        self.push(opcode, destination as u8, base as u8, offset, 0);
    }

    /// `*(width *)(base + offset) = value`
    pub fn store(&mut self, width: Width, base: Register, offset: i16, value: impl Into<Operand>) {
        let (class, source, immediate) = match value.into() {
            Operand::Register(register) => (CLASS_STORE_REGISTER, register as u8, 0),
            Operand::Immediate(number) => (CLASS_STORE, 0, number),
        };
        self.push(class | MODE_MEMORY | width as u8, base as u8, source, offset, immediate);
    }

    /// `destination = destination <operation> value`
    pub fn compute(&mut self, operation: Operation, destination: Register, value: impl Into<Operand>) {
        let (bit, source, immediate) = split(value.into());
        self.push(CLASS_ALU64 | operation as u8 | bit, destination as u8, source, 0, immediate);
    }

    /// `destination = ` the map behind the file descriptor. Two instructions.
    pub fn load_map(&mut self, destination: Register, descriptor: i32) {
        self.push(CLASS_LOAD | Width::Double as u8, destination as u8, PSEUDO_MAP_FD, 0, descriptor);
        self.push(0, 0, 0, 0, 0);
    }

    /// `destination = ` the address of the first value in the array behind the file descriptor. Two instructions, and no call when
    /// the program runs.
    pub fn load_map_value(&mut self, destination: Register, descriptor: i32) {
        self.push(CLASS_LOAD | Width::Double as u8, destination as u8, PSEUDO_MAP_VALUE, 0, descriptor);
        self.push(0, 0, 0, 0, 0);
    }

    /// `goto label`
    pub fn jump(&mut self, label: Label) {
        self.note_jump(label);
        self.push(CLASS_JUMP | JUMP_ALWAYS, 0, 0, 0, 0);
    }

    /// `if register <condition> value goto label`
    pub fn jump_if(&mut self, condition: Condition, register: Register, value: impl Into<Operand>, label: Label) {
        let (bit, source, immediate) = split(value.into());
        self.note_jump(label);
        self.push(CLASS_JUMP | condition as u8 | bit, register as u8, source, 0, immediate);
    }

    /// `r0 = helper(r1, r2, ...)`
    pub fn call(&mut self, helper: Helper) {
        self.push(CLASS_JUMP | JUMP_CALL, 0, 0, 0, helper as i32);
    }

    /// `return r0`
    pub fn exit(&mut self) {
        self.push(CLASS_JUMP | JUMP_EXIT, 0, 0, 0, 0);
    }

    /// The program, with all jumps resolved.
    ///
    /// # Errors
    /// The first mistake.
    pub fn finish(mut self) -> Result<Vec<Instruction, N>, AsmError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        for (from, label) in self.jumps {
            let place = self.labels.get(usize::from(label.0)).ok_or(AsmError::Labels)?;
            let to = place.ok_or(AsmError::NeverPlaced)?;
            if let Some(jump) = self.instructions.get_mut(from) {
                // Counted from the instruction behind the jump.
                jump.offset = (to as i16).wrapping_sub(from as i16).wrapping_sub(1);
            }
        }
        Ok(self.instructions)
    }

    fn note_jump(&mut self, label: Label) {
        // There are no more jumps than instructions, whose lack of room is told.
        let _ = self.jumps.push((self.instructions.len(), label));
    }

    fn push(&mut self, opcode: u8, destination: u8, source: u8, offset: i16, immediate: i32) {
        if self.instructions.push(Instruction { opcode, destination, source, offset, immediate }).is_err() {
            self.fail(AsmError::TooLong);
        }
    }

    fn fail(&mut self, mistake: AsmError) {
        self.mistake.get_or_insert(mistake);
    }
}

impl<const N: usize> Default for Assembler<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// The source bit of the opcode, the source register and the immediate.
fn split(value: Operand) -> (u8, u8, i32) {
    match value {
        Operand::Register(register) => (SOURCE_REGISTER, register as u8, 0),
        Operand::Immediate(number) => (0, 0, number),
    }
}

#[cfg(test)]
mod tests {
    use super::Register::{R0, R1, R2, R3, R6, R10};
    use super::*;

    fn instruction(opcode: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
        Instruction { opcode, destination, source, offset, immediate }
    }

    #[test]
    fn opcodes_are_those_of_rfc_9669() {
        let mut asm = Assembler::<32>::new();
        let end = asm.label();
        asm.load(Width::Word, R2, R1, 4);
        asm.load(Width::Half, R2, R1, -2);
        asm.load(Width::Byte, R2, R1, 0);
        asm.load(Width::Double, R2, R1, 8);
        asm.store(Width::Word, R10, -20, R3);
        asm.store(Width::Half, R10, -2, 17);
        asm.compute(Operation::Move, R2, R10);
        asm.compute(Operation::Move, R0, 2);
        asm.compute(Operation::Add, R2, -20);
        asm.compute(Operation::Add, R2, R6);
        asm.compute(Operation::And, R0, 0xf);
        asm.compute(Operation::ShiftLeft, R0, 2);
        asm.compute(Operation::ShiftRight, R0, 4);
        asm.jump_if(Condition::Equal, R0, 1, end);
        asm.jump_if(Condition::NotEqual, R0, 1, end);
        asm.jump_if(Condition::Less, R0, 5, end);
        asm.jump_if(Condition::Greater, R2, R3, end);
        asm.jump(end);
        asm.load_map(R1, 7);
        asm.load_map_value(R2, 8);
        asm.call(Helper::MapLookup);
        asm.call(Helper::RedirectMap);
        asm.place(end);
        asm.exit();
        let expected = [
            instruction(0x61, 2, 1, 4, 0),
            instruction(0x69, 2, 1, -2, 0),
            instruction(0x71, 2, 1, 0, 0),
            instruction(0x79, 2, 1, 8, 0),
            instruction(0x63, 10, 3, -20, 0),
            instruction(0x6a, 10, 0, -2, 17),
            instruction(0xbf, 2, 10, 0, 0),
            instruction(0xb7, 0, 0, 0, 2),
            instruction(0x07, 2, 0, 0, -20),
            instruction(0x0f, 2, 6, 0, 0),
            instruction(0x57, 0, 0, 0, 15),
            instruction(0x67, 0, 0, 0, 2),
            instruction(0x77, 0, 0, 0, 4),
            instruction(0x15, 0, 0, 10, 1),
            instruction(0x55, 0, 0, 9, 1),
            instruction(0xa5, 0, 0, 8, 5),
            instruction(0x2d, 2, 3, 7, 0),
            instruction(0x05, 0, 0, 6, 0),
            instruction(0x18, 1, 1, 0, 7),
            instruction(0, 0, 0, 0, 0),
            instruction(0x18, 2, 2, 0, 8),
            instruction(0, 0, 0, 0, 0),
            instruction(0x85, 0, 0, 0, 1),
            instruction(0x85, 0, 0, 0, 51),
            instruction(0x95, 0, 0, 0, 0),
        ];
        assert_eq!(asm.finish().unwrap(), expected);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn an_instruction_is_eight_bytes() {
        let bytes = instruction(0x63, 10, 3, -20, 0x0102_0304).encode();
        assert_eq!(bytes, [0x63, 0x3a, 0xec, 0xff, 4, 3, 2, 1]);
    }

    #[test]
    fn jumps_go_back_and_forth() {
        let mut asm = Assembler::<4>::new();
        let (start, end) = (asm.label(), asm.label());
        asm.place(start);
        asm.jump(end);
        asm.jump(start);
        asm.place(end);
        asm.exit();
        let offsets = asm.finish().unwrap().iter().map(|i| i.offset).collect::<Vec<_, 4>>();
        assert_eq!(offsets, [1, -2, 0]);
    }

    #[test]
    fn each_mistake_is_told() {
        let mut asm = Assembler::<2>::new();
        (0..3).for_each(|_| asm.exit());
        assert_eq!(asm.finish(), Err(AsmError::TooLong));

        let mut asm = Assembler::<2>::new();
        let label = asm.label();
        asm.jump(label);
        assert_eq!(asm.finish(), Err(AsmError::NeverPlaced));

        let mut asm = Assembler::<2>::new();
        let label = asm.label();
        asm.place(label);
        asm.place(label);
        assert_eq!(asm.finish(), Err(AsmError::PlacedTwice));

        let mut asm = Assembler::<2>::new();
        for _ in 0..=MAX_LABELS {
            asm.label();
        }
        assert_eq!(asm.finish(), Err(AsmError::Labels));

        for stranger in [Assembler::place, Assembler::jump] {
            let mut asm = Assembler::<2>::new();
            stranger(&mut asm, Label(3));
            assert_eq!(asm.finish(), Err(AsmError::Labels));
        }
    }
}
