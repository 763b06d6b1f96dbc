//! The order in which a survey goes through its elements: a permutation that a seed draws, computed and never stored (SCAN-2).
//!
//! A generalised Feistel network (Black, Rogaway, "Ciphers with arbitrary finite domains", 2002): a number is cut into a high part
//! below `b` and a low part of `k` bits, and rounds change one of them by a keyed function of the other,
//!
//! ```text
//! high = (high + f(low)) mod b        low = low xor g(high)
//! ```
//!
//! each of which can be undone, whatever the functions are. So the whole is a bijection of `0 .. b x 2^k`. With `k` half the bits of
//! `n` and `b = ceil(n / 2^k)` this is less than `2^k` larger than `n`: what falls beyond `n` is put through the rounds again until
//! it does not (cycle walking), which is a bijection of `0 .. n`, and happens about once in the root of `n` times.
//!
//! It spreads load over networks and hides nothing: who sees enough of it can tell what comes next.

/// Pairs of rounds. Four rounds of ideal functions are a pseudorandom permutation (Luby, Rackoff, 1988); these functions are merely
/// good, so there are six. Each pair costs as much as anything else that is done for an element.
const PAIRS: usize = 3;

/// A permutation of `0 .. n`. See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    len: u128,
    /// How many values the high part has: at most 2^60.
    highs: u64,
    /// Bits of the low part: at most 60.
    low_bits: u32,
    keys: [(u64, u64); PAIRS],
}

impl Order {
    /// The largest `n`.
    pub const MAX_LEN: u128 = 1 << 120;

    /// The order of `0 .. n` that belongs to the seed; `None` for `n` zero or above [`Order::MAX_LEN`]. Takes the same time for
    /// every `n`.
    #[must_use]
    pub fn new(n: u128, seed: u64) -> Option<Self> {
        if n == 0 || n > Self::MAX_LEN {
            return None;
        }
        let bits = u128::BITS - (n - 1).leading_zeros();
        let low_bits = bits / 2;
        // At most 2^(bits - low_bits), and bits is at most 120.
        let highs = u64::try_from(((n - 1) >> low_bits) + 1).ok()?;
        let mut state = seed;
        let keys = core::array::from_fn(|_| (next_key(&mut state), next_key(&mut state)));
        Some(Self { len: n, highs, low_bits, keys })
    }

    /// How many elements it orders.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "there is no empty one")]
    pub const fn len(&self) -> u128 {
        self.len
    }

    /// The element at a position, both from 0. A position beyond the last one is taken modulo the length.
    #[must_use]
    #[inline]
    pub const fn at(&self, position: u128) -> u128 {
        let mut number = if position < self.len { position } else { position % self.len };
        // Ends: the rounds are a bijection, so the way from a number below the length comes back to it in the end.
        loop {
            number = self.rounds(number);
            if number < self.len {
                return number;
            }
        }
    }

    /// The position of an element: undoes [`Order::at`], by the same steps backwards.
    #[must_use]
    pub const fn position_of(&self, element: u128) -> u128 {
        let mut number = if element < self.len { element } else { element % self.len };
        loop {
            number = self.rounds_back(number);
            if number < self.len {
                return number;
            }
        }
    }

    #[inline]
    const fn rounds(&self, number: u128) -> u128 {
        let (mut high, mut low) = self.cut(number);
        let mut pair = 0;
        while pair < PAIRS {
            let (of_low, of_high) = self.keys[pair];
            high = add(high, below(mix(low, of_low), self.highs), self.highs);
            low ^= self.low_part(mix(high, of_high));
            pair += 1;
        }
        self.join(high, low)
    }

    const fn rounds_back(&self, number: u128) -> u128 {
        let (mut high, mut low) = self.cut(number);
        let mut pair = PAIRS;
        while pair > 0 {
            pair -= 1;
            let (of_low, of_high) = self.keys[pair];
            low ^= self.low_part(mix(high, of_high));
            high = add(high, self.highs - below(mix(low, of_low), self.highs), self.highs);
        }
        self.join(high, low)
    }

    #[inline]
    const fn cut(&self, number: u128) -> (u64, u64) {
        // What is above 64 bits of the low part is cut off on purpose; the high part is below `highs`.
        ((number >> self.low_bits) as u64, number as u64 & ((1 << self.low_bits) - 1))
    }

    #[inline]
    const fn join(&self, high: u64, low: u64) -> u128 {
        (high as u128) << self.low_bits | low as u128
    }

    /// The upper bits of it, as many as the low part has; in two steps, since that may be none.
    #[inline]
    const fn low_part(&self, mixed: u64) -> u64 {
        mixed >> 1 >> (63 - self.low_bits)
    }
}

/// `a + b` modulo `n`, for `a` below `n` and `b` no larger than it; `n` is at most 2^60.
#[inline]
const fn add(a: u64, b: u64, n: u64) -> u64 {
    let sum = a + b;
    if sum >= n { sum - n } else { sum }
}

/// A number below `n` that is as evenly spread as `mixed` is over all 64 bits, up to one part in 2^64 / n (Lemire, "Fast random
/// integer generation in an interval", 2019, without the rejection).
#[inline]
const fn below(mixed: u64, n: u64) -> u64 {
    ((mixed as u128 * n as u128) >> 64) as u64
}

/// A keyed function whose upper bits depend on all bits of both: multiply, fold, multiply. The multipliers are those of SplitMix64's
/// finaliser (Stafford's variant 13 of MurmurHash3's).
#[inline]
const fn mix(value: u64, key: u64) -> u64 {
    let mixed = (value ^ key).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ mixed >> 32).wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// The next output of SplitMix64 (Steele, Lea, Flood, 2014).
const fn next_key(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut key = *state;
    key = (key ^ key >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    key = (key ^ key >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    key ^ key >> 31
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;

    /// SCAN-2: every element exactly once.
    #[test]
    fn small_orders_are_permutations() {
        for n in (1..=600).chain([1023, 1024, 1025, 4095, 4096, 4097, 10_007, 65_536]) {
            for seed in [0, 1, u64::MAX] {
                let order = Order::new(n, seed).unwrap();
                let mut seen = vec![false; n as usize];
                for position in 0..n {
                    let element = order.at(position);
                    assert!(!core::mem::replace(&mut seen[element as usize], true), "{element} of {n} comes twice");
                    assert_eq!(order.position_of(element), position);
                }
            }
        }
    }

    #[test]
    fn the_largest_order_is_there_and_no_larger_one() {
        let order = Order::new(Order::MAX_LEN, 3).unwrap();
        for position in [0, 1, Order::MAX_LEN / 3, Order::MAX_LEN - 1] {
            assert_eq!(order.position_of(order.at(position)), position);
        }
        assert_eq!(Order::new(Order::MAX_LEN + 1, 3), None);
        assert_eq!(Order::new(0, 3), None);
        assert_eq!(order.at(Order::MAX_LEN + 7), order.at(7));
    }

    /// SCAN-5: whoever resumes has the order of whoever began, in any version of the program.
    #[test]
    fn the_order_of_a_seed_never_changes() {
        let first = |n, seed| (0..3).map(|at| Order::new(n, seed).unwrap().at(at)).collect::<Vec<_>>();
        assert_eq!(first(10, 1), [1, 8, 5]);
        assert_eq!(first(1 << 32, 1), [4159962904, 165544186, 1848965705]);
        assert_eq!(first((1 << 48) - 1, 2), [64888082706058, 131903714076448, 179342548183579]);
        assert_eq!(
            first(1 << 100, 3),
            [1106117257755627732065791902507, 700144845169167114121921241389, 1034311938439723862098574456561]
        );
    }

    #[test]
    fn seeds_draw_different_orders() {
        let orders = |n: u128| {
            let mut all: Vec<Vec<u128>> =
                (0..500).map(|seed| (0..n).map(|at| Order::new(n, seed).unwrap().at(at)).collect()).collect();
            all.sort();
            all.dedup();
            all.len()
        };
        assert_eq!((orders(1), orders(2), orders(3), orders(4)), (1, 2, 6, 24));
        assert!(orders(5) > 100 && orders(8) > 450 && orders(100) == 500);
    }
}
