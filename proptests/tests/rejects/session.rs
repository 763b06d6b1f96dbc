//! Rules that need an established session to be seen, and those of the outer header.

use wirehaul_core::limits::MAX_PACKET_NUMBER_DISTANCE;
use wirehaul_core::session::WINDOW_PACKETS;
use wirehaul_core::wire::{AckRange, DataFlags, PacketHeader, StreamId};
use wirehaul_proptests::pair::{End, Options, Pair, Shown, forge, with_established};
use wirehaul_proptests::spec::{self, Spec};

use super::Both;
use super::frames::{PING, REKEY, body};

/// Numbers of forged packets begin here, above those that the caller has used.
const FIRST: u64 = 1000;

/// A listener that has sent more than 10 packets; returns the number of the last.
fn prepare(pair: &mut Pair<'_>) -> u64 {
    let mut last = 0;
    for number in FIRST - 12..FIRST {
        assert_eq!(pair.hand(End::Listener, &forge(End::Listener, number, &body(&PING))), Ok(()));
        while let Some(datagram) = pair.send(End::Listener) {
            let (header, _) = PacketHeader::parse(&datagram).unwrap_or_else(|reject| panic!("{reject:?}"));
            last = u64::from(header.packet_number_low);
        }
    }
    assert!(last >= 10);
    last
}

/// What a listener makes of a packet with the body that `make` gives, which is told the last number that it has sent.
pub fn on_listener(options: &Options, make: impl Fn(u64) -> Vec<u8>) -> Shown {
    with_established(options, |pair| {
        let last = prepare(pair);
        pair.show(End::Listener, &forge(End::Listener, FIRST, &make(last)))
    })
}

/// The same behind packets with these bodies.
fn after(options: &Options, before: &[Vec<u8>], last: &[u8]) -> Shown {
    with_established(options, |pair| {
        prepare(pair);
        for (number, body) in (FIRST..).zip(before) {
            assert_eq!(pair.hand(End::Listener, &forge(End::Listener, number, body)), Ok(()));
        }
        pair.show(End::Listener, &forge(End::Listener, FIRST + before.len() as u64, last))
    })
}

fn both(before: &[Vec<u8>], good: &[u8], bad: &[u8]) -> Both {
    both_with(&Options::transparent(), before, good, bad)
}

fn both_with(options: &Options, before: &[Vec<u8>], good: &[u8], bad: &[u8]) -> Both {
    Both::of(|breaks| after(options, before, if breaks { bad } else { good }))
}

fn datagrams(good: &[u8], bad: &[u8]) -> Both {
    Both::of(|breaks| {
        with_established(&Options::transparent(), |pair| {
            prepare(pair);
            pair.show(End::Listener, if breaks { bad } else { good })
        })
    })
}

fn data(stream: u16, offset: u64, payload: &[u8], flags: DataFlags) -> Spec {
    let stream = StreamId::new(stream).unwrap_or(StreamId::FIRST);
    Spec::Data { stream, offset, payload: payload.to_vec(), flags }
}

fn data_body(stream: u16, offset: u64) -> Vec<u8> {
    body(&data(stream, offset, b"a", DataFlags::empty()))
}

/// A PING, and the same with other bytes at this place of its outer header.
pub fn header(at: usize, bytes: &[u8]) -> Both {
    let good = forge(End::Listener, FIRST, &body(&PING));
    let mut bad = good.clone();
    bad[at..at + bytes.len()].copy_from_slice(bytes);
    datagrams(&good, &bad)
}

pub fn cut_below_the_least() -> Both {
    let good = forge(End::Listener, FIRST, &body(&Spec::Pad { len: 0 }));
    datagrams(&good, &good[..good.len() - 1])
}

pub fn longer_than_any() -> Both {
    let packet = |len| forge(End::Listener, FIRST, &spec::body(&[Spec::Pad { len: 0 }, Spec::Pad { len }]));
    let good = packet(8940);
    assert_eq!(good.len(), 9000);
    datagrams(&good, &packet(8941))
}

pub fn number_too_far() -> Both {
    let packet = |number| forge(End::Listener, number, &body(&PING));
    let farthest = FIRST - 1 + MAX_PACKET_NUMBER_DISTANCE;
    datagrams(&packet(farthest), &packet(farthest + 1))
}

pub fn forged() -> Both {
    Both::of(|breaks| {
        with_established(&Options::default(), |pair| {
            let now = pair.now;
            let session = pair.session(End::Caller);
            assert!(session.open_stream(StreamId::FIRST, now) && session.provide(StreamId::FIRST, 100, true));
            let mut datagram = pair.send(End::Caller).unwrap_or_else(|| panic!("nothing to send"));
            if breaks && let Some(last) = datagram.last_mut() {
                *last ^= 1;
            }
            pair.show(End::Listener, &datagram)
        })
    })
}

pub fn replayed() -> Both {
    Both::of(|breaks| {
        with_established(&Options::transparent(), |pair| {
            let packet = |number| forge(End::Listener, number, &body(&PING));
            assert_eq!(pair.hand(End::Listener, &packet(FIRST)), Ok(()));
            pair.show(End::Listener, &packet(FIRST + u64::from(!breaks)))
        })
    })
}

pub fn too_old() -> Both {
    Both::of(|breaks| {
        with_established(&Options::transparent(), |pair| {
            let packet = |number| forge(End::Listener, number, &body(&PING));
            assert_eq!(pair.hand(End::Listener, &packet(FIRST + WINDOW_PACKETS)), Ok(()));
            pair.show(End::Listener, &packet(FIRST + u64::from(!breaks)))
        })
    })
}

pub fn after_close() -> Both {
    let close = body(&Spec::Close { code: 0, reason: String::new() });
    let ping = body(&PING);
    let options = Options::transparent();
    Both::of(|breaks| after(&options, if breaks { std::slice::from_ref(&close) } else { &[] }, &ping))
}

pub fn ack_of_unsent() -> Both {
    let ack = |largest| Spec::Ack { delay_us: 0, ce_count: 0, ranges: vec![AckRange { first: 0, last: largest }] };
    Both::of(|breaks| on_listener(&Options::transparent(), |last| body(&ack(last + u64::from(breaks)))))
}

pub fn beyond_the_window() -> Both {
    let window = Options::transparent().config.initial_window_bytes;
    both(&[], &data_body(16, window - 1), &data_body(16, window))
}

pub fn one_stream_too_many() -> Both {
    let options = Options { room: [64, 16, 1, 8], ..Options::transparent() };
    both_with(&options, &[data_body(16, 0)], &data_body(16, 1), &data_body(17, 0))
}

pub fn window_of_no_stream() -> Both {
    let update = |stream| body(&Spec::WindowUpdate { stream: StreamId::new(stream), limit: 9 });
    both(&[data_body(16, 0)], &update(16), &update(17))
}

pub fn stream_twice() -> Both {
    let packet =
        |second| spec::body(&[data(16, 1, b"a", DataFlags::empty()), data(second, 2, b"b", DataFlags::empty())]);
    both(&[data_body(16, 0), data_body(17, 0)], &packet(17), &packet(16))
}

pub fn beyond_the_end() -> Both {
    let all = body(&data(16, 0, b"abc", DataFlags::FIN));
    both(&[all], &data_body(16, 2), &data_body(16, 3))
}

pub fn one_gap_too_many() -> Both {
    let options = Options { room: [64, 16, 4, 2], ..Options::transparent() };
    both_with(&options, &[data_body(16, 10)], &data_body(16, 11), &data_body(16, 20))
}

pub fn rekey_out_of_turn() -> Both {
    both(&[], &body(&REKEY), &body(&Spec::Rekey { answer: false, epoch: 2, public_key: [9; 32] }))
}

pub fn answer_to_no_challenge() -> Both {
    both(&[], &body(&Spec::PathChallenge { data: [1; 8] }), &body(&Spec::PathResponse { data: [1; 8] }))
}
