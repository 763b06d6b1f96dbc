//! No allocation per packet and none per block (POOL-1): a transfer over loopback, both ends in this process, under an
//! allocator that counts. Between a quarter and three quarters of a large file, nothing is allocated by any thread: neither
//! worker, nor the file threads of either.
//!
//! The only test of its binary, so that no other allocates meanwhile.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

use std::fs;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wirehaul::events::Bus;
use wirehaul::file_io::Choice;
use wirehaul::transfer::blocks::{receiver_pool, sender_pool};
use wirehaul::transfer::receiver::Received;
use wirehaul_core::rate::Rate;

#[path = "common/pair.rs"]
mod pair;

use pair::{Done, MIB, receive, send, write_file};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const FILE_BYTES: u64 = 200 * MIB;
/// Slow enough for both marks to be seen in time: the file takes a second.
const RATE_BITS_PER_SEC: u64 = 1_600_000_000;

/// Waits until the receiver has stored `bytes`, or the transfer is over; returns how much it has, and the allocations so far.
fn mark(done: &mut Done, bytes: u64, receiver: &JoinHandle<Received>) -> (u64, u64) {
    while done.bytes() < bytes && !receiver.is_finished() {
        thread::sleep(Duration::from_micros(500));
    }
    (done.bytes(), dhat::HeapStats::get().total_blocks)
}

#[test]
fn in_steady_state_nothing_is_allocated_at_either_end() {
    let _profiler = dhat::Profiler::builder().testing().build();
    for io in [Choice::Sync, Choice::Auto] {
        transfer(io);
    }
}

fn transfer(io: Choice) {
    let dir = tempfile::tempdir().unwrap();
    let (file, target) = (dir.path().join("large"), dir.path().join("target"));
    fs::create_dir(&target).unwrap();
    let pattern = write_file(&file, FILE_BYTES);

    let (sending, receiving) = (sender_pool().unwrap(), receiver_pool(2).unwrap());
    let events = Bus::default();
    let mut done = Done::of(&events);
    let (ticket, receiver) = receive(&target, receiving, io, &events);
    let sender = send(&file, ticket, sending, io, Some(Rate::from_bits_per_sec(RATE_BITS_PER_SEC)));
    let (from, before) = mark(&mut done, FILE_BYTES / 4, &receiver);
    let (to, after) = mark(&mut done, FILE_BYTES / 4 * 3, &receiver);
    let (sent, received) = (sender.join().unwrap(), receiver.join().unwrap());

    assert!(received.outcome.is_ok() && received.verified, "{:?}", received.outcome);
    assert_eq!(received.outcome.unwrap().stored_bytes, FILE_BYTES);
    assert!(fs::read(target.join("large")).unwrap().chunks(pattern.len()).all(|chunk| chunk == pattern));
    assert!(to - from > FILE_BYTES / 5 && to < FILE_BYTES, "the marks were met at {from} and {to} bytes");
    assert!(before > 100, "the allocator does not count: {before} allocations before the first mark");
    assert_eq!(after - before, 0, "allocations between {from} and {to} bytes, {io:?}");
    assert!(sent.failure.is_none());
    for pool in [sending, receiving] {
        let stats = pool.stats();
        assert!(stats.peak_in_use() > 0 && stats.exhausted == 0, "{stats:?}");
        assert_eq!(stats.in_use(), 0, "every block went home");
    }
}
