//! First messages: who gets a session, who must show a cookie first, and what is answered to the others (SEC-4).
//!
//! Nothing is kept for a peer before its INIT authenticates under a pre-shared key, and no public-key operation is
//! done for it either. While many handshakes are half open, an INIT must also carry a cookie: proof that its sender
//! receives at the address that it sends from.

use core::net::{IpAddr, SocketAddr};

use super::Worker;
use crate::{
    crypto::Acceptor,
    device::{Device, Ecn, Transmit},
    limits::{PACKET_HEADER_BYTES, VERSION, default_datagram_bytes, largest_datagram_bytes},
    session::{Incoming, Session},
    time::{Duration, Instant},
    wire::{Cookie, CookieBody, InitBody, PacketFlags, PacketHeader, PacketKind, RefusedBody, Reject, VersionBody},
};

/// Handshakes half open from which on an INIT must carry a cookie.
const COOKIE_THRESHOLD: usize = 8;
/// How long a cookie is good for.
const COOKIE_LIFETIME: Duration = Duration::from_secs(10);

/// An answer that needs no session: always shorter than the INIT that asked for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    remote: SocketAddr,
    peer_index: u32,
    content: Content,
}

#[derive(Clone, Copy, Debug)]
enum Content {
    Cookie(Cookie),
    Version,
    Refused(RefusedBody),
}

impl<A: Acceptor> Worker<'_, A> {
    pub(super) fn on_init(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        body: &[u8],
        datagram_bytes: usize,
    ) -> Result<(), Reject> {
        let (version, peer_index) = InitBody::version_and_sender(body)?;
        if !self.listening {
            return Err(Reject::UnexpectedPacket);
        }
        if version != VERSION {
            self.reply(remote, peer_index, Content::Version);
            return Err(Reject::BadVersion);
        }
        let init = InitBody::parse(body)?;
        if let Some(session) = self.slots.answering(remote, peer_index) {
            session.on_repeated_init(datagram_bytes);
            return Ok(());
        }
        self.check_cookie(now, remote, &init)?;
        let outcome = self.let_in(now, remote, &init, datagram_bytes);
        if let Err(reject) = outcome
            && let Some(refusal) = refusal_for(reject)
        {
            self.reply(remote, peer_index, Content::Refused(refusal));
        }
        outcome
    }

    fn let_in(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        init: &InitBody<'_>,
        datagram_bytes: usize,
    ) -> Result<(), Reject> {
        let handshake = self.acceptor.accept(&init.psk_id).ok_or(Reject::UnknownPsk)?;
        let mut config = self.config.clone();
        config.datagram_bytes = config.datagram_bytes.min(default_datagram_bytes(remote.ip()));
        config.max_datagram_bytes = config.max_datagram_bytes.min(largest_datagram_bytes(remote.ip()));
        let incoming = Incoming::open(handshake, init, &config, datagram_bytes)?;
        // The index in the clear may have been altered; this one was not, and may show that the INIT is a repetition.
        if let Some(session) = self.slots.answering(remote, incoming.peer_index()) {
            session.on_repeated_init(datagram_bytes);
            return Ok(());
        }
        let index = self.draw_index().ok_or(Reject::SessionsFull)?;
        self.slots
            .fill(index, |storage| {
                Session::respond(config, incoming, remote, index, storage, now).map_err(|_| super::NoRoom)
            })
            .map_err(|_| Reject::SessionsFull)
    }

    fn check_cookie(&mut self, now: Instant, remote: SocketAddr, init: &InitBody<'_>) -> Result<(), Reject> {
        if let Some(cookie) = init.cookie {
            let age = now.as_nanos().checked_sub(cookie.stamp);
            let fresh = age.is_some_and(|age| age <= COOKIE_LIFETIME.as_nanos());
            // Both are made by this process, so an early exit in the comparison tells a guesser nothing it can use:
            // a guess costs a datagram, and 16 bytes are not found one at a time over a network.
            if fresh && self.cookie(cookie.stamp, remote, init.sender_index).mac == cookie.mac {
                return Ok(());
            }
        }
        if self.slots.half_open() < COOKIE_THRESHOLD && init.cookie.is_none() {
            return Ok(());
        }
        let cookie = self.cookie(now.as_nanos(), remote, init.sender_index);
        self.reply(remote, init.sender_index, Content::Cookie(cookie));
        Err(Reject::CookieInvalid)
    }

    fn cookie(&self, stamp: u64, remote: SocketAddr, sender_index: u32) -> Cookie {
        let mut input = [0; 30];
        let address = match remote.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        input[..8].copy_from_slice(&stamp.to_be_bytes());
        input[8..24].copy_from_slice(&address);
        input[24..26].copy_from_slice(&remote.port().to_be_bytes());
        input[26..].copy_from_slice(&sender_index.to_be_bytes());
        Cookie { stamp, mac: self.acceptor.cookie(&input) }
    }

    fn reply(&mut self, remote: SocketAddr, peer_index: u32, content: Content) {
        // A full queue means a flood of INITs: those that get no answer ask again.
        let _ = self.replies.push_back(Reply { remote, peer_index, content });
    }

    pub(super) fn send_replies<D: Device>(&mut self, device: &mut D) -> usize {
        let mut sent = 0;
        while let Some(reply) = self.replies.pop_front() {
            let Some(buffer) = device.transmit_buffer() else { break };
            let Some(len) = reply.write(buffer) else { continue };
            device.submit(&Transmit {
                remote: reply.remote,
                len,
                segment_bytes: len,
                ecn: Ecn::NotEct,
                depart_at: Instant::ZERO,
            });
            sent += 1;
        }
        sent
    }
}

impl Reply {
    fn write(&self, out: &mut [u8]) -> Option<usize> {
        let body = out.get_mut(PACKET_HEADER_BYTES..)?;
        let (kind, len) = match self.content {
            Content::Cookie(cookie) => (PacketKind::Cookie, CookieBody { cookie }.write(body)?),
            Content::Version => (PacketKind::Version, VersionBody::write([VERSION].into_iter(), body)?),
            Content::Refused(refusal) => (PacketKind::Refused, refusal.write(body)?),
        };
        PacketHeader { kind, flags: PacketFlags::empty(), receiver: self.peer_index, packet_number_low: 0 }
            .write(out)?;
        Some(PACKET_HEADER_BYTES + len)
    }
}

/// What the sender of a refused INIT is told. An INIT that does not authenticate gets silence: it may be anybody's.
const fn refusal_for(reject: Reject) -> Option<RefusedBody> {
    match reject {
        Reject::UnknownPsk => Some(RefusedBody::UnknownPsk),
        Reject::SessionsFull => Some(RefusedBody::Full),
        Reject::NoCommonSuite => Some(RefusedBody::NoCommonSuite),
        Reject::WrongApplication => Some(RefusedBody::WrongApplication),
        _ => None,
    }
}
