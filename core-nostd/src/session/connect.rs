//! The handshake: three Noise messages, sent again until answered, and what they carry.
//!
//! ```text
//! initiator                                  responder
//!   INIT (padded to 1200) ------------------>  accept: pre-shared key checked, no public-key work before that
//!                         <------------------  RESPONSE, at most 3x what was received (SEC-4)
//!   FINISH, then data     ------------------>  both established
//! ```
//!
//! INIT and RESPONSE carry the sender's parameters and its index, encrypted. The index also stands in the clear, to answer
//! a message that is refused; nothing else relies on that one, since anybody on the path could alter it and so send all
//! further packets astray.
//!
//! The initiator sends INIT again until RESPONSE comes, and FINISH again until something sealed comes. The responder
//! only ever answers.

use core::net::SocketAddr;

use heapless::Vec;

use super::{CloseCode, CloseReason, Config, Controls, Epochs, Event, Phase, Session, Storage, TooSmall};
use crate::{
    crypto::{Handshake, HandshakeError, PSK_ID_BYTES, Suite},
    limits::{AMPLIFICATION_LIMIT, MAX_DATAGRAM_BYTES, PACKET_HEADER_BYTES, VERSION},
    time::{Duration, Instant},
    wire::{
        Cookie, CookieBody, FinishBody, InitBody, PacketFlags, PacketHeader, PacketKind, RefusedBody, Reject,
        ResponseBody, TransportParameters, VersionBody,
    },
};

/// Longest Noise message of the handshake: two public keys, two tags and the parameters are well below.
const MAX_NOISE_BYTES: usize = 256;
/// What INIT and RESPONSE carry: the parameters, and the sender's index.
const PAYLOAD_BYTES: usize = TransportParameters::BYTES + 4;
/// First wait for an answer; it doubles each time.
const FIRST_RESEND: Duration = Duration::from_millis(200);
const MAX_RESEND: Duration = Duration::from_secs(2);
/// A refusal in the clear proves nothing, so a genuine answer may still overtake it for this long.
const REFUSAL_GRACE: Duration = Duration::from_millis(500);

/// The handshake's progress.
#[derive(Debug, Hash)]
pub(super) struct Connecting {
    step: Step,
    message: Vec<u8, MAX_NOISE_BYTES>,
    psk_id: [u8; PSK_ID_BYTES],
    cookie: Option<Cookie>,
    suite: Option<Suite>,
    due: bool,
    resend_at: Option<Instant>,
    attempts: u32,
    sent_at: Instant,
    give_up_at: Option<Instant>,
    refusal: Option<CloseReason>,
    received_bytes: u64,
    sent_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Init,
    Finish,
    Response,
    Done,
}

/// A first message that was let in: what a responding session starts from.
pub struct Incoming<H> {
    handshake: H,
    parameters: TransportParameters,
    suite: Suite,
    peer_index: u32,
    datagram_bytes: usize,
}

impl<H: Handshake> Incoming<H> {
    /// Checks a first message under `handshake`, which knows the pre-shared key, before any storage is given to it.
    ///
    /// `datagram_bytes` is the length of the datagram: until the address is validated it gets three times that.
    ///
    /// # Errors
    /// The rule that was broken; no public-key operation was done then.
    pub fn open(mut handshake: H, init: &InitBody<'_>, config: &Config, datagram_bytes: usize) -> Result<Self, Reject> {
        let mut payload = [0; MAX_NOISE_BYTES];
        let len = handshake.read_message(init.noise, &mut payload).map_err(reject_of)?;
        let (parameters, peer_index) = parse_payload(payload.get(..len).unwrap_or(&[]))?;
        if parameters.application != config.application {
            return Err(Reject::WrongApplication);
        }
        let suite = config.suites.best_common(parameters.suites).ok_or(Reject::NoCommonSuite)?;
        Ok(Self { handshake, parameters, suite, peer_index, datagram_bytes })
    }

    /// The index by which the peer wants to be addressed, as it said under encryption.
    #[must_use]
    pub const fn peer_index(&self) -> u32 {
        self.peer_index
    }
}

impl Connecting {
    pub(super) fn initiate(psk_id: [u8; PSK_ID_BYTES], now: Instant, timeout: Duration) -> Self {
        Self::new(Step::Init, psk_id, now, timeout)
    }

    fn new(step: Step, psk_id: [u8; PSK_ID_BYTES], now: Instant, timeout: Duration) -> Self {
        Self {
            step,
            message: Vec::new(),
            psk_id,
            cookie: None,
            suite: None,
            due: true,
            resend_at: None,
            attempts: 0,
            sent_at: now,
            // Runs even where nothing can be sent: a session must not wait for ever on a device without room.
            give_up_at: Some(now + timeout),
            refusal: None,
            received_bytes: 0,
            sent_bytes: 0,
        }
    }

    /// When something is due; nothing once the handshake is confirmed.
    pub(super) fn timeout(&self) -> Option<Instant> {
        if self.step == Step::Done {
            return None;
        }
        [self.resend_at, self.give_up_at].into_iter().flatten().min()
    }

    /// The peer has shown that it has the keys: nothing need be sent again.
    pub(super) fn confirm(&mut self) {
        self.step = Step::Done;
        self.due = false;
        self.message.clear();
    }

    fn go_on(&mut self, step: Step) {
        self.step = step;
        self.due = true;
        self.attempts = 0;
        self.resend_at = None;
        // From here on the idle time-out decides; a deadline left over would be due for ever.
        self.give_up_at = None;
        self.refusal = None;
    }
}

impl<'a, H: Handshake> Session<'a, H> {
    /// A session that answers `incoming` from `remote`. `local_index` is this end's name in packets, not zero.
    ///
    /// # Errors
    /// [`TooSmall`] where the storage cannot hold a session.
    pub fn respond(
        config: Config,
        incoming: Incoming<H>,
        remote: SocketAddr,
        local_index: u32,
        storage: Storage<'a>,
        now: Instant,
    ) -> Result<Self, TooSmall> {
        let Incoming { handshake, parameters, suite, peer_index, datagram_bytes } = incoming;
        let mut connecting = Connecting::new(Step::Response, [0; PSK_ID_BYTES], now, config.handshake_timeout);
        connecting.suite = Some(suite);
        connecting.received_bytes = datagram_bytes as u64;
        let mut session = Self::new(config, handshake, connecting, false, remote, local_index, storage, now)?;
        session.indexes.peer = peer_index;
        session.adopt(&parameters);
        Ok(session)
    }

    /// Whether this session is what the first message from `remote` with this index started: a repeated INIT.
    #[must_use]
    pub fn answers(&self, remote: SocketAddr, peer_index: u32) -> bool {
        !self.initiator && self.paths.active() == remote && self.indexes.peer == peer_index
    }

    /// INIT came again: the answer was lost, so it is sent again.
    pub fn on_repeated_init(&mut self, datagram_bytes: usize) {
        if self.connecting.step == Step::Response {
            self.connecting.received_bytes += datagram_bytes as u64;
            self.connecting.due = true;
        }
    }

    /// Takes in a handshake packet for this session.
    pub(super) fn on_handshake_packet(&mut self, kind: PacketKind, body: &[u8], now: Instant) -> Result<(), Reject> {
        match (kind, self.connecting.step) {
            // An answer to a call that its owner has ended already.
            _ if matches!(self.phase, Phase::Closed) => Err(Reject::SessionClosed),
            (PacketKind::Cookie, Step::Init) => self.on_cookie(body),
            (PacketKind::Version, Step::Init) => self.on_version(body, now),
            (PacketKind::Refused, Step::Init) => self.on_refused(body, now),
            (PacketKind::Response, Step::Init) => self.on_response(body, now),
            (PacketKind::Finish, Step::Response) => self.on_finish(body, now),
            (PacketKind::Finish, Step::Done) => self.on_repeated_finish(),
            _ => Err(Reject::UnexpectedPacket),
        }
    }

    fn on_cookie(&mut self, body: &[u8]) -> Result<(), Reject> {
        self.connecting.cookie = Some(CookieBody::parse(body)?.cookie);
        self.connecting.due = true;
        Ok(())
    }

    fn on_version(&mut self, body: &[u8], now: Instant) -> Result<(), Reject> {
        let versions = VersionBody::parse(body)?.versions;
        if versions.contains(VERSION) {
            return Err(Reject::UnexpectedPacket);
        }
        self.give_up_soon(CloseReason::Version(versions.iter().max().unwrap_or(0)), now);
        Ok(())
    }

    fn on_refused(&mut self, body: &[u8], now: Instant) -> Result<(), Reject> {
        let reason = match RefusedBody::parse(body)? {
            RefusedBody::UnknownPsk => CloseReason::Refused(HandshakeError::Unauthentic),
            RefusedBody::Full => CloseReason::Busy,
            RefusedBody::NoCommonSuite => CloseReason::NoCommonSuite,
            RefusedBody::WrongApplication => CloseReason::Refused(HandshakeError::Malformed),
        };
        self.give_up_soon(reason, now);
        Ok(())
    }

    fn give_up_soon(&mut self, reason: CloseReason, now: Instant) {
        let connecting = &mut self.connecting;
        connecting.refusal.get_or_insert(reason);
        let at = now + REFUSAL_GRACE;
        connecting.give_up_at = Some(connecting.give_up_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn on_response(&mut self, body: &[u8], now: Instant) -> Result<(), Reject> {
        let response = ResponseBody::parse(body)?;
        let mut payload = [0; MAX_NOISE_BYTES];
        let len = match self.handshake.read_message(response.noise, &mut payload) {
            Ok(len) => len,
            Err(error) => {
                if error == HandshakeError::UnknownPeer {
                    // Between known keys the pre-shared key is public, so anyone who saw INIT can answer with a key
                    // of their own: believed only if the genuine answer does not follow.
                    self.give_up_soon(CloseReason::Refused(error), now);
                }
                return Err(reject_of(error));
            }
        };
        let (parameters, peer_index) = parse_payload(payload.get(..len).unwrap_or(&[]))?;
        // Not just any that the responder has: it must be one that this end offered.
        let chosen = parameters.chosen_suite.filter(|suite| self.config.suites.contains(*suite));
        let suite = chosen.ok_or(Reject::ParametersSuites)?;
        let mut message = [0; MAX_NOISE_BYTES];
        let len = self.handshake.write_message(&[], &mut message).map_err(reject_of)?;
        let keys = self.handshake.first_keys(suite).map_err(reject_of)?;
        self.connecting.message = Vec::from_slice(message.get(..len).unwrap_or(&[])).unwrap_or_default();
        self.epochs = Some(Epochs::new(keys, now));
        self.indexes.peer = peer_index;
        self.adopt(&parameters);
        self.sample_handshake_rtt(now);
        self.connecting.go_on(Step::Finish);
        self.establish(now);
        Ok(())
    }

    fn on_finish(&mut self, body: &[u8], now: Instant) -> Result<(), Reject> {
        let finish = FinishBody::parse(body)?;
        let suite = self.connecting.suite.ok_or(Reject::UnexpectedPacket)?;
        let read = self.handshake.read_message(finish.noise, &mut [0; MAX_NOISE_BYTES]);
        if let Err(error) = read
            && error != HandshakeError::UnknownPeer
        {
            return Err(reject_of(error));
        }
        let keys = self.handshake.first_keys(suite).map_err(reject_of)?;
        self.epochs = Some(Epochs::new(keys, now));
        self.sample_handshake_rtt(now);
        self.connecting.confirm();
        self.establish(now);
        // Something sealed, so that the initiator knows that its FINISH came, even where nobody has data to send. And what no
        // one on the path can have altered: which versions there are here.
        self.controls |= Controls::VERSIONS;
        if read.is_err() {
            // The peer is told under the keys, so that it need not guess.
            self.events.clear();
            self.close(now, CloseCode::UNKNOWN_PEER, "this host's key is not known here");
            return Err(Reject::UnknownPeer);
        }
        Ok(())
    }

    /// FINISH came again: what should have confirmed it was lost. A session that answered it with CLOSE says so again.
    fn on_repeated_finish(&mut self) -> Result<(), Reject> {
        let Phase::Closing { due, .. } = &mut self.phase else { return Err(Reject::UnexpectedPacket) };
        *due = true;
        Ok(())
    }

    fn establish(&mut self, now: Instant) {
        self.phase = Phase::Established;
        self.heard_at = now;
        self.update_pacing_rate(now);
        self.push_event(Event::Connected);
    }

    fn sample_handshake_rtt(&mut self, now: Instant) {
        let sample = now.saturating_since(self.connecting.sent_at);
        // An answer to a repeated message says nothing about which of them it answers (Karn). Nor does a FINISH that may
        // itself be a repetition: RESPONSE is never repeated unasked, so the responder cannot tell otherwise.
        let certain = self.connecting.attempts == 1 && (self.initiator || sample < FIRST_RESEND);
        if certain {
            self.recovery.rtt.update(sample, Duration::ZERO);
        }
    }

    fn adopt(&mut self, parameters: &TransportParameters) {
        self.mtu.limit(usize::from(parameters.max_datagram_bytes));
        self.congestion.get_mut().set_datagram_bytes(self.mtu.size() as u64);
        self.peer.max_ack_delay = Duration::from_micros(u64::from(parameters.max_ack_delay_us));
        self.peer.idle_timeout = Duration::from_millis(u64::from(parameters.idle_timeout_ms));
        self.peer.data_limit = parameters.initial_connection_window;
        self.peer.stream_window = parameters.initial_stream_window;
        for stream in self.streams.iter_mut() {
            // Opened by an initiator that could not know the limit yet.
            stream.send.limit = stream.send.limit.max(parameters.initial_stream_window);
        }
    }

    fn own_payload(&self, chosen_suite: Option<Suite>) -> Option<[u8; PAYLOAD_BYTES]> {
        let mut payload = [0; PAYLOAD_BYTES];
        let (parameters, index) = payload.split_at_mut(TransportParameters::BYTES);
        parameters.copy_from_slice(&self.own_parameters(chosen_suite).to_bytes()?);
        index.copy_from_slice(&self.indexes.local.to_be_bytes());
        Some(payload)
    }

    fn own_parameters(&self, chosen_suite: Option<Suite>) -> TransportParameters {
        let bounded = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        TransportParameters {
            max_datagram_bytes: MAX_DATAGRAM_BYTES as u16,
            suites: self.config.suites,
            chosen_suite,
            idle_timeout_ms: bounded(self.config.idle_timeout.as_millis()),
            max_ack_delay_us: bounded(self.config.max_ack_delay.as_micros()),
            initial_connection_window: self.config.initial_window_bytes,
            initial_stream_window: self.config.initial_window_bytes,
            application: self.config.application,
        }
    }

    /// Writes the handshake packet that is due, if one is and may be sent; returns its length.
    pub(super) fn transmit_handshake(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        if !self.connecting.due {
            return None;
        }
        let (kind, body_len) = {
            let body = out.get_mut(PACKET_HEADER_BYTES..)?;
            match self.connecting.step {
                Step::Init => (PacketKind::Init, self.write_init(body)?),
                Step::Response => (PacketKind::Response, self.write_response(body)?),
                Step::Finish => (PacketKind::Finish, FinishBody { noise: &self.connecting.message }.write(body)?),
                Step::Done => return None,
            }
        };
        let receiver = if kind == PacketKind::Init { 0 } else { self.indexes.peer };
        PacketHeader { kind, flags: PacketFlags::empty(), receiver, packet_number_low: 0 }.write(out)?;
        let len = PACKET_HEADER_BYTES + body_len;
        self.connecting.due = false;
        let unvalidated = self.connecting.step == Step::Response;
        let allowed = self.connecting.received_bytes * AMPLIFICATION_LIMIT;
        if unvalidated && self.connecting.sent_bytes + len as u64 > allowed {
            self.refuse(Reject::Amplification);
            return None;
        }
        self.note_handshake_sent(now, len);
        Some(len)
    }

    fn note_handshake_sent(&mut self, now: Instant, len: usize) {
        let connecting = &mut self.connecting;
        connecting.sent_bytes += len as u64;
        connecting.sent_at = now;
        connecting.attempts += 1;
        if connecting.step != Step::Response {
            let wait = FIRST_RESEND.saturating_mul(1 << (connecting.attempts - 1).min(8)).min(MAX_RESEND);
            connecting.resend_at = Some(now + wait);
        }
        self.stats.sent_packets += 1;
        self.stats.sent_bytes += len as u64;
    }

    fn write_init(&mut self, body: &mut [u8]) -> Option<usize> {
        if self.connecting.message.is_empty() {
            let payload = self.own_payload(None)?;
            self.connecting.message = self.write_noise(&payload)?;
        }
        let init = InitBody {
            sender_index: self.indexes.local,
            psk_id: self.connecting.psk_id,
            cookie: self.connecting.cookie,
            noise: &self.connecting.message,
        };
        init.write(body)
    }

    fn write_response(&mut self, body: &mut [u8]) -> Option<usize> {
        if self.connecting.message.is_empty() {
            let payload = self.own_payload(self.connecting.suite)?;
            self.connecting.message = self.write_noise(&payload)?;
        }
        ResponseBody { sender_index: self.indexes.local, noise: &self.connecting.message }.write(body)
    }

    fn write_noise(&mut self, payload: &[u8]) -> Option<Vec<u8, MAX_NOISE_BYTES>> {
        let mut message = [0; MAX_NOISE_BYTES];
        let len = self.handshake.write_message(payload, &mut message).ok()?;
        Vec::from_slice(message.get(..len)?).ok()
    }

    /// Sends again, or gives up.
    pub(super) fn on_connecting_timeout(&mut self, now: Instant) {
        let connecting = &mut self.connecting;
        if connecting.step == Step::Done {
            return;
        }
        let in_handshake = matches!(self.phase, Phase::Connecting);
        if in_handshake && connecting.give_up_at.is_some_and(|at| at <= now) {
            let reason = connecting.refusal.unwrap_or(CloseReason::HandshakeTimeout);
            self.finish(reason);
            return;
        }
        if connecting.resend_at.is_some_and(|at| at <= now) {
            connecting.due = true;
            connecting.resend_at = None;
        }
    }
}

/// Parameters and index, as [`Session::own_payload`] wrote them.
fn parse_payload(payload: &[u8]) -> Result<(TransportParameters, u32), Reject> {
    let (parameters, index) = payload.split_last_chunk().ok_or(Reject::ParametersLength)?;
    let parameters = TransportParameters::parse(parameters)?;
    match u32::from_be_bytes(*index) {
        0 => Err(Reject::SenderIndexZero),
        index => Ok((parameters, index)),
    }
}

/// The rule that a refused handshake message broke.
fn reject_of(error: HandshakeError) -> Reject {
    match error {
        HandshakeError::Malformed => Reject::HandshakeMalformed,
        HandshakeError::Unauthentic => Reject::HandshakeUnauthentic,
        HandshakeError::UnknownPeer => Reject::UnknownPeer,
        HandshakeError::Library => Reject::HandshakeFailed,
    }
}
