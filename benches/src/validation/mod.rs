//! What validation costs (FRAME-7): the parse that ships, beside one that reads the same fields and checks nothing.

pub mod handling;
pub mod packets;
pub mod unvalidated;

use wirehaul_core::limits::{MAX_DATAGRAM_BYTES, PACKET_HEADER_BYTES, TAG_BYTES};
use wirehaul_core::wire::{FrameContext, HeaderView, PacketBody, Reject, View};

/// The time that a 64-byte packet has at 10 Gbit/s, in nanoseconds: 64 bytes, and 20 of preamble and gap.
pub const SMALL_PACKET_NS: f64 = 67.2;

/// All that a packet says, in one number, so that no compiler leaves any of it unread.
///
/// # Errors
/// The rule that the packet breaks.
#[inline(never)]
pub fn validated(datagram: &[u8]) -> Result<u64, Reject> {
    let header = HeaderView::parse(datagram)?.header();
    let mut sum = u64::from(header.receiver) ^ u64::from(header.packet_number_low) ^ u64::from(header.flags.bits());
    let body = datagram.get(PACKET_HEADER_BYTES..datagram.len().saturating_sub(TAG_BYTES)).unwrap_or(&[]);
    let body = PacketBody::parse(body, &FrameContext { max_datagram_bytes: MAX_DATAGRAM_BYTES })?;
    for frame in body.frames() {
        sum = sum.wrapping_add(match frame.view() {
            View::Data { stream, offset, payload, flags } => {
                u64::from(stream.get()) ^ offset ^ payload.len() as u64 ^ u64::from(flags.bits())
            }
            View::Ack(ack) => ack.largest() ^ u64::from(ack.delay_us()) ^ ack.ranges().len() as u64,
            other => other.kind() as u64,
        });
    }
    Ok(sum)
}
