//! The payloads of fixed length, as they lie in the packet.

use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::crypto::PUBLIC_KEY_BYTES;

/// REKEY: 36 bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::wire) struct RawRekey {
    pub(in crate::wire) epoch: U32,
    pub(in crate::wire) public_key: [u8; PUBLIC_KEY_BYTES],
}

/// STREAM_OPEN: 16 bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::wire) struct RawStreamOpen {
    pub(in crate::wire) window: U64,
    pub(in crate::wire) priority: u8,
    pub(in crate::wire) reserved: [u8; 7],
}

/// GOAWAY: 4 bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::wire) struct RawGoAway {
    pub(in crate::wire) code: U16,
    pub(in crate::wire) last_stream: U16,
}

/// CONTROL MIGRATE, behind the subtype: 8 bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::wire) struct RawMigrate {
    pub(in crate::wire) receiver: U32,
    pub(in crate::wire) sequence: U32,
}

const _: () = assert!(size_of::<RawRekey>() == 36);
const _: () = assert!(size_of::<RawStreamOpen>() == 16);
const _: () = assert!(size_of::<RawGoAway>() == 4);
const _: () = assert!(size_of::<RawMigrate>() == 8);
