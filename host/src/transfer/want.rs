//! What the receiver wants in a round: a mode for each chunk of the manifest, as runs (XFER-5).

use thiserror::Error;

use super::varint::{self, VarintError};

/// Most runs of one list. A receiver that would need more asks for the rest in a further round.
pub const MAX_RUNS: usize = 1 << 21;

/// What the sender is to send of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum PieceMode {
    /// Nothing.
    Skip = 0,
    /// The bytes and their hash.
    Full = 1,
    /// The hash alone: the receiver has bytes and compares.
    Verify = 2,
}

/// The rule that a want list broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WantError {
    /// A number is malformed, a mode unknown, a run empty, or two runs that touch have one mode.
    #[error("the receiver's list of wanted chunks is malformed")]
    Malformed,
    /// The runs do not cover exactly the chunks of the manifest.
    #[error("the receiver's list of wanted chunks does not match the list of files")]
    WrongTotal,
    /// More than [`MAX_RUNS`].
    #[error("the receiver's list of wanted chunks has too many runs")]
    TooManyRuns,
}

/// Runs over all chunks of all files in manifest order. Eight bytes a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Want {
    /// Length << 2 | mode.
    runs: Vec<u64>,
    total: u64,
}

impl Want {
    /// Covers no chunk yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says how the next `count` chunks are wanted.
    pub fn push(&mut self, mode: PieceMode, count: u64) {
        if count == 0 {
            return;
        }
        self.total += count;
        match self.runs.last_mut() {
            Some(last) if *last & 3 == mode as u64 => *last += count << 2,
            _ => self.runs.push(count << 2 | mode as u64),
        }
    }

    /// Whether there is room for several further runs. If not, what follows must be kept to one or two.
    pub fn has_room(&self) -> bool {
        self.runs.len() + 4 < MAX_RUNS
    }

    /// Number of chunks covered.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Whether nothing is wanted at all.
    pub fn is_nothing(&self) -> bool {
        self.runs.iter().all(|run| run & 3 == PieceMode::Skip as u64)
    }

    /// The runs in order: no run is empty and no two neighbours have one mode.
    pub fn runs(&self) -> impl Iterator<Item = (PieceMode, u64)> + '_ {
        (0..self.runs.len()).map(|index| self.run(index))
    }

    /// The list as bytes: a varint per run, `length << 2 | mode`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.runs.len() * 3);
        self.runs.iter().for_each(|&run| varint::put(&mut out, run));
        out
    }

    fn run(&self, index: usize) -> (PieceMode, u64) {
        let run = self.runs[index];
        let mode = match run & 3 {
            1 => PieceMode::Full,
            2 => PieceMode::Verify,
            _ => PieceMode::Skip,
        };
        (mode, run >> 2)
    }
}

/// A place in a [`Want`] that only moves forward.
#[derive(Debug, Clone, Default)]
pub struct WantCursor {
    index: usize,
    used: u64,
}

impl WantCursor {
    /// Takes the chunks that have one mode, at most `max`; `max` is above 0. Past the end all is skipped.
    pub fn take(&mut self, want: &Want, max: u64) -> (PieceMode, u64) {
        if self.index == want.runs.len() {
            return (PieceMode::Skip, max);
        }
        let (mode, len) = want.run(self.index);
        let count = max.min(len - self.used);
        self.used += count;
        if self.used == len {
            self.index += 1;
            self.used = 0;
        }
        (mode, count)
    }
}

/// Builds a want list out of bytes that arrive in any pieces.
#[derive(Debug)]
pub struct WantDecoder {
    want: Want,
    expected_total: u64,
    pending: Vec<u8>,
}

impl WantDecoder {
    /// For a manifest of `expected_total` chunks.
    pub fn new(expected_total: u64) -> Self {
        Self { want: Want::new(), expected_total, pending: Vec::new() }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// The first rule that is broken; the decoder is of no use from then on.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), WantError> {
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let mut rest = &pending[..];
        while !rest.is_empty() {
            let mut ahead = rest;
            match varint::take(&mut ahead) {
                Ok(run) => self.push_run(run)?,
                Err(VarintError::Incomplete) => break,
                Err(VarintError::Malformed) => return Err(WantError::Malformed),
            }
            rest = ahead;
        }
        self.pending = rest.to_vec();
        Ok(())
    }

    /// The whole list.
    ///
    /// # Errors
    /// [`WantError::WrongTotal`] if it does not cover every chunk, [`WantError::Malformed`] if it ends inside a number.
    pub fn finish(self) -> Result<Want, WantError> {
        if !self.pending.is_empty() {
            return Err(WantError::Malformed);
        }
        if self.want.total == self.expected_total { Ok(self.want) } else { Err(WantError::WrongTotal) }
    }

    fn push_run(&mut self, run: u64) -> Result<(), WantError> {
        let count = run >> 2;
        let repeats_mode = self.want.runs.last().is_some_and(|last| last & 3 == run & 3);
        if run & 3 == 3 || count == 0 || repeats_mode {
            return Err(WantError::Malformed);
        }
        if self.want.runs.len() == MAX_RUNS {
            return Err(WantError::TooManyRuns);
        }
        if count > self.expected_total - self.want.total {
            return Err(WantError::WrongTotal);
        }
        self.want.total += count;
        self.want.runs.push(run);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub fn modes() -> impl Strategy<Value = PieceMode> {
        prop::sample::select(&[PieceMode::Skip, PieceMode::Full, PieceMode::Verify][..])
    }

    fn decode(bytes: &[u8], total: u64, piece_bytes: usize) -> Result<Want, WantError> {
        let mut decoder = WantDecoder::new(total);
        for piece in bytes.chunks(piece_bytes) {
            decoder.push(piece)?;
        }
        decoder.finish()
    }

    #[test]
    fn each_rule_refuses_what_it_names() {
        let run = |mode: u64, count: u64| count << 2 | mode;
        let cases = [
            (vec![run(1, 5)], WantError::WrongTotal),
            (vec![run(1, 11)], WantError::WrongTotal),
            (vec![run(1, u64::MAX >> 2)], WantError::WrongTotal),
            (vec![run(3, 10)], WantError::Malformed),
            (vec![run(1, 0), run(2, 10)], WantError::Malformed),
            (vec![run(1, 5), run(1, 5)], WantError::Malformed),
        ];
        for (runs, error) in cases {
            let mut bytes = Vec::new();
            runs.iter().for_each(|&run| varint::put(&mut bytes, run));
            assert_eq!(decode(&bytes, 10, 3), Err(error), "{runs:?}");
        }
        assert_eq!(decode(&[0x80], 10, 1), Err(WantError::Malformed));
    }

    proptest! {
        #[test]
        fn runs_say_the_same_as_the_modes_one_by_one(
            list in prop::collection::vec((modes(), 0_u64..1000), 0..50), piece_bytes in 1_usize..9, step in 1_u64..300,
        ) {
            let mut want = Want::new();
            list.iter().for_each(|&(mode, count)| want.push(mode, count));
            let flat: Vec<_> = list.iter().flat_map(|&(mode, count)| std::iter::repeat_n(mode, count as usize)).collect();
            prop_assert_eq!(decode(&want.encode(), flat.len() as u64, piece_bytes).unwrap(), want.clone());
            prop_assert_eq!(want.is_nothing(), flat.iter().all(|&mode| mode == PieceMode::Skip));
            let (mut cursor, mut taken) = (WantCursor::default(), Vec::new());
            while taken.len() < flat.len() {
                let (mode, count) = cursor.take(&want, step.min((flat.len() - taken.len()) as u64));
                taken.extend(std::iter::repeat_n(mode, count as usize));
            }
            prop_assert_eq!(taken, flat);
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), total in any::<u64>()) {
            let _ = decode(&bytes, total, 4);
        }
    }
}
