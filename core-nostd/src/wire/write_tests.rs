#![allow(clippy::unwrap_used)]

use super::*;
use crate::wire::{Frame, FrameContext, Frames, PacketBody, validate};

const STREAM: StreamId = StreamId::FIRST;
const ALL: FrameContext = FrameContext { max_datagram_bytes: 9000 };

/// One frame of each type, and of each CONTROL subtype.
fn one_of_each(writer: &mut FrameWriter<'_>) {
    writer.data_header(STREAM, 5, DataFlags::FIN, 3).unwrap().copy_from_slice(b"abc");
    let ranges = [AckRange { first: 7, last: 9 }, AckRange { first: 0, last: 2 }];
    assert_eq!(writer.ack(1, 2, ranges, 8), Some(2));
    assert!(writer.keepalive());
    assert!(writer.migrate(5, 6));
    assert!(writer.version_negotiation([1, 2].into_iter()));
    assert!(writer.rekey(&RekeyFrame { answer: true, epoch: 1, public_key: &[9; 32] }));
    assert!(writer.ping(1) && writer.pong(2));
    assert!(writer.close(7, "enough"));
    assert!(writer.pad(4));
    assert!(writer.stream_open(STREAM, 1 << 48, 3));
    assert!(writer.stream_close(STREAM, 1 << 48));
    assert!(writer.stream_reset(STREAM, 9, 8));
    assert!(writer.window_update(None, 1 << 62) && writer.window_update(Some(STREAM), 1 << 48));
    assert!(writer.go_away(1, None) && writer.go_away(1, Some(STREAM)));
    assert!(writer.path_challenge(&[1; 8]) && writer.path_response(&[2; 8]));
}

#[test]
fn what_is_written_parses_and_is_written_again_alike() {
    let mut bytes = [0xaa; 1000];
    let mut writer = FrameWriter::new(&mut bytes);
    one_of_each(&mut writer);
    let length = writer.finish();
    let body = PacketBody::parse(&bytes[..length], &ALL).unwrap();
    let kinds = FrameKind::ALL.into_iter().filter(|kind| body.frames().any(|frame| frame.kind() == *kind));
    assert_eq!(kinds.count(), 15);

    let mut again = [0x55; 1000];
    let mut writer = FrameWriter::new(&mut again);
    assert!(body.frames().all(|frame| frame.write_to(&mut writer)));
    assert_eq!(writer.finish(), length);
    assert_eq!(bytes[..length], again[..length]);
}

#[test]
fn a_frame_that_does_not_fit_leaves_the_writer_as_it_was() {
    let mut bytes = [0; 1000];
    let mut writer = FrameWriter::new(&mut bytes);
    one_of_each(&mut writer);
    let length = writer.finish();
    for frame in Frames::new(&bytes[..length]).map(Result::unwrap) {
        let mut out = [0; 1000];
        let mut writer = FrameWriter::new(&mut out);
        assert!(frame.write_to(&mut writer));
        let needed = writer.finish();
        for room in 0..needed {
            let mut writer = FrameWriter::new(&mut out[..room]);
            assert!(!frame.write_to(&mut writer), "{:?} in {room}", frame.kind());
            assert_eq!((writer.len(), writer.remaining(), writer.is_empty()), (0, room, true));
        }
        assert!(frame.write_to(&mut FrameWriter::new(&mut out[..needed])));
    }
}

#[test]
fn values_that_break_a_rule_are_not_written() {
    const END: u64 = 1 << 48;
    let mut out = [0; 9100];
    let mut writer = FrameWriter::new(&mut out);
    assert!(writer.data_header(STREAM, 0, DataFlags::ACK_NOW, 0).is_none());
    assert!(writer.data_header(STREAM, END, DataFlags::empty(), 1).is_none());
    assert!(writer.data_header(STREAM, u64::MAX, DataFlags::FIN, 1).is_none());
    assert!(writer.data_header(STREAM, 0, DataFlags::empty(), 8957).is_none());
    assert!(writer.data_header(STREAM, 0, DataFlags::from_bits_retain(4), 1).is_none());
    assert_eq!(writer.ack(0, 0, [], 4), None);
    assert!(!writer.migrate(0, 1));
    assert!(!writer.version_negotiation([2, 1].into_iter()));
    assert!(!writer.version_negotiation([].into_iter()));
    assert!(!writer.rekey(&RekeyFrame { answer: false, epoch: 0, public_key: &[9; 32] }));
    assert!(!writer.pad(8957));
    assert!(!writer.stream_open(STREAM, END + 1, 0));
    assert!(!writer.stream_close(STREAM, END + 1));
    assert!(!writer.stream_reset(STREAM, END + 1, 0));
    assert!(!writer.window_update(Some(STREAM), END + 1));
    assert!(!writer.window_update(None, (1 << 62) + 1));
    assert!(!writer.view(&View::Close { code: 1, reason: "two\nlines" }));
    assert!(!writer.view(&View::Close { code: 1, reason: core::str::from_utf8(&[b'a'; 65]).unwrap() }));
    assert!(writer.is_empty());
}

#[test]
fn a_reason_for_closing_is_cut_rather_than_refused() {
    let written = |reason: &str, expected: &str| {
        let mut out = [0; 100];
        let mut writer = FrameWriter::new(&mut out);
        assert!(writer.close(1, reason));
        let length = writer.finish();
        let (frame, _) = Frame::parse(&out[..length]).unwrap();
        assert_eq!(frame.view(), View::Close { code: 1, reason: expected });
    };
    written("disk full", "disk full");
    written("one\u{1b}[2J", "one");
    written("", "");
    // 63 letters, then one of two bytes that would end at 65.
    let long = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaé";
    assert_eq!(long.len(), 65);
    written(long, &long[..63]);
}

#[test]
fn a_data_header_has_room_behind_it_for_its_payload() {
    let bytes = [1, 0, 0, 16, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 7, 7];
    assert_eq!(validate(&bytes, &ALL), Ok(()));
    let mut out = [0; 20];
    let mut writer = FrameWriter::new(&mut out);
    assert_eq!(writer.payload_room(), 4);
    writer.data_header(STREAM, 9, DataFlags::empty(), 2).unwrap().fill(7);
    assert_eq!((writer.payload_room(), writer.remaining(), writer.finish()), (0, 2, 18));
    assert_eq!(out[..18], bytes);
}
