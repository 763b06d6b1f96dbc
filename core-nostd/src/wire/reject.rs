//! Why a datagram was refused: one reason per rule, and a counter per reason (FRAME-4).

use super::reasons::reasons;

reasons! {
    /// The rule that a datagram broke. It carries nothing of the datagram itself (SEC-6).
    Reject {
        // The outer header.
        DatagramTooShort, "datagram_too_short", "a datagram holds at least its header, and a protected one a frame and a tag";
        DatagramTooLong, "datagram_too_long", "a datagram is no longer than what was agreed, and never above 9000 bytes";
        PacketKindUnknown, "packet_kind_unknown", "the packet kind is one of this version's";
        PacketFlagsUnknown, "packet_flags_unknown", "only flags that the packet kind defines are set in the outer header";
        PacketReservedNotZero, "packet_reserved_not_zero", "the outer header's reserved bits are zero";
        PacketReceiverInvalid, "packet_receiver_invalid", "the receiver index is zero in INIT and nowhere else";
        PacketNumberNotZero, "packet_number_not_zero", "a handshake packet's packet number is zero";
        PacketNumberTooFar, "packet_number_too_far", "a packet number is within 2^20 of the newest authenticated one";

        // The frame header.
        BodyEmpty, "body_empty", "a protected packet holds at least one frame";
        FrameTruncated, "frame_truncated", "a frame header is whole";
        FrameTypeUnknown, "frame_type_unknown", "the frame type is 0x01 to 0x0F";
        FrameFlagsUnknown, "frame_flags_unknown", "only flags that the frame type defines are set";
        FrameReservedNotZero, "frame_reserved_not_zero", "reserved bits of frames are zero";
        PayloadTooLong, "payload_too_long", "a frame's payload fits the largest datagram";
        PayloadTruncated, "payload_truncated", "a frame's payload ends within its packet";
        StreamReserved, "stream_reserved", "a stream id is 16 or above where the frame belongs to a stream";
        StreamNotZero, "stream_not_zero", "the stream id is zero where the frame belongs to no stream";
        OffsetNotZero, "offset_not_zero", "the offset is zero where the frame type does not use it";
        OffsetTooLarge, "offset_too_large", "offsets, and offset + length, are within 2^48";

        // The frames' payloads.
        DataEmpty, "data_empty", "a DATA frame without FIN carries at least one byte";
        AckLength, "ack_length", "an ACK is as long as its range count says";
        AckRangeCountZero, "ack_range_count_zero", "an ACK has at least one range";
        AckRangeEmpty, "ack_range_empty", "each range of an ACK holds at least one packet";
        AckGapEmpty, "ack_gap_empty", "at least one unacknowledged packet lies between two ranges of an ACK";
        AckUnderflow, "ack_underflow", "no range of an ACK reaches below packet number zero";
        ControlLength, "control_length", "a CONTROL frame is as long as its subtype says";
        ControlSubtypeUnknown, "control_subtype_unknown", "the CONTROL subtype is one of this version's";
        MigrateReceiverZero, "migrate_receiver_zero", "the receiver index in MIGRATE is not zero";
        VersionListInvalid, "version_list_invalid", "a list of versions has 1 to 16 entries, ascending, none zero";
        RekeyLength, "rekey_length", "a REKEY frame carries an epoch and one public key";
        RekeyEpochZero, "rekey_epoch_zero", "a REKEY frame's epoch is 1 or above";
        PingLength, "ping_length", "a PING carries an 8-byte token";
        PongLength, "pong_length", "a PONG carries an 8-byte token";
        CloseLength, "close_length", "a CLOSE carries a code and at most 64 bytes of reason";
        CloseReasonText, "close_reason_text", "the reason in a CLOSE is UTF-8 without control characters";
        PadNotZero, "pad_not_zero", "padding is all zeros";
        StreamOpenLength, "stream_open_length", "a STREAM_OPEN carries a window and a priority";
        StreamCloseLength, "stream_close_length", "a STREAM_CLOSE has no payload";
        StreamResetLength, "stream_reset_length", "a STREAM_RESET carries a code";
        WindowUpdateLength, "window_update_length", "a WINDOW_UPDATE carries one limit";
        WindowTooLarge, "window_too_large", "a window's limit is within 2^48 for a stream and 2^62 for a connection";
        GoAwayLength, "go_away_length", "a GOAWAY carries a code and the last stream";
        PathChallengeLength, "path_challenge_length", "a PATH_CHALLENGE carries 8 bytes";
        PathResponseLength, "path_response_length", "a PATH_RESPONSE carries 8 bytes";

        // The handshake's clear part and its parameters.
        HandshakeLength, "handshake_length", "a handshake packet's lengths add up";
        HandshakeReservedNotZero, "handshake_reserved_not_zero", "reserved bits of the handshake are zero";
        InitTooSmall, "init_too_small", "an INIT datagram has at least 1200 bytes";
        InitPaddingInvalid, "init_padding_invalid", "an INIT is padded with zeros to 1200 bytes and no further";
        RefusalInvalid, "refusal_invalid", "a REFUSED packet carries one known reason";
        CookieLength, "cookie_length", "a cookie has 24 bytes, or is left out of an INIT";
        SenderIndexZero, "sender_index_zero", "the sender's index is not zero";
        NoiseTooShort, "noise_too_short", "a Noise message is at least as long as a public key";
        BadVersion, "bad_version", "the wire version is one that this end speaks";
        ParametersLength, "parameters_length", "transport parameters have their fixed length";
        ParametersDatagram, "parameters_datagram", "the largest datagram that a peer takes is 1200 to 9000 bytes";
        ParametersSuites, "parameters_suites", "a peer offers a known AEAD, and the one chosen is among those offered";
        ParametersWindow, "parameters_window", "initial windows are above zero and within their limits";
        ParametersTimeout, "parameters_timeout", "the idle time-out is 0.1 s to 1 h and the ACK delay at most 1 s";

        // What needs a session to be seen.
        NotForUs, "not_for_us", "the receiver index is one that this end gave out";
        Forged, "forged", "the packet's tag matches";
        Replayed, "replayed", "a packet number is used once";
        TooOld, "too_old", "a packet is not older than the replay window";
        UnknownKeyPhase, "unknown_key_phase", "the key phase is one that this end has keys for";
        UnexpectedPacket, "unexpected_packet", "a packet kind comes in the state that expects it";
        HandshakeMalformed, "handshake_malformed", "a Noise message has the form of its turn";
        HandshakeUnauthentic, "handshake_unauthentic", "a Noise message authenticates";
        HandshakeFailed, "handshake_failed", "the cryptographic library takes the message";
        UnknownPsk, "unknown_psk", "the pre-shared key is one that this end knows";
        UnknownPeer, "unknown_peer", "the peer's static key is one that this end accepts";
        CookieInvalid, "cookie_invalid", "a cookie is fresh and made by this end for the address that shows it";
        NoCommonSuite, "no_common_suite", "both ends share an AEAD";
        WrongApplication, "wrong_application", "both ends speak of the same application";
        SessionsFull, "sessions_full", "there is room for another session";
        SessionClosed, "session_closed", "the session is still open";
        Amplification, "amplification", "an unvalidated address gets at most 3x what it sent";
        AckOfUnsent, "ack_of_unsent", "an ACK names only packets that were sent";
        FlowControl, "flow_control", "data stays within the limits that this end granted";
        StreamLimit, "stream_limit", "no more streams are open than this end allows";
        StreamUnknown, "stream_unknown", "a frame's stream is open";
        StreamRepeated, "stream_repeated", "a packet has at most one DATA, STREAM_CLOSE or STREAM_RESET per stream, and 8 in all";
        FinalSize, "final_size", "a stream's final size stays as first told, and no data lies beyond it";
        RangesFull, "ranges_full", "there is room to remember another gap";
        RekeyUnexpected, "rekey_unexpected", "a REKEY frame is for the next epoch and in its turn";
        PathUnknown, "path_unknown", "a packet comes by a path that is known or may be probed";
        PathResponseUnexpected, "path_response_unexpected", "a PATH_RESPONSE answers a challenge that is under way";
    }
}

/// How often each rule was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectCounters([u64; Reject::COUNT]);

impl RejectCounters {
    /// All zero.
    #[must_use]
    pub const fn new() -> Self {
        Self([0; Reject::COUNT])
    }

    /// Counts one rejection; stops at the largest number.
    pub fn count(&mut self, reject: Reject) {
        if let Some(counter) = self.0.get_mut(reject as usize) {
            *counter = counter.saturating_add(1);
        }
    }

    /// How often this rule was broken.
    #[must_use]
    pub fn get(&self, reject: Reject) -> u64 {
        self.0.get(reject as usize).copied().unwrap_or(0)
    }

    /// How often any rule was broken.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, counter| sum.saturating_add(*counter))
    }

    /// Adds another set of counters to this one, as from a session that ended.
    pub fn merge(&mut self, other: &Self) {
        for (counter, more) in self.0.iter_mut().zip(&other.0) {
            *counter = counter.saturating_add(*more);
        }
    }

    /// What was counted since these counters stood at `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        for (counter, before) in since.0.iter_mut().zip(&earlier.0) {
            *counter = counter.saturating_sub(*before);
        }
        since
    }

    /// Every reason with its count, zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (Reject, u64)> + '_ {
        Reject::ALL.into_iter().zip(self.0.iter().copied())
    }
}

impl Default for RejectCounters {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_snake_case_and_distinct() {
        for (index, reject) in Reject::ALL.into_iter().enumerate() {
            assert_eq!(reject as usize, index);
            assert!(reject.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", reject.name());
            assert!(!Reject::ALL[..index].iter().any(|other| other.name() == reject.name()), "{}", reject.name());
            assert!(!Reject::ALL[..index].iter().any(|other| other.rule() == reject.rule()), "{}", reject.rule());
        }
    }

    #[test]
    fn each_reason_has_its_own_counter() {
        let mut counters = RejectCounters::new();
        for (index, reject) in Reject::ALL.into_iter().enumerate() {
            (0..=index).for_each(|_| counters.count(reject));
        }
        for (index, (reject, count)) in counters.iter().enumerate() {
            assert_eq!((reject, count), (Reject::ALL[index], index as u64 + 1));
            assert_eq!(counters.get(reject), count);
        }
        let n = Reject::COUNT as u64;
        assert_eq!(counters.total(), n * (n + 1) / 2);
        let copy = counters.clone();
        assert_eq!(copy.since(&RejectCounters::new()), copy);
        counters.merge(&copy);
        assert_eq!(counters.since(&copy), copy);
        assert_eq!(counters.get(Reject::Forged), 2 * copy.get(Reject::Forged));
    }
}
