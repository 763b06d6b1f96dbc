//! The pool under real threads: each slot bears the stamp of its owner for as long as it is owned, and everything is back in
//! the end. `./x miri` runs this as well, and then sees every race.

use std::sync::atomic::AtomicU32;
use std::sync::mpsc;
use std::thread;

use wirehaul_core::pool::{Magazine, Pool, Slot};

const THREADS: u64 = 4;
const SLOTS: usize = if cfg!(miri) { 24 } else { 300 };
const SLOT_BYTES: usize = 32;
const ROUNDS: u64 = if cfg!(miri) { 150 } else { 2_000_000 };

/// The owner and the round, all over the slot.
fn stamp(slot: &mut Slot<'_>, stamp: u64) {
    slot.as_chunks_mut().0.fill(stamp.to_le_bytes());
}

fn check(slot: &Slot<'_>, stamp: u64) {
    assert!(
        slot.as_chunks().0.iter().all(|bytes| *bytes == stamp.to_le_bytes()),
        "somebody else wrote slot {}",
        slot.index()
    );
}

/// Takes and puts in a random pattern, now through the magazine and now past it; hands some slots on to the next thread.
fn work<'p>(
    pool: &'p Pool<'p>,
    own: u64,
    next: &mpsc::SyncSender<(Slot<'p>, u64)>,
    from: &mpsc::Receiver<(Slot<'p>, u64)>,
) {
    let mut magazine = Magazine::new(pool);
    let mut held: Vec<(Slot<'p>, u64)> = Vec::new();
    let mut random = own.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for round in 0..ROUNDS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        if random & 3 != 0 && held.len() < SLOTS / 3 {
            let taken = if random & 4 == 0 { magazine.take() } else { pool.take() };
            if let Some(mut slot) = taken {
                let mark = own << 56 | round;
                stamp(&mut slot, mark);
                held.push((slot, mark));
            }
        } else if let Some(at) = (random as usize >> 8).checked_rem(held.len()) {
            let (slot, mark) = held.swap_remove(at);
            check(&slot, mark);
            match random >> 4 & 3 {
                0 => drop(slot),
                // A full queue gives it back, and it is dropped.
                1 => drop(next.try_send((slot, mark))),
                _ => magazine.put(slot),
            }
        }
        if let Ok((slot, mark)) = from.try_recv() {
            check(&slot, mark);
            held.push((slot, mark));
        }
    }
    held.into_iter().for_each(|(slot, mark)| {
        check(&slot, mark);
        magazine.put(slot);
    });
}

#[test]
fn under_threads_no_slot_has_two_owners_and_none_is_lost() {
    let mut memory = vec![0; SLOTS * SLOT_BYTES];
    let mut links: Vec<_> = (0..SLOTS).map(|_| AtomicU32::new(0)).collect();
    let pool = Pool::new(&mut memory, SLOT_BYTES, &mut links).expect("the sizes fit");
    let pool = &pool;
    let (senders, mut receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| mpsc::sync_channel(8)).unzip();
    receivers.rotate_left(1);
    thread::scope(|scope| {
        for (own, (next, from)) in (1..).zip(senders.into_iter().zip(receivers)) {
            scope.spawn(move || work(pool, own, &next, &from));
        }
    });
    let stats = pool.stats();
    assert_eq!((stats.in_use(), stats.slots as usize), (0, SLOTS));
    assert!(stats.peak_in_use() > 0);
    let held: Vec<_> = std::iter::from_fn(|| pool.take()).take(SLOTS).collect();
    let mut indices: Vec<_> = held.iter().map(Slot::index).collect();
    indices.sort_unstable();
    assert_eq!(indices, (0..SLOTS as u32).collect::<Vec<_>>());
}
