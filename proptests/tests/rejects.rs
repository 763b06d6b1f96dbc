//! FRAME-3, FRAME-4, FRAME-5: for every rule a datagram that breaks it and no other. Beside it stands one that keeps the
//! rule and is taken; the two differ in nothing else. The broken one counts once, under its rule, and changes nothing.

#[path = "rejects/frames.rs"]
mod frames;
#[path = "rejects/handshake.rs"]
mod handshake;
#[path = "rejects/session.rs"]
mod session;

use wirehaul_core::wire::{Reject, RejectCounters};
use wirehaul_proptests::pair::Shown;

/// What became of the datagram that keeps the rule, and of the one that breaks it.
struct Both {
    good: Shown,
    bad: Shown,
}

impl Both {
    fn of(mut show: impl FnMut(bool) -> Shown) -> Self {
        Self { good: show(false), bad: show(true) }
    }
}

/// Breaks one rule. There is no rule that this does not know: a new one does not compile.
fn provoke(reject: Reject) -> Both {
    use Reject as R;
    match reject {
        R::DatagramTooShort => session::cut_below_the_least(),
        R::DatagramTooLong => session::longer_than_any(),
        R::PacketKindUnknown => session::header(0, &[0x11]),
        R::PacketFlagsUnknown => session::header(1, &[0x02]),
        R::PacketReservedNotZero => session::header(2, &[0, 1]),
        R::PacketReceiverInvalid => session::header(4, &[0; 4]),
        R::PacketNumberNotZero => handshake::numbered(),
        R::PacketNumberTooFar => session::number_too_far(),

        R::BodyEmpty => frames::no_frame(),
        R::FrameTruncated => frames::half_a_header(),
        R::FrameTypeUnknown => frames::patched_ping(0, &[0x10]),
        R::FrameFlagsUnknown => frames::patched_ping(1, &[1]),
        R::FrameReservedNotZero => frames::patched_ping(7, &[1]),
        R::PayloadTooLong => frames::longest_payload(),
        R::PayloadTruncated => frames::cut_payload(),
        R::StreamReserved => frames::reserved_stream(),
        R::StreamNotZero => frames::patched_ping(3, &[16]),
        R::OffsetNotZero => frames::patched_ping(15, &[1]),
        R::OffsetTooLarge => frames::offset_too_large(),
        R::DataEmpty => frames::empty_data(),
        R::AckLength => frames::patched_ack(17, &[4]),
        R::AckRangeCountZero => frames::ack_without_ranges(),
        R::AckRangeEmpty => frames::patched_ack(23, &[0]),
        R::AckGapEmpty => frames::patched_ack(27, &[0]),
        R::AckUnderflow => frames::patched_ack(39, &[4]),
        R::ControlLength => frames::longer(frames::KEEPALIVE),
        R::ControlSubtypeUnknown => frames::patched(frames::KEEPALIVE, 16, &[4]),
        R::MigrateReceiverZero => frames::migrate_to_zero(),
        R::VersionListInvalid => frames::descending_versions(),
        R::RekeyLength => frames::longer(frames::REKEY),
        R::RekeyEpochZero => frames::patched(frames::REKEY, 19, &[0]),
        R::PingLength => frames::longer(frames::PING),
        R::PongLength => frames::longer(frames::PONG),
        R::CloseLength => frames::long_reason(),
        R::CloseReasonText => frames::control_character(),
        R::PadNotZero => frames::patched_pad(),
        R::StreamOpenLength => frames::longer(frames::STREAM_OPEN),
        R::StreamCloseLength => frames::longer(frames::STREAM_CLOSE),
        R::StreamResetLength => frames::longer(frames::STREAM_RESET),
        R::WindowUpdateLength => frames::longer(frames::WINDOW_UPDATE),
        R::WindowTooLarge => frames::window_too_large(),
        R::GoAwayLength => frames::longer(frames::GO_AWAY),
        R::PathChallengeLength => frames::longer(frames::PATH_CHALLENGE),
        R::PathResponseLength => frames::longer_path_response(),

        R::HandshakeLength => handshake::longer_response(),
        R::HandshakeReservedNotZero => handshake::patched_response(18, &[0, 1]),
        R::InitTooSmall => handshake::short_init(),
        R::InitPaddingInvalid => handshake::padded_with_one(),
        R::RefusalInvalid => handshake::unknown_refusal(),
        R::CookieLength => handshake::short_cookie(),
        R::SenderIndexZero => handshake::patched_response(12, &[0; 4]),
        R::NoiseTooShort => handshake::short_noise(),
        R::BadVersion => handshake::other_version(),
        R::ParametersLength => handshake::parameters(|bytes| bytes.truncate(35)),
        R::ParametersDatagram => handshake::parameters(|bytes| bytes[..2].copy_from_slice(&1199_u16.to_be_bytes())),
        R::ParametersSuites => handshake::parameters(|bytes| bytes[3] = 3),
        R::ParametersWindow => handshake::parameters(|bytes| bytes[12..20].fill(0)),
        R::ParametersTimeout => handshake::parameters(|bytes| bytes[4..8].copy_from_slice(&99_u32.to_be_bytes())),

        R::NotForUs => session::header(7, &[0xff]),
        R::Forged => session::forged(),
        R::Replayed => session::replayed(),
        R::TooOld => session::too_old(),
        R::UnknownKeyPhase => session::header(1, &[0x01]),
        R::UnexpectedPacket => handshake::response_twice(),
        R::HandshakeMalformed | R::HandshakeFailed => handshake::failing(reject),
        R::HandshakeUnauthentic => handshake::altered_response(),
        R::UnknownPsk => handshake::unknown_psk(),
        R::UnknownPeer => handshake::unknown_peer(),
        R::CookieInvalid => handshake::made_up_cookie(),
        R::NoCommonSuite => handshake::no_common_suite(),
        R::WrongApplication => handshake::wrong_application(),
        R::SessionsFull => handshake::no_slot(),
        R::SessionClosed => session::after_close(),
        R::Amplification => handshake::amplification(),
        R::AckOfUnsent => session::ack_of_unsent(),
        R::FlowControl => session::beyond_the_window(),
        R::StreamLimit => session::one_stream_too_many(),
        R::StreamUnknown => session::window_of_no_stream(),
        R::StreamRepeated => session::stream_twice(),
        R::FinalSize => session::beyond_the_end(),
        R::RangesFull => session::one_gap_too_many(),
        R::RekeyUnexpected => session::rekey_out_of_turn(),
        R::PathUnknown => handshake::from_elsewhere(),
        R::PathResponseUnexpected => session::answer_to_no_challenge(),
    }
}

/// A static key that is not accepted is a decision about the peer: it ends the handshake, or brings its end closer.
/// An answer that is held back (SEC-4) is no datagram that was refused.
const CHANGES_BY_DESIGN: [Reject; 2] = [Reject::UnknownPeer, Reject::Amplification];

/// Here the datagram that keeps the rule is shown to no session that there was before.
const WITHOUT_A_SESSION: [Reject; 3] = [Reject::BodyEmpty, Reject::PathResponseLength, Reject::Amplification];

#[test]
fn each_rule_is_broken_alone_and_counted_alone() {
    for reject in Reject::ALL {
        let Both { good, bad } = provoke(reject);
        assert_eq!((good.outcome, good.counted.total()), (Ok(()), 0), "{reject:?}: what keeps the rule");
        assert!(!good.unchanged || WITHOUT_A_SESSION.contains(&reject), "{reject:?}: the digest misses what was taken");
        let mut once = RejectCounters::new();
        once.count(reject);
        assert_eq!((bad.outcome, bad.counted), (Err(reject), once), "{reject:?}: what breaks the rule");
        assert!(bad.unchanged || CHANGES_BY_DESIGN.contains(&reject), "{reject:?} changed the session");
    }
}
