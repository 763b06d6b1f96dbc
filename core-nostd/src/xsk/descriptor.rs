//! What the rings carry: addresses of chunks, and descriptors of packets in them (include/uapi/linux/if_xdp.h).

use super::atomic::{AtomicU64, Ordering};
use super::ring::Entry;

/// The packet goes on in the next descriptor (XDP_PKT_CONTD).
pub const CONTINUED: u32 = 1;

/// Bytes of a packet: `struct xdp_desc`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Where they begin, from the start of the UMEM.
    pub address: u64,
    /// How many there are.
    pub len: u32,
    /// [`CONTINUED`], and what the kernel may add.
    pub options: u32,
}

impl Descriptor {
    /// Whether the packet goes on in the next descriptor.
    #[must_use]
    pub const fn is_continued(self) -> bool {
        self.options & CONTINUED != 0
    }
}

impl Entry for Descriptor {
    const WORDS: usize = 2;

    #[inline]
    fn store(self, place: &[AtomicU64]) {
        if let [address, rest] = place {
            address.store(self.address, Ordering::Relaxed);
            rest.store(pack(self.len, self.options), Ordering::Relaxed);
        }
    }

    #[inline]
    fn load(place: &[AtomicU64]) -> Option<Self> {
        let [address, rest] = place else { return None };
        let (len, options) = unpack(rest.load(Ordering::Relaxed));
        Some(Self { address: address.load(Ordering::Relaxed), len, options })
    }
}

/// A chunk, by the address of its first byte or of any in it.
impl Entry for u64 {
    const WORDS: usize = 1;

    #[inline]
    fn store(self, place: &[AtomicU64]) {
        if let [word] = place {
            word.store(self, Ordering::Relaxed);
        }
    }

    #[inline]
    fn load(place: &[AtomicU64]) -> Option<Self> {
        let [word] = place else { return None };
        Some(word.load(Ordering::Relaxed))
    }
}

/// The two halves in the order in which they lie in memory.
const fn pack(first: u32, second: u32) -> u64 {
    let (a, b) = (first.to_ne_bytes(), second.to_ne_bytes());
    u64::from_ne_bytes([a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]])
}

const fn unpack(word: u64) -> (u32, u32) {
    let b = word.to_ne_bytes();
    (u32::from_ne_bytes([b[0], b[1], b[2], b[3]]), u32::from_ne_bytes([b[4], b[5], b[6], b[7]]))
}
