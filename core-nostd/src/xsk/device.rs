//! Datagrams through the rings: every packet is parsed, opened, built and sealed in its frame.

use core::net::{IpAddr, SocketAddr};

use heapless::Vec;

use super::frames::{Frame, Frames, Whereabouts};
use super::queue::{Queue, QueueCounters};
use crate::device::{Device, Ecn, Received, Submitted, Transmit};
use crate::hops::{NextHop, Way};
use crate::pool::{PoolStats, Slot};
use crate::sources::SourceAddresses;
use crate::wire::net::{MacAddress, NetReject, UdpHeaders, parse_udp};

/// Room for headers in front of a datagram that is to be sent: Ethernet, a VLAN tag, IPv6 and UDP, and on to a cache line.
pub const HEADROOM_BYTES: usize = 128;
/// Most queues of one device.
pub const MAX_QUEUES: usize = 64;
/// The queues of a device.
pub type Queues<'m> = Vec<Queue<'m>, MAX_QUEUES>;
/// Packets taken out of the rings per call: what a turn of the worker handles before it looks at its timers.
const RECEIVE_BATCH: usize = 64;
/// Chunks taken back per call; more than a call can send, so that the completion ring does not fill up.
const REAP_BATCH: u32 = 256;
/// Calls to the kernel per flush while it takes some packets with each. A device that takes none is left in peace.
const MAX_KICKS: usize = 16;
/// Hop limit of what is sent (RFC 1700's default).
const HOP_LIMIT: u8 = 64;

/// What a system call on a queue led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kick {
    /// The kernel went to work.
    Done,
    /// It has had enough for one call, or no room now (EAGAIN, EBUSY, ENOBUFS): what is left stays in the ring.
    Again,
    /// The interface is down (ENETDOWN).
    Down,
    /// The socket is bound to nothing any more (ENXIO): its interface or its queue is gone.
    Unbound,
    /// Anything else.
    Failed,
}

/// What the device needs from the system.
pub trait Outside {
    /// Has the kernel send what is in the transmit ring of this queue.
    fn kick_transmit(&mut self, queue: usize) -> Kick;

    /// Tells the kernel that this queue has frames to receive into again.
    fn kick_receive(&mut self, queue: usize) -> Kick;

    /// How packets get to `remote`. Asked for every datagram: it should know by heart.
    fn way_to(&mut self, remote: IpAddr) -> Way;

    /// Sends a datagram through the kernel's socket.
    fn submit_to_kernel(&mut self, transmit: &Transmit, datagram: &[u8]) -> Submitted;
}

/// What a device did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams received.
    pub datagrams_received: u64,
    /// Datagrams put into a transmit ring.
    pub datagrams_sent: u64,
    /// Datagrams sent through the kernel's socket instead.
    pub by_kernel: u64,
    /// Packets that were no UDP datagram to this device's port; [`XskDevice::rejects`] says why.
    pub strange: u64,
    /// Datagrams larger than the way's first link carries.
    pub too_big: u64,
    /// Datagrams without a way.
    pub unreachable: u64,
    /// Times that no datagram could be begun because every frame was under way.
    pub without_frame: u64,
    /// Times that no datagram could be begun because the transmit ring was full.
    pub ring_full: u64,
    /// Calls that had the kernel send.
    pub kicks: u64,
    /// Those after which something was left in the ring.
    pub again: u64,
    /// Those that found the interface down.
    pub down: u64,
    /// Those that failed otherwise.
    pub failed: u64,
    /// Times that frames were taken back from sockets that were closed.
    pub reclaimed: u64,
}

/// Chunks of a packet that is not whole yet: the frame that they are gathered in, if there was one, and how many bytes it has.
type Gathered<'p> = (Option<Slot<'p>>, usize);

/// A UDP port on the queues of a network interface.
pub struct XskDevice<'m, 'p, O> {
    // Dropped in this order: what is outside may hold what queues and frames lie in.
    queues: Queues<'m>,
    /// The frame whose bytes the session is writing to.
    writing: Option<Slot<'p>>,
    /// By queue.
    gathering: [Option<Gathered<'p>>; MAX_QUEUES],
    frames: Frames<'m, 'p>,
    /// Whether the queue has packets that the kernel may not have taken.
    dirty: [bool; MAX_QUEUES],
    local: SocketAddr,
    sources: SourceAddresses,
    /// Which queue is looked at first in the next call.
    rotation: usize,
    is_unbound: bool,
    counters: Counters,
    rejects: [u64; NetReject::COUNT],
    outside: O,
}

impl<'m, 'p, O: Outside> XskDevice<'m, 'p, O> {
    /// A device for datagrams to `local` (whose address may be unspecified, and whose port is the filter's) on these
    /// queues, all over the UMEM of `frames`.
    pub fn new(outside: O, frames: Frames<'m, 'p>, queues: Queues<'m>, local: SocketAddr) -> Self {
        let mut device = Self {
            outside,
            frames,
            queues,
            dirty: [false; MAX_QUEUES],
            local,
            sources: SourceAddresses::for_socket(local),
            writing: None,
            gathering: [const { None }; MAX_QUEUES],
            rotation: 0,
            is_unbound: false,
            counters: Counters::default(),
            rejects: [0; NetReject::COUNT],
        };
        device.refill_all();
        device
    }

    /// The system behind it.
    pub fn outside(&mut self) -> &mut O {
        &mut self.outside
    }

    /// The system behind it, to be looked at.
    #[must_use]
    pub const fn outside_ref(&self) -> &O {
        &self.outside
    }

    /// How the frames to send from stand.
    #[must_use]
    pub fn transmit_stats(&self) -> PoolStats {
        self.frames.transmit_stats()
    }

    /// What it did so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Packets whose headers break a rule: each rule that was broken, and how often.
    pub fn rejects(&self) -> impl Iterator<Item = (NetReject, u64)> + '_ {
        NetReject::ALL.into_iter().zip(self.rejects).filter(|(_, count)| *count > 0)
    }

    /// What each queue did so far.
    pub fn queue_counters(&self) -> impl Iterator<Item = QueueCounters> + '_ {
        self.queues.iter().map(Queue::counters)
    }

    /// Where the frames are. One is held while a datagram is being written, and one of each queue while a long packet is gathered.
    #[must_use]
    pub fn whereabouts(&self) -> Whereabouts {
        self.frames.whereabouts()
    }

    /// What the kernel's end did wrong: addresses that it was not lent, and indices that make no sense.
    #[must_use]
    pub fn faults(&self) -> (u64, u64) {
        (self.frames.wild(), self.queues.iter().map(Queue::nonsense).sum())
    }

    /// The longest datagram that a frame holds.
    #[must_use]
    pub const fn datagram_bytes(&self) -> usize {
        self.frames.transmit_bytes() - HEADROOM_BYTES
    }

    /// Whether a queue's socket turned out to be bound to nothing: it should be taken down, and put up again.
    #[must_use]
    pub const fn is_unbound(&self) -> bool {
        self.is_unbound
    }

    /// Whether packets wait in a transmit ring that the kernel has not taken yet.
    pub fn is_holding_back(&mut self) -> bool {
        let is_held = |(queue, dirty): (&mut Queue<'m>, &mut bool)| {
            *dirty = *dirty && !queue.is_drained();
            *dirty
        };
        // Every one, so that each knows how it stands.
        self.queues.iter_mut().zip(&mut self.dirty).map(is_held).fold(false, |any, held| any | held)
    }

    /// Whether a frame is free to send from, or will be without the kernel's doing.
    #[must_use]
    pub fn has_frames_to_send(&self) -> bool {
        self.writing.is_some() || self.frames.has_free_to_send()
    }

    /// Gives up the queues, before their sockets are closed.
    pub fn take_down(&mut self) {
        self.queues.clear();
        self.dirty = [false; MAX_QUEUES];
        self.gathering = [const { None }; MAX_QUEUES];
    }

    /// Goes on with other queues over the same memory. Call it only when the sockets of those before are closed: then the
    /// kernel has let go of every frame, and all that were lent come back, those of packets that were lost among them.
    pub fn put_up(&mut self, queues: Queues<'m>) {
        self.take_down();
        self.counters.reclaimed += u64::from(self.frames.reclaim());
        self.queues = queues;
        self.is_unbound = false;
        self.refill_all();
    }

    fn refill_all(&mut self) {
        // Each the same part of the frames.
        let share = self.frames.free_to_fill() / self.queues.len().max(1) as u32;
        for index in 0..self.queues.len() {
            if let Some(queue) = self.queues.get_mut(index) {
                queue.set_share(share);
            }
            self.refill(index);
        }
    }

    fn refill(&mut self, index: usize) {
        let Some(queue) = self.queues.get_mut(index) else { return };
        queue.refill(&mut self.frames);
        if queue.fill_needs_wakeup() {
            let kick = self.outside.kick_receive(index);
            self.note(kick);
        }
    }

    /// Takes up to `budget` packets from one queue.
    fn receive_from(&mut self, index: usize, budget: usize, sink: &mut impl FnMut(Received<'_>)) -> (usize, usize) {
        let (mut taken, mut datagrams) = (0, 0);
        while taken < budget {
            let Some(queue) = self.queues.get_mut(index) else { break };
            let Some((mut frame, is_continued)) = queue.next_received(&mut self.frames) else { break };
            taken += 1;
            if is_continued || self.gathering.get(index).is_some_and(Option::is_some) {
                datagrams += self.gather(index, frame, is_continued, sink);
                continue;
            }
            datagrams += usize::from(self.hand_over(frame.bytes_mut(), sink));
            if let Some(queue) = self.queues.get_mut(index) {
                queue.recycle(&mut self.frames, frame);
            }
        }
        if let Some(queue) = self.queues.get_mut(index).filter(|_| taken > 0) {
            queue.release();
            self.refill(index);
        } else if self.queues.get(index).is_some_and(|queue| queue.receive_needs_wakeup(0)) {
            let kick = self.outside.kick_receive(index);
            self.note(kick);
        }
        (taken, datagrams)
    }

    /// Shows the datagram in this packet to `sink`; `false` where there is none for us.
    fn hand_over(&mut self, packet: &mut [u8], sink: &mut impl FnMut(Received<'_>)) -> bool {
        let parsed = parse_udp(packet).map_err(|reject| self.count(reject)).ok();
        let ours = parsed.filter(|udp| {
            let is_at_address = self.local.ip().is_unspecified() || udp.destination.ip() == self.local.ip();
            udp.destination.port() == self.local.port() && is_at_address
        });
        let datagram = ours.and_then(|udp| Some((packet.get_mut(udp.payload.clone())?, udp)));
        let Some((bytes, udp)) = datagram.filter(|(bytes, _)| !bytes.is_empty()) else {
            self.counters.strange += 1;
            return false;
        };
        self.sources.heard(udp.source, Some(udp.destination.ip()));
        self.counters.datagrams_received += 1;
        sink(Received { remote: udp.source, ecn: ecn_of(udp.ecn), stride: bytes.len(), bytes });
        true
    }

    fn count(&mut self, reject: NetReject) {
        if let Some(count) = self.rejects.get_mut(reject as usize) {
            *count += 1;
        }
    }

    /// Puts a chunk of a long packet behind those before it. The one copy that is made: a session opens packets in one piece.
    fn gather(
        &mut self,
        index: usize,
        frame: Frame<'p>,
        is_continued: bool,
        sink: &mut impl FnMut(Received<'_>),
    ) -> usize {
        let begun = self.gathering.get_mut(index).and_then(Option::take);
        let (mut slot, len) = begun.unwrap_or_else(|| (self.frames.take(), 0));
        let end = len + frame.bytes().len();
        let place = slot.as_mut().and_then(|slot| slot.get_mut(len..end));
        let has_room = place.map(|place| place.copy_from_slice(frame.bytes())).is_some();
        self.frames.put(frame.into_slot());
        if !has_room && let Some(slot) = slot.take() {
            self.frames.put(slot);
        }
        if is_continued {
            if let Some(place) = self.gathering.get_mut(index) {
                *place = Some((slot, end));
            }
            return 0;
        }
        let Some(mut slot) = slot else {
            if let Some(queue) = self.queues.get_mut(index) {
                queue.count_torn();
            }
            return 0;
        };
        let handed = slot.get_mut(..end).is_some_and(|packet| self.hand_over(packet, sink));
        self.frames.put(slot);
        usize::from(handed)
    }

    /// Sends the datagram at the front of `slot`, behind its headroom, out of the interface.
    fn send_out(&mut self, mut slot: Slot<'p>, transmit: &Transmit, headers: &UdpHeaders) -> Submitted {
        let payload = HEADROOM_BYTES..HEADROOM_BYTES + transmit.len;
        let Some(begin) = headers.write_before(&mut slot, payload.clone()) else {
            self.frames.put(slot);
            self.counters.unreachable += 1;
            return Submitted::Unreachable;
        };
        let index = queue_of(transmit.remote, self.queues.len());
        let frame = Frame::new(slot, begin, payload.end - begin);
        let (Ok(frame), Some(queue)) = (frame, self.queues.get_mut(index)) else { return Submitted::Full };
        match queue.transmit(&mut self.frames, frame) {
            Ok(()) => {
                self.counters.datagrams_sent += 1;
                if let Some(dirty) = self.dirty.get_mut(index) {
                    *dirty = true;
                }
                Submitted::Sent
            }
            Err(frame) => {
                self.frames.put(frame.into_slot());
                self.counters.ring_full += 1;
                Submitted::Full
            }
        }
    }

    /// Sends the datagram in `slot` through the kernel's socket.
    fn send_by_kernel(&mut self, slot: Slot<'p>, transmit: &Transmit) -> Submitted {
        let datagram = slot.get(HEADROOM_BYTES..HEADROOM_BYTES + transmit.len).unwrap_or(&[]);
        let submitted = self.outside.submit_to_kernel(transmit, datagram);
        self.frames.put(slot);
        self.counters.by_kernel += 1;
        submitted
    }

    /// The headers of a datagram that leaves by this hop; `None` where it would be longer than the hop's link carries.
    fn headers(&self, hop: &NextHop, transmit: &Transmit) -> Option<UdpHeaders> {
        if transmit.len + ip_and_udp_bytes(transmit.remote) > hop.mtu as usize {
            return None;
        }
        let source = match self.local.ip() {
            ip if !ip.is_unspecified() => ip,
            _ => self.sources.of(transmit.remote).unwrap_or(hop.source),
        };
        Some(UdpHeaders {
            ether_source: MacAddress(hop.ether_source),
            ether_destination: MacAddress(hop.ether_destination),
            vlan: hop.vlan,
            source: SocketAddr::new(source, self.local.port()),
            destination: transmit.remote,
            ecn: codepoint_of(transmit.ecn),
            hop_limit: HOP_LIMIT,
        })
    }

    /// Publishes what is in this queue's transmit ring and has the kernel send it.
    fn push_out(&mut self, index: usize) {
        let Some(queue) = self.queues.get_mut(index) else { return };
        queue.publish();
        for _ in 0..MAX_KICKS {
            let Some(queue) = self.queues.get_mut(index) else { return };
            if !queue.transmit_needs_wakeup() || queue.is_drained() {
                break;
            }
            let before = queue.untaken();
            let kick = self.outside.kick_transmit(index);
            self.counters.kicks += 1;
            self.note(kick);
            let Some(queue) = self.queues.get_mut(index) else { return };
            if kick != Kick::Again || queue.untaken() == before {
                break;
            }
        }
    }

    fn reap_all(&mut self) {
        for queue in &mut self.queues {
            queue.reap(&mut self.frames, REAP_BATCH);
        }
    }

    fn note(&mut self, kick: Kick) {
        match kick {
            Kick::Done => {}
            Kick::Again => self.counters.again += 1,
            Kick::Down => self.counters.down += 1,
            Kick::Unbound => self.is_unbound = true,
            Kick::Failed => self.counters.failed += 1,
        }
    }
}

impl<O: Outside> Device for XskDevice<'_, '_, O> {
    fn receive(&mut self, mut sink: impl FnMut(Received<'_>)) -> usize {
        let count = self.queues.len();
        let (mut budget, mut datagrams) = (RECEIVE_BATCH, 0);
        self.rotation = (self.rotation + 1) % count.max(1);
        for place in 0..count {
            let (taken, handed) = self.receive_from((self.rotation + place) % count, budget, &mut sink);
            budget -= taken;
            datagrams += handed;
        }
        datagrams
    }

    fn transmit_buffer(&mut self) -> Option<&mut [u8]> {
        if self.writing.is_none() {
            self.writing = self.frames.take();
        }
        if self.writing.is_none() {
            self.reap_all();
            self.writing = self.frames.take();
        }
        if self.writing.is_none() {
            self.counters.without_frame += 1;
        }
        self.writing.as_mut()?.get_mut(HEADROOM_BYTES..)
    }

    fn max_segments(&self) -> usize {
        1
    }

    fn submit(&mut self, transmit: &Transmit) -> Submitted {
        let Some(slot) = self.writing.take() else { return Submitted::Full };
        if transmit.len == 0 || transmit.len > self.datagram_bytes() {
            self.frames.put(slot);
            return Submitted::Sent;
        }
        match self.outside.way_to(transmit.remote.ip()) {
            Way::Direct(hop) if !self.queues.is_empty() => match self.headers(&hop, transmit) {
                Some(headers) => self.send_out(slot, transmit, &headers),
                None => {
                    self.frames.put(slot);
                    self.counters.too_big += 1;
                    Submitted::TooBig
                }
            },
            Way::Direct(_) | Way::Kernel(_) => self.send_by_kernel(slot, transmit),
            Way::Unreachable => {
                self.frames.put(slot);
                self.counters.unreachable += 1;
                Submitted::Unreachable
            }
        }
    }

    fn flush(&mut self) {
        for index in 0..self.queues.len() {
            if self.dirty.get(index).is_some_and(|dirty| *dirty) {
                self.push_out(index);
                let is_left = self.queues.get_mut(index).is_some_and(|queue| !queue.is_drained());
                if let Some(dirty) = self.dirty.get_mut(index) {
                    *dirty = is_left;
                }
            }
        }
        self.reap_all();
    }
}

/// The same queue for all packets to one peer, so that they keep their order.
fn queue_of(remote: SocketAddr, queues: usize) -> usize {
    let low = match remote.ip() {
        IpAddr::V4(v4) => v4.to_bits(),
        IpAddr::V6(v6) => v6.to_bits() as u32,
    };
    let spread = (low ^ u32::from(remote.port()).rotate_left(16)).wrapping_mul(0x9e37_79b1) >> 16;
    (spread as usize).checked_rem(queues).unwrap_or(0)
}

/// Bytes of the IP header and the UDP header in front of a datagram to this address.
const fn ip_and_udp_bytes(remote: SocketAddr) -> usize {
    8 + if remote.is_ipv4() { 20 } else { 40 }
}

/// RFC 3168, section 5.
const fn ecn_of(codepoint: u8) -> Ecn {
    match codepoint & 3 {
        1 => Ecn::Ect1,
        2 => Ecn::Ect0,
        3 => Ecn::Ce,
        _ => Ecn::NotEct,
    }
}

const fn codepoint_of(ecn: Ecn) -> u8 {
    match ecn {
        Ecn::NotEct => 0,
        Ecn::Ect1 => 1,
        Ecn::Ect0 => 2,
        Ecn::Ce => 3,
    }
}
