//! Which frames the port filter has to hand to the sockets: an oracle, and a list of frames for interpreter and kernel.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::choices::Choices;
use crate::frames::{Frame, Reader};
use crate::mutate::mutate;

/// What the filter lets in, in tests. The last is what an IPv4 header of four words would have for its port: the end of the
/// address.
pub const OPEN: [&str; 3] = ["10.74.0.2:7421", "[fd74::2]:7421", "10.74.0.2:2"];

/// The first of the ports that answers to a survey come to, in tests.
pub const WINDOW: u16 = 0xe000;

/// Whether the filter, open for [`OPEN`], has to redirect this frame.
#[must_use]
pub fn is_ours(frame: &[u8]) -> bool {
    let open: Vec<SocketAddr> = OPEN.iter().filter_map(|address| address.parse().ok()).collect();
    destination(frame, &[17]).is_some_and(|destination| open.contains(&destination))
}

/// Whether the filter of a survey has to redirect this frame, for [`WINDOW`] and the addresses of [`OPEN`].
#[must_use]
pub fn answers_survey(frame: &[u8]) -> bool {
    let open: Vec<SocketAddr> = OPEN.iter().filter_map(|address| address.parse().ok()).collect();
    let to = destination(frame, &[6, 17]);
    to.is_some_and(|to| to.port() / 4096 == WINDOW / 4096 && open.iter().any(|open| open.ip() == to.ip()))
}

/// Whom a packet of these protocols is for that a filter has to understand.
fn destination(frame: &[u8], protocols: &[u8]) -> Option<SocketAddr> {
    let mut reader = Reader { bytes: frame, at: 12 };
    let mut kinds = vec![reader.number(2)?];
    while kinds.len() <= 2 && matches!(kinds.last(), Some(0x8100 | 0x88a8)) {
        let _control = reader.number(2)?;
        kinds.push(reader.number(2)?);
    }
    let packet = reader.at;
    let first = reader.number(1)?;
    let (address, header): (IpAddr, usize) = match (kinds.last()?, first >> 4) {
        (0x0800, 4) => {
            let fixed: [u8; 19] = reader.array()?;
            let is_fragment = fixed[5] & 0x3f != 0 || fixed[6] != 0;
            let words = first & 15;
            if is_fragment || !protocols.contains(&fixed[8]) || words < 5 {
                return None;
            }
            (Ipv4Addr::new(fixed[15], fixed[16], fixed[17], fixed[18]).into(), words as usize * 4)
        }
        (0x86dd, 6) => {
            let fixed: [u8; 39] = reader.array()?;
            if !protocols.contains(&fixed[5]) {
                return None;
            }
            let address: [u8; 16] = *fixed.last_chunk()?;
            (IpAddr::from(address).to_canonical(), 40)
        }
        _ => return None,
    };
    reader.at = packet + header;
    let (_source, port, _rest) = (reader.number(2)?, reader.number(2)?, reader.number(4)?);
    Some(SocketAddr::new(address, port as u16))
}

/// Frames that differ in what matters to the filter, with a name each.
#[must_use]
pub fn cases() -> Vec<(String, Vec<u8>)> {
    let mut cases = Vec::new();
    let forms = forms();
    for (name, frame) in &forms {
        let bytes = frame.bytes();
        // Beyond its headers a frame's length does not matter.
        cases.extend((14..bytes.len()).map(|length| (format!("{name}-cut-{length}"), bytes[..length].to_vec())));
        cases.push((name.clone(), bytes));
        cases.extend(variants(frame).map(|(what, bytes)| (format!("{name}-{what}"), bytes)));
    }
    let mut choices = Choices::Seeded(5);
    for number in 0..300 {
        let mut bytes = forms[choices.below(forms.len())].1.bytes();
        let other = forms[choices.below(forms.len())].1.bytes();
        mutate(&mut choices, &mut bytes, &other);
        bytes.truncate(200);
        if bytes.len() >= 14 {
            cases.push((format!("damaged-{number}"), bytes));
        }
    }
    cases
}

/// Datagrams that are let in, in every form: families, tags, options.
fn forms() -> Vec<(String, Frame)> {
    let parse = |text: &str| text.parse::<SocketAddr>().unwrap_or_else(|error| unreachable!("{text}: {error}"));
    let ipv4 = Frame::new(parse("10.74.0.1:40000"), parse("10.74.0.2:7421"));
    let ipv6 = Frame::new(parse("[fd74::1]:40000"), parse("[fd74::2]:7421"));
    let mut forms = Vec::new();
    for (family, frame) in [("ipv4", &ipv4), ("ipv6", &ipv6)] {
        let tags: [(&str, &[(u16, u16)]); 4] = [
            ("plain", &[]),
            ("vlan", &[(0x8100, 7)]),
            ("qinq", &[(0x88a8, 0x1fff), (0x8100, 7)]),
            ("two-vlans", &[(0x8100, 1), (0x8100, 2)]),
        ];
        for (name, tags) in tags {
            forms.push((format!("{family}-{name}"), Frame { tags: tags.to_vec(), ..frame.clone() }));
        }
    }
    for words in [1, 9, 10] {
        forms.push((format!("ipv4-options-{words}"), Frame { option_words: words, ..ipv4.clone() }));
    }
    forms
}

/// The same datagram with one thing changed.
fn variants(frame: &Frame) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let near = |address: IpAddr| match address {
        IpAddr::V4(address) => IpAddr::from(address.octets().map(|byte| byte ^ u8::from(byte == 74))),
        IpAddr::V6(address) => IpAddr::from(address.octets().map(|byte| byte ^ u8::from(byte == 0x74))),
    };
    let with = |change: &dyn Fn(&mut Frame)| {
        let mut changed = frame.clone();
        change(&mut changed);
        changed.bytes()
    };
    let mut odd_type = frame.bytes();
    let at = 12 + 4 * frame.tags.len();
    odd_type[at..at + 2].copy_from_slice(&[0x08, 0x06]);
    let mut odd_version = frame.bytes();
    odd_version[at + 2] ^= 0x20;
    let mut short_header = frame.bytes();
    short_header[at + 2] &= 0xf4;
    [
        ("no-payload", with(&|frame| frame.payload.clear())),
        ("padded", with(&|frame| frame.padding = 13)),
        ("port-before", with(&|frame| frame.ports.1 = 7420)),
        ("port-swapped", with(&|frame| frame.ports.1 = 7421_u16.swap_bytes())),
        ("port-of-source", with(&|frame| frame.ports = (7421, 40000))),
        ("port-2", with(&|frame| frame.ports.1 = 2)),
        ("other-address", with(&|frame| frame.destination = near(frame.destination))),
        ("ends-swapped", with(&|frame| (frame.source, frame.destination) = (frame.destination, frame.source))),
        ("icmp", with(&|frame| frame.protocol = 1)),
        ("icmpv6", with(&|frame| frame.protocol = 58)),
        ("tcp", with(&|frame| frame.protocol = 6)),
        ("hop-by-hop", with(&|frame| frame.protocol = 0)),
        ("fragment-header", with(&|frame| frame.protocol = 44)),
        ("may-be-split", with(&|frame| frame.fragment = 0)),
        ("reserved-flag", with(&|frame| frame.fragment = 0x8000)),
        ("first-fragment", with(&|frame| frame.fragment = 0x2000)),
        ("middle-fragment", with(&|frame| frame.fragment = 0x2010)),
        ("last-fragment", with(&|frame| frame.fragment = 0x0100)),
        ("last-fragment-low", with(&|frame| frame.fragment = 0x0001)),
        ("one-tag-more", with(&|frame| frame.tags.insert(0, (0x88a8, 5)))),
        ("old-qinq-tag", with(&|frame| frame.tags.insert(0, (0x9100, 5)))),
        ("arp-type", odd_type),
        ("odd-version", odd_version),
        ("short-header", short_header),
    ]
    .into_iter()
}

/// Frames that differ in what matters to the filter of a survey, with a name each.
#[must_use]
pub fn survey_cases() -> Vec<(String, Vec<u8>)> {
    let mut cases = Vec::new();
    for (form, frame) in forms() {
        let to = |protocol: u8, port: u16| Frame { protocol, ports: (443, port), ..frame.clone() };
        for (name, protocol) in [("tcp", 6), ("udp", 17)] {
            let ports: [(&str, u16); 8] = [
                ("first", 0xe000),
                ("inside", 0xe7a1),
                ("last", 0xefff),
                ("before", 0xdfff),
                ("behind", 0xf000),
                ("swapped", 0xa1e7),
                ("low", 0x0e00),
                ("zero", 0),
            ];
            cases.extend(ports.map(|(what, port)| (format!("{form}-{name}-port-{what}"), to(protocol, port).bytes())));
            let inside = to(protocol, 0xe123);
            let bytes = inside.bytes();
            if frame.tags.is_empty() {
                cases.extend((14..bytes.len()).map(|len| (format!("{form}-{name}-cut-{len}"), bytes[..len].to_vec())));
            }
            let turned = Frame { ports: (0xe123, 443), ..inside.clone() };
            cases.push((format!("{form}-{name}-port-of-source"), turned.bytes()));
            let same = |what: &&str| !what.starts_with("port-") && !matches!(*what, "tcp" | "no-payload" | "padded");
            let other = variants(&inside).filter(|(what, _)| same(what));
            cases.extend(other.map(|(what, bytes)| (format!("{form}-{name}-{what}"), bytes)));
        }
    }
    cases
}

/// [`survey_cases`] as text, in the form of [`cases_as_text`].
#[must_use]
pub fn survey_cases_as_text() -> String {
    as_text(survey_cases(), answers_survey)
}

/// [`cases`] as text, one a line: verdict, name, bytes; behind what the filter is to be open for.
#[must_use]
pub fn cases_as_text() -> String {
    as_text(cases(), is_ours)
}

fn as_text(cases: Vec<(String, Vec<u8>)>, oracle: fn(&[u8]) -> bool) -> String {
    let mut text: String = OPEN.iter().map(|address| format!("open {address}\n")).collect();
    for (name, bytes) in cases {
        let verdict = if oracle(&bytes) { "redirect" } else { "pass" };
        let hex: String = bytes.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let _ = writeln!(text, "{verdict} {name} {hex}");
    }
    text
}
