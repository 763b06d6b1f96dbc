//! Numbers that both ends of the wire agree on (`docs/frame-types.md` has the reasons).

/// Version of the wire format that this build speaks.
pub const VERSION: u16 = 1;

/// Bytes of the outer header.
pub const PACKET_HEADER_BYTES: usize = 12;
/// Bytes of a frame header.
pub const FRAME_HEADER_BYTES: usize = 16;
/// Bytes of the AEAD tag at the end of each protected packet.
pub const TAG_BYTES: usize = 16;
/// What one protected packet with one frame spends on itself.
pub const PACKET_OVERHEAD_BYTES: usize = PACKET_HEADER_BYTES + FRAME_HEADER_BYTES + TAG_BYTES;

/// Largest UDP payload that this version sends or accepts (a 9000-byte frame, FRAME-3).
pub const MAX_DATAGRAM_BYTES: usize = 9000;
/// UDP payload that every path is taken to carry before it was probed: a 1500-byte MTU less IPv4 and UDP headers.
pub const DEFAULT_DATAGRAM_BYTES_V4: usize = 1500 - 20 - 8;
/// The same below IPv6.
pub const DEFAULT_DATAGRAM_BYTES_V6: usize = 1500 - 40 - 8;
/// UDP payload below which no path is used (RFC 8899 BASE_PLPMTU, as QUIC has it).
pub const MIN_DATAGRAM_BYTES: usize = 1200;

/// Stream ids below this one are reserved (FRAME-3).
pub const FIRST_STREAM_ID: u16 = 16;
/// Offsets, and offset + length, stay within this (FRAME-3).
pub const MAX_STREAM_OFFSET: u64 = 1 << 48;
/// A packet number further than this from the newest authenticated one is refused (FRAME-3).
pub const MAX_PACKET_NUMBER_DISTANCE: u64 = 1 << 20;
/// Before an address is validated it gets at most this many times what it sent (SEC-4).
pub const AMPLIFICATION_LIMIT: u64 = 3;

/// Largest payload of one frame: what is left of the largest datagram.
pub const MAX_FRAME_PAYLOAD_BYTES: usize = MAX_DATAGRAM_BYTES - PACKET_OVERHEAD_BYTES;
/// Limits on a whole connection's bytes stay within this: 11 years at 100 Gbit/s, and sums of two still fit a u64.
pub const MAX_CONNECTION_OFFSET: u64 = 1 << 62;
/// Bytes of UTF-8 that a CLOSE may give as its reason.
pub const MAX_CLOSE_REASON_BYTES: usize = 64;
/// Versions that one list may name.
pub const MAX_VERSIONS: usize = 16;

/// Bytes of a stateless cookie: a coarse time and a keyed hash (SEC-4).
pub const COOKIE_BYTES: usize = 24;
/// A Noise message shorter than an X25519 key cannot be one.
pub const MIN_NOISE_BYTES: usize = 32;
/// Shortest idle time-out that a peer may ask for.
pub const MIN_IDLE_TIMEOUT_MS: u32 = 100;
/// Longest idle time-out that a peer may ask for: an hour.
pub const MAX_IDLE_TIMEOUT_MS: u32 = 3_600_000;
/// Longest time that a peer may say it holds back an ACK.
pub const MAX_ACK_DELAY_US: u32 = 1_000_000;

/// The largest UDP payload to `address` that is worth trying: what a link of 9000 bytes carries.
#[must_use]
pub const fn largest_datagram_bytes(address: core::net::IpAddr) -> usize {
    match address {
        core::net::IpAddr::V4(_) => MAX_DATAGRAM_BYTES - 20 - 8,
        core::net::IpAddr::V6(_) => MAX_DATAGRAM_BYTES - 40 - 8,
    }
}

/// UDP payload that a path to `address` is taken to carry before it was probed.
#[must_use]
pub const fn default_datagram_bytes(address: core::net::IpAddr) -> usize {
    match address {
        core::net::IpAddr::V4(_) => DEFAULT_DATAGRAM_BYTES_V4,
        core::net::IpAddr::V6(_) => DEFAULT_DATAGRAM_BYTES_V6,
    }
}
