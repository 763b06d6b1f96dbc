//! Rings without a socket: the kernel's end is played by the caller, over the same memory. For tests, which have the kernel
//! do what no kernel should, and for benches, which measure this end alone.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64};

use wirehaul_core::pool::Pool;
use wirehaul_core::xsk::ring::{Consumer, Producer, RingMemory};
use wirehaul_core::xsk::{CONTINUED, Descriptor, Frames, Loan, Queue, QueueMemory};

use super::umem::UmemSize;
use crate::numa::memory::Memory;

/// Bytes in front of a packet that the kernel puts into a chunk (XDP_PACKET_HEADROOM).
pub const KERNEL_HEADROOM: u64 = 256;
/// The number of the one UMEM.
const UMEM: u32 = 1;

/// Memory of a ring.
struct RingStore {
    producer: AtomicU32,
    consumer: AtomicU32,
    flags: AtomicU32,
    words: Vec<AtomicU64>,
}

impl RingStore {
    fn new(words: u32, start: u32) -> Self {
        Self {
            producer: AtomicU32::new(start),
            consumer: AtomicU32::new(start),
            flags: AtomicU32::new(0),
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn memory(&self) -> RingMemory<'_> {
        let Self { producer, consumer, flags, words } = self;
        RingMemory { producer, consumer, flags, words }
    }
}

/// Runs `run` with the frames of a UMEM, a queue of `entries` per ring whose indices begin at `start`, and the kernel's end
/// of it. `None` where sizes do not fit together or there is no memory.
pub fn with<R>(
    size: UmemSize,
    entries: u32,
    start: u32,
    run: impl FnOnce(Frames<'_, '_>, Queue<'_>, KernelEnd<'_>) -> R,
) -> Option<R> {
    with_on_node(size, entries, start, None, run)
}

/// The same with frames on this NUMA node; `None` also where they cannot all be had there.
pub fn with_on_node<R>(
    size: UmemSize,
    entries: u32,
    start: u32,
    node: Option<u32>,
    run: impl FnOnce(Frames<'_, '_>, Queue<'_>, KernelEnd<'_>) -> R,
) -> Option<R> {
    let memory = Memory::new(size.bytes(), node).ok().filter(|memory| memory.node() == node)?;
    // SAFETY: the mapping is this long, zeroed, and ours until the end of this function. The kernel's end, which knows its
    // address too, touches only what was lent to it through the rings, as the kernel does.
    let bytes = unsafe { std::slice::from_raw_parts_mut(memory.start().as_ptr(), size.bytes()) };
    let chunk_bytes = size.chunk_bytes as usize;
    let (receive, transmit) = bytes.split_at_mut(size.receive_frames as usize * chunk_bytes);
    let links = |frames: u32| (0..frames).map(|_| AtomicU32::new(0)).collect::<Vec<_>>();
    let (mut receive_links, mut transmit_links) = (links(size.receive_frames), links(size.transmit_frames));
    let receive = Pool::new(receive, chunk_bytes, &mut receive_links).ok()?;
    let transmit = Pool::new(transmit, chunk_bytes * size.chunks_per_transmit as usize, &mut transmit_links).ok()?;
    let chunks = size.bytes() / chunk_bytes;
    let ledger = || (0..chunks).map(|_| None).collect::<Vec<Loan<'_>>>();
    let (mut filled, mut sent) = (ledger(), ledger());
    let frames = Frames::new(UMEM, &receive, &transmit, &mut filled, &mut sent).ok()?;
    let [fill, received, to_send, completion] =
        [entries, 2 * entries, 2 * entries, entries].map(|words| RingStore::new(words, start));
    let queue = QueueMemory {
        fill: fill.memory(),
        receive: received.memory(),
        transmit: to_send.memory(),
        completion: completion.memory(),
    };
    let kernel = KernelEnd::new(&memory, chunk_bytes as u64, queue)?;
    Some(run(frames, Queue::new(UMEM, queue).ok()?, kernel))
}

/// The kernel's end of the rings.
pub struct KernelEnd<'m> {
    memory: &'m Memory,
    chunk_bytes: u64,
    fill: Consumer<'m, u64>,
    received: Producer<'m, Descriptor>,
    transmit: Consumer<'m, Descriptor>,
    completion: Producer<'m, u64>,
    rings: QueueMemory<'m>,
    /// Chunks that were lent for packets to come, and have none yet.
    empty: VecDeque<u64>,
    /// Chunks that were sent and not yet given back.
    sent: VecDeque<u64>,
}

impl<'m> KernelEnd<'m> {
    fn new(memory: &'m Memory, chunk_bytes: u64, rings: QueueMemory<'m>) -> Option<Self> {
        Some(Self {
            memory,
            chunk_bytes,
            fill: Consumer::new(rings.fill).ok()?,
            received: Producer::new(rings.receive).ok()?,
            transmit: Consumer::new(rings.transmit).ok()?,
            completion: Producer::new(rings.completion).ok()?,
            rings,
            empty: VecDeque::new(),
            sent: VecDeque::new(),
        })
    }

    /// Takes over what is in the fill ring; returns how many chunks wait for packets then.
    pub fn take_filled(&mut self) -> usize {
        while let Some(address) = self.fill.pop() {
            self.empty.push_back(address);
        }
        self.fill.release();
        self.empty.len()
    }

    /// Receives a packet into chunks that were lent, several where it is long; `false`, and it is lost, where there are too
    /// few, or the receive ring is full.
    pub fn deliver(&mut self, packet: &[u8]) -> bool {
        self.take_filled();
        let room = (self.chunk_bytes - KERNEL_HEADROOM) as usize;
        let pieces = packet.len().div_ceil(room).max(1);
        if self.empty.len() < pieces || (self.received.free(pieces as u32) as usize) < pieces {
            return false;
        }
        for piece in 0..pieces {
            let bytes = packet.get(piece * room..packet.len().min((piece + 1) * room)).unwrap_or(&[]);
            let Some(chunk) = self.empty.pop_front() else { return false };
            let address = chunk - chunk % self.chunk_bytes + KERNEL_HEADROOM;
            self.write(address, bytes);
            let options = if piece + 1 < pieces { CONTINUED } else { 0 };
            self.received.push(Descriptor { address, len: bytes.len() as u32, options });
        }
        self.received.publish();
        true
    }

    /// Says that a packet came which did not: any descriptor whatever.
    pub fn claim_received(&mut self, descriptor: Descriptor) -> bool {
        let pushed = self.received.push(descriptor);
        self.received.publish();
        pushed
    }

    /// Forgets a chunk that was lent for a packet.
    pub fn lose_filled(&mut self) -> Option<u64> {
        self.take_filled();
        self.empty.pop_front()
    }

    /// Sends the next packet: its bytes. `None` where the transmit ring is empty, or holds half a packet.
    pub fn send(&mut self) -> Option<Vec<u8>> {
        let mut packet = Vec::new();
        loop {
            let descriptor = self.transmit.pop()?;
            self.read(descriptor, &mut packet);
            self.sent.push_back(descriptor.address);
            self.transmit.release();
            if !descriptor.is_continued() {
                return Some(packet);
            }
        }
    }

    /// Gives back up to `limit` chunks that were sent; returns how many.
    pub fn complete(&mut self, limit: usize) -> usize {
        let mut count = 0;
        while count < limit && self.completion.free(1) > 0 {
            let Some(address) = self.sent.pop_front() else { break };
            self.completion.push(address);
            count += 1;
        }
        self.completion.publish();
        count
    }

    /// Forgets to give back a chunk that was sent.
    pub fn lose_completion(&mut self) -> Option<u64> {
        self.sent.pop_front()
    }

    /// Says that a chunk was sent which was not, or not that one.
    pub fn claim_completed(&mut self, address: u64) -> bool {
        let pushed = self.completion.push(address);
        self.completion.publish();
        pushed
    }

    /// Sets the producer's index of the receive ring to anything.
    pub fn claim_received_index(&mut self, index: u32) {
        self.rings.receive.producer.store(index, std::sync::atomic::Ordering::Release);
    }

    /// Whether the kernel wants to be called.
    pub fn set_need_wakeup(&mut self, is_needed: bool) {
        for ring in [self.rings.fill, self.rings.transmit] {
            ring.flags.store(u32::from(is_needed), std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Has up to `limit` packets of `len` bytes come, whose bytes are what is in the chunks already: the least that a
    /// kernel can do. Returns how many.
    pub fn deliver_as_is(&mut self, limit: u32, len: u32) -> u32 {
        let mut count = 0;
        while count < limit && self.received.free(1) > 0 {
            let Some(chunk) = self.fill.pop() else { break };
            self.received.push(Descriptor { address: chunk + KERNEL_HEADROOM, len, options: 0 });
            count += 1;
        }
        self.fill.release();
        self.received.publish();
        count
    }

    /// Sends and completes up to `limit` descriptors without looking at them. Returns how many.
    pub fn send_as_is(&mut self, limit: u32) -> u32 {
        let mut count = 0;
        while count < limit && self.completion.free(1) > 0 {
            let Some(descriptor) = self.transmit.pop() else { break };
            self.completion.push(descriptor.address);
            count += 1;
        }
        self.transmit.release();
        self.completion.publish();
        count
    }

    /// Writes a packet into every chunk that waits in the fill ring, and puts the chunks back there: for
    /// [`KernelEnd::deliver_as_is`].
    pub fn write_everywhere(&mut self, packet: &[u8]) {
        self.take_filled();
        for chunk in self.empty.clone() {
            self.write(chunk + KERNEL_HEADROOM, packet);
        }
    }

    /// As [`KernelEnd::deliver_as_is`], from the chunks that were taken out of the fill ring first.
    pub fn deliver_taken(&mut self, limit: u32, len: u32) -> u32 {
        let mut count = 0;
        while count < limit && self.received.free(1) > 0 {
            let Some(chunk) = self.empty.pop_front() else { break };
            self.received.push(Descriptor { address: chunk + KERNEL_HEADROOM, len, options: 0 });
            count += 1;
        }
        self.received.publish();
        count
    }

    fn write(&self, address: u64, bytes: &[u8]) {
        let Some(at) = self.inside(address, bytes.len()) else { return };
        // SAFETY: inside of the mapping; the chunk was taken out of the fill ring, so its frame's token lies in the ledger
        // and nobody has a reference to its bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) };
    }

    fn read(&self, descriptor: Descriptor, into: &mut Vec<u8>) {
        let len = descriptor.len as usize;
        let Some(at) = self.inside(descriptor.address, len) else { return };
        // SAFETY: inside of the mapping, initialised; the descriptor was taken out of the transmit ring, so its frame's token
        // lies in the ledger and nobody writes its bytes.
        into.extend_from_slice(unsafe { std::slice::from_raw_parts(at, len) });
    }

    fn inside(&self, address: u64, len: usize) -> Option<*mut u8> {
        let begin = usize::try_from(address).ok()?;
        let fits = begin.checked_add(len).is_some_and(|end| end <= self.memory.len());
        fits.then(|| self.memory.start().as_ptr().wrapping_add(begin))
    }
}
