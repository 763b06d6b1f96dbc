//! Rules that show in the bytes of a frame alone, broken by a peer that holds the keys.

use wirehaul_core::limits::{MAX_DATAGRAM_BYTES, MAX_STREAM_OFFSET};
use wirehaul_core::session::Config;
use wirehaul_core::wire::{AckRange, DataFlags, FrameContext, Reject, RejectCounters, StreamId, validate};
use wirehaul_proptests::pair::{Options, Shown};
use wirehaul_proptests::spec::{self, Spec};

use super::Both;
use super::session::on_listener;

const CONTEXT: FrameContext = FrameContext { max_datagram_bytes: MAX_DATAGRAM_BYTES };

pub const KEEPALIVE: Spec = Spec::Keepalive;
pub const PING: Spec = Spec::Ping { token: 7 };
pub const PONG: Spec = Spec::Pong { token: 7 };
pub const REKEY: Spec = Spec::Rekey { answer: false, epoch: 1, public_key: [9; 32] };
pub const STREAM_OPEN: Spec = Spec::StreamOpen { stream: StreamId::FIRST, window: MAX_STREAM_OFFSET, priority: 0 };
pub const STREAM_CLOSE: Spec = Spec::StreamClose { stream: StreamId::FIRST, final_size: 5 };
pub const STREAM_RESET: Spec = Spec::StreamReset { stream: StreamId::FIRST, final_size: 5, code: 1 };
pub const WINDOW_UPDATE: Spec = Spec::WindowUpdate { stream: None, limit: 1 << 62 };
pub const GO_AWAY: Spec = Spec::GoAway { code: 0, last_stream: None };
pub const PATH_CHALLENGE: Spec = Spec::PathChallenge { data: [1; 8] };

pub fn body(frame: &Spec) -> Vec<u8> {
    spec::body(std::slice::from_ref(frame))
}

/// Both bodies, shown to a listener; the first must also be what the wire calls valid.
fn bodies(good: &[u8], bad: &[u8]) -> Both {
    assert_eq!(validate(good, &CONTEXT), Ok(()));
    let options = Options::transparent();
    Both::of(|breaks| on_listener(&options, |_| if breaks { bad.to_vec() } else { good.to_vec() }))
}

/// `frame`, and the same with other bytes at this place.
pub fn patched(frame: Spec, at: usize, bytes: &[u8]) -> Both {
    let good = body(&frame);
    let mut bad = good.clone();
    bad[at..at + bytes.len()].copy_from_slice(bytes);
    bodies(&good, &bad)
}

pub fn patched_ping(at: usize, bytes: &[u8]) -> Both {
    patched(PING, at, bytes)
}

/// Packets 8 to 9, 5, and 0 to 2; the place is one of the payload.
pub fn patched_ack(at: usize, bytes: &[u8]) -> Both {
    let ranges = [(8, 9), (5, 5), (0, 2)].map(|(first, last)| AckRange { first, last }).to_vec();
    patched(Spec::Ack { delay_us: 0, ce_count: 0, ranges }, 16 + at, bytes)
}

pub fn ack_without_ranges() -> Both {
    patched(Spec::Ack { delay_us: 0, ce_count: 0, ranges: vec![AckRange { first: 0, last: 0 }] }, 16 + 17, &[0])
}

/// `frame`, and the same with one more byte of payload.
pub fn longer(frame: Spec) -> Both {
    let good = body(&frame);
    bodies(&good, &with_one_more_byte(&good))
}

fn with_one_more_byte(good: &[u8]) -> Vec<u8> {
    let mut bad = [good, &[0]].concat();
    bad[5] += 1;
    bad
}

/// No PATH_RESPONSE is taken without a challenge under way, so that only the wire can say what is right with it.
pub fn longer_path_response() -> Both {
    let good = body(&Spec::PathResponse { data: [1; 8] });
    let bad = with_one_more_byte(&good);
    Both { good: by_the_wire(&good), bad: on_listener(&Options::transparent(), |_| bad.clone()) }
}

/// No such body reaches a session: a datagram without room for a frame header is refused before it is decrypted.
pub fn no_frame() -> Both {
    Both { good: by_the_wire(&body(&PING)), bad: by_the_wire(&[]) }
}

/// What the wire says of a body; it has no state to change.
fn by_the_wire(body: &[u8]) -> Shown {
    let (outcome, mut counted) = (validate(body, &CONTEXT), RejectCounters::new());
    outcome.err().into_iter().for_each(|reject: Reject| counted.count(reject));
    Shown { outcome, counted, unchanged: true }
}

pub fn half_a_header() -> Both {
    let good = spec::body(&[PING, Spec::Pad { len: 0 }]);
    bodies(&good, &good[..good.len() - 1])
}

/// One byte more cannot be carried either: whatever its header says, no datagram is that long.
pub fn longest_payload() -> Both {
    let good = body(&Spec::Pad { len: 8956 });
    let mut bad = good.clone();
    bad[4..6].copy_from_slice(&8957_u16.to_be_bytes());
    bodies(&good, &bad)
}

pub fn cut_payload() -> Both {
    let good = body(&Spec::Pad { len: 4 });
    bodies(&good, &good[..good.len() - 1])
}

pub fn reserved_stream() -> Both {
    patched(data(DataFlags::empty(), b"a"), 3, &[15])
}

pub fn empty_data() -> Both {
    patched(data(DataFlags::FIN, b""), 1, &[0])
}

fn data(flags: DataFlags, payload: &[u8]) -> Spec {
    Spec::Data { stream: StreamId::FIRST, offset: 0, payload: payload.to_vec(), flags }
}

/// The window lets the peer go as far as the wire does.
pub fn offset_too_large() -> Both {
    let mut options = Options::transparent();
    options.config =
        Config { initial_window_bytes: MAX_STREAM_OFFSET, max_window_bytes: MAX_STREAM_OFFSET, ..options.config };
    let good = body(&Spec::StreamClose { stream: StreamId::FIRST, final_size: MAX_STREAM_OFFSET });
    let mut bad = good.clone();
    bad[15] = 1;
    Both::of(|breaks| on_listener(&options, |_| if breaks { bad.clone() } else { good.clone() }))
}

pub fn migrate_to_zero() -> Both {
    patched(Spec::Migrate { receiver: 1, sequence: 1 }, 23, &[0])
}

pub fn descending_versions() -> Both {
    patched(Spec::VersionNegotiation { versions: vec![1, 2] }, 20, &[0, 2, 0, 1])
}

pub fn long_reason() -> Both {
    let good = body(&Spec::Close { code: 0, reason: "a".repeat(64) });
    let mut bad = with_one_more_byte(&good);
    bad[16 + 2 + 64] = b'a';
    bodies(&good, &bad)
}

pub fn control_character() -> Both {
    patched(Spec::Close { code: 0, reason: "ab".into() }, 19, &[0x1b])
}

pub fn patched_pad() -> Both {
    patched(Spec::Pad { len: 4 }, 19, &[1])
}

pub fn window_too_large() -> Both {
    patched(STREAM_OPEN, 23, &[1])
}
