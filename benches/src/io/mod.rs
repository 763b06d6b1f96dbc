//! What file I/O costs (`./x bench io`): operations per second through a ring of ours next to fio's io_uring engine and to
//! blocking calls on threads, on the same file; and what many small files cost by either way.

pub mod fio;
pub mod names;
pub mod ours;
pub mod subject;
pub mod threads;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde::Serialize;

/// What is done again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Load {
    /// Its name.
    pub scenario: Scenario,
    /// Operations under way at once.
    pub depth: u32,
}

/// Which operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// 4 KiB from anywhere.
    RandomRead,
    /// 4 KiB to anywhere.
    RandomWrite,
    /// 256 KiB, one behind the other.
    SequentialRead,
    /// 256 KiB, one behind the other.
    SequentialWrite,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::RandomRead, Self::RandomWrite, Self::SequentialRead, Self::SequentialWrite];

    /// For people.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::RandomRead => "4 KiB random read",
            Self::RandomWrite => "4 KiB random write",
            Self::SequentialRead => "256 KiB sequential read",
            Self::SequentialWrite => "256 KiB sequential write",
        }
    }

    /// Bytes of an operation.
    #[must_use]
    pub const fn block_bytes(self) -> u32 {
        match self {
            Self::RandomRead | Self::RandomWrite => 4096,
            Self::SequentialRead | Self::SequentialWrite => 256 << 10,
        }
    }

    /// Whether bytes go into the file.
    #[must_use]
    pub const fn is_write(self) -> bool {
        matches!(self, Self::RandomWrite | Self::SequentialWrite)
    }

    const fn is_random(self) -> bool {
        matches!(self, Self::RandomRead | Self::RandomWrite)
    }
}

/// One run of one contestant.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Run {
    /// Operations per second.
    pub iops: f64,
    /// CPU time of the process, user and system, for each.
    pub cpu_us: f64,
    /// Operations for each system call, of ours.
    pub per_call: Option<f64>,
    /// Median and 99th percentile of how long one takes, at depth 1.
    pub latency_us: Option<(f64, f64)>,
}

/// Why a contestant could not run.
#[derive(Debug, thiserror::Error)]
pub enum IoError {
    /// A file.
    #[error("{what}: {source}")]
    File {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// No ring.
    #[error(transparent)]
    Refused(#[from] wirehaul::uring::Refused),
    /// No memory for buffers.
    #[error(transparent)]
    Pools(#[from] wirehaul::pools::PoolsError),
    /// An operation failed.
    #[error("an operation failed: {0}")]
    Operation(String),
    /// fio.
    #[error("fio: {0}")]
    Fio(String),
}

impl IoError {
    /// For `map_err`.
    pub(crate) fn file(what: &str) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.to_owned();
        move |source| Self::File { what, source }
    }
}

/// Where the next operation goes: anywhere, or behind the one before.
#[derive(Debug)]
pub struct Offsets {
    state: u64,
    blocks: u64,
    block_bytes: u64,
    is_random: bool,
}

impl Offsets {
    /// Places in a file of `size` bytes; `seed` makes it another sequence.
    #[must_use]
    pub fn new(scenario: Scenario, size: u64, seed: u64) -> Self {
        let block_bytes = u64::from(scenario.block_bytes());
        let blocks = (size / block_bytes).max(1);
        let is_random = scenario.is_random();
        let state = if is_random { seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 } else { seed * blocks / 16 };
        Self { state, blocks, block_bytes, is_random }
    }

    /// The next one, in bytes.
    #[inline]
    pub fn next_offset(&mut self) -> u64 {
        if self.is_random {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            // The upper half times the count: as even as the numbers are, without a division.
            ((self.state >> 32) * self.blocks >> 32) * self.block_bytes
        } else {
            self.state = (self.state + 1) % self.blocks;
            self.state * self.block_bytes
        }
    }
}

/// User and system time of this process so far, with the kernel's threads that work for it, in seconds.
#[must_use]
pub fn cpu_seconds() -> f64 {
    cpu_seconds_of(UsageWho::RUSAGE_SELF)
}

fn cpu_seconds_of(who: UsageWho) -> f64 {
    getrusage(who).map_or(0.0, |usage| {
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        micros as f64 / 1e6
    })
}

/// The value below which this share of them lies.
#[must_use]
pub fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::{Offsets, Scenario, percentile};

    #[test]
    fn places_are_inside_of_the_file_and_everywhere() {
        for scenario in Scenario::ALL {
            let mut offsets = Offsets::new(scenario, 64 << 20, 3);
            let block = u64::from(scenario.block_bytes());
            let mut seen = vec![false; ((64 << 20) / block) as usize];
            for _ in 0..200_000 {
                let offset = offsets.next_offset();
                assert!(offset.is_multiple_of(block));
                seen[(offset / block) as usize] = true;
            }
            assert!(seen.into_iter().all(|seen| seen), "{scenario:?}");
        }
    }

    #[test]
    fn percentiles_of_a_hundred() {
        let mut values: Vec<f64> = (0..100).rev().map(f64::from).collect();
        assert_eq!((percentile(&mut values, 0.5), percentile(&mut values, 0.99)), (50.0, 99.0));
    }
}
