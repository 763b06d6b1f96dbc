//! XDP-4: a frame's way round through two rings, from kernel to process and back, under every interleaving with at most three
//! preemptions, and under every value that relaxed atomics may give (loom). The models run the rings' own source over loom's
//! atomics, with indices that wrap on the way. Their twins make one mistake each, and must fail: an index that does not
//! release what was done before, and one that does not acquire it.
#![allow(clippy::expect_used, dead_code, reason = "a test that meets the unexpected should stop there")]

use std::marker::PhantomData;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use loom::thread;

/// The rings' source over indices of this type; their words are loom's.
macro_rules! rings_over {
    ($name:ident, $index:ty) => {
        #[path = "."]
        #[allow(clippy::duplicate_mod, reason = "the same source over other atomics is what the models are for")]
        mod $name {
            #[path = "../../core-nostd/src/xsk/ring.rs"]
            pub mod ring;

            mod atomic {
                pub(super) type AtomicU32 = $index;
                pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
            }

            use ring::{Consumer, Entry, Producer, RingMemory};

            /// A frame's number.
            #[derive(Clone, Copy)]
            struct Number(u64);

            impl Entry for Number {
                const WORDS: usize = 1;

                fn store(self, place: &[super::AtomicU64]) {
                    place[0].store(self.0, super::Ordering::Relaxed);
                }

                fn load(place: &[super::AtomicU64]) -> Option<Self> {
                    Some(Self(place.first()?.load(super::Ordering::Relaxed)))
                }
            }

            pub struct Store {
                producer: $index,
                consumer: $index,
                flags: $index,
                words: Vec<super::AtomicU64>,
            }

            impl Store {
                fn memory(&self) -> RingMemory<'_> {
                    let Self { producer, consumer, flags, words } = self;
                    RingMemory { producer, consumer, flags, words }
                }
            }

            pub struct Rings;

            impl super::Rings for Rings {
                type Store = Store;

                fn store(size: usize, start: u32) -> Store {
                    let index = || <$index>::new(start);
                    let words = (0..size).map(|_| super::AtomicU64::new(0)).collect();
                    Store { producer: index(), consumer: index(), flags: <$index>::new(0), words }
                }

                fn pass(from: &Store, to: &Store, first: &[u64], count: usize, mut hold: impl FnMut(u64)) {
                    let mut consumer = Consumer::<Number>::new(from.memory()).expect("a ring");
                    let mut producer = Producer::<Number>::new(to.memory()).expect("a ring");
                    for frame in first {
                        hold(*frame);
                        assert!(producer.push(Number(*frame)));
                        producer.publish();
                    }
                    for _ in 0..count {
                        let Number(frame) = loop {
                            match consumer.pop() {
                                Some(frame) => break frame,
                                None => super::thread::yield_now(),
                            }
                        };
                        hold(frame);
                        consumer.release();
                        // There are no more frames than places.
                        assert!(producer.push(Number(frame)));
                        producer.publish();
                    }
                }
            }
        }
    };
}

rings_over!(right, loom::sync::atomic::AtomicU32);
rings_over!(relaxed_store, crate::RelaxedStore);
rings_over!(relaxed_load, crate::RelaxedLoad);

/// What the models use of rings.
trait Rings: 'static {
    type Store: Send + Sync;

    /// An empty ring whose indices begin at `start`.
    fn store(size: usize, start: u32) -> Self::Store;

    /// Puts `first` into a ring, and then passes `count` frames on from the other into it; holds each in between.
    fn pass(from: &Self::Store, to: &Self::Store, first: &[u64], count: usize, hold: impl FnMut(u64));
}

/// An index whose stores do not release.
#[derive(Debug)]
struct RelaxedStore(AtomicU32);

impl RelaxedStore {
    fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    fn load(&self, order: Ordering) -> u32 {
        self.0.load(order)
    }

    fn store(&self, value: u32, _: Ordering) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// An index whose loads do not acquire.
#[derive(Debug)]
struct RelaxedLoad(AtomicU32);

impl RelaxedLoad {
    fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    fn load(&self, _: Ordering) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn store(&self, value: u32, order: Ordering) {
        self.0.store(value, order);
    }
}

/// Two rings, and a cell for each frame that stands for its bytes.
struct Model<R: Rings> {
    fill: R::Store,
    receive: R::Store,
    frames: Vec<UnsafeCell<()>>,
    rings: PhantomData<fn() -> R>,
}

impl<R: Rings> Model<R> {
    /// Whoever has a frame writes it: loom complains where the other end may have it, or has written it unseen.
    fn hold(&self, frame: u64) {
        let frame = usize::try_from(frame).ok().and_then(|frame| self.frames.get(frame));
        frame.expect("a frame that is one").with_mut(|_| ());
    }
}

/// So many frames go round so often.
fn explore<R: Rings>(size: usize, frames: usize, rounds: usize) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let model = Arc::new(Model::<R> {
            fill: R::store(size, u32::MAX),
            receive: R::store(size, u32::MAX - 1),
            frames: (0..frames).map(|_| UnsafeCell::new(())).collect(),
            rings: PhantomData,
        });
        let kernel = {
            let model = Arc::clone(&model);
            thread::spawn(move || R::pass(&model.fill, &model.receive, &[], frames * rounds, |frame| model.hold(frame)))
        };
        let all: Vec<u64> = (0..frames as u64).collect();
        R::pass(&model.receive, &model.fill, &all, frames * (rounds - 1), |frame| model.hold(frame));
        kernel.join().expect("the kernel's panic ends the model");
    });
}

#[test]
fn one_frame_goes_round_and_each_end_sees_what_the_other_wrote() {
    explore::<right::Rings>(1, 1, 3);
}

#[test]
fn two_frames_go_round_while_the_indices_wrap() {
    explore::<right::Rings>(2, 2, 2);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn where_an_index_is_not_released_frames_are_seen_too_early() {
    explore::<relaxed_store::Rings>(1, 1, 2);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn where_an_index_is_not_acquired_frames_are_seen_too_early() {
    explore::<relaxed_load::Rings>(1, 1, 2);
}
