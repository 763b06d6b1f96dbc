//! Where a generator's decisions come from: a seed, or bytes that proptest can shrink.

/// A source of decisions.
#[derive(Clone, Debug)]
pub enum Choices<'a> {
    /// Endless, from a seed (SplitMix64).
    Seeded(u64),
    /// From these bytes, then zeros: shorter and smaller bytes give simpler values.
    Bytes(&'a [u8]),
}

impl Choices<'_> {
    /// Any number.
    pub fn number(&mut self) -> u64 {
        match self {
            Self::Seeded(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut mixed = *state;
                mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                mixed ^ (mixed >> 31)
            }
            Self::Bytes(bytes) => {
                let (taken, rest) = bytes.split_at(bytes.len().min(8));
                *bytes = rest;
                taken.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
            }
        }
    }

    /// A number below `bound`; zero where `bound` is zero.
    pub fn below(&mut self, bound: usize) -> usize {
        let number = self.number();
        if bound == 0 { 0 } else { (number % bound as u64) as usize }
    }

    /// A number up to `max`, often one at the edges.
    pub fn up_to(&mut self, max: u64) -> u64 {
        let number = self.number();
        let low = number >> 3;
        match number % 8 {
            0 => low % 4,
            1 => max - low % max.saturating_add(1).clamp(1, 4),
            2 => max / 2,
            3 => low % 2000,
            4 => 1_u64.checked_shl((low % 64) as u32).unwrap_or(0),
            _ => low,
        }
        .min(max)
    }

    /// A number between `min` and `max`, often one at the edges.
    pub fn between(&mut self, min: u64, max: u64) -> u64 {
        min + self.up_to(max - min)
    }

    /// `true` once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        // The last value, so that choices that ran out, or were shrunk to zeros, say no.
        self.below(n) + 1 == n
    }

    /// `len` bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.number().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    /// An array of bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes(N));
        array
    }
}
