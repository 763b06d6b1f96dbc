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
        let base = mix(self.key) ^ (u64::from(stream.get()) << 48);
        let mut at = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let word = mix(base ^ (at / 8)).to_le_bytes();
            let from = usize::try_from(at % 8).unwrap_or(0);
            let len = rest.len().min(8 - from);
            let (now, later) = rest.split_at_mut(len);
            now.copy_from_slice(&word[from..from + len]);
            at += len as u64;
            rest = later;
        }
    }

    /// The first offset from which on `bytes` are not the stream's; `None` where they all are.
    #[must_use]
    pub fn first_difference(&self, stream: StreamId, offset: u64, bytes: &[u8]) -> Option<u64> {
        let mut expected = vec![0; bytes.len()];
        self.write(stream, offset, &mut expected);
        let place = expected.iter().zip(bytes).position(|(expected, byte)| expected != byte)?;
        Some(offset + place as u64)
    }
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
