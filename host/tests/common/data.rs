//! Bytes and names to send, the same for the same seed.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

/// SplitMix64: small, seeded, and good enough to decide when to drop a packet.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True `ppm` times in a million.
    pub fn chance(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(1_000_000) < u64::from(ppm)
    }

    pub fn fill(&mut self, out: &mut [u8]) {
        for word in out.chunks_mut(8) {
            word.copy_from_slice(&self.next().to_le_bytes()[..word.len()]);
        }
    }
}

/// `len` bytes of no pattern.
pub fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Rng::new(seed).fill(&mut bytes);
    bytes
}

/// Writes a file of `len` bytes of no pattern.
pub fn write_file(path: &Path, seed: u64, len: u64) {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let (mut rng, mut piece, mut rest) = (Rng::new(seed), vec![0; 1 << 20], len);
    while rest > 0 {
        let part = &mut piece[..rest.min(1 << 20) as usize];
        rng.fill(part);
        out.write_all(part).unwrap();
        rest -= part.len() as u64;
    }
    out.flush().unwrap();
}

/// Makes `count` files of up to `max_len` bytes in `count / 50 + 1` directories below `dir`.
pub fn write_small_files(dir: &Path, seed: u64, count: u64, max_len: u64) {
    let mut rng = Rng::new(seed);
    for number in 0..count {
        let below = dir.join(format!("d{:03}", number / 50));
        if number % 50 == 0 {
            fs::create_dir_all(&below).unwrap();
        }
        let len = rng.below(max_len + 1) as usize;
        fs::write(below.join(format!("f{number:05}")), bytes(rng.next(), len)).unwrap();
    }
}
