//! What a datagram does to a session. Everything is checked before anything changes: a refused datagram leaves the
//! session as it was, but for a counter (FRAME-5).

use core::net::SocketAddr;

use heapless::Vec;

use super::{
    Controls, Event, MAX_DATA_FRAMES, MAX_DATA_PIECES, MAX_STREAMS, Phase, Session,
    close::{CloseCode, CloseReason},
    replay::Freshness,
};
use crate::{
    crypto::Handshake,
    device::Ecn,
    limits::{MAX_DATAGRAM_BYTES, PACKET_HEADER_BYTES},
    time::Instant,
    wire::{
        Control, DataFlags, FrameContext, HeaderView, PacketBody, PacketFlags, PacketHeader, PacketKind, Reject,
        StreamId, View, extend_packet_number,
    },
};

/// A packet that authenticated.
#[derive(Clone, Copy)]
struct Arrival {
    now: Instant,
    /// Where it came from.
    remote: SocketAddr,
    ecn: Ecn,
    number: u64,
    key_phase: bool,
    /// Its whole datagram.
    bytes: usize,
}

/// What the frames of one packet add up to.
#[derive(Debug, Default)]
struct Summary {
    eliciting: bool,
    ack_now: bool,
    /// Streams that a frame of the packet has changed: a second frame would be checked against what no longer is.
    touched: Vec<StreamId, MAX_DATA_FRAMES>,
    /// Pieces into which their bytes fall around those that are already there.
    data_pieces: usize,
    /// The streams that the packet opens.
    new_streams: Vec<StreamId, MAX_STREAMS>,
    /// By how much the packet would raise what the peer has sent over all streams.
    new_bytes: u64,
}

impl<H: Handshake> Session<'_, H> {
    /// Takes in a datagram that carries this session's index, decrypting it in place.
    ///
    /// Take the events after each call: [`Event::Data`] points into `datagram`.
    ///
    /// # Errors
    /// The rule that the datagram broke. It was counted, and nothing else changed.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        ecn: Ecn,
        datagram: &mut [u8],
    ) -> Result<(), Reject> {
        let outcome = self.try_datagram(now, remote, ecn, datagram);
        outcome.map_err(|reject| self.refuse(reject))
    }

    fn try_datagram(&mut self, now: Instant, remote: SocketAddr, ecn: Ecn, datagram: &mut [u8]) -> Result<(), Reject> {
        let header = HeaderView::parse(datagram)?.header();
        if !self.indexes.is_local(header.receiver) {
            return Err(Reject::NotForUs);
        }
        if header.kind == PacketKind::Protected {
            return self.on_protected(now, remote, ecn, &header, datagram);
        }
        // The handshake is bound to the address it began with; sealed packets may come by a new path.
        if remote != self.paths.active() {
            return Err(Reject::PathUnknown);
        }
        self.on_handshake_packet(header.kind, datagram.get(PACKET_HEADER_BYTES..).unwrap_or(&[]), now)
    }

    fn on_protected(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        ecn: Ecn,
        header: &PacketHeader,
        datagram: &mut [u8],
    ) -> Result<(), Reject> {
        let number =
            extend_packet_number(self.replay.newest(), header.packet_number_low).ok_or(Reject::PacketNumberTooFar)?;
        match self.replay.check(number) {
            Freshness::Fresh => {}
            Freshness::Replayed => return Err(Reject::Replayed),
            Freshness::TooOld => return Err(Reject::TooOld),
        }
        let key_phase = header.flags.contains(PacketFlags::KEY_PHASE);
        let epochs = self.epochs.as_ref().ok_or(Reject::UnexpectedPacket)?;
        let datagram_len = datagram.len();
        let (associated, sealed) = datagram.split_at_mut(PACKET_HEADER_BYTES.min(datagram_len));
        let len = epochs.open(key_phase, number, associated, sealed)?;
        let arrival = Arrival { now, remote, ecn, number, key_phase, bytes: datagram_len };
        let outcome = self.on_opened(&arrival, sealed.get(..len).unwrap_or(&[]));
        match outcome {
            Ok(()) => self.conduct.kept(),
            Err(rule) => self.conduct.broke(rule),
        }
        outcome
    }

    /// Takes in what was sealed in a packet: from here on everything is the peer's own.
    fn on_opened(&mut self, arrival: &Arrival, body: &[u8]) -> Result<(), Reject> {
        let frames = PacketBody::parse(body, &FrameContext { max_datagram_bytes: MAX_DATAGRAM_BYTES })?;
        if !matches!(self.phase, Phase::Established) {
            self.on_protected_while_closing(&frames)?;
            self.replay.record(arrival.number);
            return Ok(());
        }
        let summary = self.check_frames(&frames)?;
        self.admit(arrival, &summary);
        for frame in frames.frames() {
            // Nothing counts behind a frame that ended the session.
            if matches!(self.phase, Phase::Established) {
                self.apply(arrival, &frame.view(), body);
            }
        }
        self.report_acknowledged();
        self.start_rekey_if_due(arrival.now);
        Ok(())
    }

    /// The packet keeps all rules: records that it came.
    fn admit(&mut self, arrival: &Arrival, summary: &Summary) {
        let Arrival { now, remote, ecn, number, key_phase, bytes } = *arrival;
        self.note_path(now, remote, number >= self.replay.newest(), bytes);
        let keep_previous = self.probe_timeout().saturating_mul(3);
        if let Some(epochs) = &mut self.epochs {
            epochs.authenticated(key_phase, now, keep_previous);
        }
        self.connecting.confirm();
        self.replay.record(number);
        if ecn == Ecn::Ce {
            self.stats.ce_packets += 1;
            self.acks.ce_count = self.acks.ce_count.wrapping_add(1);
        }
        self.acks.on_packet(number, now, summary.eliciting, summary.ack_now, self.config.max_ack_delay);
        self.heard_at = now;
        self.stats.received_packets += 1;
        self.stats.received_bytes += bytes as u64;
    }

    /// A closing session hears only CLOSE, and answers anything else with its own CLOSE again: every second packet, then
    /// every fourth, and so on, because a peer in full flight must not get as many as it sends (RFC 9000 section 10.2.1).
    fn on_protected_while_closing(&mut self, frames: &PacketBody<'_>) -> Result<(), Reject> {
        let closed_too = frames.frames().any(|frame| matches!(frame.view(), View::Close { .. }));
        match &mut self.phase {
            Phase::Closing { due, heard, .. } if !closed_too => {
                *heard = heard.saturating_add(1);
                *due |= heard.is_power_of_two();
            }
            Phase::Closing { .. } => self.phase = Phase::Closed,
            _ => return Err(Reject::SessionClosed),
        }
        Ok(())
    }

    fn check_frames(&self, frames: &PacketBody<'_>) -> Result<Summary, Reject> {
        let mut summary = Summary::default();
        for frame in frames.frames() {
            let view = frame.view();
            summary.eliciting |= view.is_ack_eliciting();
            self.check_frame(&view, &mut summary)?;
        }
        if self.data_received + summary.new_bytes > self.connection_window.limit() {
            return Err(Reject::FlowControl);
        }
        Ok(summary)
    }

    fn check_frame(&self, view: &View<'_>, summary: &mut Summary) -> Result<(), Reject> {
        match view {
            View::Data { stream, offset, payload, flags } => {
                summary.ack_now |= flags.contains(DataFlags::ACK_NOW);
                let end = offset + payload.len() as u64;
                self.check_stream_bytes(*stream, *offset, end, flags.contains(DataFlags::FIN), summary)
            }
            View::StreamClose { stream, final_size } => {
                self.check_stream_bytes(*stream, *final_size, *final_size, true, summary)
            }
            View::StreamReset { stream, final_size, .. } => {
                self.check_stream_bytes(*stream, *final_size, *final_size, true, summary)
            }
            View::StreamOpen { stream, .. } => self.check_new_stream(*stream, summary),
            View::Ack(ack) => self.check_ack(ack),
            View::Rekey(rekey) => match &self.epochs {
                Some(epochs) => epochs.check(rekey.answer, rekey.epoch, self.initiator),
                None => Err(Reject::RekeyUnexpected),
            },
            View::WindowUpdate { stream: Some(stream), .. } if self.streams.find(*stream).is_none() => {
                Err(Reject::StreamUnknown)
            }
            View::PathResponse { data } => self.paths.check_response(data),
            _ => Ok(()),
        }
    }

    fn check_stream_bytes(
        &self,
        id: StreamId,
        start: u64,
        end: u64,
        fin: bool,
        summary: &mut Summary,
    ) -> Result<(), Reject> {
        let repeated = summary.touched.contains(&id);
        if repeated || summary.touched.push(id).is_err() {
            return Err(Reject::StreamRepeated);
        }
        let Some(stream) = self.streams.find(id).and_then(|index| self.streams.get(index)) else {
            summary.new_bytes += end;
            summary.data_pieces += 1;
            let within = end <= self.config.initial_window_bytes;
            return if within { self.check_new_stream(id, summary) } else { Err(Reject::FlowControl) };
        };
        summary.new_bytes += end.saturating_sub(stream.receive.highest);
        let left = MAX_DATA_PIECES.saturating_sub(summary.data_pieces);
        summary.data_pieces += stream.receive.check(start, end, fin, left)?;
        Ok(())
    }

    fn check_new_stream(&self, id: StreamId, summary: &mut Summary) -> Result<(), Reject> {
        if self.streams.find(id).is_some() {
            return Ok(());
        }
        if summary.new_streams.contains(&id) {
            return Ok(());
        }
        let fits = summary.new_streams.len() < self.streams.room() && summary.new_streams.push(id).is_ok();
        if fits { Ok(()) } else { Err(Reject::StreamLimit) }
    }

    fn apply(&mut self, arrival: &Arrival, view: &View<'_>, body: &[u8]) {
        let now = arrival.now;
        match view {
            View::Data { stream, offset, payload, flags } => {
                // Both are slices of one buffer, so the difference is the payload's place in it.
                let at = (payload.as_ptr() as usize).wrapping_sub(body.as_ptr() as usize) + PACKET_HEADER_BYTES;
                let end = offset + payload.len() as u64;
                self.on_stream_bytes(now, *stream, *offset, end, at);
                if flags.contains(DataFlags::FIN) {
                    self.on_final_size(*stream, end);
                }
                self.report_if_finished(*stream);
            }
            View::Ack(ack) => self.on_ack(ack, now),
            View::Rekey(rekey) => self.on_rekey_frame(now, rekey.answer, rekey.epoch, rekey.public_key),
            View::WindowUpdate { stream, limit } => self.on_window_update(*stream, *limit),
            View::Ping { token } => {
                self.pong_token = *token;
                self.controls |= Controls::PONG;
            }
            View::Pong { token } => {
                if let Some(round_trip) = self.ping.answered(*token, now) {
                    self.push_event(Event::Pong { round_trip });
                }
            }
            View::PathChallenge { data } => self.paths.owe_response(arrival.remote, *data),
            View::PathResponse { data } => self.on_path_response(now, data),
            View::Close { code, .. } => self.finish(CloseReason::Peer(CloseCode(*code))),
            View::StreamOpen { stream, window, priority } => {
                if let Some(index) = self.find_or_open(now, *stream)
                    && let Some(stream) = self.streams.get_mut(index)
                {
                    stream.send.limit = stream.send.limit.max(*window);
                    stream.priority = *priority;
                }
            }
            View::StreamClose { stream, final_size } => {
                if self.find_or_open(now, *stream).is_some() {
                    self.on_final_size(*stream, *final_size);
                    self.report_if_finished(*stream);
                }
            }
            View::StreamReset { stream, final_size, code } => self.on_reset(now, *stream, *final_size, *code),
            View::GoAway { .. } => {
                if !core::mem::replace(&mut self.peer_going_away, true) {
                    self.push_event(Event::GoingAway);
                }
            }
            View::Control(Control::Migrate { receiver, sequence }) => self.on_migrate(now, *receiver, *sequence),
            View::Control(Control::VersionNegotiation { versions }) => {
                self.stats.peer_newest_version = versions.iter().max().unwrap_or(0);
            }
            View::Control(Control::Keepalive) | View::Pad { .. } => {}
        }
    }

    fn find_or_open(&mut self, now: Instant, id: StreamId) -> Option<usize> {
        let index = match self.streams.find(id) {
            Some(index) => index,
            None => self.open_stream_slot(id, self.config.initial_window_bytes, now)?,
        };
        self.streams.touch(index);
        Some(index)
    }

    /// Records stream bytes and reports what is new of them; `at` is where they begin in the datagram.
    fn on_stream_bytes(&mut self, now: Instant, id: StreamId, start: u64, end: u64, at: usize) {
        let Some(index) = self.find_or_open(now, id) else { return };
        let Some(stream) = self.streams.get_mut(index) else { return };
        if stream.receive.finished {
            // All of it is there, or the peer gave it up and the bytes are late.
            return;
        }
        self.data_received += end.saturating_sub(stream.receive.highest);
        let events = &mut self.events;
        stream.receive.record(start, end, |new| {
            // A datagram is below 64 KiB, and so is every place in it.
            let from = (at as u64 + (new.start - start)) as u16;
            let event = Event::Data { stream: id, offset: new.start, start: from, end: from + new.len() as u16 };
            let full = events.push_back(event).is_err();
            debug_assert!(!full, "at most MAX_DATA_PIECES events");
        });
    }

    fn on_final_size(&mut self, id: StreamId, size: u64) {
        if let Some(stream) = self.streams.find(id).and_then(|index| self.streams.get_mut(index)) {
            stream.receive.final_size.get_or_insert(size);
        }
    }

    fn report_if_finished(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.find(id).and_then(|index| self.streams.get_mut(index))
            && stream.receive.finishes()
        {
            self.push_event(Event::StreamFinished { stream: id });
        }
    }

    fn on_reset(&mut self, now: Instant, id: StreamId, final_size: u64, code: u16) {
        let Some(index) = self.find_or_open(now, id) else { return };
        let Some(stream) = self.streams.get_mut(index).filter(|stream| !stream.receive.finished) else { return };
        self.data_received += final_size.saturating_sub(stream.receive.highest);
        // Bytes that will not come cannot be consumed either: their share of the connection's window is given back.
        let missing = stream.receive.reset(final_size);
        self.push_event(Event::StreamReset { stream: id, code });
        self.connection_window.consume(missing);
        if self.connection_window.wants_update(now, self.recovery.rtt.min()) {
            self.controls |= Controls::CONNECTION_WINDOW;
        }
    }

    fn on_window_update(&mut self, stream: Option<StreamId>, limit: u64) {
        match stream {
            None => self.peer.data_limit = self.peer.data_limit.max(limit),
            Some(id) => {
                if let Some(stream) = self.streams.find(id).and_then(|index| self.streams.get_mut(index)) {
                    stream.send.limit = stream.send.limit.max(limit);
                }
            }
        }
    }

    fn on_rekey_frame(&mut self, now: Instant, answer: bool, epoch: u32, public_key: &[u8; 32]) {
        let Some(epochs) = &mut self.epochs else { return };
        match epochs.on_rekey(answer, epoch, public_key, &mut self.handshake, now) {
            Ok(super::epochs::RekeyStep::Answer) => self.controls |= Controls::REKEY_ANSWER,
            Ok(_) => {}
            // A public key of low order from an authenticated peer: it is broken or hostile, and must not choose keys.
            Err(_) => self.close(now, CloseCode::PROTOCOL, "refused a REKEY public key"),
        }
    }
}
