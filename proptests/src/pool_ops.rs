//! The buffer pool driven by bytes: two pools, three workers' magazines, and a list of who has what.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU32;

use wirehaul_core::pool::{Magazine, Pool, Slot};

const SLOT_BYTES: usize = 16;
const MAGAZINES: usize = 3;

/// A slot that is lent, with the byte that fills it.
type Lent<'p> = (Slot<'p>, u8);

/// Plays a script of operations; returns whether every slot that was asked for was there.
///
/// # Panics
/// Where a slot is lent twice, loses its bytes, or is lost.
#[must_use]
pub fn play(bytes: &[u8]) -> bool {
    let (sizes, script) = bytes.split_at(bytes.len().min(2));
    let slots = [0, 1].map(|pool: usize| 1 + usize::from(sizes.get(pool).copied().unwrap_or(0)) % 200);
    let mut memory = slots.map(|slots| vec![0; slots * SLOT_BYTES]);
    let mut links = slots.map(|slots| (0..slots).map(|_| AtomicU32::new(0)).collect::<Vec<_>>());
    let ([first, second], [first_links, second_links]) = (&mut memory, &mut links);
    let pools = [Pool::new(first, SLOT_BYTES, first_links), Pool::new(second, SLOT_BYTES, second_links)];
    let [Ok(first), Ok(second)] = pools else { panic!("no pool of {slots:?} slots") };
    let pools = [&first, &second];
    // The third worker is another one of the first node.
    let mut magazines = [0, 1, 0].map(|pool: usize| Magazine::new(pools[pool]));
    let mut lent: Vec<Lent<'_>> = Vec::new();
    let mut refused = 0;
    for pair in script.chunks_exact(2) {
        let (operation, place) = (pair[0], usize::from(pair[1]));
        let worker = place % MAGAZINES;
        match operation % 8 {
            0..3 => refused += u64::from(!borrow(magazines[worker].take(), operation, &mut lent)),
            3 => refused += u64::from(!borrow(pools[place % 2].take(), operation, &mut lent)),
            4 | 5 => give_back(&mut lent, place).into_iter().for_each(|slot| magazines[worker].put(slot)),
            6 => drop(give_back(&mut lent, place)),
            _ => magazines[worker].flush(),
        }
        check(pools, &magazines, &lent);
    }
    assert_eq!(pools.iter().map(|pool| pool.stats().exhausted).sum::<u64>(), refused);
    while let Some(slot) = give_back(&mut lent, 0) {
        drop(slot);
    }
    drop(magazines);
    assert!(pools.iter().all(|pool| pool.stats().free == pool.slots()), "a slot was lost");
    refused == 0
}

/// Fills a slot that was just lent; `false` where there was none.
fn borrow<'p>(slot: Option<Slot<'p>>, byte: u8, lent: &mut Vec<Lent<'p>>) -> bool {
    let Some(mut slot) = slot else { return false };
    assert_eq!(slot.len(), SLOT_BYTES);
    slot.fill(byte);
    lent.push((slot, byte));
    true
}

/// Takes a slot from those who have one, and looks whether its bytes are theirs.
fn give_back<'p>(lent: &mut Vec<Lent<'p>>, which: usize) -> Option<Slot<'p>> {
    let place = which.checked_rem(lent.len())?;
    let (slot, byte) = lent.swap_remove(place);
    assert!(slot.iter().all(|found| *found == byte), "somebody else wrote into {slot:?}");
    Some(slot)
}

fn check(pools: [&Pool<'_>; 2], magazines: &[Magazine<'_>; MAGAZINES], lent: &[Lent<'_>]) {
    for (number, pool) in pools.into_iter().enumerate() {
        let of_it: Vec<_> = lent.iter().filter(|(slot, _)| std::ptr::eq(slot.pool(), pool)).collect();
        let distinct: BTreeSet<_> = of_it.iter().map(|(slot, _)| slot.index()).collect();
        assert!(distinct.len() == of_it.len() && distinct.iter().all(|index| *index < pool.slots()), "lent twice");
        let kept: usize = magazines.iter().zip([0, 1, 0]).filter(|(_, of)| *of == number).map(|(m, _)| m.len()).sum();
        assert_eq!(pool.stats().in_use() as usize, of_it.len() + kept, "of pool {number}");
    }
}
