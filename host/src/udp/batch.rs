//! Sending without segmentation: single datagrams gathered and sent with one call.

use std::io;
use std::net::{IpAddr, SocketAddr};

use wirehaul_core::device::{Ecn, Submitted, Transmit};
use wirehaul_core::limits::MAX_DATAGRAM_BYTES;
use wirehaul_core::pool::{Magazine, Slot};
use wirehaul_core::time::Instant;

use super::buffers::RUN_SLOT_BYTES;
#[cfg(target_os = "linux")]
use super::message::Controls;
use super::{Carrier, Refusal, address};

/// Datagrams per call.
const DATAGRAMS: usize = 64;
/// Buffers that they lie in: room for that many of the usual size, and for a good number of jumbo frames.
const ARENAS: usize = 2;

/// Datagrams that wait to be sent, back to back.
#[derive(Debug)]
pub(super) struct Batch {
    /// From when they are asked for until what is in them was sent.
    arenas: [Option<Slot<'static>>; ARENAS],
    /// The one that is being filled, and how far it is.
    filling: usize,
    used: usize,
    queue: Vec<Queued>,
    /// Datagrams at the front of the queue that are done with.
    done: usize,
    held: bool,
    /// What a flush learned too late for the submit that it belongs to.
    verdict: Submitted,
}

#[derive(Clone, Copy, Debug)]
struct Queued {
    arena: usize,
    start: usize,
    len: usize,
    remote: SocketAddr,
    ecn: Ecn,
    depart_at: Instant,
}

/// What all datagrams of one call share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Envelope {
    v4: bool,
    ecn: Ecn,
    source: Option<IpAddr>,
    depart_at: Instant,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            arenas: [None, None],
            filling: 0,
            used: 0,
            queue: Vec::with_capacity(DATAGRAMS),
            done: 0,
            held: false,
            verdict: Submitted::Sent,
        }
    }

    pub(super) const fn is_held(&self) -> bool {
        self.held
    }

    /// Leaves what is queued where a full kernel would leave it.
    #[cfg(test)]
    pub(super) const fn hold_for_test(&mut self) {
        self.held = true;
    }

    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < DATAGRAMS && (self.filling + 1 < ARENAS || !self.is_arena_full())
    }

    const fn is_arena_full(&self) -> bool {
        RUN_SLOT_BYTES.saturating_sub(self.used) < MAX_DATAGRAM_BYTES
    }

    /// Where the next datagram goes; `None` where the batch is full, or there is no buffer.
    pub(super) fn slot(&mut self, buffers: &mut Magazine<'static>) -> Option<&mut [u8]> {
        if !self.has_room() {
            return None;
        }
        if self.is_arena_full() {
            self.filling += 1;
            self.used = 0;
        }
        let arena = self.arenas.get_mut(self.filling)?;
        if arena.is_none() {
            *arena = buffers.take();
        }
        arena.as_mut()?.get_mut(self.used..self.used + MAX_DATAGRAM_BYTES)
    }

    /// Queues what was written into the slot.
    pub(super) fn submit(&mut self, transmit: &Transmit) -> Submitted {
        if !self.has_room() || transmit.len > MAX_DATAGRAM_BYTES {
            return Submitted::Full;
        }
        // One datagram on this path, but a run that was laid out before segmentation was given up is no less welcome.
        for offset in (0..transmit.len).step_by(transmit.segment_bytes.max(1)) {
            let len = transmit.segment_bytes.min(transmit.len - offset);
            self.queue.push(Queued {
                arena: self.filling,
                start: self.used + offset,
                len,
                remote: transmit.remote,
                ecn: transmit.ecn,
                depart_at: transmit.depart_at,
            });
        }
        self.used += transmit.len;
        core::mem::replace(&mut self.verdict, Submitted::Sent)
    }

    /// Queues and sends a run that lies elsewhere, as single datagrams.
    pub(super) fn send_copy(
        &mut self,
        carrier: &mut Carrier,
        buffers: &mut Magazine<'static>,
        transmit: &Transmit,
        bytes: &[u8],
    ) -> Submitted {
        let mut submitted = Submitted::Sent;
        for datagram in bytes.chunks(transmit.segment_bytes.max(1)) {
            if !self.has_room() {
                self.flush(carrier, buffers);
            }
            let Some(slot) = self.slot(buffers).and_then(|slot| slot.get_mut(..datagram.len())) else {
                return Submitted::Full;
            };
            slot.copy_from_slice(datagram);
            let one = Transmit { len: datagram.len(), segment_bytes: datagram.len(), ..*transmit };
            if let refused @ (Submitted::Full | Submitted::Unreachable) = self.submit(&one) {
                submitted = refused;
            }
        }
        self.flush(carrier, buffers);
        submitted
    }

    /// Sends what is queued, as far as the kernel has room; gives the buffers back once all is sent.
    pub(super) fn flush(&mut self, carrier: &mut Carrier, buffers: &mut Magazine<'static>) {
        self.held = false;
        while self.done < self.queue.len() {
            let (envelope, count) = self.next_group(carrier);
            let group = &self.queue[self.done..self.done + count];
            match send_group(carrier, envelope, &self.arenas, group) {
                Ok(sent) => {
                    carrier.counters.sent(sent as u64);
                    self.done += sent;
                }
                Err(error) => {
                    let refusal = Refusal::of(&error);
                    if refusal == Refusal::NoRoom {
                        carrier.counters.held_back += 1;
                        self.held = true;
                        return;
                    }
                    self.skip(carrier, envelope, refusal);
                }
            }
        }
        self.queue.clear();
        self.done = 0;
        self.filling = 0;
        self.used = 0;
        self.arenas.iter_mut().filter_map(Option::take).rev().for_each(|slot| buffers.put(slot));
    }

    /// Deals with a refusal of the first datagram in line, which leaves it for another try or counts it as lost.
    fn skip(&mut self, carrier: &mut Carrier, envelope: Envelope, refusal: Refusal) {
        let first = self.queue[self.done];
        if envelope.source.is_some() && matches!(refusal, Refusal::Invalid | Refusal::Unreachable) {
            // Our address of before may be gone: once more, from whichever the routing table prefers.
            carrier.sources.forget(address::for_socket(first.remote, carrier.mapped));
            return;
        }
        self.done += 1;
        let verdict = carrier.counters.lost(refusal, 1);
        if verdict != Submitted::Sent {
            self.verdict = verdict;
        }
    }

    /// The datagrams next in line that can share a call: how many, and what they share.
    fn next_group(&self, carrier: &Carrier) -> (Envelope, usize) {
        let envelope_of = |queued: &Queued| Envelope {
            v4: queued.remote.is_ipv4(),
            ecn: queued.ecn,
            source: carrier.sources.of(address::for_socket(queued.remote, carrier.mapped)),
            // Who keeps departures itself hands out what leaves at once: that may share a call.
            depart_at: if carrier.keeps_departures() { queued.depart_at } else { Instant::ZERO },
        };
        let waiting = &self.queue[self.done..];
        let Some(envelope) = waiting.first().map(envelope_of) else {
            return (Envelope { v4: true, ecn: Ecn::NotEct, source: None, depart_at: Instant::ZERO }, 0);
        };
        let count = waiting.iter().take_while(|queued| envelope_of(queued) == envelope).count();
        (envelope, count)
    }
}

type Arenas = [Option<Slot<'static>>; ARENAS];

impl Queued {
    fn bytes<'a>(&self, arenas: &'a Arenas) -> &'a [u8] {
        let arena = arenas.get(self.arena).and_then(Option::as_deref);
        arena.and_then(|arena| arena.get(self.start..self.start + self.len)).unwrap_or(&[])
    }
}

/// Sends the group with one call; returns how many of its datagrams the kernel took, at least one.
#[cfg(target_os = "linux")]
fn send_group(carrier: &Carrier, envelope: Envelope, arenas: &Arenas, group: &[Queued]) -> io::Result<usize> {
    let departure = carrier.departure_nanos(envelope.depart_at);
    let controls = Controls::new(envelope.v4, envelope.ecn, envelope.source).departing_at(departure);
    let datagrams =
        group.iter().map(|queued| (address::for_socket(queued.remote, carrier.mapped), queued.bytes(arenas)));
    carrier.send_many(&controls, datagrams)
}

/// Sends the first datagram of the group, where there is no call for many.
#[cfg(not(target_os = "linux"))]
fn send_group(carrier: &Carrier, envelope: Envelope, arenas: &Arenas, group: &[Queued]) -> io::Result<usize> {
    let Some(queued) = group.first() else { return Ok(0) };
    let transmit = quinn_udp::Transmit {
        destination: address::for_socket(queued.remote, carrier.mapped),
        ecn: super::codepoint_of(envelope.ecn),
        contents: queued.bytes(arenas),
        segment_size: None,
        src_ip: envelope.source,
    };
    carrier.state.try_send((&carrier.socket).into(), &transmit).map(|()| 1)
}
