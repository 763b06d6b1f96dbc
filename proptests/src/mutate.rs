//! Damage to valid bytes, of the kinds that networks, bugs and attackers do.

use crate::choices::Choices;

/// Damages `bytes` one to three times; `other` is a second valid input to splice with.
pub fn mutate(choices: &mut Choices<'_>, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=choices.below(3) {
        match choices.below(9) {
            0 => flip_bit(choices, bytes),
            1 => set_byte(choices, bytes),
            2 | 3 => set_field(choices, bytes),
            4 => bytes.truncate(choices.below(bytes.len() + 1)),
            5 => splice(choices, bytes, other),
            6 => duplicate(choices, bytes),
            7 => remove(choices, bytes),
            _ => append(choices, bytes),
        }
    }
}

fn flip_bit(choices: &mut Choices<'_>, bytes: &mut [u8]) {
    let at = place(choices, bytes.len());
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << choices.below(8);
    }
}

fn set_byte(choices: &mut Choices<'_>, bytes: &mut [u8]) {
    let at = place(choices, bytes.len());
    if let Some(byte) = bytes.get_mut(at) {
        *byte = [0, 1, 0x0f, 0x10, 0x7f, 0x80, 0xff, choices.number() as u8][choices.below(8)];
    }
}

/// Overwrites 2, 4 or 8 aligned bytes with a value at an edge.
fn set_field(choices: &mut Choices<'_>, bytes: &mut [u8]) {
    let width = [2, 4, 8][choices.below(3)];
    let at = place(choices, bytes.len()) / width * width;
    if let Some(field) = bytes.get_mut(at..at + width) {
        let max = if width == 8 { u64::MAX } else { (1 << (8 * width)) - 1 };
        field.copy_from_slice(&choices.up_to(max).to_be_bytes()[8 - width..]);
    }
}

/// Puts a part of `other` over the end of `bytes`.
fn splice(choices: &mut Choices<'_>, bytes: &mut Vec<u8>, other: &[u8]) {
    bytes.truncate(choices.below(bytes.len() + 1));
    bytes.extend_from_slice(&other[choices.below(other.len() + 1)..]);
}

fn duplicate(choices: &mut Choices<'_>, bytes: &mut Vec<u8>) {
    let from = choices.below(bytes.len() + 1);
    let len = choices.below(bytes.len() - from + 1);
    let part = bytes[from..from + len].to_vec();
    bytes.splice(from..from, part);
}

fn remove(choices: &mut Choices<'_>, bytes: &mut Vec<u8>) {
    let from = choices.below(bytes.len() + 1);
    let len = choices.below((bytes.len() - from).min(40) + 1);
    bytes.drain(from..from + len);
}

fn append(choices: &mut Choices<'_>, bytes: &mut Vec<u8>) {
    // Once in a while far too much, to reach the rules of length.
    let long = if choices.once_in(64) { 9000 } else { 40 };
    let len = choices.below(long);
    bytes.resize(bytes.len() + len, [0, choices.number() as u8][choices.below(2)]);
}

/// A position, mostly near the front, where the headers are.
fn place(choices: &mut Choices<'_>, len: usize) -> usize {
    if choices.below(4) == 0 { choices.below(len) } else { choices.below(len.min(56)) }
}
