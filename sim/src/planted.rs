//! Bugs that are planted on purpose, to prove that the checkers raise the alarm. A simulated host has none unless it is
//! told to; what ships knows nothing of them.

use serde::{Deserialize, Serialize};

use wirehaul_core::limits::{FRAME_HEADER_BYTES, TAG_BYTES};

/// A bug that a host can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bug {
    /// A wrong credit rule: at every poll the pacer forgets what has left, so that its credit is granted again.
    CreditAtEveryPoll,
    /// Of several transmit buffers that come back late, one does not.
    LostSlot,
    /// An ACK names a packet that did not arrive: it fills the newest gap.
    InventedAck,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Self; 3] = [Self::CreditAtEveryPoll, Self::LostSlot, Self::InventedAck];

    /// Its name on the command line and in scripts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CreditAtEveryPoll => "credit-at-every-poll",
            Self::LostSlot => "lost-slot",
            Self::InventedAck => "invented-ack",
        }
    }
}

/// Rewrites the first ACK of a packet that is about to be sealed, so that it names packets that did not arrive: those of
/// the newest gap. `buf` is the packet's frames and the room for the tag.
///
/// The gap is not closed, as that would make the frame shorter, but moved: its place is taken by one packet that did
/// arrive and is no longer named.
pub fn invent_acks(buf: &mut [u8]) {
    const ACK: u8 = 0x02;
    // In the frame: its type, payload length; in the payload: range count, first length, then gap and length of the next.
    const LENGTH_AT: usize = 4;
    const RANGE_COUNT_AT: usize = 16;
    const FIRST_AT: usize = 20;
    let end = buf.len().saturating_sub(TAG_BYTES);
    let mut at = 0;
    while let Some(frame) = buf.get_mut(at..end).filter(|frame| frame.len() > FRAME_HEADER_BYTES) {
        let payload_len = usize::from(u16::from_be_bytes([frame[LENGTH_AT], frame[LENGTH_AT + 1]]));
        at += FRAME_HEADER_BYTES + payload_len;
        let is_ack = frame[0] == ACK;
        let Some(payload) = frame.get_mut(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + payload_len) else { return };
        if !is_ack {
            continue;
        }
        let ranges = u16::from_be_bytes([payload[RANGE_COUNT_AT], payload[RANGE_COUNT_AT + 1]]);
        let Some((words, _)) = payload.get_mut(FIRST_AT..).map(<[u8]>::as_chunks_mut::<4>) else { return };
        if let (2.., [first, gap, second, ..]) = (ranges, words) {
            let read = |word: &[u8; 4]| u32::from_be_bytes(*word);
            if read(second) > 1 {
                (*first, *second) = ((read(first) + read(gap)).to_be_bytes(), (read(second) - 1).to_be_bytes());
                *gap = 1_u32.to_be_bytes();
            }
        }
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirehaul_core::wire::{AckRange, FrameContext, FrameWriter, PacketBody, View};

    #[test]
    fn an_invented_ack_is_valid_and_names_the_gap() {
        let mut buf = [0; 200];
        let mut writer = FrameWriter::new(&mut buf[..184]);
        let ranges = [AckRange { first: 20, last: 25 }, AckRange { first: 3, last: 17 }];
        writer.ack(7, 0, ranges, 64).unwrap();
        let len = writer.finish();
        invent_acks(&mut buf[..len + TAG_BYTES]);
        let body = PacketBody::parse(&buf[..len], &FrameContext { max_datagram_bytes: 9000 }).unwrap();
        let named: Vec<_> = body
            .frames()
            .filter_map(|frame| match frame.view() {
                View::Ack(ack) => Some(ack.ranges().collect::<Vec<_>>()),
                _ => None,
            })
            .flatten()
            .collect();
        assert_eq!(named, [AckRange { first: 18, last: 25 }, AckRange { first: 3, last: 16 }]);
    }
}
