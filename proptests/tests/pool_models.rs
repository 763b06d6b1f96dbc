//! The pool's stack under every interleaving of its threads, with at most three preemptions, and under every value that
//! relaxed atomics may give (loom). The models run the stack's own source over loom's atomics; and they run it over
//! atomics that make one mistake each, no tag or a weaker order. Those twins must fail, or the models would prove nothing.
//!
//! What loom cannot show is a load that is delayed beyond a later store. So nothing here fails if a take's swap does not
//! release; the stack says why it does.
#![allow(clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

use std::sync::atomic::{AtomicBool, Ordering as Std};

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use loom::thread;

/// The stack's source over a head of this type; its links are loom's.
macro_rules! stack_over {
    ($name:ident, $head:ty) => {
        #[path = "."]
        #[allow(clippy::duplicate_mod, reason = "the same source over other atomics is what the models are for")]
        mod $name {
            #[path = "../../core-nostd/src/pool/stack.rs"]
            mod stack;

            mod atomic {
                pub(super) type AtomicU64 = $head;
                pub(super) use loom::sync::atomic::{AtomicU32, Ordering};
            }

            impl super::Slots for stack::Stack<'static> {
                fn new(links: &'static [super::AtomicU32]) -> Self {
                    Self::new(links)
                }

                fn take(&self, out: &mut [u32]) -> usize {
                    self.take(out)
                }

                fn put(&self, indices: &[u32]) {
                    self.put(indices);
                }
            }

            pub type Stack = stack::Stack<'static>;
        }
    };
}

stack_over!(right, loom::sync::atomic::AtomicU64);
stack_over!(untagged, crate::Untagged);
stack_over!(relaxed_put, crate::RelaxedPut);
stack_over!(relaxed_take, crate::RelaxedTake);

/// What the models use of a stack.
trait Slots: Send + Sync + 'static {
    fn new(links: &'static [AtomicU32]) -> Self;
    fn take(&self, out: &mut [u32]) -> usize;
    fn put(&self, indices: &[u32]);
}

// --- the mistakes ---

/// A head without a tag: the same slot on top is the same head, whatever happened in between.
#[derive(Debug)]
struct Untagged(AtomicU64);

impl Untagged {
    fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }

    fn compare_exchange_weak(&self, old: u64, new: u64, success: Ordering, failure: Ordering) -> Result<u64, u64> {
        self.0.compare_exchange_weak(old, new & u64::from(u32::MAX), success, failure)
    }
}

/// A put that does not release what its caller wrote.
#[derive(Debug)]
struct RelaxedPut(AtomicU64);

impl RelaxedPut {
    fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }

    fn compare_exchange_weak(&self, old: u64, new: u64, success: Ordering, failure: Ordering) -> Result<u64, u64> {
        let weaker = if success == Ordering::Release { Ordering::Relaxed } else { success };
        self.0.compare_exchange_weak(old, new, weaker, failure)
    }
}

/// A take that does not acquire what the last owner wrote.
#[derive(Debug)]
struct RelaxedTake(AtomicU64);

impl RelaxedTake {
    fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    fn load(&self, _: Ordering) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn compare_exchange_weak(&self, old: u64, new: u64, _: Ordering, _: Ordering) -> Result<u64, u64> {
        self.0.compare_exchange_weak(old, new, Ordering::Release, Ordering::Relaxed)
    }
}

// --- the models ---

/// A stack, and for each of its slots a cell that stands for the buffer, and whether it is lent.
struct Model<S> {
    stack: S,
    buffers: Vec<UnsafeCell<()>>,
    lent: Vec<AtomicBool>,
}

impl<S: Slots> Model<S> {
    fn new(slots: usize) -> Arc<Self> {
        let links: Vec<_> = (0..slots).map(|_| AtomicU32::new(0)).collect();
        Arc::new(Self {
            stack: S::new(Vec::leak(links)),
            buffers: (0..slots).map(|_| UnsafeCell::new(())).collect(),
            lent: (0..slots).map(|_| AtomicBool::new(false)).collect(),
        })
    }

    /// Takes up to `most` slots.
    fn take(&self, most: usize) -> Vec<u32> {
        let mut slots = vec![0; most];
        let count = self.stack.take(&mut slots);
        slots.truncate(count);
        for slot in &slots {
            assert!(!self.lent[*slot as usize].swap(true, Std::Relaxed), "slot {slot} was lent twice");
            self.write(*slot);
        }
        slots
    }

    /// Writes the buffer of a slot: loom complains where somebody else may have it, or has written it unseen.
    fn write(&self, slot: u32) {
        self.buffers[slot as usize].with_mut(|_| ());
    }

    fn put(&self, slots: &[u32]) {
        for slot in slots {
            self.write(*slot);
            self.lent[*slot as usize].store(false, Std::Relaxed);
        }
        self.stack.put(slots);
    }

    /// Every slot is back, and there once.
    fn check_all_back(&self) {
        let mut back = self.take(self.lent.len() + 1);
        back.sort_unstable();
        assert_eq!(back, (0..self.lent.len() as u32).collect::<Vec<_>>());
    }
}

fn explore<S: Slots>(slots: usize, workers: &'static [fn(&Model<S>)]) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let model = Model::<S>::new(slots);
        let (last, others) = workers.split_last().expect("a model has workers");
        let others: Vec<_> = others
            .iter()
            .map(|work| {
                let model = Arc::clone(&model);
                thread::spawn(move || work(&model))
            })
            .collect();
        last(&model);
        others.into_iter().for_each(|other| other.join().expect("a worker's panic ends the model"));
        model.check_all_back();
    });
}

/// Takes two slots one after the other, and puts them back one by one.
fn singly<S: Slots>(model: &Model<S>) {
    let first = model.take(1);
    let second = model.take(1);
    model.put(&first);
    model.put(&second);
}

/// Takes a chain, puts its top back, and keeps the other for a while: what an ABA needs.
fn by_chains<S: Slots>(model: &Model<S>) {
    let chain = model.take(2);
    let (top, rest) = chain.split_at(chain.len().min(1));
    model.put(top);
    model.put(rest);
}

/// Takes and puts one.
fn once<S: Slots>(model: &Model<S>) {
    let slot = model.take(1);
    model.put(&slot);
}

/// Takes all there is, and puts it back in one.
fn whole<S: Slots>(model: &Model<S>) {
    let chain = model.take(3);
    model.put(&chain);
}

fn two_workers<S: Slots>() {
    explore::<S>(3, &[singly, by_chains]);
}

fn three_workers<S: Slots>() {
    explore::<S>(2, &[once, whole, once]);
}

#[test]
fn no_slot_is_lent_twice_and_none_is_lost_between_two_workers() {
    two_workers::<right::Stack>();
}

#[test]
fn no_slot_is_lent_twice_and_none_is_lost_among_three_workers() {
    three_workers::<right::Stack>();
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent write")]
fn without_the_tag_two_owners_write_one_buffer() {
    two_workers::<untagged::Stack>();
}

#[test]
#[should_panic(expected = "Causality violation")]
fn where_a_put_does_not_release_buffers_are_seen_too_early() {
    two_workers::<relaxed_put::Stack>();
}

#[test]
#[should_panic(expected = "Causality violation")]
fn where_a_take_does_not_acquire_buffers_are_seen_too_early() {
    two_workers::<relaxed_take::Stack>();
}
