use core::sync::atomic::AtomicU32;

use super::stack::after;
use super::*;

const SLOT: usize = 16;

fn links<const N: usize>() -> [AtomicU32; N] {
    [const { AtomicU32::new(0) }; N]
}

#[test]
fn what_does_not_fit_together_is_no_pool() {
    let mut memory = [0; 100];
    let mut links = links::<4>();
    let mut refusal = |bytes: usize, slot| Pool::new(&mut memory[..bytes], slot, &mut links).err();
    assert_eq!(refusal(15, 16), Some(PoolError::NoSlots));
    assert_eq!(refusal(100, 0), Some(PoolError::NoSlots));
    assert_eq!(refusal(0, 1), Some(PoolError::NoSlots));
    assert_eq!(refusal(100, 20), Some(PoolError::TooFewLinks));
    assert_eq!(refusal(99, 20), None);
}

#[test]
fn every_slot_is_lent_once_and_keeps_what_its_owner_writes() {
    let (mut memory, mut links) = ([0; 6 * SLOT + 3], links::<6>());
    let pool = Pool::new(&mut memory, SLOT, &mut links).unwrap();
    let mut slots: [Option<Slot<'_>>; 6] = core::array::from_fn(|_| pool.take());
    for slot in slots.iter_mut().flatten() {
        let index = slot.index() as u8;
        assert_eq!(slot.len(), SLOT);
        slot.fill(index + 1);
    }
    assert!(pool.take().is_none());
    for (at, slot) in slots.iter().flatten().enumerate() {
        assert_eq!((slot.index() as usize, &slot[..]), (at, &[at as u8 + 1; SLOT][..]));
    }
    slots[3] = None;
    let again = pool.take().unwrap();
    assert_eq!((again.index(), again[0]), (3, 4), "the last one that came back, as it was left");
    drop(slots);
    let stats = pool.stats();
    assert_eq!((stats.free, stats.in_use(), stats.peak_in_use(), stats.exhausted), (5, 1, 6, 1));
    drop(again);
    assert_eq!(pool.stats(), PoolStats { slots: 6, slot_bytes: SLOT, free: 6, lowest_free: 0, exhausted: 1 });
}

#[test]
fn slots_are_as_aligned_as_the_memory_and_their_length_are() {
    #[repr(align(4096))]
    struct Pages([u8; 3 * 4096]);
    let (mut pages, mut links) = (Pages([0; 3 * 4096]), links::<3>());
    let pool = Pool::new(&mut pages.0, 4096, &mut links).unwrap();
    while let Some(slot) = pool.take() {
        assert_eq!(slot.as_ptr().align_offset(4096), 0);
        core::mem::forget(slot);
    }
    assert_eq!(pool.stats().in_use(), 3, "what is forgotten is told");
}

#[test]
fn a_magazine_fills_and_empties_by_halves() {
    let (mut memory, mut links) = ([0; 1024], links::<1024>());
    let pool = Pool::new(&mut memory, 1, &mut links).unwrap();
    let mut magazine = Magazine::new(&pool);
    assert_eq!((magazine.capacity(), magazine.len()), (64, 0));
    let first = magazine.take().unwrap();
    assert_eq!((first.index(), magazine.len(), pool.stats().free), (0, 31, 1024 - 32));
    assert_eq!(magazine.take().map(|slot| slot.index()), Some(1), "in the order of the stack");
    let mut lent: heapless::Vec<_, 128> = (0..80).filter_map(|_| magazine.take()).collect();
    assert_eq!(lent.len(), 80);
    let mut most = 0;
    while let Some(slot) = lent.pop() {
        magazine.put(slot);
        most = most.max(magazine.len());
    }
    assert_eq!(most, 64);
    magazine.put(first);
    assert_eq!(magazine.take().map(|slot| slot.index()), Some(0), "the one that was put last");
    magazine.flush();
    assert!(magazine.is_empty());
    assert_eq!(pool.stats().free, 1024);
}

#[test]
fn a_magazine_that_is_dropped_gives_everything_back() {
    let (mut memory, mut links) = ([0; 256], links::<256>());
    let pool = Pool::new(&mut memory, 1, &mut links).unwrap();
    let mut magazine = Magazine::new(&pool);
    let slot = magazine.take();
    assert_eq!((pool.stats().in_use() as usize, magazine.capacity()), (16, 32));
    drop(magazine);
    assert_eq!(pool.stats().in_use(), 1);
    drop(slot);
    assert_eq!((pool.stats().in_use(), pool.stats().peak_in_use()), (0, 16));
}

#[test]
fn a_magazine_keeps_as_many_as_it_is_told_to() {
    let (mut memory, mut links) = ([0; 64], links::<64>());
    let pool = Pool::new(&mut memory, 1, &mut links).unwrap();
    let capacities = [0, 1, 9, 64, 65].map(|capacity| Magazine::with_capacity(&pool, capacity).capacity());
    assert_eq!(capacities, [1, 1, 9, 64, 64]);
    let mut magazine = Magazine::with_capacity(&pool, 9);
    let slot = magazine.take();
    assert_eq!((slot.is_some(), magazine.len()), (true, 4));
}

#[test]
fn in_a_small_pool_a_magazine_leaves_most_to_others() {
    let (mut memory, mut links) = ([0; 10], links::<10>());
    let pool = Pool::new(&mut memory, 1, &mut links).unwrap();
    let (mut one, mut other) = (Magazine::new(&pool), Magazine::new(&pool));
    let (mut ones, mut others) = (heapless::Vec::<_, 10>::new(), heapless::Vec::<_, 10>::new());
    for _ in 0..5 {
        ones.push(one.take().unwrap()).unwrap();
        others.push(other.take().unwrap()).unwrap();
    }
    assert!(one.take().is_none() && other.take().is_none());
    assert_eq!(pool.stats().exhausted, 2);
    ones.into_iter().for_each(|slot| one.put(slot));
    assert_eq!((one.capacity(), one.len(), pool.stats().free), (1, 1, 4));
    assert!(other.take().is_some());
}

#[test]
fn a_slot_of_another_pool_goes_home() {
    let (mut near, mut far) = (([0; 64], links::<64>()), ([0; 64], links::<64>()));
    let near = Pool::new(&mut near.0, 1, &mut near.1).unwrap();
    let far = Pool::new(&mut far.0, 1, &mut far.1).unwrap();
    let mut magazine = Magazine::new(&near);
    magazine.put(far.take().unwrap());
    assert_eq!((magazine.len(), far.stats().in_use(), near.stats().in_use()), (0, 0, 0));
}

#[test]
fn what_is_printed_tells_which_slot_and_not_what_is_in_it() {
    let (mut memory, mut links) = ([b'x'; 8], links::<1>());
    let pool = Pool::new(&mut memory, 8, &mut links).unwrap();
    let mut text = heapless::String::<200>::new();
    fmt::write(&mut text, format_args!("{:?} {pool:?}", pool.take().unwrap())).unwrap();
    assert_eq!(
        text,
        "Slot { index: 0, bytes: 8 } \
         PoolStats { slots: 1, slot_bytes: 8, free: 0, lowest_free: 0, exhausted: 0 }"
    );
}

#[test]
fn chains_come_off_in_order_and_go_back_on_top() {
    let links = links::<5>();
    let stack = Stack::new(&links);
    let mut out = [0; 3];
    assert_eq!((stack.take(&mut out), out), (3, [0, 1, 2]));
    stack.put(&[2, 0]);
    let mut rest = [9; 8];
    assert_eq!((stack.take(&mut rest), rest), (4, [2, 0, 3, 4, 9, 9, 9, 9]));
    assert_eq!(stack.take(&mut rest), 0);
    stack.put(&[]);
    assert_eq!((stack.take(&mut rest), stack.take(&mut [])), (0, 0));
    stack.put(&[4]);
    assert_eq!((stack.take(&mut rest), rest[0]), (1, 4));
    assert_eq!(Stack::new(&[]).take(&mut rest), 0);
}

#[test]
fn the_tag_begins_anew_and_leaves_the_index_alone() {
    assert_eq!(after(7 << 32 | 1, 3), 8 << 32 | 3);
    assert_eq!(after(u64::MAX, 3), 3);
    assert_eq!(after(5, u32::MAX), 1 << 32 | u64::from(u32::MAX));
}
