//! What a congestion controller is told and what it decides; the session obeys, the controller never sends.

pub use crate::bbr::{PacketSample, SendRecord};
use crate::{
    bbr::Bbr,
    cubic::Cubic,
    rate::Rate,
    time::{Duration, Instant},
};

/// A packet that is about to leave and must be acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct SendSample {
    /// When it leaves.
    pub now: Instant,
    /// Its bytes, headers included.
    pub bytes: u64,
    /// Bytes in flight without it.
    pub inflight_bytes: u64,
}

/// Packets that one ACK frame newly acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct AckSample {
    /// When the ACK was handled.
    pub now: Instant,
    /// Bytes newly acknowledged, headers included.
    pub acked_bytes: u64,
    /// Highest packet number acknowledged so far.
    pub largest_acked: u64,
    /// When the newest of these packets was sent.
    pub largest_sent_at: Instant,
    /// The next packet number to be used: a round trip ends once it is acknowledged.
    pub next_packet_number: u64,
    /// Bytes in flight before this ACK.
    pub prior_inflight_bytes: u64,
    /// Bytes in flight behind it, and behind the losses that it showed.
    pub inflight_bytes: u64,
    /// The newest round-trip sample, if this ACK gave one.
    pub rtt_sample: Option<Duration>,
    /// The lowest round-trip sample of the session, once there is one.
    pub min_rtt: Option<Duration>,
    /// Smoothed round-trip time.
    pub srtt: Duration,
    /// Whether the window, and not the application or the peer's flow control, held the sender back.
    pub cwnd_limited: bool,
}

/// Packets newly declared lost, or marked by the network.
#[derive(Clone, Copy, Debug)]
pub struct CongestionSample {
    /// When the loss was noticed.
    pub now: Instant,
    /// Bytes declared lost, headers included; zero for a mark.
    pub lost_bytes: u64,
    /// Bytes still in flight.
    pub inflight_bytes: u64,
    /// Whether this is the first of a new congestion episode: the window is reduced once per round trip.
    pub new_episode: bool,
    /// Whether the loss spans the persistent-congestion period (RFC 9002 section 7.6).
    pub persistent: bool,
}

/// What a controller believes of its path: for plots, statistics and people. Nothing decides by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// The state that it is in, by the name that its specification uses.
    pub state: &'static str,
    /// The most that the path was seen to deliver lately, where the controller estimates it.
    pub max_bw: Option<Rate>,
    /// The rate that it takes to be safe now.
    pub bw: Option<Rate>,
    /// The round-trip time without queues.
    pub min_rtt: Option<Duration>,
    /// Bytes in flight that the path bears in the long run; `None` where no bound is known.
    pub inflight_longterm_bytes: Option<u64>,
    /// The same, of late.
    pub inflight_shortterm_bytes: Option<u64>,
}

/// A congestion controller.
///
/// For an ACK it is told of each packet acknowledged, then of each one lost, then of the losses and of the ACK as a whole.
pub trait Controller {
    /// A packet leaves; what is returned comes back with the packet's fate.
    fn on_sent(&mut self, _sent: &SendSample) -> SendRecord {
        SendRecord::default()
    }

    /// The application has nothing to send, while nothing else would hold the sender back.
    fn on_app_limited(&mut self, _inflight_bytes: u64) {}

    /// The user's cap, and nothing else, decides the rate of what leaves now.
    fn on_rate_capped(&mut self, _cap: Rate, _inflight_bytes: u64) {}

    /// A packet was acknowledged.
    fn on_packet_acked(&mut self, _packet: &PacketSample) {}

    /// A packet was declared lost.
    fn on_packet_lost(&mut self, _packet: &PacketSample) {}

    /// Data was acknowledged.
    fn on_ack(&mut self, sample: &AckSample);

    /// Packets were lost, or an ACK reported new CE marks.
    fn on_congestion(&mut self, sample: &CongestionSample);

    /// Every packet of the newest congestion episode turned out to have arrived: take its reduction back.
    fn on_spurious(&mut self);

    /// The path's packet size changed.
    fn set_datagram_bytes(&mut self, bytes: u64);

    /// Bytes that may be in flight.
    fn cwnd_bytes(&self) -> u64;

    /// The rate to pace at for this smoothed round-trip time; `None` before there is an estimate.
    fn pacing_rate(&self, srtt: Option<Duration>) -> Option<Rate>;

    /// Whether the controller still searches for the path's capacity, and so wants frequent ACKs.
    fn is_probing(&self) -> bool;

    /// What it believes.
    fn model(&self) -> Model;
}

/// Which controller a session runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ControllerKind {
    /// BBRv3 (draft-ietf-ccwg-bbr).
    #[default]
    Bbr,
    /// CUBIC (RFC 9438) with HyStart++ (RFC 9406).
    Cubic,
}

/// A session's controller, in its place in the session.
#[derive(Clone, Debug, Hash)]
#[expect(clippy::large_enum_variant, reason = "one per session, and nothing here can allocate")]
pub enum Congestion {
    /// BBRv3.
    Bbr(Bbr),
    /// CUBIC.
    Cubic(Cubic),
}

impl Congestion {
    /// A controller of this kind for packets of `datagram_bytes`; `seed` is for what it draws at random.
    #[must_use]
    pub fn new(kind: ControllerKind, datagram_bytes: u64, seed: u64) -> Self {
        match kind {
            ControllerKind::Bbr => Self::Bbr(Bbr::new(datagram_bytes, seed)),
            ControllerKind::Cubic => Self::Cubic(Cubic::new(datagram_bytes)),
        }
    }

    /// The controller behind the choice.
    #[must_use]
    pub fn get(&self) -> &dyn Controller {
        match self {
            Self::Bbr(bbr) => bbr,
            Self::Cubic(cubic) => cubic,
        }
    }

    /// The controller behind the choice, to tell it something.
    pub fn get_mut(&mut self) -> &mut dyn Controller {
        match self {
            Self::Bbr(bbr) => bbr,
            Self::Cubic(cubic) => cubic,
        }
    }
}
