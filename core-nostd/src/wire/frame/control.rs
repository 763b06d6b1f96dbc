//! CONTROL: messages about the session itself, told apart by a subtype.
//!
//! ```text
//!  0         1       2          4
//! | subtype | count | reserved | per subtype ...
//! ```
//! `count` is zero but in VERSION_NEGOTIATION.

use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, TryCastError, TryFromBytes, Unaligned};

use super::payload::RawMigrate;
use crate::wire::{Reject, VersionList};

/// What a CONTROL frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// The sender is still there; keeps the path's middleboxes and the peer's idle timer from forgetting it.
    Keepalive,
    /// From now on, address the sender by another index, so that its paths cannot be linked by an onlooker.
    Migrate {
        /// The index to address the sender by; never zero.
        receiver: u32,
        /// Counts the sender's migrations, so that an older message that comes late is known as such.
        sequence: u32,
    },
    /// The versions that the sender speaks: repeats under encryption what was negotiated in the clear.
    VersionNegotiation {
        /// The versions.
        versions: VersionList<'a>,
    },
}

/// The subtypes' numbers.
#[derive(Clone, Copy, TryFromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(u8)]
pub(in crate::wire) enum ControlSubtype {
    Keepalive = 1,
    Migrate = 2,
    VersionNegotiation = 3,
}

/// The first 4 bytes of the payload.
#[derive(TryFromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::wire) struct RawControl {
    pub(in crate::wire) subtype: ControlSubtype,
    pub(in crate::wire) count: u8,
    pub(in crate::wire) reserved: U16,
}

const _: () = assert!(size_of::<RawControl>() == 4);

impl<'a> Control<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, Reject> {
        let (raw, rest) = match RawControl::try_ref_from_prefix(payload) {
            Ok(split) => split,
            Err(TryCastError::Validity(_)) => return Err(Reject::ControlSubtypeUnknown),
            Err(_) => return Err(Reject::ControlLength),
        };
        if raw.reserved.get() != 0 {
            return Err(Reject::FrameReservedNotZero);
        }
        match raw.subtype {
            ControlSubtype::VersionNegotiation => {
                let versions = VersionList::parse(raw.count, rest, Reject::ControlLength)?;
                Ok(Self::VersionNegotiation { versions })
            }
            _ if raw.count != 0 => Err(Reject::FrameReservedNotZero),
            ControlSubtype::Keepalive if rest.is_empty() => Ok(Self::Keepalive),
            ControlSubtype::Keepalive => Err(Reject::ControlLength),
            ControlSubtype::Migrate => {
                let raw = RawMigrate::ref_from_bytes(rest).map_err(|_| Reject::ControlLength)?;
                if raw.receiver.get() == 0 {
                    return Err(Reject::MigrateReceiverZero);
                }
                Ok(Self::Migrate { receiver: raw.receiver.get(), sequence: raw.sequence.get() })
            }
        }
    }
}
