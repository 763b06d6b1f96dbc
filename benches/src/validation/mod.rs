//! What validation costs (FRAME-7): the parse that ships, beside one that reads the same fields and checks nothing.

pub mod bounded;
pub mod handling;
pub mod packets;
pub mod unvalidated;

use wirehaul_core::limits::{MAX_DATAGRAM_BYTES, PACKET_HEADER_BYTES, TAG_BYTES};
use wirehaul_core::wire::{FrameContext, HeaderView, PacketBody, View};

/// The time that a 64-byte packet has at 10 Gbit/s, in nanoseconds: 64 bytes, and 20 of preamble and gap.
pub const SMALL_PACKET_NS: f64 = 67.2;

/// All that a packet says, in one number, so that no compiler leaves any of it unread; `None` where it breaks a rule.
#[inline(always)]
pub fn validated(datagram: &[u8]) -> Option<u64> {
    let header = HeaderView::parse(datagram).ok()?.header();
    let sum = u64::from(header.receiver) ^ u64::from(header.packet_number_low) ^ u64::from(header.flags.bits());
    let body = datagram.get(PACKET_HEADER_BYTES..datagram.len().checked_sub(TAG_BYTES)?)?;
    let body = PacketBody::parse(body, &FrameContext { max_datagram_bytes: MAX_DATAGRAM_BYTES }).ok()?;
    // Within the iterator, as one frame is the rule: a loop around it would ask after each whether there is another.
    Some(body.frames().fold(sum, |sum, frame| {
        sum.wrapping_add(match frame.view() {
            View::Data { stream, offset, payload, flags } => {
                u64::from(stream.get()) ^ offset ^ payload.len() as u64 ^ u64::from(flags.bits())
            }
            other => said_by_another(&other),
        })
    }))
}

/// Apart, as a session has it: beside DATA all are rare.
#[inline(never)]
fn said_by_another(view: &View<'_>) -> u64 {
    match view {
        View::Ack(ack) => ack.largest() ^ u64::from(ack.delay_us()) ^ ack.ranges().len() as u64,
        other => other.kind() as u64,
    }
}
