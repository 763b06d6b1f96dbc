//! Pools that are empty (POOL-4): a transfer waits and goes on, and the pools have counted.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

use std::fs;
use std::thread;
use std::time::Duration;

use wirehaul::events::Bus;
use wirehaul::file_io::Choice;
use wirehaul::pools::{LastingPool, lasting};
use wirehaul::transfer::blocks::SLOT_BYTES;
use wirehaul_core::pool::Sizing;
use wirehaul_core::session::Config;

#[path = "common/pair.rs"]
mod pair;

use pair::{Done, MIB, receive, send, write_file};

const FILE_BYTES: u64 = 30 * MIB;

fn pool(slots: u32) -> LastingPool {
    lasting(&Sizing { slots_per_session: slots, slot_bytes: SLOT_BYTES, ..Sizing::new(1, 1) }).unwrap()
}

#[test]
fn a_sender_with_two_slots_sends_as_acknowledgements_free_them() {
    let dir = tempfile::tempdir().unwrap();
    let (file, target) = (dir.path().join("large"), dir.path().join("target"));
    fs::create_dir(&target).unwrap();
    let pattern = write_file(&file, FILE_BYTES);
    let (sending, receiving) = (pool(2), pool(40));
    let (ticket, receiver) = receive(&target, receiving, Choice::Auto, &Bus::default());
    let sender = send(&file, ticket, sending, Choice::Auto, None);
    assert!(sender.join().unwrap().failure.is_none());
    assert!(receiver.join().unwrap().verified);
    assert!(fs::read(target.join("large")).unwrap().chunks(pattern.len()).all(|chunk| chunk == pattern));
    let stats = sending.stats();
    assert_eq!((stats.peak_in_use(), stats.in_use()), (2, 0));
    assert!(stats.exhausted > 0);
}

#[test]
fn a_receiver_without_slots_grants_no_more_until_there_are_some() {
    let dir = tempfile::tempdir().unwrap();
    let (file, target) = (dir.path().join("large"), dir.path().join("target"));
    fs::create_dir(&target).unwrap();
    let pattern = write_file(&file, FILE_BYTES);
    let (sending, receiving) = (pool(40), pool(16));
    // Somebody else has them all.
    let taken: Vec<_> = std::iter::from_fn(|| receiving.take()).collect();
    let events = Bus::default();
    let mut done = Done::of(&events);
    let (ticket, receiver) = receive(&target, receiving, Choice::Sync, &events);
    let sender = send(&file, ticket, sending, Choice::Auto, None);
    // What was granted at the start arrives all the same, and nothing behind it.
    while done.bytes() < MIB && !receiver.is_finished() {
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(Duration::from_millis(300));
    assert!(done.bytes() <= Config::default().initial_window_bytes, "{} bytes", done.bytes());
    assert!(receiving.stats().exhausted > 1 && !receiver.is_finished());
    drop(taken);
    assert!(sender.join().unwrap().failure.is_none());
    assert!(receiver.join().unwrap().verified);
    assert!(fs::read(target.join("large")).unwrap().chunks(pattern.len()).all(|chunk| chunk == pattern));
    assert_eq!(receiving.stats().in_use(), 0);
}
