//! Path MTU discovery in a session: its probes among the packets, and what comes of them (RFC 8899).

use super::{
    Controls, Session,
    storage::{Fate, SentPacket},
    transmit::RESERVED_RECORDS,
};
use crate::{
    congestion::SendSample,
    crypto::Handshake,
    limits::{FRAME_HEADER_BYTES, PACKET_HEADER_BYTES, TAG_BYTES},
    pacer::Held,
    time::Instant,
    wire::FrameWriter,
};

impl<H: Handshake> Session<'_, H> {
    /// The device cannot send datagrams of `bytes` by the path in use: smaller ones from now on.
    pub fn on_too_big(&mut self, bytes: usize, now: Instant) {
        let shrinks = self.mtu.on_too_big(bytes, now);
        self.take_size_up(shrinks);
    }

    /// Writes the probe that is due, where there is room for one beside data: a session that only answers needs no large
    /// packets. Returns its length.
    pub(super) fn transmit_mtu_probe(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        let bytes = self.mtu.due(now)?;
        let has_data = self.streams.iter().any(|stream| stream.send.has_data());
        let fits = self.recovery.inflight_bytes() + bytes as u64 <= self.congestion_window();
        let is_remembered = self.recovery.sent.room() > RESERVED_RECORDS;
        // What no path measured yet need not be known before the first round trip is over.
        let is_measured = self.recovery.rtt.smoothed().is_some();
        if !has_data || !fits || !is_remembered || !is_measured || self.pacer.departure(now, bytes as u64) > now {
            return None;
        }
        let mut writer = FrameWriter::new(out.get_mut(PACKET_HEADER_BYTES..bytes.checked_sub(TAG_BYTES)?)?);
        let is_written = writer.keepalive() && writer.pad(writer.remaining().checked_sub(FRAME_HEADER_BYTES)?);
        if !is_written {
            return None;
        }
        self.seal(out.get_mut(..bytes)?)?;
        let sent = SendSample { now, bytes: bytes as u64, inflight_bytes: self.recovery.inflight_bytes() };
        let record = self.congestion.get_mut().on_sent(&sent);
        self.recovery.on_sent(SentPacket {
            sent_at: now,
            size: u16::try_from(bytes).unwrap_or(u16::MAX),
            fate: Fate::InFlight,
            controls: Controls::KEEPALIVE,
            is_mtu_probe: true,
            record,
            ..SentPacket::default()
        });
        self.pacer.on_sent(now, bytes as u64, bytes as u64, Held::Not);
        self.mtu.on_probe_sent(bytes);
        self.stats.mtu_probes += 1;
        self.stats.sent_packets += 1;
        self.stats.sent_bytes += bytes as u64;
        Some(bytes)
    }

    /// A packet arrived at the peer.
    pub(super) fn on_size_acked(&mut self, packet: &SentPacket, now: Instant) {
        let grows = self.mtu.on_acked(usize::from(packet.size), now);
        self.take_size_up(grows);
    }

    /// A probe is given up: its size perhaps too, and nothing else follows.
    pub(super) fn on_mtu_probe_lost(&mut self, packet: &SentPacket, now: Instant) {
        self.stats.mtu_probes_lost += 1;
        self.mtu.on_probe_lost(usize::from(packet.size), now);
    }

    /// Large packets, and only those, vanish.
    pub(super) fn on_large_lost(&mut self, now: Instant) {
        let shrinks = self.mtu.on_large_lost(now);
        self.take_size_up(shrinks);
    }

    fn take_size_up(&mut self, has_changed: bool) {
        if has_changed {
            self.congestion.get_mut().set_datagram_bytes(self.mtu.size() as u64);
        }
    }
}
