//! Nanoseconds for taking a buffer and putting it back, by 1 and more threads that share all buffers.
//!
//! Every contestant lends the same 2048-byte buffers by index: the pool through magazines, the pool's bare stack, crossbeam's
//! `ArrayQueue` of indices, a `Vec` of indices behind a `Mutex`. Contestants take turns, so that what disturbs the machine
//! disturbs all; what counts is the median, and the ratios within one run.

use std::hint::black_box;
use std::sync::atomic::AtomicU32;
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;

use crossbeam_queue::ArrayQueue;
use serde::Serialize;
use wirehaul_core::pool::{Magazine, Pool, SLOT_BYTES, Slot};

use crate::clock::Stopwatch;
use crate::stats::median;

/// Buffers in all.
const BUFFERS: usize = 4096;
/// Most buffers that one thread holds.
pub const BURST: usize = 100;

/// Who lends buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Contestant {
    /// Ours, through a magazine per thread.
    #[serde(rename = "pool, magazines")]
    Magazine,
    /// Ours, past the magazines.
    #[serde(rename = "pool, bare stack")]
    Stack,
    /// crossbeam's bounded queue.
    #[serde(rename = "ArrayQueue")]
    ArrayQueue,
    /// A list behind a lock.
    #[serde(rename = "Mutex<Vec>")]
    MutexVec,
}

/// All of them, ours first.
pub const CONTESTANTS: [Contestant; 4] =
    [Contestant::Magazine, Contestant::Stack, Contestant::ArrayQueue, Contestant::MutexVec];

impl Contestant {
    /// Its name in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Magazine => "pool, magazines",
            Self::Stack => "pool, bare stack",
            Self::ArrayQueue => "ArrayQueue",
            Self::MutexVec => "Mutex<Vec>",
        }
    }
}

/// What each thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// Takes one, puts it back.
    One,
    /// Takes [`BURST`], then puts them back: more than a magazine holds.
    Burst,
}

/// One line of the result.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// Who.
    pub contestant: Contestant,
    /// What.
    pub pattern: Pattern,
    /// By how many threads at once.
    pub threads: usize,
    /// Wall-clock nanoseconds per take and put on each thread: the median of all rounds.
    pub nanos: f64,
}

/// Measures every contestant in every pattern with each number of threads: `rounds` rounds of about `operations` takes and
/// puts per thread.
#[must_use]
pub fn measure(threads: &[usize], rounds: usize, operations: usize) -> Vec<Cost> {
    let mut memory = vec![0; BUFFERS * SLOT_BYTES as usize];
    let mut links: Vec<_> = (0..BUFFERS).map(|_| AtomicU32::new(0)).collect();
    // The sizes fit by the constants above.
    let Ok(pool) = Pool::new(&mut memory, SLOT_BYTES as usize, &mut links) else { return Vec::new() };
    let queue = ArrayQueue::new(BUFFERS);
    let list = Mutex::new(Vec::with_capacity(BUFFERS));
    for index in 0..BUFFERS as u32 {
        let _ = queue.push(index);
        list.lock().unwrap_or_else(PoisonError::into_inner).push(index);
    }
    let mut costs = Vec::new();
    for &threads in threads {
        for pattern in [Pattern::One, Pattern::Burst] {
            let mut nanos = [const { Vec::new() }; CONTESTANTS.len()];
            for _ in 0..rounds {
                for (contestant, nanos) in CONTESTANTS.into_iter().zip(&mut nanos) {
                    let run = Run { threads, pattern, operations };
                    nanos.push(match contestant {
                        Contestant::Magazine => run.time(|| Magazines(Magazine::new(&pool))),
                        Contestant::Stack => run.time(|| Bare(&pool)),
                        Contestant::ArrayQueue => run.time(|| Queue(&queue)),
                        Contestant::MutexVec => run.time(|| List(&list)),
                    });
                }
            }
            costs.extend(CONTESTANTS.into_iter().zip(&nanos).map(|(contestant, nanos)| Cost {
                contestant,
                pattern,
                threads,
                nanos: median(nanos).unwrap_or(f64::NAN),
            }));
        }
    }
    costs
}

/// Of the costs, the one of `contestant` in this case.
#[must_use]
pub fn find(costs: &[Cost], contestant: Contestant, pattern: Pattern, threads: usize) -> Option<f64> {
    let is_it = |cost: &&Cost| cost.contestant == contestant && cost.pattern == pattern && cost.threads == threads;
    costs.iter().find(is_it).map(|cost| cost.nanos)
}

/// One thread's way to buffers.
trait Lender {
    type Buffer;
    fn take(&mut self) -> Option<Self::Buffer>;
    fn put(&mut self, buffer: Self::Buffer);
}

struct Magazines<'p>(Magazine<'p>);

impl<'p> Lender for Magazines<'p> {
    type Buffer = Slot<'p>;

    fn take(&mut self) -> Option<Slot<'p>> {
        self.0.take()
    }

    fn put(&mut self, slot: Slot<'p>) {
        self.0.put(slot);
    }
}

struct Bare<'p>(&'p Pool<'p>);

impl<'p> Lender for Bare<'p> {
    type Buffer = Slot<'p>;

    fn take(&mut self) -> Option<Slot<'p>> {
        self.0.take()
    }

    fn put(&mut self, slot: Slot<'p>) {
        drop(slot);
    }
}

struct Queue<'q>(&'q ArrayQueue<u32>);

impl Lender for Queue<'_> {
    type Buffer = u32;

    fn take(&mut self) -> Option<u32> {
        self.0.pop()
    }

    fn put(&mut self, index: u32) {
        let _ = self.0.push(index);
    }
}

struct List<'l>(&'l Mutex<Vec<u32>>);

impl Lender for List<'_> {
    type Buffer = u32;

    fn take(&mut self) -> Option<u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put(&mut self, index: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(index);
    }
}

#[derive(Clone, Copy)]
struct Run {
    threads: usize,
    pattern: Pattern,
    operations: usize,
}

impl Run {
    /// Nanoseconds per take and put, of the slowest thread.
    fn time<L: Lender>(self, lender: impl Fn() -> L + Sync) -> f64 {
        let start = Barrier::new(self.threads);
        let (start, lender) = (&start, &lender);
        thread::scope(|scope| {
            let work = move || {
                let mut lender = lender();
                self.work(&mut lender, BURST);
                start.wait();
                let watch = Stopwatch::start();
                let done = self.work(&mut lender, self.operations);
                watch.seconds() * 1e9 / done.max(1) as f64
            };
            let threads: Vec<_> = (0..self.threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).fold(0.0, f64::max)
        })
    }

    /// Takes and puts at least `operations` times; returns how often.
    fn work<L: Lender>(self, lender: &mut L, operations: usize) -> usize {
        match self.pattern {
            Pattern::One => {
                for _ in 0..operations {
                    if let Some(buffer) = black_box(lender.take()) {
                        lender.put(buffer);
                    }
                }
                operations
            }
            Pattern::Burst => {
                let mut held = Vec::with_capacity(BURST);
                let bursts = operations.div_ceil(BURST);
                for _ in 0..bursts {
                    held.extend((0..BURST).filter_map(|_| lender.take()));
                    black_box(&mut held).drain(..).for_each(|buffer| lender.put(buffer));
                }
                bursts * BURST
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contestant_is_measured_in_every_case() {
        let costs = measure(&[1, 2], 2, 1000);
        assert_eq!(costs.len(), 2 * 2 * CONTESTANTS.len());
        assert!(costs.iter().all(|cost| cost.nanos > 0.0));
        assert!(find(&costs, Contestant::MutexVec, Pattern::Burst, 2).is_some());
        assert!(find(&costs, Contestant::MutexVec, Pattern::Burst, 3).is_none());
    }
}
