#![allow(clippy::unwrap_used)]

use super::*;

const NOISE: [u8; 48] = [5; 48];
const COOKIE: Cookie = Cookie { stamp: 0x0102, mac: [3; 16] };

fn init(cookie: Option<Cookie>) -> InitBody<'static> {
    InitBody { sender_index: 0x0a0b_0c0d, psk_id: *b"psk-name", cookie, noise: &NOISE }
}

fn written(body: InitBody<'_>) -> [u8; 1188] {
    let mut out = [0xaa; 1188];
    assert_eq!(body.write(&mut out), Some(1188));
    out
}

#[test]
fn an_init_is_padded_to_1200_bytes() {
    let bytes = written(init(None));
    assert_eq!(bytes[..20], *b"\0\x01\0\0\x0a\x0b\x0c\x0dpsk-name\0\0\0\x30");
    assert_eq!(bytes[20..68], NOISE);
    assert!(bytes[68..].iter().all(|byte| *byte == 0));
    assert_eq!(InitBody::parse(&bytes), Ok(init(None)));
    let bytes = written(init(Some(COOKIE)));
    assert_eq!(bytes[16], 24);
    assert_eq!(bytes[20..30], [0, 0, 0, 0, 0, 0, 1, 2, 3, 3]);
    assert_eq!(InitBody::parse(&bytes), Ok(init(Some(COOKIE))));
    assert_eq!(init(None).write(&mut [0; 1187]), None);
}

#[test]
fn a_long_init_needs_no_padding_and_has_none() {
    let noise = [5; 1300];
    let body = InitBody { noise: &noise, ..init(None) };
    let mut out = [0; 1400];
    assert_eq!(body.write(&mut out), Some(1320));
    assert_eq!(InitBody::parse(&out[..1320]), Ok(body));
    assert_eq!(InitBody::parse(&out[..1321]), Err(Reject::InitPaddingInvalid));
    assert_eq!(InitBody::parse(&out[..1319]), Err(Reject::HandshakeLength));
    let mut out = [0; 9000];
    assert_eq!(InitBody { noise: &[5; 8968], ..body }.write(&mut out), Some(8988));
    assert_eq!(InitBody { noise: &[5; 8969], ..body }.write(&mut out), None);
}

#[test]
fn each_rule_of_an_init_has_its_reason() {
    let valid = written(init(Some(COOKIE)));
    for length in 0..1188 {
        assert_eq!(InitBody::parse(&valid[..length]), Err(Reject::InitTooSmall));
    }
    let cases: [(usize, &[u8], Reject); 9] = [
        (0, &[0, 2], Reject::BadVersion),
        (2, &[0, 1], Reject::HandshakeReservedNotZero),
        (4, &[0, 0, 0, 0], Reject::SenderIndexZero),
        (16, &[23], Reject::CookieLength),
        (17, &[1], Reject::HandshakeReservedNotZero),
        (18, &[0, 31], Reject::NoiseTooShort),
        (18, &[0xff, 0xff], Reject::HandshakeLength),
        (20 + 24 + 48, &[1], Reject::InitPaddingInvalid),
        (1187, &[1], Reject::InitPaddingInvalid),
    ];
    for (at, change, reject) in cases {
        let mut bytes = valid;
        bytes[at..at + change.len()].copy_from_slice(change);
        assert_eq!(InitBody::parse(&bytes), Err(reject), "{at} {change:?}");
    }
    assert_eq!(InitBody { sender_index: 0, ..init(None) }.write(&mut [0; 1200]), None);
    assert_eq!(InitBody { noise: &[5; 31], ..init(None) }.write(&mut [0; 1200]), None);
}

#[test]
fn an_init_of_another_version_can_be_answered() {
    let mut bytes = [0xff; 1188];
    bytes[..2].copy_from_slice(&[0, 9]);
    assert_eq!(InitBody::version_and_sender(&bytes), Ok((9, u32::MAX)));
    assert_eq!(InitBody::version_and_sender(&bytes[..1187]), Err(Reject::InitTooSmall));
    assert_eq!(InitBody::parse(&bytes), Err(Reject::BadVersion));
}

#[test]
fn a_response_is_exactly_as_long_as_it_says() {
    let body = ResponseBody { sender_index: 7, noise: &NOISE };
    let mut out = [0; 64];
    assert_eq!(body.write(&mut out), Some(56));
    assert_eq!(out[..9], [0, 0, 0, 7, 0, 48, 0, 0, 5]);
    assert_eq!(ResponseBody::parse(&out[..56]), Ok(body));
    for length in (0..56).chain([57]) {
        assert_eq!(ResponseBody::parse(&out[..length]), Err(Reject::HandshakeLength));
    }
    out[6] = 1;
    assert_eq!(ResponseBody::parse(&out[..56]), Err(Reject::HandshakeReservedNotZero));
    out[3] = 0;
    out[6] = 0;
    assert_eq!(ResponseBody::parse(&out[..56]), Err(Reject::SenderIndexZero));
    out[5] = 31;
    assert_eq!(ResponseBody::parse(&out[..39]), Err(Reject::NoiseTooShort));
    assert_eq!(ResponseBody { sender_index: 0, ..body }.write(&mut out), None);
    assert_eq!(body.write(&mut out[..55]), None);
}

#[test]
fn a_finish_is_exactly_as_long_as_it_says() {
    let body = FinishBody { noise: &NOISE };
    let mut out = [0; 64];
    assert_eq!(body.write(&mut out), Some(52));
    assert_eq!(out[..5], [0, 48, 0, 0, 5]);
    assert_eq!(FinishBody::parse(&out[..52]), Ok(body));
    for length in (0..52).chain([53]) {
        assert_eq!(FinishBody::parse(&out[..length]), Err(Reject::HandshakeLength));
    }
    out[3] = 1;
    assert_eq!(FinishBody::parse(&out[..52]), Err(Reject::HandshakeReservedNotZero));
    assert_eq!(FinishBody::parse(&[0, 0, 0, 0]), Err(Reject::NoiseTooShort));
    assert_eq!(FinishBody { noise: &[5; 31] }.write(&mut out), None);
}

#[test]
fn a_cookie_is_24_bytes() {
    let mut out = [0; 24];
    assert_eq!(CookieBody { cookie: COOKIE }.write(&mut out), Some(24));
    assert_eq!(CookieBody::parse(&out), Ok(CookieBody { cookie: COOKIE }));
    assert_eq!(CookieBody::parse(&out[..23]), Err(Reject::CookieLength));
    assert_eq!(CookieBody { cookie: COOKIE }.write(&mut out[..23]), None);
}

#[test]
fn versions_are_listed_ascending() {
    let mut out = [0; 64];
    assert_eq!(VersionBody::write([1, 3].into_iter(), &mut out), Some(6));
    assert_eq!(out[..6], [2, 0, 0, 1, 0, 3]);
    assert!(VersionBody::parse(&out[..6]).unwrap().versions.iter().eq([1, 3]));
    assert_eq!(VersionBody::parse(&out[..5]), Err(Reject::HandshakeLength));
    assert_eq!(VersionBody::parse(&[1, 1, 0, 1]), Err(Reject::HandshakeReservedNotZero));
    assert_eq!(VersionBody::parse(&[1, 0, 0, 0]), Err(Reject::VersionListInvalid));
    assert_eq!(VersionBody::write([3, 1].into_iter(), &mut out), None);
    assert_eq!(VersionBody::write([1, 3].into_iter(), &mut out[..5]), None);
}

#[test]
fn a_refusal_is_one_known_reason() {
    let mut out = [0xaa; 5];
    for reason in RefusedBody::ALL {
        assert_eq!(reason.write(&mut out), Some(4));
        assert_eq!(out, [reason as u8, 0, 0, 0, 0xaa]);
        assert_eq!(RefusedBody::parse(&out[..4]), Ok(reason));
    }
    assert_eq!(RefusedBody::Full.write(&mut out[..3]), None);
    for body in [&[0_u8, 0, 0, 0] as &[u8], &[5, 0, 0, 0], &[1, 0, 0, 1], &[1, 0, 0], &[1, 0, 0, 0, 0], &[]] {
        assert_eq!(RefusedBody::parse(body), Err(Reject::RefusalInvalid), "{body:?}");
    }
}
