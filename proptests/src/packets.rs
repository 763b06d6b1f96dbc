//! Valid datagrams of every kind, drawn from choices.

use wirehaul_core::crypto::{Suite, SuiteSet};
use wirehaul_core::limits::{MAX_CONNECTION_OFFSET, MAX_STREAM_OFFSET};
use wirehaul_core::wire::{
    Cookie, CookieBody, FinishBody, InitBody, PacketFlags, PacketHeader, PacketKind, RefusedBody, ResponseBody,
    TransportParameters, VersionBody,
};

use crate::choices::Choices;
use crate::spec::{self, Spec};

/// Every packet kind.
pub const KINDS: [PacketKind; 7] = [
    PacketKind::Init,
    PacketKind::Cookie,
    PacketKind::Response,
    PacketKind::Finish,
    PacketKind::Version,
    PacketKind::Refused,
    PacketKind::Protected,
];

/// A valid datagram of any kind; half of them are protected.
pub fn draw(choices: &mut Choices<'_>) -> Vec<u8> {
    let kind = KINDS[(choices.below(11) + 1).min(6)];
    let kind = if choices.once_in(10) { PacketKind::Init } else { kind };
    draw_kind(choices, kind)
}

/// A valid datagram of this kind.
pub fn draw_kind(choices: &mut Choices<'_>, kind: PacketKind) -> Vec<u8> {
    let protected = kind == PacketKind::Protected;
    let header = PacketHeader {
        kind,
        flags: if protected { PacketFlags::from_bits_truncate(choices.number() as u8) } else { PacketFlags::empty() },
        receiver: if kind == PacketKind::Init { 0 } else { choices.between(1, u32::MAX.into()) as u32 },
        packet_number_low: if protected { choices.up_to(u32::MAX.into()) as u32 } else { 0 },
    };
    let mut datagram = vec![0; 12];
    let header_written = header.write(&mut datagram);
    debug_assert_eq!(header_written, Some(12));
    datagram.extend_from_slice(&body(choices, kind));
    datagram
}

fn body(choices: &mut Choices<'_>, kind: PacketKind) -> Vec<u8> {
    let sender_index = choices.between(1, u32::MAX.into()) as u32;
    let noise = noise(choices);
    let mut out = vec![0xaa; 2000];
    let written = match kind {
        PacketKind::Init => {
            let cookie = choices.once_in(2).then(|| cookie(choices));
            InitBody { sender_index, psk_id: choices.array(), cookie, noise: &noise }.write(&mut out)
        }
        PacketKind::Cookie => CookieBody { cookie: cookie(choices) }.write(&mut out),
        PacketKind::Response => ResponseBody { sender_index, noise: &noise }.write(&mut out),
        PacketKind::Finish => FinishBody { noise: &noise }.write(&mut out),
        PacketKind::Version => VersionBody::write(spec::versions(choices).into_iter(), &mut out),
        PacketKind::Refused => {
            use RefusedBody::{Full, NoCommonSuite, UnknownPsk, WrongApplication};
            [UnknownPsk, Full, NoCommonSuite, WrongApplication][choices.below(4)].write(&mut out)
        }
        PacketKind::Protected => {
            out = protected_body(choices);
            // The tag; what opens packets is another's business.
            out.extend_from_slice(&choices.bytes(16));
            Some(out.len())
        }
    };
    out.truncate(written.unwrap_or(0));
    out
}

/// A valid packet body of one to five frames.
pub fn protected_body(choices: &mut Choices<'_>) -> Vec<u8> {
    let payload_max = [16, 64, 400][choices.below(3)];
    let count = 1 + choices.below(5);
    let frames: Vec<Spec> = (0..count).map(|_| Spec::draw(choices, payload_max)).collect();
    spec::body(&frames)
}

fn cookie(choices: &mut Choices<'_>) -> Cookie {
    Cookie { stamp: choices.number(), mac: choices.array() }
}

/// A Noise message; as nobody encrypts it here, valid transport parameters stand in front.
fn noise(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut noise = parameters(choices).to_bytes().map(Vec::from).unwrap_or_default();
    let long = if choices.once_in(4) { 1300 } else { 100 };
    let len = choices.below(long);
    noise.extend_from_slice(&choices.bytes(len));
    noise
}

/// Valid transport parameters.
pub fn parameters(choices: &mut Choices<'_>) -> TransportParameters {
    let mut suites = SuiteSet::from_wire(choices.number() as u8);
    let chosen_suite = Suite::from_wire(choices.below(4) as u8);
    if suites == SuiteSet::EMPTY {
        suites = suites.with(Suite::Aes128Gcm);
    }
    if let Some(suite) = chosen_suite {
        suites = suites.with(suite);
    }
    TransportParameters {
        max_datagram_bytes: choices.between(1200, 9000) as u16,
        suites,
        chosen_suite,
        idle_timeout_ms: choices.between(100, 3_600_000) as u32,
        max_ack_delay_us: choices.up_to(1_000_000) as u32,
        initial_connection_window: choices.between(1, MAX_CONNECTION_OFFSET),
        initial_stream_window: choices.between(1, MAX_STREAM_OFFSET),
        application: choices.number() as u8,
    }
}
