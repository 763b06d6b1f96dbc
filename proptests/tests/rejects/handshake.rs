//! Rules of the handshake: what a caller makes of answers, and a worker of first messages.

use std::net::SocketAddr;

use wirehaul_core::crypto::{Handshake, HandshakeError, Suite, SuiteSet};
use wirehaul_core::limits::VERSION;
use wirehaul_core::session::{Incoming, Session};
use wirehaul_core::wire::{
    Cookie, CookieBody, InitBody, PacketKind, RefusedBody, Reject, RejectCounters, ResponseBody, TransportParameters,
};
use wirehaul_proptests::pair::{End, Options, Pair, Shown, handshake_packet, with_pair};
use wirehaul_proptests::reception::with_reception;

use super::Both;

const ROOM: [usize; 4] = [64, 16, 4, 8];

/// What a caller makes of the packet that `make` gives, which is told the caller's INIT and the genuine RESPONSE.
fn on_caller(options: &Options, make: impl FnOnce(&mut Pair<'_>, &[u8], Vec<u8>) -> Vec<u8>) -> Shown {
    with_pair(options, |pair| {
        let init = sent(pair, End::Caller);
        assert_eq!(pair.hand(End::Listener, &init), Ok(()));
        let response = sent(pair, End::Listener);
        let datagram = make(pair, &init, response);
        pair.show(End::Caller, &datagram)
    })
}

fn sent(pair: &mut Pair<'_>, end: End) -> Vec<u8> {
    pair.send(end).unwrap_or_else(|| panic!("{end:?} has nothing to send"))
}

/// The genuine RESPONSE, and what `alter` makes of it.
fn response(alter: impl Fn(&mut Vec<u8>)) -> Both {
    Both::of(|breaks| {
        on_caller(&Options::default(), |_, _, mut response| {
            if breaks {
                alter(&mut response);
            }
            response
        })
    })
}

/// The place is one of the datagram.
pub fn patched_response(at: usize, bytes: &[u8]) -> Both {
    response(|datagram| datagram[at..at + bytes.len()].copy_from_slice(bytes))
}

pub fn longer_response() -> Both {
    response(|datagram| datagram.push(0))
}

pub fn altered_response() -> Both {
    response(|datagram| datagram.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1))
}

/// Two packets to a caller that has sent its INIT.
fn to_caller(good: &[u8], bad: &[u8]) -> Both {
    Both::of(|breaks| on_caller(&Options::default(), |_, _, _| if breaks { bad.to_vec() } else { good.to_vec() }))
}

fn cookie_packet() -> Vec<u8> {
    let mut body = [0; 24];
    let written = CookieBody { cookie: Cookie { stamp: 1, mac: [2; 16] } }.write(&mut body);
    assert_eq!(written, Some(24));
    handshake_packet(End::Caller, PacketKind::Cookie, &body)
}

pub fn numbered() -> Both {
    let good = cookie_packet();
    let mut bad = good.clone();
    bad[11] = 1;
    to_caller(&good, &bad)
}

pub fn short_cookie() -> Both {
    let good = cookie_packet();
    to_caller(&good, &good[..good.len() - 1])
}

pub fn unknown_refusal() -> Both {
    let mut body = [0; 4];
    assert_eq!(RefusedBody::Full.write(&mut body), Some(4));
    let good = handshake_packet(End::Caller, PacketKind::Refused, &body);
    let bad = handshake_packet(End::Caller, PacketKind::Refused, &[99, 0, 0, 0]);
    to_caller(&good, &bad)
}

/// A Noise message that is one byte shorter than a public key: FINISH has the only one that is in no other message.
pub fn short_noise() -> Both {
    Both::of(|breaks| {
        with_pair(&Options::default(), |pair| {
            let init = sent(pair, End::Caller);
            assert_eq!(pair.hand(End::Listener, &init), Ok(()));
            let response = sent(pair, End::Listener);
            assert_eq!(pair.hand(End::Caller, &response), Ok(()));
            let mut finish = sent(pair, End::Caller);
            if breaks {
                finish.truncate(12 + 4 + 31);
                finish[12..14].copy_from_slice(&31_u16.to_be_bytes());
            }
            pair.show(End::Listener, &finish)
        })
    })
}

/// A responder with all keys that says in its encrypted answer what `alter` makes of it.
pub fn parameters(alter: impl Fn(&mut Vec<u8>)) -> Both {
    let parameters = TransportParameters {
        max_datagram_bytes: 9000,
        suites: SuiteSet::EMPTY.with(Suite::Aes128Gcm),
        chosen_suite: Some(Suite::Aes128Gcm),
        idle_timeout_ms: 15_000,
        max_ack_delay_us: 5000,
        initial_connection_window: 1 << 16,
        initial_stream_window: 1 << 16,
        application: 1,
    };
    let mut payload = parameters.to_bytes().map(Vec::from).unwrap_or_default();
    payload.extend_from_slice(&77_u32.to_be_bytes());
    Both::of(|breaks| {
        let mut payload = payload.clone();
        if breaks {
            alter(&mut payload);
        }
        on_caller(&Options::default(), |pair, init, _| response_with(pair, init, &payload))
    })
}

/// What a responder with all keys answers to `init`.
fn response_with(pair: &mut Pair<'_>, init: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut noise = [0; 512];
    let written = InitBody::parse(&init[12..]).ok().and_then(|init| {
        let mut responder = pair.another_responder(&init.psk_id)?;
        responder.read_message(init.noise, &mut [0; 256]).ok()?;
        let len = responder.write_message(payload, &mut noise).ok()?;
        let mut body = [0; 600];
        let len = ResponseBody { sender_index: 77, noise: &noise[..len] }.write(&mut body)?;
        Some(handshake_packet(End::Caller, PacketKind::Response, &body[..len]))
    });
    written.unwrap_or_else(|| panic!("no answer to {init:02x?}"))
}

pub fn failing(reject: Reject) -> Both {
    let error = if reject == Reject::HandshakeFailed { HandshakeError::Library } else { HandshakeError::Malformed };
    Both::of(|breaks| {
        on_caller(&Options::default(), |pair, _, response| {
            pair.fault.set(breaks.then_some(error));
            response
        })
    })
}

pub fn response_twice() -> Both {
    Both::of(|breaks| {
        on_caller(&Options::default(), |pair, _, response| {
            if breaks {
                assert_eq!(pair.hand(End::Caller, &response), Ok(()));
            }
            response
        })
    })
}

pub fn unknown_peer() -> Both {
    // Keys 1 and 2 are those of the caller and the listener.
    Both::of(|breaks| {
        let known = if breaks { vec![1] } else { vec![1, 2] };
        on_caller(&Options { known: Some(known), ..Options::default() }, |_, _, response| response)
    })
}

pub fn from_elsewhere() -> Both {
    Both::of(|breaks| {
        with_pair(&Options::default(), |pair| {
            let init = sent(pair, End::Caller);
            assert_eq!(pair.hand(End::Listener, &init), Ok(()));
            let response = sent(pair, End::Listener);
            let mut remote = End::Listener.address();
            remote.set_port(remote.port() + u16::from(breaks));
            pair.show_from(End::Caller, remote, &response)
        })
    })
}

/// An INIT shorter than any is answered by less than any answer takes: the caller of this skips the wire's own bound.
pub fn amplification() -> Both {
    Both::of(|breaks| {
        with_pair(&Options::default(), |pair| {
            let init = sent(pair, End::Caller);
            let listener = InitBody::parse(&init[12..]).ok().and_then(|body| {
                let handshake = pair.another_responder(&body.psk_id)?;
                let heard = if breaks { 40 } else { init.len() };
                Incoming::open(handshake, &body, &Options::default().config, heard).ok()
            });
            let incoming = listener.unwrap_or_else(|| panic!("not let in"));
            with_respond(pair, incoming)
        })
    })
}

/// What a session that starts from `incoming` counts when it is asked for its answer.
fn with_respond(pair: &mut Pair<'_>, incoming: Incoming<wirehaul_sim::crypto::SimHandshake>) -> Shown {
    wirehaul_proptests::pair::with_storage(ROOM, |storage| {
        let (config, remote) = (Options::default().config, End::Caller.address());
        let session = Session::respond(config, incoming, remote, 9, storage, pair.now);
        let Ok(mut session) = session else { panic!("no room") };
        let transmit = session.poll_transmit(pair.now, &mut wirehaul_proptests::pair::Silent, &mut [0; 2000], 1);
        let counted: RejectCounters = session.stats().rejects;
        let outcome = if transmit.is_some() { Ok(()) } else { Err(Reject::Amplification) };
        Shown { outcome, counted, unchanged: true }
    })
}

// --- first messages, to a worker ---

/// The INIT of a caller with these settings.
fn init(options: &Options) -> Vec<u8> {
    with_pair(options, |pair| sent(pair, End::Caller))
}

/// What a worker makes of the INIT of an ordinary caller, and of what `alter` makes of it.
fn inits(alter: impl Fn(&mut Vec<u8>)) -> Both {
    Both::of(|breaks| {
        let mut datagram = init(&Options::default());
        if breaks {
            alter(&mut datagram);
        }
        on_worker(&datagram)
    })
}

fn on_worker(datagram: &[u8]) -> Shown {
    with_reception(&Options::default().config, 4, ROOM, |reception| {
        let (shown, answers) = reception.show(End::Caller.address(), datagram);
        assert_eq!(reception.sessions(), usize::from(shown.outcome.is_ok()));
        // SEC-4: an answer without a session is shorter than what asked for it.
        assert!(answers.iter().all(|answer| answer.len() < datagram.len()));
        shown
    })
}

pub fn short_init() -> Both {
    inits(|datagram| datagram.truncate(1199))
}

pub fn padded_with_one() -> Both {
    inits(|datagram| datagram.iter_mut().last().into_iter().for_each(|byte| *byte = 1))
}

pub fn other_version() -> Both {
    inits(|datagram| datagram[12..14].copy_from_slice(&(VERSION + 1).to_be_bytes()))
}

pub fn unknown_psk() -> Both {
    inits(|datagram| datagram[20] ^= 1)
}

/// The cookie that the worker asks for is taken, and no other.
pub fn made_up_cookie() -> Both {
    let datagram = init(&Options::default());
    let with = |cookie| {
        let mut body = [0; 1500];
        let len = InitBody::parse(&datagram[12..])
            .ok()
            .and_then(|init| InitBody { cookie: Some(cookie), ..init }.write(&mut body));
        handshake_packet(End::Listener, PacketKind::Init, &body[..len.unwrap_or(0)])
    };
    let made_up = with(Cookie { stamp: 999_999_999, mac: [7; 16] });
    Both::of(|breaks| {
        with_reception(&Options::default().config, 4, ROOM, |reception| {
            let (bad, answers) = reception.show(End::Caller.address(), &made_up);
            if breaks {
                return bad;
            }
            let asked = answers.first().and_then(|answer| CookieBody::parse(&answer[12..]).ok());
            let cookie = asked.unwrap_or_else(|| panic!("asks for no cookie: {answers:02x?}")).cookie;
            reception.show(End::Caller.address(), &with(cookie)).0
        })
    })
}

pub fn no_common_suite() -> Both {
    Both::of(|breaks| {
        let mut options = Options::default();
        if breaks {
            options.config.suites = SuiteSet::EMPTY.with(Suite::ChaCha20Poly1305);
        }
        on_worker(&init(&options))
    })
}

pub fn wrong_application() -> Both {
    Both::of(|breaks| {
        let mut options = Options::default();
        options.config.application += u8::from(breaks);
        on_worker(&init(&options))
    })
}

pub fn no_slot() -> Both {
    Both::of(|breaks| {
        let room_for = if breaks { 1 } else { 2 };
        with_reception(&Options::default().config, room_for, ROOM, |reception| {
            let datagram = init(&Options::default());
            assert_eq!(reception.show(End::Caller.address(), &datagram).0.outcome, Ok(()));
            let another: SocketAddr = ([192, 0, 2, 9], 9).into();
            reception.show(another, &datagram).0
        })
    })
}
