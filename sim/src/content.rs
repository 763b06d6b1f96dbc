//! Stream bytes that both ends can compute: a function of who sends them, the stream and the offset.

use wirehaul_core::{session::Source, wire::StreamId};

use crate::rng::mix;

/// The bytes that one host sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    key: u64,
}

impl Content {
    /// The content of the sender that `key` names.
    #[must_use]
    pub const fn of(key: u64) -> Self {
        Self { key }
    }

    /// Writes the stream's bytes from `offset` on into `out`.
    pub fn write(&self, stream: StreamId, offset: u64, out: &mut [u8]) {
        let words = self.words(stream);
        let (head, rest) = out.split_at_mut(head_len(offset, out.len()));
        write_within(words, offset, head);
        let first = offset.div_ceil(8);
        let (whole, tail) = rest.as_chunks_mut::<8>();
        for (word, index) in whole.iter_mut().zip(first..) {
            *word = words.at(index).to_le_bytes();
        }
        write_within(words, (first + whole.len() as u64) * 8, tail);
    }

    /// The first offset from which on `bytes` are not the stream's; `None` where they all are.
    #[must_use]
    pub fn first_difference(&self, stream: StreamId, offset: u64, bytes: &[u8]) -> Option<u64> {
        let words = self.words(stream);
        let (head, rest) = bytes.split_at(head_len(offset, bytes.len()));
        let first = offset.div_ceil(8);
        let (whole, tail) = rest.as_chunks::<8>();
        // Without a branch per word: nearly always all of them are right.
        let wrong = whole
            .iter()
            .zip(first..)
            .fold(0, |wrong, (word, index)| wrong | (u64::from_le_bytes(*word) ^ words.at(index)));
        let tail_at = (first + whole.len() as u64) * 8;
        if wrong == 0 && is_within(words, offset, head) && is_within(words, tail_at, tail) {
            return None;
        }
        bytes.iter().zip(offset..).find(|(byte, at)| **byte != words.byte(*at)).map(|(_, at)| at)
    }

    fn words(&self, stream: StreamId) -> Words {
        Words { start: mix(mix(self.key) ^ (u64::from(stream.get()) << 48)) }
    }
}

/// A stream as numbers of eight bytes, without a multiplication per number, so that many are made at once.
#[derive(Clone, Copy)]
struct Words {
    start: u64,
}

impl Words {
    const fn at(self, index: u64) -> u64 {
        let word = self.start.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        word ^ (word >> 31)
    }

    fn byte(self, offset: u64) -> u8 {
        self.at(offset / 8).to_le_bytes()[usize::try_from(offset % 8).unwrap_or(0)]
    }
}

/// How many bytes there are from `offset` up to the next whole word, of `len` at most.
fn head_len(offset: u64, len: usize) -> usize {
    usize::try_from(offset.next_multiple_of(8) - offset).unwrap_or(0).min(len)
}

fn write_within(words: Words, offset: u64, out: &mut [u8]) {
    out.iter_mut().zip(offset..).for_each(|(byte, at)| *byte = words.byte(at));
}

fn is_within(words: Words, offset: u64, bytes: &[u8]) -> bool {
    bytes.iter().zip(offset..).all(|(byte, at)| *byte == words.byte(at))
}

impl Source for Content {
    fn fill(&mut self, stream: StreamId, offset: u64, out: &mut [u8]) {
        self.write(stream, offset, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_cut_of_a_stream_is_the_same_stream() {
        let mut whole = [0; 100];
        Content::of(5).write(StreamId::FIRST, 0, &mut whole);
        for start in 0..20 {
            for end in start..100 {
                assert_eq!(Content::of(5).first_difference(StreamId::FIRST, start as u64, &whole[start..end]), None);
            }
        }
        whole[42] ^= 1;
        assert_eq!(Content::of(5).first_difference(StreamId::FIRST, 0, &whole), Some(42));
        assert_ne!(Content::of(6).first_difference(StreamId::FIRST, 0, &whole[..40]), None);
        assert_ne!(Content::of(5).first_difference(StreamId::LAST, 0, &whole[..40]), None);
    }
}
