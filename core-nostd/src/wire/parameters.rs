//! What each end tells the other inside the encrypted handshake.
//!
//! ```text
//!  0                2        3        4                 8                  12
//! | max datagram   | suites | chosen | idle timeout ms | max ack delay us |
//! | initial connection window (8)    | initial stream window (8)          | application | reserved (3) |
//! ```

use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Reject;
use crate::crypto::{Suite, SuiteSet};
use crate::limits::{
    MAX_ACK_DELAY_US, MAX_CONNECTION_OFFSET, MAX_DATAGRAM_BYTES, MAX_IDLE_TIMEOUT_MS, MAX_STREAM_OFFSET,
    MIN_DATAGRAM_BYTES, MIN_IDLE_TIMEOUT_MS,
};

/// One end's parameters for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportParameters {
    /// The largest UDP payload that this end takes: 1200 to 9000 bytes.
    pub max_datagram_bytes: u16,
    /// The AEADs that this end offers: at least one.
    pub suites: SuiteSet,
    /// The AEAD that the responder chose among its own; `None` in INIT.
    pub chosen_suite: Option<Suite>,
    /// This end gives up a session after so long a silence: 100 ms to an hour.
    pub idle_timeout_ms: u32,
    /// This end holds back no ACK for longer than this: at most a second.
    pub max_ack_delay_us: u32,
    /// How many bytes the peer may send over all streams before the first WINDOW_UPDATE: 1 to 2^62.
    pub initial_connection_window: u64,
    /// How many bytes the peer may send on each stream before its first WINDOW_UPDATE: 1 to 2^48.
    pub initial_stream_window: u64,
    /// What the streams are for; the application gives the numbers.
    pub application: u8,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawParameters {
    max_datagram_bytes: U16,
    suites: u8,
    chosen_suite: u8,
    idle_timeout_ms: U32,
    max_ack_delay_us: U32,
    initial_connection_window: U64,
    initial_stream_window: U64,
    application: u8,
    reserved: [u8; 3],
}

const _: () = assert!(size_of::<RawParameters>() == TransportParameters::BYTES);

impl TransportParameters {
    /// Their length on the wire.
    pub const BYTES: usize = 32;

    /// Reads the payload of a handshake message.
    ///
    /// Suites that this build does not know are left out, so that a newer peer may offer them; all else is exact.
    ///
    /// # Errors
    /// [`Reject::ParametersLength`], [`Reject::HandshakeReservedNotZero`], [`Reject::ParametersDatagram`],
    /// [`Reject::ParametersSuites`], [`Reject::ParametersTimeout`] or [`Reject::ParametersWindow`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Reject> {
        let raw = RawParameters::ref_from_bytes(bytes).map_err(|_| Reject::ParametersLength)?;
        if raw.reserved != [0; 3] {
            return Err(Reject::HandshakeReservedNotZero);
        }
        let chosen_suite = match raw.chosen_suite {
            0 => None,
            number => Some(Suite::from_wire(number).ok_or(Reject::ParametersSuites)?),
        };
        let parameters = Self {
            max_datagram_bytes: raw.max_datagram_bytes.get(),
            suites: SuiteSet::from_wire(raw.suites),
            chosen_suite,
            idle_timeout_ms: raw.idle_timeout_ms.get(),
            max_ack_delay_us: raw.max_ack_delay_us.get(),
            initial_connection_window: raw.initial_connection_window.get(),
            initial_stream_window: raw.initial_stream_window.get(),
            application: raw.application,
        };
        parameters.check()?;
        Ok(parameters)
    }

    /// The parameters as bytes; `None` where [`TransportParameters::parse`] would refuse them.
    #[must_use]
    pub fn to_bytes(&self) -> Option<[u8; Self::BYTES]> {
        self.check().ok()?;
        let raw = RawParameters {
            max_datagram_bytes: U16::new(self.max_datagram_bytes),
            suites: self.suites.to_wire(),
            chosen_suite: self.chosen_suite.map_or(0, |suite| suite as u8),
            idle_timeout_ms: U32::new(self.idle_timeout_ms),
            max_ack_delay_us: U32::new(self.max_ack_delay_us),
            initial_connection_window: U64::new(self.initial_connection_window),
            initial_stream_window: U64::new(self.initial_stream_window),
            application: self.application,
            reserved: [0; 3],
        };
        let mut bytes = [0; Self::BYTES];
        raw.write_to(&mut bytes).ok()?;
        Some(bytes)
    }

    fn check(&self) -> Result<(), Reject> {
        if !(MIN_DATAGRAM_BYTES..=MAX_DATAGRAM_BYTES).contains(&usize::from(self.max_datagram_bytes)) {
            return Err(Reject::ParametersDatagram);
        }
        let offered = |suite| self.suites.best_common(SuiteSet::EMPTY.with(suite)).is_some();
        if self.suites == SuiteSet::EMPTY || !self.chosen_suite.is_none_or(offered) {
            return Err(Reject::ParametersSuites);
        }
        if !(MIN_IDLE_TIMEOUT_MS..=MAX_IDLE_TIMEOUT_MS).contains(&self.idle_timeout_ms)
            || self.max_ack_delay_us > MAX_ACK_DELAY_US
        {
            return Err(Reject::ParametersTimeout);
        }
        if !(1..=MAX_CONNECTION_OFFSET).contains(&self.initial_connection_window)
            || !(1..=MAX_STREAM_OFFSET).contains(&self.initial_stream_window)
        {
            return Err(Reject::ParametersWindow);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: TransportParameters = TransportParameters {
        max_datagram_bytes: 1472,
        suites: SuiteSet::EMPTY.with(Suite::Aes128Gcm).with(Suite::ChaCha20Poly1305),
        chosen_suite: None,
        idle_timeout_ms: 30_000,
        max_ack_delay_us: 25_000,
        initial_connection_window: 1 << 24,
        initial_stream_window: 1 << 22,
        application: 1,
    };

    #[test]
    fn the_bytes_are_as_documented() {
        let bytes = [
            0x05, 0xc0, 0x0a, 0, 0, 0, 0x75, 0x30, 0, 0, 0x61, 0xa8, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0,
            1, 0, 0, 0,
        ];
        assert_eq!(VALID.to_bytes(), Some(bytes));
        assert_eq!(TransportParameters::parse(&bytes), Ok(VALID));
        assert_eq!(TransportParameters::parse(&bytes[..31]), Err(Reject::ParametersLength));
        let chosen = TransportParameters { chosen_suite: Some(Suite::ChaCha20Poly1305), ..VALID };
        assert_eq!(chosen.to_bytes().map(|bytes| TransportParameters::parse(&bytes)), Some(Ok(chosen)));
    }

    #[test]
    fn each_range_is_kept_on_both_sides() {
        use Reject::*;
        let v = VALID;
        let cases = [
            (TransportParameters { max_datagram_bytes: 1199, ..v }, ParametersDatagram),
            (TransportParameters { max_datagram_bytes: 9001, ..v }, ParametersDatagram),
            (TransportParameters { suites: SuiteSet::EMPTY, ..v }, ParametersSuites),
            (TransportParameters { chosen_suite: Some(Suite::Aes256Gcm), ..v }, ParametersSuites),
            (TransportParameters { idle_timeout_ms: 99, ..v }, ParametersTimeout),
            (TransportParameters { idle_timeout_ms: 3_600_001, ..v }, ParametersTimeout),
            (TransportParameters { max_ack_delay_us: 1_000_001, ..v }, ParametersTimeout),
            (TransportParameters { initial_connection_window: 0, ..v }, ParametersWindow),
            (TransportParameters { initial_connection_window: (1 << 62) + 1, ..v }, ParametersWindow),
            (TransportParameters { initial_stream_window: 0, ..v }, ParametersWindow),
            (TransportParameters { initial_stream_window: (1 << 48) + 1, ..v }, ParametersWindow),
        ];
        for (parameters, reject) in cases {
            assert_eq!(parameters.check(), Err(reject), "{parameters:?}");
            assert_eq!(parameters.to_bytes(), None);
        }
        let edges = [
            TransportParameters { max_datagram_bytes: 1200, idle_timeout_ms: 100, max_ack_delay_us: 0, ..v },
            TransportParameters { max_datagram_bytes: 9000, idle_timeout_ms: 3_600_000, ..v },
            TransportParameters { initial_connection_window: 1 << 62, initial_stream_window: 1 << 48, ..v },
        ];
        for parameters in edges {
            assert_eq!(parameters.to_bytes().map(|bytes| TransportParameters::parse(&bytes)), Some(Ok(parameters)));
        }
    }

    #[test]
    fn bytes_outside_the_ranges_are_refused() {
        let with = |at: usize, byte: u8| {
            let mut bytes = VALID.to_bytes().unwrap_or_default();
            bytes[at] = byte;
            TransportParameters::parse(&bytes)
        };
        assert_eq!(with(29, 1), Err(Reject::HandshakeReservedNotZero));
        assert_eq!(with(31, 1), Err(Reject::HandshakeReservedNotZero));
        assert_eq!(with(3, 4), Err(Reject::ParametersSuites));
        assert_eq!(with(2, 0xf1), Err(Reject::ParametersSuites), "none that is known");
        assert_eq!(with(2, 0xfb), Ok(VALID), "the unknown ones are left out");
        assert_eq!(with(0, 0x24), Err(Reject::ParametersDatagram));
    }
}
