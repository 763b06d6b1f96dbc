//! Frames byte by byte: what they mean, what is refused and why, and what is written.

use core::net::{Ipv6Addr, SocketAddr};
use core::ops::Range;

use super::*;

/// Worked out by hand: 10.74.0.1:40000 to 10.74.0.2:7421, `hello`, with the padding that Ethernet wants.
const IPV4: [u8; 60] = [
    0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01, 0x08, 0x00, // Ethernet
    0x45, 0x00, 0x00, 0x21, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0x26, 0x36, 10, 74, 0, 1, 10, 74, 0, 2, // IPv4
    0x9c, 0x40, 0x1c, 0xfd, 0x00, 0x0d, 0xee, 0x2d, // UDP
    b'h', b'e', b'l', b'l', b'o', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// The same over IPv6, fd74::1 to fd74::2, with CE set.
const IPV6: [u8; 67] = [
    0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01, 0x86, 0xdd, // Ethernet
    0x60, 0x30, 0x00, 0x00, 0x00, 0x0d, 0x11, 0x40, // IPv6
    0xfd, 0x74, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, //
    0xfd, 0x74, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, //
    0x9c, 0x40, 0x1c, 0xfd, 0x00, 0x0d, 0x07, 0xd8, // UDP
    b'h', b'e', b'l', b'l', b'o',
];

fn headers(source: &str, destination: &str) -> UdpHeaders {
    UdpHeaders {
        ether_source: MacAddress([2, 0, 0, 0, 0, 1]),
        ether_destination: MacAddress([2, 0, 0, 0, 0, 2]),
        vlan: None,
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        ecn: 0,
        hop_limit: 64,
    }
}

/// `frame` with `bytes` written over it at `at`, and the checksum of a plain IPv4 header made right again.
fn changed<const N: usize>(frame: [u8; N], at: usize, bytes: &[u8]) -> [u8; N] {
    let mut frame = frame;
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    if frame[12..14] == [0x08, 0x00] && !(24..26).contains(&at) {
        frame[24..26].fill(0);
        let sum = Checksum::new().over(&frame[14..34]).finish();
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    frame
}

/// `frame` with `tags` behind the addresses; returns its bytes in a buffer and their number.
fn tagged(frame: &[u8], tags: &[[u8; 4]]) -> ([u8; 100], usize) {
    let mut out = [0; 100];
    out[..12].copy_from_slice(&frame[..12]);
    for (index, tag) in tags.iter().enumerate() {
        out[12 + 4 * index..16 + 4 * index].copy_from_slice(tag);
    }
    let behind = 12 + 4 * tags.len();
    out[behind..behind + frame.len() - 12].copy_from_slice(&frame[12..]);
    (out, frame.len() + 4 * tags.len())
}

#[test]
fn frames_of_both_families_are_read_without_their_padding() {
    let packet = parse_udp(&IPV4).unwrap();
    let expected = UdpPacket {
        ether_source: MacAddress([2, 0, 0, 0, 0, 1]),
        vlan: None,
        source: "10.74.0.1:40000".parse().unwrap(),
        destination: "10.74.0.2:7421".parse().unwrap(),
        ecn: 0,
        payload: 42..47,
    };
    assert_eq!(packet, expected);
    let expected = UdpPacket {
        source: "[fd74::1]:40000".parse().unwrap(),
        destination: "[fd74::2]:7421".parse().unwrap(),
        ecn: 3,
        payload: 62..67,
        ..expected
    };
    assert_eq!(parse_udp(&IPV6), Ok(expected));
}

#[test]
fn up_to_two_tags_are_looked_behind_and_the_outermost_is_told() {
    let (customer, provider) = ([0x81, 0x00, 0xe0, 0x07], [0x88, 0xa8, 0x1f, 0xff]);
    let cases: [(&[[u8; 4]], _); 5] = [
        (&[customer], Some(7)),
        (&[provider], Some(0xfff)),
        (&[provider, customer], Some(0xfff)),
        (&[customer, customer], Some(7)),
        (&[[0x81, 0x00, 0x60, 0x00], customer], Some(0)),
    ];
    for (tags, vlan) in cases {
        let (frame, length) = tagged(&IPV4, tags);
        let packet = parse_udp(&frame[..length]).unwrap();
        assert_eq!((packet.vlan, &frame[packet.payload]), (vlan, &b"hello"[..]));
    }
    let (frame, length) = tagged(&IPV4, &[provider, customer, customer]);
    assert_eq!(parse_udp(&frame[..length]), Err(NetReject::EtherTags));
    let (frame, length) = tagged(&IPV6[..54], &[provider, customer]);
    assert_eq!(parse_udp(&frame[..length]), Err(NetReject::Ipv6Length));
}

#[test]
fn options_of_ipv4_are_stepped_over() {
    for words in 1..=10 {
        let mut frame = [1; 100];
        frame[..34].copy_from_slice(&IPV4[..34]);
        frame[14] = 0x45 + words as u8;
        frame[17] = 0x21 + 4 * words as u8;
        let end = 34 + 4 * words;
        frame[end..end + 13].copy_from_slice(&IPV4[34..47]);
        frame[24..26].fill(0);
        assert_eq!(parse_udp(&frame), Err(NetReject::Ipv4Checksum));
        let sum = Checksum::new().over(&frame[14..end]).finish();
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(&frame[parse_udp(&frame).unwrap().payload], b"hello");
        assert_eq!(parse_udp(&frame[..end - 1]), Err(NetReject::Ipv4Truncated));
    }
}

#[test]
fn each_rule_has_its_reason() {
    let cases: [(usize, &[u8], NetReject); 19] = [
        (12, &[0x08, 0x06], NetReject::EtherType),
        (14, &[0x65], NetReject::Ipv4Version),
        (14, &[0x44], NetReject::Ipv4HeaderLength),
        (14, &[0x40], NetReject::Ipv4HeaderLength),
        (24, &[0x26, 0x37], NetReject::Ipv4Checksum),
        (16, &[0x00, 0x2f], NetReject::Ipv4Length),
        (16, &[0x00, 0x13], NetReject::Ipv4Length),
        (20, &[0x20, 0x00], NetReject::Ipv4Fragment),
        (20, &[0x00, 0x01], NetReject::Ipv4Fragment),
        (20, &[0x1f, 0xff], NetReject::Ipv4Fragment),
        (23, &[6], NetReject::IpProtocol),
        (26, &[0, 0, 0, 0], NetReject::SourceAddress),
        (26, &[224, 0, 0, 1], NetReject::SourceAddress),
        (26, &[255, 255, 255, 255], NetReject::SourceAddress),
        (16, &[0x00, 0x1b], NetReject::UdpTruncated),
        (38, &[0x00, 0x07], NetReject::UdpLength),
        (38, &[0x00, 0x0e], NetReject::UdpLength),
        (38, &[0xff, 0xff], NetReject::UdpLength),
        (34, &[0x00, 0x00], NetReject::UdpSourcePort),
    ];
    for (at, bytes, reject) in cases {
        assert_eq!(parse_udp(&changed(IPV4, at, bytes)), Err(reject), "{at} {bytes:?}");
    }
    let mapped = "::ffff:10.74.0.1".parse::<Ipv6Addr>().unwrap().octets();
    let cases: [(usize, &[u8], NetReject); 8] = [
        (14, &[0x40], NetReject::Ipv6Version),
        (18, &[0x00, 0x0e], NetReject::Ipv6Length),
        (20, &[44], NetReject::IpProtocol),
        (22, &mapped, NetReject::Ipv6Mapped),
        (38, &mapped, NetReject::Ipv6Mapped),
        (22, &[0; 16], NetReject::SourceAddress),
        (22, &[0xff, 0x02], NetReject::SourceAddress),
        (18, &[0x00, 0x07], NetReject::UdpTruncated),
    ];
    for (at, bytes, reject) in cases {
        assert_eq!(parse_udp(&changed(IPV6, at, bytes)), Err(reject), "{at} {bytes:?}");
    }
}

#[test]
fn a_frame_cut_anywhere_is_refused() {
    use NetReject::{EtherTruncated, Ipv4Length, Ipv4Truncated, Ipv6Length, Ipv6Truncated};
    for length in 0..47 {
        let reject = [EtherTruncated, Ipv4Truncated, Ipv4Length][usize::from(length >= 14) + usize::from(length >= 34)];
        assert_eq!(parse_udp(&IPV4[..length]), Err(reject), "{length}");
    }
    for length in 0..67 {
        let reject = [EtherTruncated, Ipv6Truncated, Ipv6Length][usize::from(length >= 14) + usize::from(length >= 54)];
        assert_eq!(parse_udp(&IPV6[..length]), Err(reject), "{length}");
    }
    let (frame, _) = tagged(&IPV4, &[[0x81, 0, 0, 1], [0x81, 0, 0, 1]]);
    for length in 0..22 {
        assert_eq!(parse_udp(&frame[..length]), Err(EtherTruncated), "{length}");
    }
}

#[test]
fn a_datagram_shorter_than_its_packet_ends_where_it_says() {
    let frame = changed(IPV4, 38, &[0, 10]);
    assert_eq!(&frame[parse_udp(&frame).unwrap().payload], b"he");
    let frame = changed(IPV4, 38, &[0, 8]);
    assert_eq!(parse_udp(&frame).unwrap().payload, 42..42);
}

#[test]
fn headers_are_written_directly_in_front_of_the_payload() {
    let mut frame = [0xaa; 80];
    frame[66..71].copy_from_slice(b"hello");
    let ipv4 = headers("10.74.0.1:40000", "10.74.0.2:7421");
    assert_eq!(ipv4.len(), 42);
    assert_eq!(ipv4.write_before(&mut frame, 66..71), Some(24));
    assert_eq!(frame[..24], [0xaa; 24]);
    assert_eq!(frame[24..71], IPV4[..47]);
    assert_eq!(frame[71..], [0xaa; 9]);

    let ipv6 = UdpHeaders { ecn: 3, ..headers("[fd74::1]:40000", "[fd74::2]:7421") };
    assert_eq!(ipv6.len(), 62);
    assert_eq!(ipv6.write_before(&mut frame, 66..71), Some(4));
    assert_eq!(frame[4..71], IPV6);
}

#[test]
fn mapped_addresses_are_written_as_ipv4() {
    let mut frame = [0; 60];
    frame[42..47].copy_from_slice(b"hello");
    let mapped = headers("[::ffff:10.74.0.1]:40000", "10.74.0.2:7421");
    assert_eq!(mapped.len(), 42);
    assert_eq!(mapped.write_before(&mut frame, 42..47), Some(0));
    assert_eq!(frame, IPV4);
}

#[test]
fn the_longest_headers_are_as_long_as_said() {
    let longest = UdpHeaders { vlan: Some(4095), ..headers("[fd74::1]:1", "[fd74::2]:2") };
    assert_eq!(longest.len(), UdpHeaders::MAX_BYTES);
    let mut frame = [0; UdpHeaders::MAX_BYTES];
    assert_eq!(longest.write_before(&mut frame, 66..66), Some(0));
    assert_eq!(parse_udp(&frame).unwrap().vlan, Some(4095));
}

#[test]
fn what_cannot_be_sent_is_not_written() {
    let good = headers("10.74.0.1:40000", "10.74.0.2:7421");
    let mixed = headers("10.74.0.1:1", "[fd74::2]:1");
    assert_eq!(mixed.len(), 0);
    #[allow(clippy::reversed_empty_ranges, reason = "a range that ends before it begins is one of the cases")]
    let cases: [(UdpHeaders, Range<usize>); 8] = [
        (mixed, 100..110),
        (UdpHeaders { vlan: Some(4096), ..good }, 100..110),
        (good, 41..50),
        (good, 100..70_001),
        (good, 110..100),
        (good, 70_001..70_002),
        (good, usize::MAX..usize::MAX),
        (good, 100..100 + 65_508),
    ];
    let mut frame = [0; 70_000];
    for (headers, payload) in cases {
        assert_eq!(headers.write_before(&mut frame, payload.clone()), None, "{headers:?} {payload:?}");
    }
    assert_eq!(good.write_before(&mut frame, 100..100 + 65_507), Some(58), "the largest datagram of IPv4");
    let ipv6 = headers("[fd74::1]:1", "[fd74::2]:1");
    assert_eq!(ipv6.write_before(&mut frame, 100..100 + 65_527), Some(38), "the largest datagram of IPv6");
    assert_eq!(ipv6.write_before(&mut frame, 100..100 + 65_528), None);
}

/// RFC 768: a sum whose complement is zero is sent as all ones, since zero says that there is none.
#[test]
fn the_checksum_is_never_zero() {
    let mut frame = [0; 64];
    let mut seen = 0;
    for word in 0..=u16::MAX {
        frame[42..44].copy_from_slice(&word.to_be_bytes());
        headers("10.74.0.1:40000", "10.74.0.2:7421").write_before(&mut frame, 42..44).unwrap();
        assert_ne!(frame[40..42], [0, 0]);
        seen += usize::from(frame[40..42] == [0xff, 0xff]);
        let pseudo = Checksum::new().over(&frame[26..34]).over(&[0, 17, 0, 10]);
        assert_eq!(pseudo.over(&frame[34..44]).finish(), 0);
    }
    assert_eq!(seen, 1, "one word of payload brings the sum there");
}

#[test]
fn scopes_and_flow_labels_stay_out_of_the_packet() {
    let SocketAddr::V6(mut address) = "[fe80::1]:1".parse().unwrap() else { panic!("an IPv6 address") };
    address.set_scope_id(7);
    address.set_flowinfo(9);
    let headers = UdpHeaders { source: address.into(), ..headers("[fe80::1]:1", "[fe80::2]:2") };
    let mut frame = [0; 62];
    headers.write_before(&mut frame, 62..62).unwrap();
    assert_eq!(parse_udp(&frame).unwrap().source, "[fe80::1]:1".parse().unwrap());
    assert_eq!(frame[14..18], [0x60, 0, 0, 0]);
}

#[test]
fn names_are_snake_case_and_distinct() {
    for (index, reject) in NetReject::ALL.into_iter().enumerate() {
        assert_eq!(reject as usize, index);
        assert!(reject.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'));
        let others = &NetReject::ALL[..index];
        assert!(!others.iter().any(|other| other.name() == reject.name() || other.rule() == reject.rule()));
    }
}

#[test]
fn hardware_addresses_are_shown_as_everywhere() {
    let mut shown = heapless::String::<17>::new();
    core::fmt::write(&mut shown, format_args!("{}", MacAddress([0, 1, 0xab, 0xff, 0x10, 0x02]))).unwrap();
    assert_eq!(shown, "00:01:ab:ff:10:02");
}
