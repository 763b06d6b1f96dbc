//! SEC-6: what is said of a hostile peer names the rule that it broke and shows none of its bytes.

use wirehaul::transfer::manifest::ManifestDecoder;
use wirehaul::transfer::message::MessageDecoder;
use wirehaul_core::crypto::HandshakeError;
use wirehaul_core::session::CloseReason;
use wirehaul_core::wire::{DataFlags, FrameKind, Reject, StreamId};
use wirehaul_proptests::choices::Choices;
use wirehaul_proptests::mutate::mutate;
use wirehaul_proptests::pair::{End, Options, forge, with_established};
use wirehaul_proptests::spec::{self, Spec};

/// Bytes that no text has by chance.
const MARKER: [u8; 25] = *b"\xc3\xa9qZ7-sJkWxP+vQzhTmY=8Kx\xf1";
/// So many of them in a row are a leak.
const LEAK: usize = 4;

/// Whether a text has bytes of the marker: as they are, or written out in hex or decimal, in any of the usual ways.
fn leaks(text: &str) -> bool {
    let dense = |text: &str| text.chars().filter(|c| c.is_ascii_alphanumeric()).collect::<String>().to_lowercase();
    let packed = dense(&text.replace("0x", "").replace("\\x", ""));
    MARKER.windows(LEAK).any(|piece| {
        let hex: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
        let listed = format!("{piece:?}");
        let raw = text.as_bytes().windows(LEAK).any(|window| window == piece);
        raw || packed.contains(&hex) || text.contains(listed.trim_matches(['[', ']']))
    })
}

#[test]
fn the_search_finds_bytes_however_they_are_written() {
    for text in [
        "rule sJkWxP+vQz",
        &format!("{MARKER:?}"),
        &format!("{MARKER:02x?}"),
        &format!("{:02X?}", &MARKER[..5]),
        "73:4a:6b:57",
        "\\x73\\x4a\\x6b\\x57",
        "0x73 0x4a 0x6b 0x57",
    ] {
        assert!(leaks(text), "{text}");
    }
    assert!(!leaks("a frame's payload ends within its packet [1, 2, 3, 4]"));
}

/// Reasons have no fields, and their texts are the code's.
#[test]
fn reasons_are_words_of_the_code() {
    assert_eq!((size_of::<Reject>(), size_of::<HandshakeError>()), (1, 1));
    for reject in Reject::ALL {
        assert!(!leaks(reject.name()) && !leaks(reject.rule()) && !leaks(&format!("{reject:?}")));
    }
}

#[test]
fn no_reason_shows_what_was_in_the_packet() {
    let mut choices = Choices::Seeded(6);
    let mut refused = 0;
    with_established(&Options::transparent(), |pair| {
        for number in 0..4000 {
            let kind = FrameKind::ALL[number as usize % 15];
            let data =
                Spec::Data { stream: StreamId::FIRST, offset: 0, payload: MARKER.to_vec(), flags: DataFlags::empty() };
            let mut bytes = spec::body(&[Spec::draw_kind(&mut choices, kind, 64), data]);
            mutate(&mut choices, &mut bytes, &MARKER);
            bytes.extend_from_slice(&MARKER);
            let Err(reject) = pair.hand(End::Listener, &forge(End::Listener, 100 + number, &bytes)) else { continue };
            refused += 1;
            assert!(!leaks(&format!("{reject:?} {} {}", reject.name(), reject.rule())));
            let figures = format!("{:?}", pair.session(End::Listener).stats());
            assert!(!leaks(&figures), "{figures}");
        }
    });
    assert!(refused > 3000, "{refused} refused: too few to prove anything");
}

/// What a peer says in CLOSE is for its own log; of it only the code is passed on.
#[test]
fn the_end_of_a_session_shows_a_code_and_no_text() {
    let close = Spec::Close { code: 300, reason: "qZ7-sJkWxP+vQzhTmY=8Kx".into() };
    with_established(&Options::transparent(), |pair| {
        assert_eq!(pair.hand(End::Listener, &forge(End::Listener, 100, &spec::body(&[close]))), Ok(()));
        let (events, _) = pair.events(End::Listener);
        assert!(!events.is_empty() && !leaks(&format!("{events:?}")), "{events:?}");
    });
    let reason = CloseReason::Refused(HandshakeError::Unauthentic);
    assert!(!leaks(&format!("{reason:?}")));
}

/// Messages and manifests are refused in the words of the rule. A refused path is named, since its owner must find it, and
/// nothing else of the manifest is.
#[test]
fn transfer_errors_name_the_rule() {
    for kind in 0..=u8::MAX {
        for length in [MARKER.len() as u32, 5, u32::MAX] {
            let message = [&[kind][..], &length.to_be_bytes(), &length.to_le_bytes(), &MARKER].concat();
            let mut decoder = MessageDecoder::default();
            if let Err(error) = decoder.push(&message, |_| {}) {
                assert!(!leaks(&format!("{error} {error:?}")), "{error}");
            }
        }
    }
    let target = [&[25][..], &MARKER].concat();
    // tag, shared, name length, name, mode, seconds, nanoseconds: a link whose target leads out of the tree.
    let link = [&[3, 0, 1, b'x', 0, 0, 0, 28, b'/', b'.', b'.'][..], &MARKER].concat();
    let unknown = [&[9, 0, 1, b'x', 0, 0, 0][..], &target].concat();
    for manifest in [link, unknown, MARKER.to_vec(), [&[1][..], &target].concat()] {
        let mut decoder = ManifestDecoder::new();
        match decoder.push(&manifest).and_then(|()| decoder.finish().map(|_| ())) {
            Ok(()) => panic!("taken: {manifest:02x?}"),
            Err(error) => assert!(!leaks(&error.to_string()) && !leaks(&format!("{error:?}")), "{error}"),
        }
    }
}
