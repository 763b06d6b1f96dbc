//! XDP-4, XDP-6, XDP-10: the rings against a queue of the standard library, and frames against a kernel that breaks every
//! rule: completions that never come, addresses that it was not lent, indices that run backwards.
#![cfg(target_os = "linux")]
#![allow(clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;
use wirehaul::xdp::UmemSize;
use wirehaul::xdp::paired::{self, KernelEnd};
use wirehaul_core::xsk::ring::{Consumer, Entry, NoRing, Producer, RingMemory};
use wirehaul_core::xsk::{Descriptor, Frame, Frames, Queue};

/// Indices just below the end of their range, so that every run wraps; and any.
fn start() -> impl Strategy<Value = u32> {
    prop_oneof![(0_u32..20).prop_map(|below| u32::MAX - below), any::<u32>(), Just(0)]
}

fn entry(number: u64) -> Descriptor {
    Descriptor { address: number, len: number as u32 ^ 0x5555, options: (number >> 32) as u32 }
}

struct Ring {
    producer: AtomicU32,
    consumer: AtomicU32,
    flags: AtomicU32,
    words: Vec<AtomicU64>,
}

impl Ring {
    fn new(entries: usize, start: u32) -> Self {
        let words = (0..entries * Descriptor::WORDS).map(|_| AtomicU64::new(0)).collect();
        Self { producer: AtomicU32::new(start), consumer: AtomicU32::new(start), flags: AtomicU32::new(0), words }
    }

    fn memory(&self) -> RingMemory<'_> {
        let Self { producer, consumer, flags, words } = self;
        RingMemory { producer, consumer, flags, words }
    }
}

proptest! {
    /// What goes in comes out, once, in order, and never more than the ring holds; from any index, over any wrap.
    #[test]
    fn a_ring_is_a_bounded_queue(bits in 0_u32..5, start in start(), script in vec(0_u8..8, 1..400)) {
        let size = 1_usize << bits;
        let ring = Ring::new(size, start);
        let mut producer = Producer::<Descriptor>::new(ring.memory()).expect("a ring");
        let mut consumer = Consumer::<Descriptor>::new(ring.memory()).expect("a ring");
        // Put in but not shown, shown but not taken out, taken out but not given back.
        let (mut hidden, mut shown, mut taken) = (VecDeque::new(), VecDeque::new(), 0);
        let mut number = 0x7fff_ffff_u64;
        for step in script {
            match step {
                0..3 => {
                    let has_room = hidden.len() + shown.len() + taken < size;
                    prop_assert_eq!(producer.push(entry(number)), has_room);
                    if has_room {
                        hidden.push_back(number);
                        number += 0x1_0000_0003;
                    }
                }
                3 => {
                    prop_assert_eq!(producer.publish() as usize, hidden.len());
                    shown.append(&mut hidden);
                }
                4..7 => {
                    let expected: Option<u64> = shown.pop_front();
                    prop_assert_eq!(consumer.pop(), expected.map(entry));
                    taken += usize::from(expected.is_some());
                }
                _ => {
                    prop_assert_eq!(consumer.release() as usize, taken);
                    taken = 0;
                }
            }
            let waiting = consumer.waiting() as usize;
            // It looks at the other end's index only where it knows of none.
            prop_assert!(waiting <= shown.len());
            prop_assert_eq!(waiting == 0, shown.is_empty());
            prop_assert_eq!(producer.outstanding() as usize, hidden.len() + shown.len() + taken);
            prop_assert_eq!(producer.is_drained(), shown.is_empty() && taken == 0);
        }
        prop_assert_eq!((producer.nonsense(), consumer.nonsense()), (0, 0));
    }

    /// Whatever the other end writes into its index: no entry comes out that was not there, and it is counted.
    #[test]
    fn indices_of_the_other_end_are_not_believed(start in start(), claims in vec(any::<u32>(), 1..20)) {
        let ring = Ring::new(8, start);
        let mut consumer = Consumer::<Descriptor>::new(ring.memory()).expect("a ring");
        for claim in &claims {
            ring.producer.store(*claim, Ordering::Release);
            for _ in 0..20 {
                if consumer.pop().is_none() {
                    break;
                }
            }
            prop_assert!(consumer.waiting() <= 8);
        }
        let ring = Ring::new(8, start);
        let mut producer = Producer::<Descriptor>::new(ring.memory()).expect("a ring");
        for claim in claims {
            ring.consumer.store(claim, Ordering::Release);
            prop_assert!(producer.free(8) <= 8);
            producer.push(entry(1));
            producer.publish();
        }
    }
}

#[test]
fn memory_that_is_no_ring_is_refused() {
    let three = Ring::new(3, 0);
    assert_eq!(Producer::<Descriptor>::new(three.memory()).err(), Some(NoRing::Size));
    let none = Ring::new(0, 0);
    assert_eq!(Consumer::<Descriptor>::new(none.memory()).err(), Some(NoRing::Size));
    let ahead = Ring::new(4, 7);
    ahead.producer.store(12, Ordering::Relaxed);
    assert_eq!(Consumer::<Descriptor>::new(ahead.memory()).err(), Some(NoRing::Indices));
    assert_eq!(Producer::<Descriptor>::new(ahead.memory()).err(), Some(NoRing::Indices));
}

const SIZE: UmemSize = UmemSize { chunk_bytes: 2048, receive_frames: 24, transmit_frames: 12, chunks_per_transmit: 2 };
const FRAMES: u32 = SIZE.receive_frames + SIZE.transmit_frames;
const ENTRIES: u32 = 16;

/// One step of either end.
#[derive(Clone, Copy, Debug)]
enum Step {
    Refill,
    Deliver(u16),
    Receive,
    Take(u16),
    Transmit,
    Publish,
    Send,
    Complete(u8),
    Reap,
    Drop,
    Recycle,
    LoseFilled,
    LoseCompletion,
    ClaimReceived(u64, u32, u32),
    ClaimCompleted(u64),
    ClaimIndex(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let address = prop_oneof![0_u64..(60 * 2048), any::<u64>()];
    prop_oneof![
        3 => Just(Step::Refill),
        6 => (0_u16..=1792).prop_map(Step::Deliver),
        6 => Just(Step::Receive),
        4 => (1_u16..4096).prop_map(Step::Take),
        5 => Just(Step::Transmit),
        4 => Just(Step::Publish),
        5 => Just(Step::Send),
        4 => any::<u8>().prop_map(Step::Complete),
        4 => Just(Step::Reap),
        2 => Just(Step::Drop),
        3 => Just(Step::Recycle),
        1 => Just(Step::LoseFilled),
        1 => Just(Step::LoseCompletion),
        1 => (address.clone(), 0_u32..5000, 0_u32..4).prop_map(|(a, len, options)| Step::ClaimReceived(a, len, options)),
        1 => address.prop_map(Step::ClaimCompleted),
        1 => any::<u32>().prop_map(Step::ClaimIndex),
    ]
}

/// This end's hands, and what has to come out of the rings.
struct Play<'m, 'p> {
    frames: Frames<'m, 'p>,
    queue: Queue<'m>,
    kernel: KernelEnd<'m>,
    held: Vec<Frame<'p>>,
    number: u8,
    /// Packets in the transmit ring, shown and not.
    to_send: VecDeque<Vec<u8>>,
    shown: usize,
    /// Packets on their way in; `None` once the kernel has lied about one.
    arriving: Option<VecDeque<Vec<u8>>>,
    has_lied_of_completions: bool,
}

impl Play<'_, '_> {
    fn step(&mut self, step: Step) {
        match step {
            Step::Refill => drop(self.queue.refill(&mut self.frames)),
            Step::Deliver(len) => {
                let packet = self.packet(usize::from(len));
                if self.kernel.deliver(&packet)
                    && let Some(arriving) = &mut self.arriving
                {
                    arriving.push_back(packet);
                }
            }
            Step::Receive => self.receive(),
            Step::Take(len) => {
                let Some(mut slot) = self.frames.take() else { return };
                let packet = self.packet(usize::from(len));
                let begin = slot.len() - packet.len();
                slot[begin..].copy_from_slice(&packet);
                self.held.push(Frame::new(slot, begin, packet.len()).expect("it fits"));
            }
            Step::Transmit => self.transmit(),
            Step::Publish => {
                self.queue.publish();
                self.shown = self.to_send.len();
            }
            Step::Send => {
                let sent = self.kernel.send();
                assert_eq!(sent.is_some(), self.shown > 0);
                if let Some(sent) = sent {
                    let expected = self.to_send.pop_front();
                    // A frame that it said to be done with, or to have filled, is somebody else's by now.
                    assert!(self.has_lied_of_completions || self.arriving.is_none() || Some(sent) == expected);
                    self.shown -= 1;
                }
            }
            Step::Complete(limit) => drop(self.kernel.complete(usize::from(limit % 8))),
            Step::Reap => drop(self.queue.reap(&mut self.frames, 4)),
            Step::Drop => {
                if let Some(frame) = self.held.pop() {
                    self.frames.put(frame.into_slot());
                }
            }
            Step::Recycle => {
                if let Some(frame) = self.held.pop() {
                    self.queue.recycle(&mut self.frames, frame);
                    self.queue.release();
                }
            }
            Step::LoseFilled => drop(self.kernel.lose_filled()),
            Step::LoseCompletion => drop(self.kernel.lose_completion()),
            Step::ClaimReceived(address, len, options) => {
                if self.kernel.claim_received(Descriptor { address, len, options }) {
                    self.arriving = None;
                }
            }
            Step::ClaimCompleted(address) => self.has_lied_of_completions |= self.kernel.claim_completed(address),
            Step::ClaimIndex(index) => {
                self.kernel.claim_received_index(index);
                self.arriving = None;
            }
        }
    }

    fn receive(&mut self) {
        let Some((frame, is_continued)) = self.queue.next_received(&mut self.frames) else {
            assert!(self.arriving.as_ref().is_none_or(VecDeque::is_empty), "a packet is stuck");
            return;
        };
        if let Some(arriving) = &mut self.arriving {
            assert!(!is_continued);
            assert_eq!(Some(frame.bytes()), arriving.pop_front().as_deref());
        }
        self.queue.release();
        self.held.push(frame);
    }

    /// Sends what is held: a packet of our own, or one that came in (forwarding).
    fn transmit(&mut self) {
        let Some(frame) = self.held.pop() else { return };
        let packet = frame.bytes().to_vec();
        match self.queue.transmit(&mut self.frames, frame) {
            Ok(()) => self.to_send.push_back(packet),
            Err(frame) => self.held.push(frame),
        }
    }

    fn packet(&mut self, len: usize) -> Vec<u8> {
        self.number = self.number.wrapping_add(1);
        (0..len).map(|at| (at as u8).wrapping_mul(31) ^ self.number).collect()
    }

    /// free + fill + rx + tx + completion + held = N, after every step.
    fn check(&self) {
        let found = self.frames.whereabouts();
        assert_eq!(found.frames, FRAMES);
        assert_eq!(found.held() as usize, self.held.len(), "{found:?}");
        assert_eq!(found.free + found.filled + found.sent + found.held(), FRAMES);
    }
}

fn play(start: u32, steps: &[Step]) {
    let done = paired::with(SIZE, ENTRIES, start, |frames, mut queue, kernel| {
        queue.set_share(ENTRIES);
        let mut play = Play {
            frames,
            queue,
            kernel,
            held: Vec::new(),
            number: 0,
            to_send: VecDeque::new(),
            shown: 0,
            arriving: Some(VecDeque::new()),
            has_lied_of_completions: false,
        };
        for step in steps {
            play.step(*step);
            play.check();
        }
    });
    assert!(done.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// No frame is lost, none has two owners, and packets come out as they went in, whatever the kernel's end does.
    #[test]
    fn frames_are_conserved_whatever_the_kernel_does(start in start(), steps in vec(step(), 1..300)) {
        play(start, &steps);
    }
}

/// A kernel that claims a completion is told from one that gives one, and a frame comes back once.
#[test]
fn wild_addresses_are_counted_and_change_nothing() {
    paired::with(SIZE, ENTRIES, u32::MAX - 3, |mut frames, mut queue, mut kernel| {
        queue.set_share(ENTRIES);
        assert_eq!(queue.refill(&mut frames), ENTRIES);
        let before = frames.whereabouts();
        for address in [0, 2048 * 23 + 5, 2048 * 24, u64::MAX] {
            assert!(kernel.claim_completed(address));
        }
        assert_eq!(queue.reap(&mut frames, 10), 0);
        assert_eq!((frames.wild(), frames.whereabouts()), (4, before));
        // A chunk that waits in the fill ring is ours to be told of, but a packet beyond its end is none.
        assert!(kernel.deliver(b"good"));
        assert!(kernel.claim_received(Descriptor { address: 2047, len: 2, options: 0 }));
        let (frame, _) = queue.next_received(&mut frames).expect("a packet");
        assert_eq!(frame.bytes(), b"good");
        assert!(queue.next_received(&mut frames).is_none());
        assert_eq!(frames.wild(), 5);
        frames.put(frame.into_slot());
    })
    .expect("memory");
}

/// Frames of one UMEM do not go into the rings of another: an address means something else there.
#[test]
fn a_queue_takes_only_frames_of_its_own_memory() {
    paired::with(SIZE, ENTRIES, 0, |mut frames, mut queue, _| {
        paired::with(SIZE, ENTRIES, 0, |_, _, _| ()).expect("memory");
        let slot = frames.take().expect("a frame");
        let frame = Frame::new(slot, 0, 10).expect("it fits");
        assert!(queue.transmit(&mut frames, frame).is_ok());
    })
    .expect("memory");
}

/// A batch that is left half-way gives back what was used, and keeps the rest for the next one.
#[test]
fn a_batch_gives_back_its_places_when_it_is_left() {
    paired::with(SIZE, ENTRIES, u32::MAX, |mut frames, mut queue, mut kernel| {
        queue.set_share(ENTRIES);
        queue.refill(&mut frames);
        for number in 0..ENTRIES as u8 {
            assert!(kernel.deliver(&[number]));
        }
        assert!(!kernel.deliver(b"the ring is full"));
        let mut incoming = queue.incoming(&mut frames);
        for number in 0..4_u8 {
            let (frame, _) = incoming.take().expect("a packet");
            assert_eq!(frame.bytes(), [number]);
            incoming.recycle(frame);
        }
        drop(incoming);
        assert_eq!(frames.whereabouts().filled, ENTRIES);
        assert!(kernel.deliver(b"there is room again"));
        assert_eq!(queue.incoming(&mut frames).take().map(|(frame, _)| frame.bytes().to_vec()), Some(vec![4]));
    })
    .expect("memory");
}
