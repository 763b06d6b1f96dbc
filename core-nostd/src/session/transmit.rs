//! What leaves, and when: ACKs and control frames at once, stream bytes as window, pacer and peer allow.

use super::{
    Controls, MAX_DATA_FRAMES, Phase, Session,
    acks::MAX_ACK_RANGES,
    close::CloseCode,
    storage::{Fate, SentPacket},
    streams::SendHalf,
};
use crate::{
    congestion::SendSample,
    crypto::Handshake,
    device::{Ecn, Transmit},
    limits::{FRAME_HEADER_BYTES, MAX_CONNECTION_OFFSET, MAX_STREAM_OFFSET, PACKET_HEADER_BYTES, TAG_BYTES, VERSION},
    pacer::Held,
    ranges::Range,
    time::Instant,
    wire::{AckRange, DataFlags, FrameWriter, PacketFlags, PacketHeader, PacketKind, RekeyFrame, StreamId},
};

/// The application's bytes, asked for when they leave: for the first time or again.
pub trait Source {
    /// Fills `out` with the stream's bytes from `offset` on. The session asks only for bytes that were announced by
    /// [`Session::provide`] and not yet reported as [`super::Event::Acknowledged`].
    fn fill(&mut self, stream: StreamId, offset: u64, out: &mut [u8]);
}

/// The sender asks for an ACK this many times per window, and twice as often while it probes for capacity.
const ACKS_PER_WINDOW: u64 = 4;
/// A DATA frame that would carry less than this beside other frames waits for the next packet.
const MIN_DATA_BYTES: usize = 64;
/// Records of sent packets kept free for ACKs and control frames.
pub(super) const RESERVED_RECORDS: u64 = 16;

/// The pacer alone holds a packet back.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Hold {
    since: Instant,
    /// When the packet may be handed out.
    pub(super) until: Instant,
    /// Whether the owner had nothing else to do in the meantime.
    pub(super) awaited: bool,
}

/// What the pacer says of the run that is asked for at `now`.
#[derive(Clone, Copy)]
struct Slot {
    now: Instant,
    /// When the run leaves, or, where it may not be handed out yet, may leave.
    departs_at: Instant,
    open: bool,
    /// How the pacer held the run back, if nothing else did.
    hold: Option<Hold>,
}

/// A packet under construction.
#[derive(Default)]
struct Draft {
    acks: bool,
    controls: Controls,
    window_streams: u16,
    data: Option<DraftData>,
}

struct DraftData {
    index: usize,
    range: Range,
    new: bool,
    fin: bool,
}

impl Slot {
    /// When what is sent in this slot leaves: what does not wait for the pacer leaves at once.
    fn leaves_at(&self) -> Instant {
        if self.open { self.departs_at } else { self.now }
    }

    fn held(&self) -> Held {
        match self.hold {
            None => Held::Not,
            Some(Hold { since, awaited: true, .. }) => Held::Since(since),
            Some(_) => Held::Passing,
        }
    }
}

impl Draft {
    fn is_eliciting(&self) -> bool {
        self.data.is_some() || !self.controls.is_empty()
    }
}

impl<H: Handshake> Session<'_, H> {
    /// Writes the next datagrams to send into `out`: at most `max_segments` of equal length, the last perhaps
    /// shorter, and no more than the pacer's quantum.
    ///
    /// `None` means nothing may leave now. Ask again after every other call that takes `&mut self`, and when
    /// [`Session::poll_timeout`] says so; and after `Some`, until it is `None`.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        source: &mut impl Source,
        out: &mut [u8],
        max_segments: usize,
    ) -> Option<Transmit> {
        let remote = self.paths.active();
        let at_once = |len, remote| (len, len, now, remote);
        let (len, segment_bytes, depart_at, remote) = match &self.phase {
            Phase::Connecting => at_once(self.transmit_handshake(now, out)?, remote),
            Phase::Established => {
                if let Some(len) = self.transmit_handshake(now, out) {
                    at_once(len, remote)
                } else if let Some((len, remote)) = self.transmit_path(now, out) {
                    at_once(len, remote)
                } else if let Some(len) = self.transmit_mtu_probe(now, out) {
                    at_once(len, remote)
                } else {
                    let (len, segment_bytes, depart_at) = self.transmit_packets(now, source, out, max_segments)?;
                    (len, segment_bytes, depart_at, remote)
                }
            }
            Phase::Closing { .. } => at_once(self.transmit_close(out)?, remote),
            Phase::Closed => return None,
        };
        self.spoke_at = now;
        Some(Transmit { remote, len, segment_bytes, ecn: Ecn::Ect0, depart_at })
    }

    fn transmit_packets(
        &mut self,
        now: Instant,
        source: &mut impl Source,
        out: &mut [u8],
        max_segments: usize,
    ) -> Option<(usize, usize, Instant)> {
        let size = self.mtu.size();
        let slot = self.next_slot(now, size as u64);
        let segments = if slot.open { max_segments.min(self.run_segments(slot, size)) } else { 1 };
        let (mut used, mut paced_bytes) = (0, 0);
        for datagram in out.chunks_mut(size).take(segments) {
            let Some((len, eliciting)) = self.compose(slot, source, datagram) else { break };
            used += len;
            paced_bytes += if eliciting { len as u64 } else { 0 };
            if len < size {
                break;
            }
        }
        if paced_bytes > 0 {
            self.pacer.on_sent(slot.leaves_at(), paced_bytes, size as u64, slot.held());
        }
        (used > 0).then_some((used, size.min(used), slot.leaves_at()))
    }

    /// What the pacer says now (BBR-3). A device that holds runs until their departure gets them early.
    fn next_slot(&mut self, now: Instant, datagram_bytes: u64) -> Slot {
        let departs_at = self.pacer.departure(now, datagram_bytes).max(now);
        let open = departs_at <= now + self.config.transmit_horizon;
        Slot { now, departs_at, open, hold: self.hold.take() }
    }

    /// Packets of a run in an open slot: as many as the pacer allows together.
    fn run_segments(&self, slot: Slot, datagram_bytes: usize) -> usize {
        let bytes = self.pacer.allowance(slot.departs_at, datagram_bytes as u64);
        usize::try_from(bytes / datagram_bytes as u64).unwrap_or(usize::MAX).max(1)
    }

    /// Writes, seals and records one packet; returns its length and whether the peer must acknowledge it.
    fn compose(&mut self, slot: Slot, source: &mut impl Source, datagram: &mut [u8]) -> Option<(usize, bool)> {
        if !self.acks.is_due() && self.controls.is_empty() && !self.streams.iter().any(|stream| stream.send.has_work())
        {
            return None;
        }
        if self.recovery.sent.room() == 0 {
            return None;
        }
        let end = datagram.len().checked_sub(TAG_BYTES)?;
        let mut writer = FrameWriter::new(datagram.get_mut(PACKET_HEADER_BYTES..end)?);
        let mut draft = Draft::default();
        let data = self.choose_data(slot, writer.payload_room(), datagram_cost(end));
        if self.acks.is_due() || (self.acks.is_owed() && data.is_some()) {
            self.write_ack(slot.now, &mut writer, &mut draft);
        }
        self.write_controls(slot.now, &mut writer, &mut draft);
        if let Some(data) = data {
            self.write_data(data, source, &mut writer, &mut draft);
        }
        let body = writer.finish();
        if body == 0 {
            return None;
        }
        let len = PACKET_HEADER_BYTES + body + TAG_BYTES;
        let eliciting = draft.is_eliciting();
        self.seal(datagram.get_mut(..len)?)?;
        self.record(slot.leaves_at(), &draft, len);
        Some((len, eliciting))
    }

    pub(super) fn seal(&mut self, datagram: &mut [u8]) -> Option<()> {
        let epochs = self.epochs.as_mut()?;
        let number = self.recovery.sent.next_number();
        let flags = if epochs.phase() { PacketFlags::KEY_PHASE } else { PacketFlags::empty() };
        let header = PacketHeader {
            kind: PacketKind::Protected,
            flags,
            receiver: self.indexes.peer,
            // The wire carries the low half; the receiver extends it.
            packet_number_low: (number & u64::from(u32::MAX)) as u32,
        };
        header.write(datagram)?;
        epochs.seal(number, datagram);
        Some(())
    }

    fn record(&mut self, sent_at: Instant, draft: &Draft, len: usize) {
        let mut packet = SentPacket {
            sent_at,
            size: u16::try_from(len).unwrap_or(u16::MAX),
            fate: if draft.is_eliciting() { Fate::InFlight } else { Fate::Settled },
            controls: draft.controls,
            window_streams: draft.window_streams,
            ..SentPacket::default()
        };
        if packet.fate == Fate::InFlight {
            let sent = SendSample { now: sent_at, bytes: len as u64, inflight_bytes: self.recovery.inflight_bytes() };
            packet.record = self.congestion.get_mut().on_sent(&sent);
        }
        if let Some(data) = &draft.data {
            packet.has_data = true;
            packet.fin = data.fin;
            packet.offset = data.range.start;
            packet.len = u16::try_from(data.range.len()).unwrap_or(u16::MAX);
            packet.stream = u8::try_from(data.index).unwrap_or(u8::MAX);
        }
        self.recovery.on_sent(packet);
        if draft.acks {
            self.acks.on_sent();
        }
        self.stats.sent_packets += 1;
        self.stats.sent_bytes += len as u64;
    }

    fn write_ack(&mut self, now: Instant, writer: &mut FrameWriter<'_>, draft: &mut Draft) {
        let delay_us = u32::try_from(self.acks.delay(now).as_micros()).unwrap_or(u32::MAX);
        let ranges = self.acks.ranges().map(|(first, last)| AckRange { first, last });
        draft.acks = writer.ack(delay_us, self.acks.ce_count, ranges, MAX_ACK_RANGES).is_some();
    }

    fn write_controls(&mut self, now: Instant, writer: &mut FrameWriter<'_>, draft: &mut Draft) {
        for control in self.controls.iter() {
            let before = writer.len();
            let complete = self.write_control(now, control, writer, draft);
            if complete {
                self.controls.remove(control);
            }
            // What wrote nothing needs no acknowledgement, and must not be waited for. What was written in part is lost
            // with this packet; the rest is still wanted.
            if writer.len() > before {
                draft.controls |= control;
            }
        }
    }

    /// Writes one control frame from the session's state; `false` where it does not fit. One that has become
    /// pointless counts as written.
    fn write_control(
        &mut self,
        now: Instant,
        control: Controls,
        writer: &mut FrameWriter<'_>,
        draft: &mut Draft,
    ) -> bool {
        match control {
            Controls::CONNECTION_WINDOW => {
                writer.window_update(None, self.connection_window.advance().min(MAX_CONNECTION_OFFSET))
            }
            Controls::STREAM_WINDOW => self.write_stream_windows(writer, draft),
            Controls::REKEY_OFFER => self.write_rekey(false, writer),
            Controls::REKEY_ANSWER => self.write_rekey(true, writer),
            Controls::KEEPALIVE => writer.keepalive(),
            Controls::PING => writer.ping(self.ping.leaves(now)),
            Controls::PONG => writer.pong(self.pong_token),
            Controls::MIGRATE => writer.migrate(self.indexes.local, self.indexes.migrations),
            Controls::VERSIONS => writer.version_negotiation([VERSION].into_iter()),
            Controls::STREAM_OPEN => self.write_openings(writer),
            Controls::STREAM_RESET => self.write_resets(writer),
            Controls::GO_AWAY => self.leaving.is_none_or(|leaving| writer.go_away(leaving.code, leaving.last)),
            _ => true,
        }
    }

    fn write_stream_windows(&mut self, writer: &mut FrameWriter<'_>, draft: &mut Draft) -> bool {
        for index in 0..self.streams.len() {
            if self.window_streams & (1 << index) == 0 {
                continue;
            }
            let Some(stream) = self.streams.get_mut(index) else { continue };
            let (id, limit) = (stream.id, stream.receive.window.advance().min(MAX_STREAM_OFFSET));
            if !writer.window_update(Some(id), limit) {
                return false;
            }
            draft.controls |= Controls::STREAM_WINDOW;
            self.window_streams &= !(1 << index);
            draft.window_streams |= 1 << index;
        }
        true
    }

    fn write_openings(&mut self, writer: &mut FrameWriter<'_>) -> bool {
        for index in 0..self.streams.len() {
            let due = self.opened_streams & (1 << index) != 0;
            let Some(stream) = self.streams.get(index).filter(|_| due) else { continue };
            let told = stream.announcement.is_none_or(|said| writer.stream_open(stream.id, said.window, said.priority));
            if !told {
                return false;
            }
            self.opened_streams &= !(1 << index);
        }
        true
    }

    fn write_resets(&mut self, writer: &mut FrameWriter<'_>) -> bool {
        // The peer takes so many frames of this kind in a packet, and one of them may carry data.
        let mut left = MAX_DATA_FRAMES - 1;
        for index in 0..self.streams.len() {
            let due = self.reset_streams & (1 << index) != 0;
            let Some(stream) = self.streams.get(index).filter(|_| due) else { continue };
            let told =
                left > 0 && stream.send.reset.is_none_or(|code| writer.stream_reset(stream.id, stream.send.next, code));
            left = left.saturating_sub(1);
            if !told {
                return false;
            }
            self.reset_streams &= !(1 << index);
        }
        true
    }

    fn write_rekey(&self, answer: bool, writer: &mut FrameWriter<'_>) -> bool {
        let Some(epochs) = &self.epochs else { return true };
        let pending = if answer { epochs.pending_answer() } else { epochs.pending_offer() };
        let Some((epoch, public_key)) = pending else { return true };
        writer.rekey(&RekeyFrame { answer, epoch, public_key: &public_key })
    }

    /// Picks the bytes for the next DATA frame, if one may leave: lost bytes first; streams by priority, then in the order of
    /// opening.
    fn choose_data(&mut self, slot: Slot, room: usize, cost: u64) -> Option<DraftData> {
        let probing = self.recovery.probes > 0;
        let fits = self.recovery.inflight_bytes() + cost <= self.congestion_window();
        let credit = self.peer.data_limit.saturating_sub(self.data_sent);
        let candidate = self.candidate(room, credit)?;
        if !fits && !probing {
            self.recovery.cwnd_limited = true;
            return None;
        }
        // A probe may use the reserve: it is what gets records back.
        if self.recovery.sent.room() <= RESERVED_RECORDS && !probing {
            return None;
        }
        if !slot.open && !probing {
            // With half of the horizon left to be late in, and to hand out several runs at once.
            let until = slot.departs_at - self.config.transmit_horizon.mul_ratio(1, 2);
            let before = slot.hold.unwrap_or(Hold { since: slot.now, until, awaited: false });
            self.hold = Some(Hold { until, ..before });
            return None;
        }
        Some(candidate)
    }

    /// Lost bytes of any stream go before new ones of any: a probe that carried new bytes of the first stream would never
    /// mend what the peer waits for in the second.
    fn candidate(&self, room: usize, credit: u64) -> Option<DraftData> {
        let room = room as u64;
        let lost = self.first_stream(|send| send.peek_lost(room)).map(|found| (found, false));
        let ((index, range), new) =
            lost.or_else(|| self.first_stream(|send| send.peek_new(room, credit)).map(|found| (found, true)))?;
        let send = &self.streams.get(index)?.send;
        Some(DraftData { index, range, new, fin: send.fin && range.end == send.end })
    }

    fn first_stream(&self, peek: impl Fn(&SendHalf<'_>) -> Option<Range>) -> Option<(usize, Range)> {
        let mut first: Option<(u8, usize, Range)> = None;
        for index in 0..self.streams.len() {
            let Some(stream) = self.streams.get(index) else { continue };
            if first.is_none_or(|(priority, ..)| stream.priority < priority)
                && let Some(range) = peek(&stream.send)
            {
                first = Some((stream.priority, index, range));
            }
        }
        first.map(|(_, index, range)| (index, range))
    }

    fn write_data(
        &mut self,
        mut data: DraftData,
        source: &mut impl Source,
        writer: &mut FrameWriter<'_>,
        draft: &mut Draft,
    ) {
        let room = writer.payload_room() as u64;
        if data.range.len() > room {
            // ACK and control frames took some of the room that the choice was made for.
            if room < MIN_DATA_BYTES as u64 {
                return;
            }
            data.range.end = data.range.start + room;
            data.fin = false;
        }
        let flags = self.data_flags(&data);
        let Some(stream) = self.streams.get_mut(data.index) else { return };
        let len = usize::try_from(data.range.len()).unwrap_or(0);
        if len == 0 {
            // Nothing is left to carry the end.
            if !writer.stream_close(stream.id, data.range.end) {
                return;
            }
        } else {
            let Some(payload) = writer.data_header(stream.id, data.range.start, flags, len) else { return };
            source.fill(stream.id, data.range.start, payload);
        }
        stream.send.sent(data.range, data.new);
        stream.send.fin_sent |= data.fin;
        if data.new {
            self.data_sent += data.range.len();
            self.stats.stream_bytes_sent += data.range.len();
        } else {
            self.stats.stream_bytes_resent += data.range.len();
        }
        draft.data = Some(data);
    }

    /// The frame's flags: an ACK is asked for a few times per window, and where the flight ends for now.
    fn data_flags(&mut self, data: &DraftData) -> DataFlags {
        let mut flags = if data.fin { DataFlags::FIN } else { DataFlags::empty() };
        let cost = data.range.len() + (FRAME_HEADER_BYTES + PACKET_HEADER_BYTES + TAG_BYTES) as u64;
        self.unasked_bytes += cost;
        let window = self.congestion_window();
        let share = if self.congestion.get().is_probing() { 2 * ACKS_PER_WINDOW } else { ACKS_PER_WINDOW };
        let last_of_window = self.recovery.inflight_bytes() + 2 * cost > window;
        if self.unasked_bytes >= window / share || last_of_window || self.recovery.probes > 0 || self.is_last(data) {
            self.unasked_bytes = 0;
            flags |= DataFlags::ACK_NOW;
        }
        flags
    }

    /// Whether nothing more may follow this frame for now, for want of bytes or of the peer's permission.
    fn is_last(&self, data: &DraftData) -> bool {
        let Some(stream) = self.streams.get(data.index) else { return true };
        let bound = stream.send.end.min(stream.send.limit);
        let credit = self.peer.data_limit.saturating_sub(self.data_sent);
        data.new && (data.range.end >= bound || credit <= data.range.len())
    }

    fn transmit_close(&mut self, out: &mut [u8]) -> Option<usize> {
        let Phase::Closing { pending, due, .. } = &mut self.phase else { return None };
        if !core::mem::replace(due, false) {
            return None;
        }
        let size = self.mtu.size().min(out.len());
        let mut writer = FrameWriter::new(out.get_mut(PACKET_HEADER_BYTES..size.checked_sub(TAG_BYTES)?)?);
        let CloseCode(code) = pending.code;
        if !writer.close(code, &pending.reason) {
            return None;
        }
        let len = PACKET_HEADER_BYTES + writer.finish() + TAG_BYTES;
        self.seal(out.get_mut(..len)?)?;
        // A CLOSE is answered, if at all, by silence: its number is used up and nothing waits for it.
        self.recovery.sent.skip();
        Some(len)
    }
}

/// What a full packet costs the congestion window.
const fn datagram_cost(end: usize) -> u64 {
    (end + TAG_BYTES) as u64
}
