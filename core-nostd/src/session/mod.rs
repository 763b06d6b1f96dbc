//! A session: one peer, from the first handshake message to the last CLOSE.
//!
//! A session is a state machine without a socket or a clock. Its owner hands datagrams in, asks for datagrams to send
//! and for events, and calls back when a timer is due:
//!
//! ```text
//! datagram in -> receive  -> epochs (open) -> wire (validate) -> streams, flow, ack policy -> Event
//! ACK in      -> recovery -> rtt, congestion, streams (acknowledged, lost)
//! datagram out <- transmit <- ack, control, streams (lost first, then new) <- pacer, congestion window
//! ```
//!
//! What changes the answer of each poll function is said there. One `now` serves a whole batch of calls; it must not
//! run backwards.

mod acks;
mod close;
mod conduct;
mod config;
mod connect;
mod control;
mod digest;
mod epochs;
mod event;
mod flow;
mod index;
mod mtu;
mod path;
mod probing;
mod receive;
mod recovery;
mod replay;
mod rtt;
mod sent;
mod stats;
mod storage;
mod streaming;
mod streams;
mod transmit;

use core::net::SocketAddr;

use heapless::Deque;

pub use close::{CloseCode, CloseReason, MAX_REASON_BYTES};
pub use conduct::MAX_FAULTS;
pub use config::Config;
pub use connect::Incoming;
pub use event::Event;
pub use flow::ReceiveWindow;
pub use index::INDEX_PLACE_MASK;
pub use replay::{Freshness, ReplayWindow, WINDOW_PACKETS};
pub use rtt::Rtt;
pub use stats::Stats;
pub use storage::{MAX_STREAMS, SentPacket, Storage, StreamSlot, StreamStorage, TooSmall};
pub use streams::Stream;
pub use transmit::Source;

use crate::{
    congestion::{Congestion, Model},
    crypto::Handshake,
    limits,
    pacer::Pacer,
    ranges::RangeSet,
    time::{Duration, Instant},
    wire::Reject,
};
use acks::AckPolicy;
use close::ClosePending;
use conduct::Conduct;
use connect::Connecting;
use control::Controls;
use epochs::Epochs;
use index::Indexes;
use mtu::PathMtu;
use path::Paths;
use recovery::Recovery;
use sent::SentRing;
use streaming::{Leaving, Ping};
use streams::StreamTable;
use transmit::Hold;

/// Events that can wait between two datagrams: those of one packet's stream frames, one acknowledgement per stream, and
/// one each of [`Event::Connected`], [`Event::GoingAway`], [`Event::PathChanged`], [`Event::Pong`] and [`Event::Closed`].
const EVENT_CAPACITY: usize = 64;
const _: () = assert!(MAX_DATA_PIECES + MAX_DATA_FRAMES + MAX_STREAMS + 5 <= EVENT_CAPACITY);
/// Frames that one packet may hold beyond which it is refused, so that its events are sure to find room.
const MAX_DATA_FRAMES: usize = 8;
/// Pieces into which the DATA frames of one packet may fall around bytes that are already there.
const MAX_DATA_PIECES: usize = 32;
/// A closed session answers stray packets with CLOSE again for this many probe time-outs (RFC 9000 section 10.2).
const DRAIN_PROBE_TIMEOUTS: u64 = 3;
/// A path that is slower than the idle time-out makes it so many times as long at most.
const SLOWEST_IDLE: u64 = 4;

/// One end of a connection. See the module.
pub struct Session<'a, H: Handshake> {
    config: Config,
    /// Whether this end sent the first message.
    initiator: bool,
    paths: Paths,
    indexes: Indexes,
    handshake: H,
    phase: Phase,
    epochs: Option<Epochs<H::Aead>>,
    connecting: Connecting,
    peer: Peer,

    streams: StreamTable<'a>,
    connection_window: ReceiveWindow,
    /// Sum over the streams of how far this end and the peer have sent.
    data_sent: u64,
    data_received: u64,

    replay: ReplayWindow,
    acks: AckPolicy<'a>,
    recovery: Recovery<'a>,
    congestion: Congestion,
    pacer: Pacer,
    mtu: PathMtu,
    controls: Controls,
    /// Streams whose window the peer should hear of, by index.
    window_streams: u16,
    /// Streams of which more was acknowledged by the packet at hand, by index.
    acked_streams: u16,
    /// Streams of which the peer should hear that they were opened, by index, and those that were given up.
    opened_streams: u16,
    reset_streams: u16,
    /// What this end said of taking no new streams, and whether the peer said so.
    leaving: Option<Leaving>,
    peer_going_away: bool,
    ping: Ping,
    pong_token: u64,
    conduct: Conduct,

    /// When something authentic was last heard, and when something was last sent.
    heard_at: Instant,
    spoke_at: Instant,
    /// Set while the pacer alone holds a packet back.
    hold: Option<Hold>,
    /// Bytes sent since the peer was last asked for an ACK.
    unasked_bytes: u64,
    stats: Stats,
    events: Deque<Event, EVENT_CAPACITY>,
}

/// Where a session stands.
#[derive(Debug, Hash)]
enum Phase {
    /// The handshake is under way.
    Connecting,
    /// Data flows.
    Established,
    /// CLOSE is being sent, and sent again when the peer has not understood.
    Closing { pending: ClosePending, due: bool, until: Instant, heard: u32 },
    /// Over.
    Closed,
}

/// What the peer said of itself in the handshake.
#[derive(Clone, Copy, Debug, Hash)]
struct Peer {
    max_ack_delay: Duration,
    stream_window: u64,
    /// How far this end may send over all streams.
    data_limit: u64,
    idle_timeout: Duration,
}

impl<'a, H: Handshake> Session<'a, H> {
    /// A session that calls `remote`. `local_index` is this end's name in packets and must not be zero.
    ///
    /// # Errors
    /// [`TooSmall`] where the storage cannot hold a session.
    pub fn initiate(
        config: Config,
        handshake: H,
        psk_id: [u8; crate::crypto::PSK_ID_BYTES],
        remote: SocketAddr,
        local_index: u32,
        storage: Storage<'a>,
        now: Instant,
    ) -> Result<Self, TooSmall> {
        let connecting = Connecting::initiate(psk_id, now, config.handshake_timeout);
        Self::new(config, handshake, connecting, true, remote, local_index, storage, now)
    }

    #[expect(clippy::too_many_arguments, reason = "private, and called from the two constructors only")]
    fn new(
        config: Config,
        handshake: H,
        connecting: Connecting,
        initiator: bool,
        remote: SocketAddr,
        local_index: u32,
        storage: Storage<'a>,
        now: Instant,
    ) -> Result<Self, TooSmall> {
        storage.check()?;
        let valid = |bytes: usize| bytes.clamp(limits::MIN_DATAGRAM_BYTES, limits::MAX_DATAGRAM_BYTES);
        let mtu = PathMtu::new(valid(config.datagram_bytes), valid(config.max_datagram_bytes));
        let window = ReceiveWindow::new(config.initial_window_bytes, config.max_window_bytes, now);
        Ok(Self {
            initiator,
            paths: Paths::new(remote, now),
            indexes: Indexes::new(local_index),
            handshake,
            phase: Phase::Connecting,
            epochs: None,
            connecting,
            peer: Peer {
                max_ack_delay: config.max_ack_delay,
                stream_window: 0,
                data_limit: 0,
                idle_timeout: config.idle_timeout,
            },
            streams: StreamTable::new(storage.streams),
            connection_window: window,
            data_sent: 0,
            data_received: 0,
            replay: ReplayWindow::default(),
            acks: AckPolicy::new(RangeSet::new(storage.received_packets)),
            recovery: Recovery::new(SentRing::new(storage.sent), RangeSet::new(storage.acked_packets)),
            congestion: Congestion::new(config.controller, mtu.size() as u64, u64::from(local_index)),
            pacer: Pacer::new(config.quantum),
            mtu,
            controls: Controls::empty(),
            window_streams: 0,
            acked_streams: 0,
            opened_streams: 0,
            reset_streams: 0,
            leaving: None,
            peer_going_away: false,
            ping: Ping::default(),
            pong_token: 0,
            conduct: Conduct::default(),
            heard_at: now,
            spoke_at: now,
            hold: None,
            unasked_bytes: 0,
            stats: Stats::default(),
            events: Deque::new(),
            config,
        })
    }

    /// Ends the session at once and gives its storage back.
    pub fn into_storage(self) -> Storage<'a> {
        let (sent, acked_packets) = self.recovery.into_storage();
        Storage {
            sent,
            acked_packets,
            received_packets: self.acks.into_storage(),
            streams: self.streams.into_storage(),
        }
    }

    /// The peer's address: that of the handshake, or where it was seen to have moved since.
    #[must_use]
    pub const fn remote(&self) -> SocketAddr {
        self.paths.active()
    }

    /// The first index of this end, which names the session for its owner as long as it lives.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.indexes.first
    }

    /// The index by which the peer should address this session now.
    #[must_use]
    pub const fn local_index(&self) -> u32 {
        self.indexes.local
    }

    /// Whether packets with this receiver index are for this session.
    #[must_use]
    pub const fn is_addressed_by(&self, index: u32) -> bool {
        self.indexes.is_local(index)
    }

    /// The largest datagram that is sent now, as far as the path is known to carry it.
    #[must_use]
    pub const fn datagram_bytes(&self) -> usize {
        self.mtu.size()
    }

    /// Whether the handshake is through and the session is not closed.
    #[must_use]
    pub const fn is_established(&self) -> bool {
        matches!(self.phase, Phase::Established)
    }

    /// Whether the handshake is under way.
    #[must_use]
    pub const fn is_connecting(&self) -> bool {
        matches!(self.phase, Phase::Connecting)
    }

    /// What the peer wants to be addressed by; zero before it has said so.
    #[must_use]
    pub const fn peer_index(&self) -> u32 {
        self.indexes.peer
    }

    /// Whether the session is over and its last CLOSE sent: its owner may take the storage back.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Closed) && self.events.is_empty()
    }

    /// The key agreement, to ask it who the peer is.
    #[must_use]
    pub const fn handshake(&self) -> &H {
        &self.handshake
    }

    /// Figures of the session so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            srtt: self.recovery.rtt.smoothed().unwrap_or_default(),
            paced: self.pacer.punctuality().held,
            paced_lost: self.pacer.punctuality().lost,
            min_rtt: self.recovery.rtt.min(),
            cwnd_bytes: self.congestion_window(),
            inflight_bytes: self.recovery.inflight_bytes(),
            epochs: self.epochs.as_ref().map_or(0, Epochs::epoch),
            datagram_bytes: self.mtu.size(),
            ..self.stats.clone()
        }
    }

    /// What the congestion controller believes of the path.
    #[must_use]
    pub fn congestion_model(&self) -> Model {
        self.congestion.get().model()
    }

    /// The rate that packets are paced at; `None` while nothing paces them.
    #[must_use]
    pub const fn pacing_rate(&self) -> Option<crate::rate::Rate> {
        self.pacer.rate()
    }

    /// The next thing to know. [`Session::handle_datagram`], [`Session::handle_timeout`] and [`Session::close`] add
    /// events; take them all after each, because [`Event::Data`] points into the datagram.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Changes the cap on the send rate, packet headers included; `None` takes it away.
    pub fn set_rate_cap(&mut self, cap: Option<crate::rate::Rate>, now: Instant) {
        self.config.rate_cap = cap;
        self.update_pacing_rate(now);
    }

    /// Closes the session: a CLOSE with `code` and the first [`MAX_REASON_BYTES`] of `reason` goes out, and the owner
    /// hears [`Event::Closed`]. Before the handshake is through nothing goes out; a session that is closed stays as it is.
    pub fn close(&mut self, now: Instant, code: CloseCode, reason: &str) {
        match self.phase {
            Phase::Established => self.start_closing(now, code, reason, CloseReason::Local(code)),
            Phase::Connecting => self.finish(CloseReason::Local(code)),
            Phase::Closing { .. } | Phase::Closed => {}
        }
    }

    fn start_closing(&mut self, now: Instant, code: CloseCode, reason: &str, told: CloseReason) {
        let until = now + self.probe_timeout().saturating_mul(DRAIN_PROBE_TIMEOUTS);
        self.phase = Phase::Closing { pending: ClosePending::new(code, reason), due: true, until, heard: 0 };
        self.push_event(Event::Closed(told));
    }

    /// The device found that the peer cannot be reached. Believed only before the session is established: later it
    /// may be a passing fault, and the idle time-out decides.
    pub fn on_unreachable(&mut self) {
        if matches!(self.phase, Phase::Connecting) {
            self.finish(CloseReason::Unreachable);
        }
    }

    /// The owner was not running until `now`: what it did not hear meanwhile says nothing about the peer, which gets the
    /// whole idle time-out anew.
    pub fn on_absence(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// When [`Session::handle_timeout`] or [`Session::poll_transmit`] should be called next, if nothing else happens
    /// before. Any call that takes `&mut self` may change it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let established = || {
            [
                Some(self.idle_at()),
                // Once it is queued, it waits for room and no longer for time.
                (!self.controls.contains(Controls::KEEPALIVE)).then(|| self.keepalive_at()),
                self.recovery.timeout(self.probe_timeout()),
                self.acks.deadline(),
                self.next_departure(),
                self.connecting.timeout(),
                self.epochs.as_ref().and_then(Epochs::discard_at),
                self.rekey_at(),
                self.paths.timeout(),
                // At once.
                self.conduct.verdict().map(|_| Instant::ZERO),
            ]
            .into_iter()
            .flatten()
            .min()
        };
        match &self.phase {
            Phase::Connecting => self.connecting.timeout(),
            Phase::Established => established(),
            Phase::Closing { until, .. } => Some(*until),
            Phase::Closed => None,
        }
    }

    /// When the pacer lets the next packet leave, where it alone holds one back; [`Session::poll_timeout`] has it among the
    /// others. [`Session::poll_transmit`] changes it.
    #[must_use]
    pub fn next_departure(&self) -> Option<Instant> {
        self.hold.map(|hold| hold.until)
    }

    /// Says that the owner has nothing else to do now and will wait, and returns [`Session::next_departure`]. If the packet
    /// leaves late after that, it is for want of a better timer, and [`Stats::pacing_error_ppm`] tells it.
    ///
    /// A host whose timers are late may wish to wake a little before, and to wait for the rest with its eyes open.
    pub fn await_departure(&mut self) -> Option<Instant> {
        let hold = self.hold.as_mut()?;
        hold.awaited = true;
        Some(hold.until)
    }

    /// Does what is due at `now`: retransmission, probes, time-outs, key changes. Harmless when nothing is.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &self.phase {
            Phase::Connecting => self.on_connecting_timeout(now),
            Phase::Established => self.on_established_timeout(now),
            Phase::Closing { until, .. } if *until <= now => self.phase = Phase::Closed,
            Phase::Closing { .. } | Phase::Closed => {}
        }
    }

    fn on_established_timeout(&mut self, now: Instant) {
        if self.idle_at() <= now {
            self.finish(CloseReason::IdleTimeout);
            return;
        }
        if let Some(rule) = self.conduct.verdict() {
            self.start_closing(now, CloseCode::PROTOCOL, rule.name(), CloseReason::Misbehaved(rule));
            return;
        }
        if self.keepalive_at() <= now {
            self.controls |= Controls::KEEPALIVE;
        }
        self.on_connecting_timeout(now);
        self.on_recovery_timeout(now);
        self.on_path_timeout(now);
        self.acks.on_timeout(now);
        if let Some(epochs) = &mut self.epochs {
            epochs.discard_old(now);
        }
        self.start_rekey_if_due(now);
    }

    fn start_rekey_if_due(&mut self, now: Instant) {
        let Some(epochs) = &mut self.epochs else { return };
        if !self.initiator || !epochs.rekey_due(now, self.config.rekey_packets, self.config.rekey_interval) {
            return;
        }
        if let Ok(public_key) = self.handshake.rekey_offer() {
            epochs.offer(public_key);
            self.controls |= Controls::REKEY_OFFER;
        }
    }

    fn rekey_at(&self) -> Option<Instant> {
        let epochs = self.epochs.as_ref().filter(|_| self.initiator)?;
        epochs.rekey_at(self.config.rekey_interval)
    }

    /// On a slow path three probes have time to be lost (RFC 9000 section 10.1); but a peer that makes itself look slow cannot have
    /// its session kept for ever.
    fn idle_at(&self) -> Instant {
        let idle = self.idle_timeout();
        let probes = self.probe_timeout().saturating_mul(3);
        self.heard_at + idle.max(probes.min(idle.saturating_mul(SLOWEST_IDLE)))
    }

    fn idle_timeout(&self) -> Duration {
        self.config.idle_timeout.min(self.peer.idle_timeout)
    }

    fn keepalive_at(&self) -> Instant {
        // The peer may have asked for a shorter idle time-out than this end's keepalive was chosen for.
        let interval = self.config.keepalive.min(self.idle_timeout().mul_ratio(1, 3));
        self.heard_at.max(self.spoke_at) + interval
    }

    fn probe_timeout(&self) -> Duration {
        self.recovery.rtt.probe_timeout(self.peer.max_ack_delay)
    }

    fn congestion_window(&self) -> u64 {
        self.congestion.get().cwnd_bytes()
    }

    /// Ends the session without a word to the peer.
    fn finish(&mut self, reason: CloseReason) {
        if !matches!(self.phase, Phase::Closed) {
            if !matches!(self.phase, Phase::Closing { .. }) {
                self.push_event(Event::Closed(reason));
            }
            self.phase = Phase::Closed;
        }
    }

    fn push_event(&mut self, event: Event) {
        // `receive` refuses packets whose events might not fit, and the others are one per call.
        let full = self.events.push_back(event).is_err();
        debug_assert!(!full, "events are drained after every datagram");
    }

    /// Counts a refused datagram.
    fn refuse(&mut self, reject: Reject) -> Reject {
        self.stats.rejects.count(reject);
        reject
    }
}
