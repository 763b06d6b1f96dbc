//! FRAME-2, FRAME-3, FRAME-5: frames read as they were written, and any bytes read as the rules say.

use proptest::collection::vec;
use proptest::prelude::*;
use wirehaul_core::wire::{FrameContext, FrameKind, FrameWriter, PacketBody};
use wirehaul_proptests::choices::Choices;
use wirehaul_proptests::oracle;
use wirehaul_proptests::spec::{self, Spec};

const CONTEXT: FrameContext = FrameContext { max_datagram_bytes: 9000 };

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let one = (vec(any::<u8>(), 0..200), prop_oneof![Just(16_usize), Just(200), Just(1400)])
        .prop_map(|(bytes, payload_max)| Spec::draw(&mut Choices::Bytes(&bytes), payload_max));
    vec(one, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_read_as_they_were_written(frames in specs()) {
        let body = spec::body(&frames);
        let parsed = PacketBody::parse(&body, &CONTEXT);
        prop_assert!(parsed.is_ok(), "{parsed:?}");
        let read: Vec<Spec> = parsed.iter().flat_map(PacketBody::frames).map(|frame| Spec::of(&frame.view())).collect();
        prop_assert_eq!(read, frames);
        prop_assert_eq!(oracle::frame(&body), Ok(()));
    }

    #[test]
    fn a_writer_without_room_writes_whole_frames_only(frames in specs(), room in 0_usize..2000) {
        let mut out = vec![0xaa; room];
        let mut writer = FrameWriter::new(&mut out);
        let written: Vec<_> = frames.iter().filter(|frame| frame.write(&mut writer)).collect();
        prop_assert_eq!(writer.remaining() + writer.len(), room);
        let length = writer.finish();
        if written.is_empty() {
            prop_assert_eq!(length, 0);
        } else {
            let parsed = PacketBody::parse(&out[..length], &CONTEXT);
            prop_assert!(parsed.is_ok(), "{parsed:?}");
            prop_assert_eq!(parsed.iter().flat_map(PacketBody::frames).count(), written.len());
        }
        prop_assert!(out[length..].iter().all(|byte| *byte == 0xaa) || written.len() < frames.len());
    }

    #[test]
    fn any_bytes_read_as_the_rules_say(bytes in vec(any::<u8>(), 0..300)) {
        let _ = oracle::frame(&bytes);
        let _ = oracle::ack(&bytes);
    }

    #[test]
    fn any_bytes_behind_a_plausible_header_read_as_the_rules_say(
        (kind, flags, stream) in (0_u8..17, 0_u8..5, 0_u16..40),
        payload in vec(prop_oneof![3 => Just(0_u8), 1 => any::<u8>()], 0..80),
        offset in prop_oneof![Just(0_u64), any::<u64>()],
    ) {
        let mut body = vec![kind, flags];
        body.extend_from_slice(&stream.to_be_bytes());
        body.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(&offset.to_be_bytes());
        body.extend_from_slice(&payload);
        let _ = oracle::frame(&body);
    }
}

#[test]
fn the_generator_makes_every_type() {
    let mut choices = Choices::Seeded(7);
    let drawn = spec::body(&FrameKind::ALL.map(|kind| Spec::draw_kind(&mut choices, kind, 64)));
    let parsed = PacketBody::parse(&drawn, &CONTEXT);
    assert!(parsed.iter().flat_map(PacketBody::frames).map(|frame| frame.kind()).eq(FrameKind::ALL));
}
