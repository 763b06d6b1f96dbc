//! Acknowledgement, loss detection and probes (RFC 9002), for one path.

use super::{
    Controls, Event, Session,
    rtt::Rtt,
    sent::SentRing,
    storage::{Fate, SentPacket},
    transmit::RESERVED_RECORDS,
};
use crate::{
    congestion::{AckSample, CongestionSample, PacketSample},
    crypto::Handshake,
    limits::{MIN_DATAGRAM_BYTES, PACKET_OVERHEAD_BYTES},
    ranges::{Range, RangeSet},
    time::{Duration, Instant},
    wire::{AckFrame, Reject},
};

/// Packets by which a later one must have been acknowledged before an earlier one is lost (RFC 9002 section 6.1.1).
/// It grows on paths that are seen to reorder more.
const INITIAL_PACKET_THRESHOLD: u64 = 3;
const MAX_PACKET_THRESHOLD: u64 = 4096;
/// A packet is late by time after 9/8 of a round trip (RFC 9002 section 6.1.2); on paths that are seen to delay single
/// packets for longer the eighth becomes a quarter, a half, a whole.
const INITIAL_REORDERING_SHIFT: u32 = 3;
/// Persistent congestion spans this many probe time-outs (RFC 9002 section 7.6.1).
const PERSISTENT_CONGESTION_THRESHOLD: u64 = 3;
/// Packets that a probe time-out sends past the congestion window (RFC 9002 section 6.2.4).
const PROBES_PER_TIMEOUT: u8 = 2;
const MAX_BACKOFF_SHIFT: u32 = 10;
/// A probe repeats this much of what the peer misses first of each stream: a packet of the least size.
const PREFIX_PROBE_BYTES: u64 = (MIN_DATAGRAM_BYTES - PACKET_OVERHEAD_BYTES) as u64;

/// What was sent and has not been settled, and the timers that settle it.
#[derive(Debug, Hash)]
pub(super) struct Recovery<'a> {
    pub(super) sent: SentRing<'a>,
    /// Acknowledged packet numbers at and above the ring's oldest: an ACK repeats them, and they are done.
    acked: RangeSet<'a>,
    pub(super) rtt: Rtt,
    inflight_bytes: u64,
    largest_acked: Option<u64>,
    /// Every packet below this is settled or lost.
    cursor: u64,
    packet_threshold: u64,
    reordering_shift: u32,
    /// When the next packet is lost by time.
    loss_at: Option<Instant>,
    last_eliciting_at: Instant,
    pto_count: u32,
    /// Packets that may leave past the congestion window.
    pub(super) probes: u8,
    /// The newest congestion episode: its number, and how many of its lost packets have not turned up.
    episode: u8,
    episode_missing: u64,
    episode_started_at: Option<Instant>,
    /// Whether the congestion window held a packet back since the last ACK.
    pub(super) cwnd_limited: bool,
    peer_ce_count: u32,
}

/// What one ACK newly acknowledged.
#[derive(Clone, Copy, Debug, Default)]
struct Newly {
    bytes: u64,
    largest: Option<u64>,
    largest_sent_at: Instant,
    prior_inflight_bytes: u64,
}

/// A stretch of packets that were all lost, for persistent congestion.
#[derive(Clone, Copy, Debug, Default)]
struct LostRun {
    first_at: Option<Instant>,
    longest: Duration,
}

impl<'a> Recovery<'a> {
    pub(super) fn new(sent: SentRing<'a>, acked: RangeSet<'a>) -> Self {
        Self {
            sent,
            acked,
            rtt: Rtt::default(),
            inflight_bytes: 0,
            largest_acked: None,
            cursor: 0,
            packet_threshold: INITIAL_PACKET_THRESHOLD,
            reordering_shift: INITIAL_REORDERING_SHIFT,
            loss_at: None,
            last_eliciting_at: Instant::ZERO,
            pto_count: 0,
            probes: 0,
            episode: 0,
            episode_missing: 0,
            episode_started_at: None,
            cwnd_limited: false,
            peer_ce_count: 0,
        }
    }

    pub(super) fn into_storage(self) -> (&'a mut [SentPacket], &'a mut [Range]) {
        (self.sent.into_storage(), self.acked.into_storage())
    }

    pub(super) const fn inflight_bytes(&self) -> u64 {
        self.inflight_bytes
    }

    /// Remembers a packet that just left.
    pub(super) fn on_sent(&mut self, packet: SentPacket) {
        if packet.fate == Fate::InFlight {
            self.inflight_bytes += u64::from(packet.size);
            self.last_eliciting_at = packet.sent_at;
            self.probes = self.probes.saturating_sub(1);
        }
        self.sent.push(packet);
        if self.cursor + 1 == self.sent.next_number() && packet.fate == Fate::Settled {
            self.cursor += 1;
        }
        self.forget_settled(packet.sent_at);
    }

    /// When loss detection or a probe is due.
    pub(super) fn timeout(&self, probe_timeout: Duration) -> Option<Instant> {
        self.loss_at.or_else(|| self.probe_at(probe_timeout))
    }

    fn probe_at(&self, probe_timeout: Duration) -> Option<Instant> {
        let backoff = 1 << self.pto_count.min(MAX_BACKOFF_SHIFT);
        (self.inflight_bytes > 0).then(|| self.last_eliciting_at + probe_timeout.saturating_mul(backoff))
    }

    /// Nothing is on its way any more.
    fn leave_path(&mut self) {
        self.inflight_bytes = 0;
        self.loss_at = None;
        self.pto_count = 0;
        self.probes = 0;
        self.episode_started_at = None;
        self.cursor = self.sent.next_number();
    }

    fn forget_settled(&mut self, now: Instant) {
        // A lost packet is remembered for a few round trips, in case it was only late, or until room is short.
        let keep = self.rtt.smoothed_or_initial().saturating_mul(4);
        let cramped = self.sent.room() < 64;
        self.sent.settle(|packet| cramped || packet.sent_at + keep < now);
        self.acked.remove_below(self.sent.oldest());
        self.cursor = self.cursor.max(self.sent.oldest());
    }
}

impl<H: Handshake> Session<'_, H> {
    /// Whether an ACK is possible at all. Changes nothing.
    pub(super) fn check_ack(&self, ack: &AckFrame<'_>) -> Result<(), Reject> {
        if ack.largest() >= self.recovery.sent.next_number() { Err(Reject::AckOfUnsent) } else { Ok(()) }
    }

    /// Takes in an ACK that [`Session::check_ack`] let pass.
    pub(super) fn on_ack(&mut self, ack: &AckFrame<'_>, now: Instant) {
        self.check_app_limited();
        let mut newly = Newly { prior_inflight_bytes: self.recovery.inflight_bytes, ..Newly::default() };
        let advanced = self.recovery.largest_acked.is_none_or(|largest| ack.largest() > largest);
        if advanced {
            self.recovery.largest_acked = Some(ack.largest());
        }
        for range in ack.ranges() {
            let oldest = self.recovery.sent.oldest();
            if range.last < oldest {
                break;
            }
            self.acknowledge_range(range.first.max(oldest), range.last + 1, &mut newly, now);
        }
        let rtt_sample = self.sample_rtt(ack, &newly, advanced, now);
        self.detect_losses(now);
        if newly.largest.is_some() {
            self.recovery.pto_count = 0;
            self.recovery.probes = 0;
            self.tell_controller(&newly, rtt_sample, now);
        }
        self.on_ce_count(ack.ce_count(), &newly, now);
        self.recovery.forget_settled(now);
        self.update_pacing_rate(now);
    }

    /// Settles the packets of `start..end` that no earlier ACK named.
    fn acknowledge_range(&mut self, start: u64, end: u64, newly: &mut Newly, now: Instant) {
        let mut at = start;
        while at < end {
            let Some(gap) = self.recovery.acked.gaps(at, end).next() else { break };
            for number in gap.start..gap.end {
                self.acknowledge_packet(number, newly, now);
            }
            at = gap.end;
        }
        // Where it does not fit, a later ACK finds these packets settled: slower, and as right.
        let _ = self.recovery.acked.insert(start, end);
    }

    fn acknowledge_packet(&mut self, number: u64, newly: &mut Newly, now: Instant) {
        let Some(packet) = self.recovery.sent.get_mut(number) else { return };
        let fate = core::mem::replace(&mut packet.fate, Fate::Settled);
        let packet = *packet;
        match fate {
            Fate::Settled => return,
            // It left by another path: what it carried is there, and that is all that it says.
            Fate::Left => {}
            Fate::InFlight => {
                self.recovery.inflight_bytes -= u64::from(packet.size);
                newly.bytes += u64::from(packet.size);
                if newly.largest.is_none_or(|largest| number > largest) {
                    newly.largest = Some(number);
                    newly.largest_sent_at = packet.sent_at;
                }
                self.congestion.get_mut().on_packet_acked(&packet.sample(number, now));
                self.on_size_acked(&packet, now);
            }
            Fate::Lost if packet.is_mtu_probe => self.on_size_acked(&packet, now),
            Fate::Lost => self.on_spurious_loss(number, &packet, now),
        }
        if packet.has_data {
            let range = Range { start: packet.offset, end: packet.offset + u64::from(packet.len) };
            let index = usize::from(packet.stream);
            if let Some(stream) = self.streams.get_mut(index)
                && stream.send.on_acked(range)
            {
                self.acked_streams |= 1 << index;
            }
        }
    }

    /// A packet that was given up arrived after all: reordering, and perhaps no congestion (BBR-7).
    fn on_spurious_loss(&mut self, number: u64, packet: &SentPacket, now: Instant) {
        self.stats.spurious_losses += 1;
        let distance = self.recovery.largest_acked.unwrap_or(number).saturating_sub(number);
        let threshold = &mut self.recovery.packet_threshold;
        *threshold = (*threshold).max(distance.saturating_add(1).min(MAX_PACKET_THRESHOLD));
        let age = now.saturating_since(packet.sent_at);
        while self.recovery.reordering_shift > 0 && self.recovery.rtt.loss_delay(self.recovery.reordering_shift) < age {
            self.recovery.reordering_shift -= 1;
        }
        if packet.episode == self.recovery.episode && self.recovery.episode_missing > 0 {
            self.recovery.episode_missing -= 1;
            if self.recovery.episode_missing == 0 {
                self.congestion.get_mut().on_spurious();
            }
        }
    }

    fn sample_rtt(&mut self, ack: &AckFrame<'_>, newly: &Newly, advanced: bool, now: Instant) -> Option<Duration> {
        // Only the largest packet gives a sample, and only when it is new (RFC 9002 section 5.1).
        if !advanced || newly.largest != Some(ack.largest()) {
            return None;
        }
        let sample = now.saturating_since(newly.largest_sent_at);
        let delay = Duration::from_micros(u64::from(ack.delay_us())).min(self.peer.max_ack_delay);
        self.recovery.rtt.update(sample, delay);
        Some(sample)
    }

    /// Tells the application what the ACKs of one packet came to: one event per stream, however many they were.
    pub(super) fn report_acknowledged(&mut self) {
        let streams = core::mem::take(&mut self.acked_streams);
        for index in 0..self.streams.len() {
            if streams & (1 << index) == 0 {
                continue;
            }
            if let Some(stream) = self.streams.get(index) {
                let (stream, upto) = (stream.id, stream.send.acked_prefix());
                self.push_event(Event::Acknowledged { stream, upto });
            }
        }
    }

    fn tell_controller(&mut self, newly: &Newly, rtt_sample: Option<Duration>, now: Instant) {
        let sample = AckSample {
            now,
            acked_bytes: newly.bytes,
            largest_acked: self.recovery.largest_acked.unwrap_or(0),
            largest_sent_at: newly.largest_sent_at,
            next_packet_number: self.recovery.sent.next_number(),
            prior_inflight_bytes: newly.prior_inflight_bytes,
            inflight_bytes: self.recovery.inflight_bytes,
            rtt_sample,
            min_rtt: self.recovery.rtt.smoothed().map(|_| self.recovery.rtt.min()),
            srtt: self.recovery.rtt.smoothed_or_initial(),
            cwnd_limited: self.recovery.cwnd_limited,
        };
        self.congestion.get_mut().on_ack(&sample);
        self.recovery.cwnd_limited = false;
    }

    /// More CE marks than before count as a loss would (RFC 9002 section 7.1).
    fn on_ce_count(&mut self, ce_count: u32, newly: &Newly, now: Instant) {
        if ce_count <= self.recovery.peer_ce_count {
            return;
        }
        self.recovery.peer_ce_count = ce_count;
        let new_episode = self.enter_episode(newly.largest_sent_at, now);
        self.congestion.get_mut().on_congestion(&CongestionSample {
            now,
            lost_bytes: 0,
            inflight_bytes: self.recovery.inflight_bytes,
            new_episode,
            persistent: false,
        });
    }

    /// Gives up the packets that RFC 9002 section 6.1 calls lost.
    pub(super) fn detect_losses(&mut self, now: Instant) {
        let Some(largest_acked) = self.recovery.largest_acked else { return };
        let delay = self.recovery.rtt.loss_delay(self.recovery.reordering_shift);
        let (mut lost_bytes, mut lost_packets, mut new_episode) = (0, 0, false);
        let mut least_lost = u16::MAX;
        let mut run = LostRun::default();
        let mut all_resolved = true;
        self.recovery.loss_at = None;
        for number in self.recovery.cursor..largest_acked {
            let Some(packet) = self.recovery.sent.get(number).copied() else { continue };
            if packet.fate == Fate::InFlight {
                let by_count = number + self.recovery.packet_threshold <= largest_acked;
                let lost_at = packet.sent_at + delay;
                if (by_count || lost_at <= now) && packet.is_mtu_probe {
                    self.give_up(number, &packet, now);
                } else if by_count || lost_at <= now {
                    least_lost = least_lost.min(packet.size);
                    lost_bytes += u64::from(packet.size);
                    lost_packets += 1;
                    run.lost(packet.sent_at);
                    new_episode |= self.enter_episode(packet.sent_at, now);
                    self.give_up(number, &packet, now);
                } else {
                    let earliest = self.recovery.loss_at.map_or(lost_at, |at| at.min(lost_at));
                    self.recovery.loss_at = Some(earliest);
                    all_resolved = false;
                    run.broken();
                }
            } else if packet.fate == Fate::Settled && packet.is_eliciting() {
                run.broken();
            }
            if all_resolved {
                self.recovery.cursor = number + 1;
            }
        }
        if lost_packets == 0 {
            return;
        }
        self.stats.lost_packets += lost_packets;
        if usize::from(least_lost) > MIN_DATAGRAM_BYTES {
            self.on_large_lost(now);
        }
        let period = self.probe_timeout().saturating_mul(PERSISTENT_CONGESTION_THRESHOLD);
        let persistent = self.recovery.rtt.smoothed().is_some() && run.longest > period;
        let inflight_bytes = self.recovery.inflight_bytes;
        let sample = CongestionSample { now, lost_bytes, inflight_bytes, new_episode, persistent };
        self.congestion.get_mut().on_congestion(&sample);
    }

    /// A packet sent at `sent_at` was lost or marked: returns whether a new congestion episode begins with it, which
    /// takes a packet sent after the last one began (RFC 9002 section 7.3.1).
    fn enter_episode(&mut self, sent_at: Instant, now: Instant) -> bool {
        if self.recovery.episode_started_at.is_some_and(|started| sent_at <= started) {
            return false;
        }
        self.recovery.episode_started_at = Some(now);
        self.recovery.episode = self.recovery.episode.wrapping_add(1);
        self.recovery.episode_missing = 0;
        self.stats.congestion_episodes += 1;
        true
    }

    /// Queues what a packet carried again.
    fn give_up(&mut self, number: u64, packet: &SentPacket, now: Instant) {
        self.recovery.inflight_bytes -= u64::from(packet.size);
        let episode = self.recovery.episode;
        if let Some(record) = self.recovery.sent.get_mut(number) {
            record.fate = Fate::Lost;
            record.episode = episode;
        }
        if packet.is_mtu_probe {
            self.on_mtu_probe_lost(packet, now);
            return;
        }
        self.congestion.get_mut().on_packet_lost(&packet.sample(number, now));
        self.recovery.episode_missing += 1;
        self.requeue(packet);
    }

    /// The path in use is another: what is on its way by the one before is sent again, and says nothing of this one.
    pub(super) fn repeat_all(&mut self, now: Instant) {
        for number in self.recovery.cursor..self.recovery.sent.next_number() {
            let Some(record) = self.recovery.sent.get_mut(number).filter(|record| record.fate == Fate::InFlight) else {
                continue;
            };
            record.fate = Fate::Left;
            let packet = *record;
            self.requeue(&packet);
        }
        self.recovery.leave_path();
        self.recovery.forget_settled(now);
    }

    fn requeue(&mut self, packet: &SentPacket) {
        self.controls |= packet.controls & Controls::RELIABLE;
        self.window_streams |= packet.window_streams;
        if packet.controls.intersects(Controls::STREAM_OPEN | Controls::STREAM_RESET) {
            self.repeat_stream_controls(packet.controls);
        }
        if packet.has_data
            && let Some(stream) = self.streams.get_mut(usize::from(packet.stream))
        {
            stream.send.on_lost(Range { start: packet.offset, end: packet.offset + u64::from(packet.len) }, packet.fin);
        }
    }

    /// The recovery timers: loss by time, else a probe (RFC 9002 section 6.2).
    pub(super) fn on_recovery_timeout(&mut self, now: Instant) {
        self.check_app_limited();
        if let Some(loss_at) = self.recovery.loss_at {
            if loss_at <= now {
                self.detect_losses(now);
                // What was lost may lie in front of ACKs that fill every record there is, and then nobody else asks.
                self.recovery.forget_settled(now);
                self.update_pacing_rate(now);
            }
            return;
        }
        if self.recovery.probe_at(self.probe_timeout()).is_some_and(|at| at <= now) {
            self.recovery.pto_count += 1;
            self.recovery.probes = PROBES_PER_TIMEOUT;
            // Restarts the timer even where nothing can be sent.
            self.recovery.last_eliciting_at = now;
            self.stats.probe_timeouts += 1;
            self.queue_probe(now);
        }
    }

    /// Makes sure that a probe has something to say: the oldest data in flight again, else a PING. And that it can be
    /// remembered: where records are short, the oldest packets are given up for it, or nothing could leave ever again.
    fn queue_probe(&mut self, now: Instant) {
        let oldest = self.oldest_in_flight().map(|(_, packet)| packet);
        for _ in 0..PROBES_PER_TIMEOUT {
            if self.recovery.sent.room() <= RESERVED_RECORDS
                && let Some((number, packet)) = self.oldest_in_flight()
            {
                self.give_up(number, &packet, now);
                self.stats.lost_packets += 1;
                self.recovery.forget_settled(now);
            }
        }
        if let Some(packet) = oldest {
            self.requeue(&packet);
            if usize::from(packet.size) > MIN_DATAGRAM_BYTES && !packet.is_mtu_probe {
                self.on_large_lost(now);
            }
        }
        // A peer that is short of room for gaps takes only what continues a prefix. That need not be in the oldest packet:
        // it may have been sent again since, and lost again. And new bytes, which it refuses, must not go in its place.
        for stream in self.streams.iter_mut() {
            stream.send.on_prefix_missing(PREFIX_PROBE_BYTES);
        }
        // The bytes of the oldest packet may have been acknowledged in another one, and its control frames may have become
        // pointless: then there is nothing to repeat, and without an answer the packet would stay in flight for good.
        if !self.streams.iter().any(|stream| stream.send.peek_lost(1).is_some()) {
            self.controls |= Controls::KEEPALIVE;
        }
    }

    fn oldest_in_flight(&self) -> Option<(u64, SentPacket)> {
        let sent = &self.recovery.sent;
        let in_flight = |number| sent.get(number).filter(|packet| packet.fate == Fate::InFlight);
        (self.recovery.cursor..sent.next_number()).find_map(|number| in_flight(number).map(|packet| (number, *packet)))
    }

    /// Tells the controller where the application, and neither the path nor the peer, leaves room in the window:
    /// CheckIfApplicationLimited of draft-ietf-ccwg-bbr section 4.1.2.4. It is asked before new data is known, and before
    /// ACKs and timers change what is in flight.
    pub(super) fn check_app_limited(&mut self) {
        if !self.streams.iter().any(|stream| stream.send.has_data()) {
            self.congestion.get_mut().on_app_limited(self.recovery.inflight_bytes);
        }
    }

    /// Sets the pacer's rate from the controller and the user's cap (BBR-3, BBR-5).
    pub(super) fn update_pacing_rate(&mut self, now: Instant) {
        let modelled =
            if self.config.pacing { self.congestion.get().pacing_rate(self.recovery.rtt.smoothed()) } else { None };
        let rate = match (modelled, self.config.rate_cap) {
            (Some(rate), Some(cap)) if rate > cap => {
                self.congestion.get_mut().on_rate_capped(cap, self.recovery.inflight_bytes);
                Some(cap)
            }
            (rate, cap) => rate.or(cap),
        };
        self.pacer.set_rate(rate);
        // From this moment on: time that passed before the next packet asks must not count at the old rate.
        self.pacer.advance(now);
    }
}

impl SentPacket {
    /// What the controller is told of it.
    fn sample(&self, number: u64, now: Instant) -> PacketSample {
        PacketSample { now, number, sent_at: self.sent_at, bytes: u64::from(self.size), record: self.record }
    }
}

impl LostRun {
    fn lost(&mut self, sent_at: Instant) {
        let first = *self.first_at.get_or_insert(sent_at);
        self.longest = self.longest.max(sent_at.saturating_since(first));
    }

    fn broken(&mut self) {
        self.first_at = None;
    }
}
