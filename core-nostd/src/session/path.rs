//! Where the peer is, and how a session follows it to another address (SEC-5; RFC 9000 sections 8.2 and 9).
//!
//! ```text
//! newest packet comes from a new address -> challenge it (at most 3x what came from there)
//! it answers                             -> packets go there; another host: nothing is known of that path yet,
//!                                           and both ends take new indexes (CONTROL MIGRATE)
//! it does not                            -> all stays as it was
//! ```
//!
//! Until the answer comes, packets go on to the address of before: who can only copy packets of others, and send them from
//! elsewhere, gets neither the session nor an amplifier.

use core::net::SocketAddr;

use super::{Congestion, Event, Phase, Session, control::Controls, rtt::Rtt, storage::SentPacket};
use crate::{
    crypto::Handshake,
    limits::{AMPLIFICATION_LIMIT, MIN_DATAGRAM_BYTES, PACKET_HEADER_BYTES, TAG_BYTES},
    time::{Duration, Instant},
    wire::{FrameWriter, Reject},
};

/// Challenges that an address gets before it is given up.
const MAX_CHALLENGES: u8 = 3;
/// The least wait for an answer; it doubles each time. The path is new, so its round trip is not known.
const MIN_WAIT: Duration = Duration::from_millis(100);
/// No more than one address is looked into in this time (SEC-5).
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The peer's address, and one that it may have moved to.
#[derive(Clone, Debug, Hash)]
pub(super) struct Paths {
    /// Where packets go: the address of the handshake, or one that has answered a challenge since.
    active: SocketAddr,
    /// Where the newest packet came from.
    newest: SocketAddr,
    candidate: Option<Candidate>,
    /// The challenge that was answered last: its answer may come twice, as the challenge may.
    settled: Option<[u8; 8]>,
    /// No other address is looked into before this.
    quiet_until: Instant,
    /// The answer that is owed to the peer's newest challenge, and where it goes.
    answer: Option<(SocketAddr, [u8; 8])>,
}

/// An address that is challenged.
#[derive(Clone, Debug, Hash)]
struct Candidate {
    remote: SocketAddr,
    challenge: [u8; 8],
    is_due: bool,
    challenges: u8,
    sent_at: Instant,
    /// When the next challenge, or the end, is due.
    next_at: Instant,
    received_bytes: u64,
    sent_bytes: u64,
}

impl Paths {
    pub(super) const fn new(remote: SocketAddr, now: Instant) -> Self {
        Self { active: remote, newest: remote, candidate: None, settled: None, quiet_until: now, answer: None }
    }

    /// Where packets go.
    pub(super) const fn active(&self) -> SocketAddr {
        self.active
    }

    /// When [`Session::on_path_timeout`] has something to do.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.candidate.as_ref().map(|candidate| candidate.next_at)
    }

    /// Whether this answers a challenge that is under way, or was until just now. Changes nothing.
    pub(super) fn check_response(&self, response: &[u8; 8]) -> Result<(), Reject> {
        let awaited = self.candidate.as_ref().map(|candidate| &candidate.challenge);
        if awaited == Some(response) || self.settled.as_ref() == Some(response) {
            Ok(())
        } else {
            Err(Reject::PathResponseUnexpected)
        }
    }

    /// The peer challenged the address `remote` of this end's packets.
    pub(super) const fn owe_response(&mut self, remote: SocketAddr, challenge: [u8; 8]) {
        self.answer = Some((remote, challenge));
    }

    /// The candidate whose challenge `response` answers.
    fn take_answered(&mut self, response: &[u8; 8]) -> Option<Candidate> {
        let answered = self.candidate.take_if(|candidate| candidate.challenge == *response)?;
        self.settled = Some(answered.challenge);
        Some(answered)
    }
}

impl Candidate {
    /// Whether `bytes` more may go there (SEC-4).
    const fn may_get(&self, bytes: usize) -> bool {
        self.sent_bytes + bytes as u64 <= self.received_bytes.saturating_mul(AMPLIFICATION_LIMIT)
    }
}

impl<H: Handshake> Session<'_, H> {
    /// Says that this end has another address now, or may have: the peer hears of it with a packet from there, and looks
    /// into it. Without this call it does so with the next packet that would leave anyway.
    pub fn on_local_address_changed(&mut self) {
        if matches!(self.phase, Phase::Established) {
            self.controls |= Controls::KEEPALIVE;
        }
    }

    /// A packet that kept all rules came from `remote`; `is_newest` where no later one has come yet.
    pub(super) fn note_path(&mut self, now: Instant, remote: SocketAddr, is_newest: bool, bytes: usize) {
        if is_newest {
            self.paths.newest = remote;
        }
        if let Some(candidate) = self.paths.candidate.as_mut().filter(|candidate| candidate.remote == remote) {
            candidate.received_bytes += bytes as u64;
            return;
        }
        // What is older may have been under way before the peer moved, and back again.
        let is_new = is_newest && remote != self.paths.active && self.paths.candidate.is_none();
        if !is_new || now < self.paths.quiet_until {
            return;
        }
        // Without randomness there is no challenge, and so no new path.
        let Ok(challenge) = self.handshake.random() else { return };
        self.paths.quiet_until = now + MIN_INTERVAL;
        self.paths.candidate = Some(Candidate {
            remote,
            challenge,
            is_due: true,
            challenges: 0,
            sent_at: now,
            next_at: now + self.path_wait(0),
            received_bytes: bytes as u64,
            sent_bytes: 0,
        });
    }

    /// The challenged address has answered.
    pub(super) fn on_path_response(&mut self, now: Instant, response: &[u8; 8]) {
        let Some(candidate) = self.paths.take_answered(response) else { return };
        if self.paths.newest != candidate.remote {
            // The peer has moved on meanwhile, or back.
            return;
        }
        let is_other_host = self.paths.active.ip() != candidate.remote.ip();
        self.paths.active = candidate.remote;
        self.stats.migrations += 1;
        // Of a translator's other port alone nothing follows for the path (RFC 9000 section 9.4).
        if is_other_host {
            self.forget_path(now);
            if candidate.challenges == 1 {
                self.recovery.rtt.update(now.saturating_since(candidate.sent_at), Duration::ZERO);
            }
            self.renew_index(self.indexes.migrations.saturating_add(1));
        }
        self.repeat_all(now);
        self.push_event(Event::PathChanged { remote: candidate.remote });
    }

    /// The peer wants to be addressed by another index: it has seen this end at another address, or answers that it was seen.
    pub(super) fn on_migrate(&mut self, now: Instant, receiver: u32, migration: u32) {
        if !self.indexes.adopt(receiver, migration) || migration <= self.indexes.migrations {
            return;
        }
        // It was this end that moved, knowing or not.
        self.renew_index(migration);
        self.forget_path(now);
        self.repeat_all(now);
    }

    fn renew_index(&mut self, migration: u32) {
        if let Ok(random) = self.handshake.random() {
            self.indexes.renew(random, migration);
            self.controls |= Controls::MIGRATE;
        }
    }

    /// Another path: what was learned of the one before says nothing of it.
    fn forget_path(&mut self, now: Instant) {
        self.recovery.rtt = Rtt::default();
        self.mtu.start_over();
        let seed = u64::from(self.indexes.first);
        self.congestion = Congestion::new(self.config.controller, self.mtu.size() as u64, seed);
        self.update_pacing_rate(now);
    }

    pub(super) fn on_path_timeout(&mut self, now: Instant) {
        let Some(candidate) = self.paths.candidate.as_ref().filter(|candidate| candidate.next_at <= now) else {
            return;
        };
        let challenges = candidate.challenges;
        if challenges >= MAX_CHALLENGES {
            self.paths.candidate = None;
            return;
        }
        let next_at = now + self.path_wait(challenges);
        if let Some(candidate) = &mut self.paths.candidate {
            // One that could not leave for want of bytes to answer counts as well: nothing may wait for ever.
            candidate.challenges += u8::from(candidate.is_due);
            candidate.is_due = true;
            candidate.next_at = next_at;
        }
    }

    fn path_wait(&self, challenges: u8) -> Duration {
        self.probe_timeout().max(MIN_WAIT).saturating_mul(1 << challenges.min(MAX_CHALLENGES))
    }

    /// Writes the challenge or the answer that is due, each in a packet of its own, because it goes where others do not;
    /// returns the packet's length, and where it goes.
    pub(super) fn transmit_path(&mut self, now: Instant, out: &mut [u8]) -> Option<(usize, SocketAddr)> {
        if self.recovery.sent.room() == 0 {
            return None;
        }
        if let Some((remote, challenge)) = self.paths.answer.take() {
            return Some((self.path_packet(now, out, |writer| writer.path_response(&challenge))?, remote));
        }
        let bytes = PACKET_HEADER_BYTES + CHALLENGE_FRAME_BYTES + TAG_BYTES;
        let candidate =
            self.paths.candidate.as_mut().filter(|candidate| candidate.is_due && candidate.may_get(bytes))?;
        candidate.is_due = false;
        candidate.challenges += 1;
        candidate.sent_at = now;
        candidate.sent_bytes += bytes as u64;
        let (remote, challenge) = (candidate.remote, candidate.challenge);
        Some((self.path_packet(now, out, |writer| writer.path_challenge(&challenge))?, remote))
    }

    fn path_packet(
        &mut self,
        now: Instant,
        out: &mut [u8],
        write: impl FnOnce(&mut FrameWriter<'_>) -> bool,
    ) -> Option<usize> {
        let room = out.get_mut(PACKET_HEADER_BYTES..MIN_DATAGRAM_BYTES - TAG_BYTES)?;
        let mut writer = FrameWriter::new(room);
        if !write(&mut writer) {
            return None;
        }
        let len = PACKET_HEADER_BYTES + writer.finish() + TAG_BYTES;
        self.seal(out.get_mut(..len)?)?;
        // It has a timer of its own, and says nothing of the path that other packets take: it is not in flight.
        let size = u16::try_from(len).unwrap_or(u16::MAX);
        self.recovery.on_sent(SentPacket { sent_at: now, size, ..SentPacket::default() });
        self.stats.sent_packets += 1;
        self.stats.sent_bytes += len as u64;
        Some(len)
    }
}

/// A PATH_CHALLENGE frame and a PATH_RESPONSE frame: header and 8 bytes.
const CHALLENGE_FRAME_BYTES: usize = crate::limits::FRAME_HEADER_BYTES + 8;
