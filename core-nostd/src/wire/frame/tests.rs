#![allow(clippy::unwrap_used)]

use super::*;
use Reject::*;

const CONTEXT: FrameContext = FrameContext { max_datagram_bytes: 1472 };

/// A frame: type, flags, stream, reserved, offset, payload. The payload length is the payload's own.
fn frame(out: &mut [u8; 128], kind: u8, flags: u8, stream: u16, offset: u64, payload: &[u8]) -> usize {
    out[..2].copy_from_slice(&[kind, flags]);
    out[2..4].copy_from_slice(&stream.to_be_bytes());
    out[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    out[6..8].fill(0);
    out[8..16].copy_from_slice(&offset.to_be_bytes());
    out[16..16 + payload.len()].copy_from_slice(payload);
    16 + payload.len()
}

fn check(kind: u8, flags: u8, stream: u16, offset: u64, payload: &[u8]) -> Result<(), Reject> {
    let mut bytes = [0; 128];
    let length = frame(&mut bytes, kind, flags, stream, offset, payload);
    validate(&bytes[..length], &CONTEXT)
}

/// A valid payload, stream and offset for each type.
fn valid(kind: FrameKind) -> (u16, u64, &'static [u8]) {
    const ONE_PACKET: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    const REKEY: &[u8] = &{
        let mut payload = [7; 36];
        payload[0] = 0;
        payload
    };
    match kind {
        FrameKind::Data => (16, 1, b"abc"),
        FrameKind::Ack => (0, 0, ONE_PACKET),
        FrameKind::Control => (0, 0, &[1, 0, 0, 0]),
        FrameKind::Rekey => (0, 0, REKEY),
        FrameKind::Ping | FrameKind::Pong | FrameKind::PathChallenge | FrameKind::PathResponse => (0, 0, &[1; 8]),
        FrameKind::Close => (0, 0, b"\0\x05gone"),
        FrameKind::Pad => (0, 0, &[0; 5]),
        FrameKind::StreamOpen => (16, 0, &[0, 0, 0, 0, 0, 1, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]),
        FrameKind::StreamClose => (16, 77, &[]),
        FrameKind::StreamReset => (16, 77, &[0, 1]),
        FrameKind::WindowUpdate => (16, 0, &[0, 1, 0, 0, 0, 0, 0, 0]),
        FrameKind::GoAway => (0, 0, &[0, 1, 0, 16]),
    }
}

#[test]
fn fifteen_types_are_known_and_no_others() {
    for kind in 0..=u8::MAX {
        match FrameKind::ALL.iter().find(|known| **known as u8 == kind) {
            Some(known) => {
                let (stream, offset, payload) = valid(*known);
                assert_eq!(check(kind, 0, stream, offset, payload), Ok(()), "{}", known.name());
            }
            None => assert_eq!(check(kind, 0, 0, 0, &[]), Err(FrameTypeUnknown)),
        }
    }
    assert!(FrameKind::ALL.iter().enumerate().all(|(index, kind)| *kind as usize == index + 1));
}

#[test]
fn unknown_flags_are_refused_in_every_type() {
    for kind in FrameKind::ALL {
        let known = match kind {
            FrameKind::Data => 0b11,
            FrameKind::Rekey => 0b1,
            _ => 0,
        };
        let (stream, offset, payload) = valid(kind);
        for flags in 0..=u8::MAX {
            let expected = if flags & !known == 0 { Ok(()) } else { Err(FrameFlagsUnknown) };
            assert_eq!(check(kind as u8, flags, stream, offset, payload), expected, "{} {flags:#x}", kind.name());
        }
    }
}

#[test]
fn stream_ids_are_where_they_belong() {
    for kind in FrameKind::ALL {
        let (stream, offset, payload) = valid(kind);
        let on = |stream| check(kind as u8, 0, stream, offset, payload);
        if stream == 0 {
            assert!(
                [1, 15, 16, u16::MAX].into_iter().all(|stream| on(stream) == Err(StreamNotZero)),
                "{}",
                kind.name()
            );
        } else {
            assert!((1..16).all(|stream| on(stream) == Err(StreamReserved)), "{}", kind.name());
            assert_eq!((on(16), on(u16::MAX)), (Ok(()), Ok(())));
            let connection = if kind == FrameKind::WindowUpdate { Ok(()) } else { Err(StreamReserved) };
            assert_eq!(on(0), connection, "{}", kind.name());
        }
    }
    assert_eq!(check(0x0d, 0, 0, 0, &[0, 1, 0, 0]), Ok(()));
    assert_eq!(check(0x0d, 0, 0, 0, &[0, 1, 0, 15]), Err(StreamReserved));
}

#[test]
fn offsets_are_within_2_to_the_48_where_used_and_zero_elsewhere() {
    const END: u64 = 1 << 48;
    for kind in FrameKind::ALL {
        let (stream, _, payload) = valid(kind);
        let at = |offset| check(kind as u8, 0, stream, offset, payload);
        match kind {
            FrameKind::Data => {
                assert_eq!((at(0), at(END - 3)), (Ok(()), Ok(())));
                assert_eq!((at(END - 2), at(u64::MAX)), (Err(OffsetTooLarge), Err(OffsetTooLarge)));
            }
            FrameKind::StreamClose | FrameKind::StreamReset => {
                assert_eq!((at(0), at(END)), (Ok(()), Ok(())));
                assert_eq!((at(END + 1), at(u64::MAX)), (Err(OffsetTooLarge), Err(OffsetTooLarge)));
            }
            _ => assert_eq!((at(1), at(u64::MAX)), (Err(OffsetNotZero), Err(OffsetNotZero)), "{}", kind.name()),
        }
    }
}

#[test]
fn reserved_bits_are_zero_in_every_type() {
    for kind in FrameKind::ALL {
        let (stream, offset, payload) = valid(kind);
        let mut bytes = [0; 128];
        let length = frame(&mut bytes, kind as u8, 0, stream, offset, payload);
        for at in [6, 7] {
            bytes[at] = 1;
            assert_eq!(validate(&bytes[..length], &CONTEXT), Err(FrameReservedNotZero), "{}", kind.name());
            bytes[at] = 0;
        }
        assert_eq!(validate(&bytes[..length], &CONTEXT), Ok(()));
    }
    assert_eq!(check(0x03, 0, 0, 0, &[1, 0, 0, 1]), Err(FrameReservedNotZero));
    assert_eq!(check(0x03, 0, 0, 0, &[1, 1, 0, 0]), Err(FrameReservedNotZero), "a count where there is no list");
    for at in 9..16 {
        let mut open = [0; 16];
        open[at] = 1;
        assert_eq!(check(0x09, 0, 16, 0, &open), Err(FrameReservedNotZero));
    }
}

#[test]
fn a_body_cut_anywhere_is_refused() {
    for kind in FrameKind::ALL {
        let (stream, offset, payload) = valid(kind);
        let mut bytes = [0; 128];
        let length = frame(&mut bytes, kind as u8, 0, stream, offset, payload);
        assert_eq!(validate(&[], &CONTEXT), Err(BodyEmpty));
        for cut in 1..length {
            let expected = if cut < 16 { FrameTruncated } else { PayloadTruncated };
            assert_eq!(validate(&bytes[..cut], &CONTEXT), Err(expected), "{} {cut}", kind.name());
        }
        assert_eq!(validate(&bytes[..length + 1], &CONTEXT), Err(FrameTruncated));
    }
}

#[test]
fn every_type_has_its_own_payload_format() {
    let cases: [(u8, u16, &[u8], Reject); 34] = [
        (0x01, 16, &[], DataEmpty),
        (0x02, 0, &[0; 23], AckLength),
        (0x03, 0, &[1, 0, 0], ControlLength),
        (0x03, 0, &[1, 0, 0, 0, 0], ControlLength),
        (0x03, 0, &[0, 0, 0, 0], ControlSubtypeUnknown),
        (0x03, 0, &[4, 0, 0, 0], ControlSubtypeUnknown),
        (0x03, 0, &[2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], ControlLength),
        (0x03, 0, &[2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0], ControlLength),
        (0x03, 0, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], MigrateReceiverZero),
        (0x03, 0, &[3, 0, 0, 0], VersionListInvalid),
        (0x03, 0, &[3, 1, 0, 0], ControlLength),
        (0x03, 0, &[3, 2, 0, 0, 0, 2, 0, 1], VersionListInvalid),
        (0x04, 0, &[1; 35], RekeyLength),
        (0x04, 0, &[1; 37], RekeyLength),
        (0x04, 0, &[0; 36], RekeyEpochZero),
        (0x05, 0, &[1; 7], PingLength),
        (0x05, 0, &[1; 9], PingLength),
        (0x06, 0, &[1; 7], PongLength),
        (0x06, 0, &[], PongLength),
        (0x07, 0, &[1], CloseLength),
        (0x07, 0, &[b'a'; 67], CloseLength),
        (0x07, 0, &[0, 0, 0xff], CloseReasonText),
        (0x07, 0, &[0, 0, 0x1b], CloseReasonText),
        (0x08, 0, &[0, 0, 1], PadNotZero),
        (0x09, 16, &[0; 15], StreamOpenLength),
        (0x09, 16, &[0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], WindowTooLarge),
        (0x0a, 16, &[0], StreamCloseLength),
        (0x0b, 16, &[0], StreamResetLength),
        (0x0c, 16, &[0; 7], WindowUpdateLength),
        (0x0c, 16, &[0, 1, 0, 0, 0, 0, 0, 1], WindowTooLarge),
        (0x0c, 0, &[0x40, 0, 0, 0, 0, 0, 0, 1], WindowTooLarge),
        (0x0d, 0, &[0; 3], GoAwayLength),
        (0x0e, 0, &[0; 7], PathChallengeLength),
        (0x0f, 0, &[0; 9], PathResponseLength),
    ];
    for (kind, stream, payload, reject) in cases {
        assert_eq!(check(kind, 0, stream, 0, payload), Err(reject), "{kind:#x} {payload:?}");
    }
    assert_eq!(check(0x01, 1, 16, 5, &[]), Ok(()), "an empty DATA may end a stream");
    assert_eq!(check(0x07, 0, 0, 0, &[b'a'; 66]), Ok(()));
    assert_eq!(check(0x0c, 0, 0, 0, &[0x40, 0, 0, 0, 0, 0, 0, 0]), Ok(()));
    assert_eq!(check(0x08, 0, 0, 0, &[]), Ok(()));
}

#[test]
fn a_packet_is_refused_for_its_last_frame_too() {
    let mut bytes = [0; 128];
    let first = frame(&mut bytes, 0x05, 0, 0, 0, &[1; 8]);
    let mut second = [0; 128];
    let length = frame(&mut second, 0x06, 0, 0, 0, &[2; 8]);
    bytes[first..first + length].copy_from_slice(&second[..length]);
    let body = PacketBody::parse(&bytes[..first + length], &CONTEXT).unwrap();
    assert!(body.frames().map(|frame| frame.kind()).eq([FrameKind::Ping, FrameKind::Pong]));
    assert!(Frames::new(&bytes[..first + length]).map(Result::unwrap).eq(body.frames()));

    bytes[first] = 0x10;
    assert_eq!(validate(&bytes[..first + length], &CONTEXT), Err(FrameTypeUnknown));
    let mut frames = Frames::new(&bytes[..first + length]);
    assert!(frames.next().unwrap().is_ok());
    assert_eq!(frames.next(), Some(Err(FrameTypeUnknown)));
    assert_eq!(frames.next(), None);
    let mut empty = Frames::new(&[]);
    assert_eq!((empty.next(), empty.next()), (Some(Err(BodyEmpty)), None));
}

#[test]
fn a_body_fits_the_agreed_datagram() {
    let mut bytes = [0; 9000];
    let mut writer = FrameWriter::new(&mut bytes);
    assert!(writer.pad(1472 - 44));
    let length = writer.finish();
    assert_eq!(validate(&bytes[..length], &CONTEXT), Ok(()));
    assert_eq!(validate(&bytes[..length], &FrameContext { max_datagram_bytes: 1471 }), Err(DatagramTooLong));
    assert_eq!(validate(&bytes[..length], &FrameContext { max_datagram_bytes: 0 }), Err(DatagramTooLong));
    let unbounded = FrameContext { max_datagram_bytes: usize::MAX };
    assert_eq!(validate(&bytes[..8973], &unbounded), Err(DatagramTooLong));
    bytes[4..6].copy_from_slice(&8957_u16.to_be_bytes());
    assert_eq!(validate(&bytes[..8972], &unbounded), Err(PayloadTooLong));
    bytes[4..6].copy_from_slice(&8956_u16.to_be_bytes());
    assert_eq!(validate(&bytes[..8972], &unbounded), Ok(()));
}

#[test]
fn only_acks_closes_and_padding_elicit_no_ack() {
    for kind in FrameKind::ALL {
        let (stream, offset, payload) = valid(kind);
        let mut bytes = [0; 128];
        let length = frame(&mut bytes, kind as u8, 0, stream, offset, payload);
        let (frame, rest) = Frame::parse(&bytes[..length]).unwrap();
        assert!(rest.is_empty());
        assert_eq!(frame.kind(), kind);
        let silent = matches!(kind, FrameKind::Ack | FrameKind::Close | FrameKind::Pad);
        assert_eq!(frame.is_ack_eliciting(), !silent, "{}", kind.name());
    }
}

#[test]
fn frames_can_be_taken_one_by_one_or_all_that_are_left() {
    let mut out = [0; 200];
    let mut writer = FrameWriter::new(&mut out);
    assert!(writer.ping(1) && writer.pong(2) && writer.pad(3));
    let len = writer.finish();
    let body = PacketBody::parse(&out[..len], &FrameContext { max_datagram_bytes: 9000 });
    let mut frames = body.as_ref().map(PacketBody::frames).into_iter().flatten();
    assert!(frames.by_ref().map(|frame| frame.kind()).eq([FrameKind::Ping, FrameKind::Pong, FrameKind::Pad]));
    for taken in 0..=3 {
        let mut frames = body.map(|body| body.frames()).unwrap_or_else(|reject| panic!("{reject:?}"));
        assert_eq!(frames.by_ref().take(taken).map(|frame| frame.kind()).last().is_some(), taken > 0);
        assert_eq!(frames.fold(0, |count, _| count + 1), 3 - taken);
    }
}
