//! One read or write until it is done: the kernel may do a part of it, or nothing, and be asked again.

use super::errno::{EAGAIN, ECANCELED, EINTR, EINVAL, ENOSPC, EOVERFLOW};

/// The most bytes that Linux moves at once (`MAX_RW_COUNT` of include/linux/fs.h, for pages of 4 KiB).
pub const MAX_PIECE_BYTES: u32 = 0x7fff_f000;

/// Times in a row that an operation may come back without a byte moved and without an error that says why.
pub const MAX_FRUITLESS: u16 = 1000;

/// What writing the same bytes to the same place once more counts as: eight times are enough.
const REWRITE_PRICE: u16 = MAX_FRUITLESS / 8;

/// No device asks for more than this of the place and length of a direct transfer.
const MAX_ALIGN: u64 = 4096;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the file into memory.
    Read,
    /// From memory into the file.
    Write,
}

/// What a completion means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// So many bytes, from the first: all of them, or those before the end of the file.
    Done(u32),
    /// Ask for [`Progress::piece`] again.
    Again,
    /// It failed with this error; what part of it was done is not said.
    Failed(i32),
}

/// What to ask the kernel for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where in the operation's memory it begins.
    pub from: u32,
    /// How many bytes; at most [`MAX_PIECE_BYTES`].
    pub len: u32,
    /// Where in the file it begins.
    pub offset: u64,
}

/// A read or write of some bytes at a place in a file.
///
/// Behind a part that was done it goes on exactly there. Files that are open for direct transfers take only memory, places and
/// lengths that are aligned, and say EINVAL to what is not; whether a file is one of them need not be known for that. Where
/// what began aligned is refused because it went on between two boundaries, the file is direct. A device reads whole blocks,
/// so a direct read that ended in between has met the end of the file. A direct write goes on at the last boundary before, and
/// writes the bytes from there once more: they are still the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    offset: u64,
    len: u32,
    /// Where the piece under way begins.
    from: u32,
    /// The end of what was moved so far.
    reached: u32,
    attempts: Attempts,
    align_bits: u8,
    direction: Direction,
    /// The file was found to take only what is aligned.
    is_direct: bool,
}

impl Progress {
    /// A transfer of `len` bytes between `offset` of a file and memory at `address`. `None` where it would reach beyond the
    /// largest offset that there is.
    #[must_use]
    pub fn new(direction: Direction, offset: u64, len: u32, address: usize) -> Option<Self> {
        let end = offset.checked_add(u64::from(len))?;
        if end > i64::MAX as u64 {
            return None;
        }
        let align = offset | u64::from(len) | address as u64 | MAX_ALIGN;
        // At most 12.
        let align_bits = align.trailing_zeros() as u8;
        let attempts = Attempts::new();
        Some(Self { offset, len, from: 0, reached: 0, attempts, align_bits, direction, is_direct: false })
    }

    /// Which way the bytes go.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    /// What to ask for now.
    #[must_use]
    pub fn piece(&self) -> Piece {
        let len = (self.len - self.from).min(MAX_PIECE_BYTES);
        Piece { from: self.from, len, offset: self.offset + u64::from(self.from) }
    }

    /// What the kernel's answer to the last [`Progress::piece`] means: a count of bytes, or an error as its negative number.
    pub fn completed(&mut self, result: i32) -> Next {
        let Ok(moved) = u32::try_from(result) else { return self.failed(result.saturating_neg()) };
        if moved > self.piece().len {
            return Next::Failed(EOVERFLOW);
        }
        if moved == 0 && self.len > 0 {
            return match self.direction {
                Direction::Read => Next::Done(self.reached),
                Direction::Write => Next::Failed(ENOSPC),
            };
        }
        // At most `len`.
        let end = self.from + moved;
        if end == self.len {
            return Next::Done(end);
        }
        if end > self.reached {
            self.reached = end;
            self.attempts = Attempts::new();
        } else if !self.attempts.again_at(REWRITE_PRICE) {
            // It was written once more and once more, and never any further.
            return Next::Failed(ENOSPC);
        }
        self.from = if self.is_direct { self.aligned(end) } else { end };
        Next::Again
    }

    fn failed(&mut self, errno: i32) -> Next {
        match errno {
            EINTR | EAGAIN | ECANCELED if self.attempts.again() => Next::Again,
            EINVAL if self.from != self.aligned(self.from) => match self.direction {
                Direction::Read => Next::Done(self.reached),
                Direction::Write => {
                    self.is_direct = true;
                    self.from = self.aligned(self.from);
                    Next::Again
                }
            },
            errno => Next::Failed(errno),
        }
    }

    const fn aligned(&self, place: u32) -> u32 {
        place >> self.align_bits << self.align_bits
    }
}

/// How often something was tried without fruit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts(u16);

impl Attempts {
    /// Not yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// One more; `false` once that is more than [`MAX_FRUITLESS`].
    pub const fn again(&mut self) -> bool {
        self.again_at(1)
    }

    /// One more, which counts as so many.
    const fn again_at(&mut self, price: u16) -> bool {
        self.0 = self.0.saturating_add(price);
        self.0 <= MAX_FRUITLESS
    }

    /// Whether an operation that is not a transfer, and that may be done twice, is to be tried again after `errno`.
    pub const fn after(&mut self, errno: i32) -> bool {
        matches!(errno, EINTR | EAGAIN | ECANCELED) && self.again()
    }
}

#[cfg(test)]
mod tests {
    use super::super::errno::{EIO, ENODATA};
    use super::*;

    fn progress(direction: Direction, offset: u64, len: u32) -> Progress {
        Progress::new(direction, offset, len, 4096).unwrap()
    }

    fn at(progress: &Progress) -> (u32, u32, u64) {
        let Piece { from, len, offset } = progress.piece();
        (from, len, offset)
    }

    /// URING-3: a short transfer goes on behind what was moved.
    #[test]
    fn a_short_transfer_goes_on() {
        for direction in [Direction::Read, Direction::Write] {
            let mut progress = progress(direction, 4096, 8192);
            assert_eq!(at(&progress), (0, 8192, 4096));
            assert_eq!(progress.completed(4096), Next::Again);
            assert_eq!(at(&progress), (4096, 4096, 8192));
            assert_eq!(progress.completed(4095), Next::Again);
            assert_eq!(at(&progress), (8191, 1, 12287));
            assert_eq!(progress.completed(1), Next::Done(8192));
        }
    }

    #[test]
    fn a_read_ends_where_the_file_does() {
        let mut cached = progress(Direction::Read, 0, 8192);
        assert_eq!(cached.completed(5000), Next::Again);
        assert_eq!(at(&cached), (5000, 3192, 5000));
        assert_eq!(cached.completed(0), Next::Done(5000));
        let mut direct = progress(Direction::Read, 0, 8192);
        assert_eq!(direct.completed(5000), Next::Again);
        assert_eq!(direct.completed(-EINVAL), Next::Done(5000));
        let mut beyond = progress(Direction::Read, 1 << 40, 10);
        assert_eq!(beyond.completed(0), Next::Done(0));
    }

    /// URING-3: what has to stay aligned does, after a short transfer.
    #[test]
    fn a_direct_write_goes_on_at_a_boundary() {
        let mut direct = progress(Direction::Write, 8192, 16384);
        assert_eq!(direct.completed(5000), Next::Again);
        assert_eq!(direct.completed(-EINVAL), Next::Again);
        assert_eq!(at(&direct), (4096, 12288, 12288));
        assert_eq!(direct.completed(4100), Next::Again);
        assert_eq!(at(&direct), (8192, 8192, 16384));
        assert_eq!(direct.completed(8192), Next::Done(16384));
    }

    /// URING-3: a write of no bytes means that there is no room; so does one that cannot go on at a boundary.
    #[test]
    fn a_write_that_stands_still_is_out_of_space() {
        let mut none = progress(Direction::Write, 0, 4096);
        assert_eq!(none.completed(0), Next::Failed(ENOSPC));
        let mut direct = progress(Direction::Write, 0, 8192);
        assert_eq!(direct.completed(5000), Next::Again);
        assert_eq!(direct.completed(-EINVAL), Next::Again);
        for _ in 0..8 {
            assert_eq!(direct.completed(904), Next::Again);
        }
        assert_eq!(direct.completed(904), Next::Failed(ENOSPC));
    }

    #[test]
    fn a_misaligned_wish_is_an_error_of_its_own() {
        assert_eq!(progress(Direction::Write, 0, 8192).completed(-EINVAL), Next::Failed(EINVAL));
        assert_eq!(progress(Direction::Read, 7, 8192).completed(-EINVAL), Next::Failed(EINVAL));
    }

    /// URING-3: interruptions are repeated, but not for ever.
    #[test]
    fn interruptions_are_repeated_up_to_a_bound() {
        for errno in [EINTR, EAGAIN, ECANCELED] {
            let mut progress = progress(Direction::Read, 0, 100);
            for _ in 0..MAX_FRUITLESS {
                assert_eq!(progress.completed(-errno), Next::Again);
            }
            assert_eq!(progress.completed(-errno), Next::Failed(errno));
        }
        let mut slow = progress(Direction::Write, 1, 4000);
        for byte in 1..4000 {
            assert_eq!(slow.completed(-EINTR), Next::Again);
            assert_eq!(slow.completed(1), Next::Again, "{byte}");
        }
        assert_eq!(slow.completed(1), Next::Done(4000));
    }

    #[test]
    fn errors_end_it() {
        for errno in [EIO, ENODATA, ENOSPC] {
            let mut progress = progress(Direction::Write, 0, 100);
            assert_eq!(progress.completed(40), Next::Again);
            assert_eq!(progress.completed(-errno), Next::Failed(errno));
        }
    }

    #[test]
    fn lies_and_extremes_are_errors() {
        assert_eq!(progress(Direction::Read, 0, 100).completed(101), Next::Failed(EOVERFLOW));
        assert_eq!(progress(Direction::Read, 0, 100).completed(i32::MIN), Next::Failed(i32::MAX));
        assert_eq!(progress(Direction::Write, 0, 0).completed(0), Next::Done(0));
        assert_eq!(Progress::new(Direction::Write, u64::MAX, 1, 0), None);
        assert_eq!(Progress::new(Direction::Write, i64::MAX as u64, 1, 0), None);
        let mut huge = progress(Direction::Read, 0, u32::MAX);
        assert_eq!(huge.piece().len, MAX_PIECE_BYTES);
        assert_eq!(huge.completed(MAX_PIECE_BYTES as i32), Next::Again);
        assert_eq!(huge.piece().from, MAX_PIECE_BYTES);
    }
}
