//! What must hold for any bytes at all. The fuzz targets, the corpora's replay and the mutation tests ask the same.
//!
//! Each function panics where a property fails, and returns what the wire said of the bytes.

use wirehaul_core::limits::MAX_DATAGRAM_BYTES;
use wirehaul_core::wire::{
    CookieBody, FinishBody, Frame, FrameContext, FrameWriter, Frames, InitBody, PacketBody, PacketHeader, PacketKind,
    RefusedBody, Reject, ResponseBody, TransportParameters, VersionBody, View, validate,
};

use crate::reference;
use crate::spec::Spec;

const CONTEXT: FrameContext = FrameContext { max_datagram_bytes: MAX_DATAGRAM_BYTES };

/// A packet body: all ways to read it agree with each other and with the reference, and what is accepted re-encodes
/// to the same bytes.
///
/// # Errors
/// The rule that the body breaks.
pub fn frame(body: &[u8]) -> Result<(), Reject> {
    let verdict = validate(body, &CONTEXT);
    assert_eq!(verdict.is_ok(), reference::frames(body).is_some(), "{verdict:?} of {body:02x?}");
    let first_error = Frames::new(body).find_map(Result::err);
    if verdict != Err(Reject::DatagramTooLong) {
        assert_eq!(first_error.map_or(Ok(()), Err), verdict, "{body:02x?}");
    }
    assert!(Frames::new(body).count() <= 1 + body.len() / 16);

    let parsed = PacketBody::parse(body, &CONTEXT)?;
    let mut again = vec![0x55; body.len()];
    let mut writer = FrameWriter::new(&mut again);
    for frame in parsed.frames() {
        assert!(frame.write_to(&mut writer), "{frame:?} is not written again");
    }
    assert_eq!(writer.finish(), body.len());
    assert_eq!(again, body, "re-encoded otherwise");

    let mut by_values = FrameWriter::new(&mut again);
    assert!(parsed.frames().all(|frame| Spec::of(&frame.view()).write(&mut by_values)));
    assert_eq!(by_values.finish(), body.len());
    assert_eq!(again, body, "re-encoded otherwise from its values");

    let tight = FrameContext { max_datagram_bytes: body.len() + 28 };
    assert_eq!(validate(body, &tight), Ok(()));
    let too_tight = FrameContext { max_datagram_bytes: body.len() + 27 };
    assert_eq!(validate(body, &too_tight), Err(Reject::DatagramTooLong));
    verdict
}

/// A whole datagram: header and body are read, and what is accepted re-encodes to the same bytes.
///
/// # Errors
/// The rule that the datagram breaks.
pub fn packet(datagram: &[u8]) -> Result<(), Reject> {
    let (header, at) = PacketHeader::parse(datagram)?;
    let mut again = vec![0x55; datagram.len()];
    assert_eq!((header.write(&mut again), at), (Some(12), 12));
    let (body, out) = (&datagram[at..], &mut again[at..]);
    let mut inner = Ok(());
    let written = match header.kind {
        PacketKind::Init => {
            let parsed = InitBody::parse(body);
            let start = InitBody::version_and_sender(body);
            assert!(parsed.is_err() || start.is_ok_and(|(version, _)| version == 1));
            // Nobody encrypts the generators' Noise messages, and parameters stand in front.
            inner = parameters(parsed?.noise);
            parsed?.write(out)
        }
        PacketKind::Cookie => CookieBody::parse(body)?.write(out),
        PacketKind::Response => ResponseBody::parse(body)?.write(out),
        PacketKind::Finish => FinishBody::parse(body)?.write(out),
        PacketKind::Version => VersionBody::write(VersionBody::parse(body)?.versions.iter(), out),
        PacketKind::Refused => RefusedBody::parse(body)?.write(out),
        PacketKind::Protected => {
            assert!(body.len() >= 32, "room for a frame header and a tag");
            return frame(&body[..body.len() - 16]);
        }
    };
    assert_eq!(written, Some(body.len()));
    assert_eq!(again, datagram, "re-encoded otherwise");
    inner
}

/// Transport parameters, read from the front of `bytes`: they re-encode alike but for AEADs that nobody knows.
fn parameters(bytes: &[u8]) -> Result<(), Reject> {
    let bytes = &bytes[..bytes.len().min(TransportParameters::BYTES)];
    let parsed = TransportParameters::parse(bytes)?;
    let mut expected = [0; TransportParameters::BYTES];
    expected.copy_from_slice(bytes);
    expected[2] &= 0b1110;
    assert_eq!(parsed.to_bytes(), Some(expected));
    Ok(())
}

/// The payload of an ACK: its ranges are those of the reference, and its accessors agree with them.
///
/// # Errors
/// The rule that the payload breaks.
pub fn ack(payload: &[u8]) -> Result<(), Reject> {
    let payload = &payload[..payload.len().min(usize::from(u16::MAX))];
    let mut bytes = vec![0x02, 0, 0, 0];
    bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    bytes.resize(16, 0);
    bytes.extend_from_slice(payload);
    let expected = reference::ack_ranges(payload).filter(|_| payload.len() <= 9000 - 44);
    let parsed = Frame::parse(&bytes);
    assert_eq!(parsed.is_ok(), expected.is_some(), "{parsed:?} of {payload:02x?}");

    let (parsed, rest) = parsed?;
    assert!(rest.is_empty());
    let View::Ack(ack) = parsed.view() else { panic!("an ACK reads as {parsed:?}") };
    let expected = expected.unwrap_or_default();
    assert_eq!(ack.range_count(), expected.len());
    assert_eq!(ack.ranges().len(), expected.len());
    assert_eq!(Some(ack.largest()), expected.first().map(|range| range.1));
    assert!(ack.ranges().map(|range| (range.first, range.last)).eq(expected));
    assert!(ack.ranges().all(|range| range.packets() == range.last - range.first + 1));
    frame(&bytes)
}
