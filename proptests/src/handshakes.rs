//! What must hold for any bytes in the place of a handshake message: a refusal changes nothing, and the genuine message
//! is taken afterwards as if nothing had come before it.

use std::sync::Arc;

use wirehaul::crypto::{NoiseHandshake, PeerPolicy, Psk, StaticKey};
use wirehaul_core::crypto::Handshake;
use wirehaul_core::limits::MIN_DATAGRAM_BYTES;
use wirehaul_core::wire::{FinishBody, InitBody, PacketKind, Reject, ResponseBody};

use crate::pair::{End, Options, Pair, handshake_packet, with_pair};
use crate::reception::with_reception;

/// Where the bytes behind the first one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The body of an INIT, to a worker; padded to the length of one.
    Init,
    /// The Noise message of an INIT, to a worker.
    InitNoise,
    /// The body of a RESPONSE, to a caller.
    Response,
    /// The Noise message of a RESPONSE.
    ResponseNoise,
    /// The body of a FINISH, to a listener.
    Finish,
    /// The bodies of what a worker answers without a session, to a caller.
    Cookie,
    /// See [`Place::Cookie`].
    Version,
    /// See [`Place::Cookie`].
    Refused,
    /// The first message of the Noise that ships.
    NoiseFirst,
    /// The second.
    NoiseSecond,
}

impl Place {
    /// Every place.
    pub const ALL: [Self; 10] = [
        Self::Init,
        Self::InitNoise,
        Self::Response,
        Self::ResponseNoise,
        Self::Finish,
        Self::Cookie,
        Self::Version,
        Self::Refused,
        Self::NoiseFirst,
        Self::NoiseSecond,
    ];
}

/// The first byte says which [`Place`] the others take; returns whether they were taken.
///
/// # Panics
/// Where what must hold does not.
#[must_use]
pub fn ask(bytes: &[u8]) -> bool {
    let Some((place, message)) = bytes.split_first() else { return false };
    match Place::ALL[usize::from(*place) % Place::ALL.len()] {
        Place::Init => to_worker(message),
        Place::InitNoise => {
            let mut body = vec![0; 2000];
            let init = InitBody { sender_index: 7, psk_id: *b"sim psk0", cookie: None, noise: message };
            // A Noise message that no INIT holds is the other places' matter.
            init.write(&mut body).is_some_and(|len| to_worker(&body[..len]))
        }
        Place::Response => to_caller(PacketKind::Response, message),
        Place::ResponseNoise => {
            let mut body = vec![0; 2000];
            let response = ResponseBody { sender_index: 7, noise: message };
            response.write(&mut body).is_some_and(|len| to_caller(PacketKind::Response, &body[..len]))
        }
        Place::Finish => to_listener(message),
        Place::Cookie => to_caller(PacketKind::Cookie, message),
        Place::Version => to_caller(PacketKind::Version, message),
        Place::Refused => to_caller(PacketKind::Refused, message),
        Place::NoiseFirst => noise(message, false),
        Place::NoiseSecond => noise(message, true),
    }
}

/// The bodies that the ends of [`Options::default`] send: INIT, RESPONSE and FINISH.
#[must_use]
pub fn genuine() -> [Vec<u8>; 3] {
    with_pair(&Options::default(), |pair| {
        let init = sent(pair, End::Caller);
        assert_eq!(pair.hand(End::Listener, &init), Ok(()));
        let response = sent(pair, End::Listener);
        assert_eq!(pair.hand(End::Caller, &response), Ok(()));
        [init, response, sent(pair, End::Caller)].map(|datagram| datagram[12..].to_vec())
    })
}

fn sent(pair: &mut Pair<'_>, end: End) -> Vec<u8> {
    pair.send(end).unwrap_or_else(|| panic!("{end:?} has nothing to send"))
}

fn to_worker(body: &[u8]) -> bool {
    let mut body = body.to_vec();
    body.resize(body.len().max(MIN_DATAGRAM_BYTES - 12), 0);
    let datagram = handshake_packet(End::Listener, PacketKind::Init, &body);
    let options = Options::default();
    with_reception(&options.config, 1, options.room, |reception| {
        let (shown, answers) = reception.show(End::Caller.address(), &datagram);
        assert!(shown.counted.total() <= 1, "{shown:?}");
        assert_eq!(reception.sessions(), usize::from(shown.outcome.is_ok()));
        let answered: usize = answers.iter().map(Vec::len).sum();
        assert!(answered <= 3 * datagram.len(), "SEC-4: {answered} bytes for {}", datagram.len());
        shown.outcome.is_ok()
    })
}

fn to_caller(kind: PacketKind, body: &[u8]) -> bool {
    with_pair(&Options::default(), |pair| {
        let init = sent(pair, End::Caller);
        assert_eq!(pair.hand(End::Listener, &init), Ok(()));
        let response = sent(pair, End::Listener);
        let outcome = pair.hand_checked(End::Caller, &handshake_packet(End::Caller, kind, body));
        // What is taken in the clear proves nothing either, and a genuine answer may still overtake it.
        if !pair.session(End::Caller).is_established() {
            assert_eq!(pair.hand(End::Caller, &response), Ok(()), "{outcome:?} of {body:02x?} spoilt the handshake");
        }
        outcome.is_ok()
    })
}

fn to_listener(body: &[u8]) -> bool {
    with_pair(&Options::default(), |pair| {
        let init = sent(pair, End::Caller);
        assert_eq!(pair.hand(End::Listener, &init), Ok(()));
        let response = sent(pair, End::Listener);
        assert_eq!(pair.hand(End::Caller, &response), Ok(()));
        let finish = sent(pair, End::Caller);
        let outcome = pair.hand_checked(End::Listener, &handshake_packet(End::Listener, PacketKind::Finish, body));
        let again = pair.hand(End::Listener, &finish);
        assert_eq!(again, if outcome.is_ok() { Err(Reject::UnexpectedPacket) } else { Ok(()) });
        assert!(FinishBody::parse(body).is_ok() || outcome.is_err());
        outcome.is_ok()
    })
}

/// The Noise that ships; `second` asks the initiator, otherwise the responder is asked.
fn noise(message: &[u8], second: bool) -> bool {
    let key = |secret| Arc::new(StaticKey::from_secret(&[secret; 32]));
    let psk = || Psk::of_ticket(b"the secret of a ticket");
    let initiator = NoiseHandshake::initiator(key(1), psk(), key(2).public());
    let responder = NoiseHandshake::responder(key(2), psk(), PeerPolicy::Any);
    let (Ok(mut initiator), Ok(mut responder)) = (initiator, responder) else { return false };
    let (mut out, mut payload) = ([0; 600], [0; 600]);
    let hello = written(&mut initiator, &mut out);
    if !second {
        let taken = responder.read_message(message, &mut payload).is_ok();
        assert!(taken || responder.read_message(&hello, &mut payload).is_ok(), "{message:02x?} spoilt it");
        return taken;
    }
    assert!(responder.read_message(&hello, &mut payload).is_ok());
    let response = written(&mut responder, &mut out);
    let taken = initiator.read_message(message, &mut payload).is_ok();
    assert!(taken || initiator.read_message(&response, &mut payload).is_ok(), "{message:02x?} spoilt it");
    taken
}

fn written(handshake: &mut NoiseHandshake, out: &mut [u8]) -> Vec<u8> {
    let len = handshake.write_message(b"what a session says", out);
    out[..len.unwrap_or(0)].to_vec()
}
