//! FRAME-8: the worked bytes of `docs/frame-types.md` are what the wire says they are.

use std::collections::BTreeMap;

use wirehaul_core::wire::{
    AckRange, DataFlags, FrameContext, FrameKind, PacketBody, PacketFlags, PacketHeader, PacketKind, Reject, StreamId,
    validate,
};
use wirehaul_proptests::spec::{self, Spec};

const DOCUMENT: &str = include_str!("../../docs/frame-types.md");
const CONTEXT: FrameContext = FrameContext { max_datagram_bytes: 9000 };

/// A block of worked bytes: what stands behind "```bytes", and the bytes.
struct Block {
    title: &'static str,
    bytes: Vec<u8>,
}

fn blocks() -> Vec<Block> {
    DOCUMENT
        .split("```bytes ")
        .skip(1)
        .map(|text| {
            let (title, rest) = text.split_once('\n').unwrap_or((text, ""));
            let lines = rest.split("```").next().unwrap_or_default().lines();
            Block { title, bytes: lines.flat_map(hex).collect() }
        })
        .collect()
}

/// The bytes at the start of a line; two spaces divide them from what is said about them.
fn hex(line: &str) -> Vec<u8> {
    let bytes = line.split("  ").next().unwrap_or_default();
    let byte = |text| u8::from_str_radix(text, 16).unwrap_or_else(|_| panic!("{text:?} in {line:?} is no byte"));
    bytes.split_whitespace().map(byte).collect()
}

fn stream(id: u16) -> StreamId {
    StreamId::new(id).unwrap_or(StreamId::FIRST)
}

/// What the document says in words beside the bytes of each "frame" block.
fn said() -> BTreeMap<&'static str, Spec> {
    let ranges = [(8, 9), (4, 4), (0, 2)].map(|(first, last)| AckRange { first, last }).to_vec();
    let token = 0x0123_4567_89ab_cdef;
    let data = [0xde, 0xad, 0xbe, 0xef, 0, 0x11, 0x22, 0x33];
    let public_key = std::array::from_fn(|i| i as u8 + 1);
    BTreeMap::from([
        ("DATA", Spec::Data { stream: stream(16), offset: 4096, payload: b"abc".to_vec(), flags: DataFlags::all() }),
        ("ACK", Spec::Ack { delay_us: 1000, ce_count: 1, ranges }),
        ("KEEPALIVE", Spec::Keepalive),
        ("MIGRATE", Spec::Migrate { receiver: 0x1234_5678, sequence: 1 }),
        ("VERSION_NEGOTIATION", Spec::VersionNegotiation { versions: vec![1, 2] }),
        ("REKEY", Spec::Rekey { answer: true, epoch: 2, public_key }),
        ("PING", Spec::Ping { token }),
        ("PONG", Spec::Pong { token }),
        ("CLOSE", Spec::Close { code: 256, reason: "disk full".into() }),
        ("PAD", Spec::Pad { len: 4 }),
        ("STREAM_OPEN", Spec::StreamOpen { stream: stream(17), window: 2 << 20, priority: 3 }),
        ("STREAM_CLOSE", Spec::StreamClose { stream: stream(16), final_size: 4099 }),
        ("STREAM_RESET", Spec::StreamReset { stream: stream(16), final_size: 4096, code: 7 }),
        ("WINDOW_UPDATE", Spec::WindowUpdate { stream: Some(stream(16)), limit: 16 << 20 }),
        ("WINDOW_UPDATE connection", Spec::WindowUpdate { stream: None, limit: 1 << 49 }),
        ("GOAWAY", Spec::GoAway { code: 3, last_stream: Some(stream(20)) }),
        ("PATH_CHALLENGE", Spec::PathChallenge { data }),
        ("PATH_RESPONSE", Spec::PathResponse { data }),
    ])
}

#[test]
fn the_worked_frames_are_written_and_read_as_said() {
    let mut said = said();
    for block in blocks() {
        let Some(name) = block.title.strip_prefix("frame ") else { continue };
        let spec = said.remove(name).unwrap_or_else(|| panic!("{name}: shown twice, or not known here"));
        assert_eq!(spec::body(std::slice::from_ref(&spec)), block.bytes, "{name}");
        let body = PacketBody::parse(&block.bytes, &CONTEXT).unwrap_or_else(|reject| panic!("{name}: {reject:?}"));
        let read: Vec<Spec> = body.frames().map(|frame| Spec::of(&frame.view())).collect();
        assert_eq!(read, [spec], "{name}");
    }
    assert!(said.is_empty(), "not shown: {:?}", said.keys());
}

#[test]
fn what_is_said_to_be_refused_is_refused_for_that_reason() {
    let mut count = 0;
    for block in blocks() {
        let Some(name) = block.title.strip_prefix("refused ") else { continue };
        let reason = validate(&block.bytes, &CONTEXT).err().map(Reject::name);
        assert_eq!(reason, Some(name), "{:02x?}", block.bytes);
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn the_worked_packet_is_whole() {
    let blocks = blocks();
    let packet = blocks.iter().find(|block| block.title == "packet ACK DATA").map(|block| &block.bytes[..]);
    let packet = packet.unwrap_or_else(|| panic!("no worked packet"));
    let header = PacketHeader {
        kind: PacketKind::Protected,
        flags: PacketFlags::KEY_PHASE,
        receiver: 0x0a0b_0c0d,
        packet_number_low: 42,
    };
    assert_eq!(PacketHeader::parse(packet), Ok((header, 12)));
    let body = PacketBody::parse(&packet[12..packet.len() - 16], &CONTEXT);
    let read: Vec<Spec> = body.iter().flat_map(PacketBody::frames).map(|frame| Spec::of(&frame.view())).collect();
    let ack = Spec::Ack { delay_us: 100, ce_count: 0, ranges: vec![AckRange { first: 0, last: 7 }] };
    let flags = DataFlags::empty();
    assert_eq!(read, [ack, Spec::Data { stream: stream(16), offset: 0, payload: b"hi".to_vec(), flags }]);
}

#[test]
fn every_type_has_its_section_and_every_rule_of_frames_its_bytes() {
    for kind in FrameKind::ALL {
        let title = format!("\n## {} 0x{:02X}\n", kind.name(), kind as u8);
        assert!(DOCUMENT.contains(&title), "no section {title:?}");
    }
    let titles: Vec<_> = blocks().iter().map(|block| block.title).collect();
    for reject in
        Reject::ALL.into_iter().filter(|reject| (Reject::BodyEmpty..=Reject::PathResponseLength).contains(reject))
    {
        assert!(DOCUMENT.contains(&format!("`{}`", reject.name())), "`{}` is not explained", reject.name());
        // A body of no bytes cannot be shown as a block of them.
        let shown = titles.iter().any(|title| title.strip_prefix("refused ") == Some(reject.name()));
        assert!(shown || reject == Reject::BodyEmpty, "{} is not shown", reject.name());
    }
}
