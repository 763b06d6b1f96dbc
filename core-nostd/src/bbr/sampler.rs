//! Delivery-rate samples (draft-ietf-ccwg-bbr section 4.1): how fast the path delivered what an ACK covers.
//!
//! Each packet keeps what had been delivered when it left. When it is acknowledged, what was delivered in between, over
//! the longer of the times that sending and acknowledging it took, is a sample of the path's rate.

use zerocopy::FromZeros;

use crate::{
    rate::Rate,
    time::{Duration, Instant},
};

/// What a packet remembers of the moment it left (section 4.1.2.1.2, "per-packet state").
#[derive(Clone, Copy, Debug, Default, Hash, FromZeros)]
pub struct SendRecord {
    /// Bytes delivered until then.
    delivered: u64,
    /// When that had last changed.
    delivered_at: Instant,
    /// When the packet left that was delivered last.
    first_sent_at: Instant,
    /// Bytes lost until then.
    pub(super) lost: u64,
    /// Bytes in flight with this packet.
    pub(super) tx_inflight: u64,
    /// Whether the application had left the path idle.
    pub(super) is_app_limited: bool,
}

/// One packet whose fate is known.
#[derive(Clone, Copy, Debug)]
pub struct PacketSample {
    /// When its fate became known.
    pub now: Instant,
    /// Its number.
    pub number: u64,
    /// When it left.
    pub sent_at: Instant,
    /// Its bytes, headers included.
    pub bytes: u64,
    /// What it remembers.
    pub record: SendRecord,
}

/// The sample of one ACK (section 4.1.2.1.3), taken from the newest packet that it covers.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(super) struct RateSample {
    /// Whether the ACK acknowledged anything.
    pub has_data: bool,
    /// The rate; zero where there is no reliable one.
    pub delivery_rate: Rate,
    /// Bytes delivered since the newest packet left.
    pub delivered: u64,
    /// Bytes that had been delivered when it left.
    pub prior_delivered: u64,
    /// Whether the application was what limited the rate.
    pub is_app_limited: bool,
    /// Bytes in flight with the newest packet.
    pub tx_inflight: u64,
    /// Bytes lost since it left.
    pub lost: u64,
    send_elapsed: Duration,
    ack_elapsed: Duration,
    newest: Option<(Instant, u64)>,
}

/// The connection's side of the sampler (section 4.1.2.1.1).
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Sampler {
    /// Bytes delivered in all.
    pub delivered: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    /// Bytes lost in all.
    pub lost: u64,
    /// Until so much is delivered, samples are limited by the application; zero: they are not.
    app_limited_until: u64,
    sample: RateSample,
}

impl Sampler {
    /// A packet of `bytes` leaves while `inflight` are on their way (section 4.1.2.2).
    pub fn on_sent(&mut self, now: Instant, bytes: u64, inflight: u64) -> SendRecord {
        if inflight == 0 {
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        SendRecord {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            lost: self.lost,
            tx_inflight: inflight.saturating_add(bytes),
            is_app_limited: self.is_app_limited(),
        }
    }

    /// A packet was acknowledged: UpdateRateSample of section 4.1.2.3.
    pub fn on_acked(&mut self, packet: &PacketSample) {
        self.delivered = self.delivered.saturating_add(packet.bytes);
        self.delivered_at = packet.now;
        let this = (packet.sent_at, packet.number);
        if self.sample.newest.is_some_and(|newest| this <= newest) {
            return;
        }
        self.sample = RateSample {
            has_data: true,
            prior_delivered: packet.record.delivered,
            is_app_limited: packet.record.is_app_limited,
            tx_inflight: packet.record.tx_inflight,
            lost: packet.record.lost,
            send_elapsed: packet.sent_at.saturating_since(packet.record.first_sent_at),
            ack_elapsed: packet.now.saturating_since(packet.record.delivered_at),
            newest: Some(this),
            ..RateSample::default()
        };
        self.first_sent_at = self.first_sent_at.max(packet.sent_at);
    }

    /// The sample of the ACK whose packets were given to [`Sampler::on_acked`]: GenerateRateSample of section 4.1.2.3.
    pub fn finish(&mut self, min_rtt: Option<Duration>) -> RateSample {
        if self.is_app_limited() && self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        let mut sample = core::mem::take(&mut self.sample);
        if !sample.has_data {
            return sample;
        }
        sample.delivered = self.delivered.saturating_sub(sample.prior_delivered);
        sample.lost = self.lost.saturating_sub(sample.lost);
        let interval = sample.send_elapsed.max(sample.ack_elapsed);
        let is_reliable = interval > Duration::ZERO && min_rtt.is_none_or(|min_rtt| interval >= min_rtt);
        if is_reliable {
            sample.delivery_rate = Rate::from_bytes_over(sample.delivered, interval);
        }
        sample
    }

    /// Samples of what is on its way, and of the next round trip, are limited by the application: MarkConnectionAppLimited
    /// of section 4.1.2.4.
    pub fn mark_app_limited(&mut self, inflight: u64) {
        self.app_limited_until = self.delivered.saturating_add(inflight).max(1);
    }

    /// Whether packets that leave now are limited by the application.
    pub const fn is_app_limited(&self) -> bool {
        self.app_limited_until != 0
    }
}
