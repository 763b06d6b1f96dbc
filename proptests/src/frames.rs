//! Ethernet frames as networks carry them, built byte by byte; and a reader of them that shares nothing with the core.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use wirehaul_core::wire::net::{MacAddress, NetReject, UdpHeaders, UdpPacket, parse_udp};

use crate::choices::Choices;

/// UDP's number among the protocols of IP.
pub const UDP: u8 = 17;

/// What a frame is made of.
#[derive(Clone, Debug)]
pub struct Frame {
    /// VLAN tags from the outside in: EtherType and control word.
    pub tags: Vec<(u16, u16)>,
    /// Where from; decides the family.
    pub source: IpAddr,
    /// Where to, in the same family.
    pub destination: IpAddr,
    /// Words of options in an IPv4 header, 0 to 10.
    pub option_words: usize,
    /// Flags and offset of an IPv4 fragment.
    pub fragment: u16,
    /// What IP carries.
    pub protocol: u8,
    /// Source port and destination port.
    pub ports: (u16, u16),
    /// The ECN field.
    pub ecn: u8,
    /// The datagram's payload.
    pub payload: Vec<u8>,
    /// Bytes of the IP packet behind the datagram.
    pub surplus: usize,
    /// Bytes behind the IP packet.
    pub padding: usize,
}

impl Frame {
    /// A datagram between these ends, with nothing special about it.
    #[must_use]
    pub fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        Self {
            tags: Vec::new(),
            source: source.ip(),
            destination: destination.ip(),
            option_words: 0,
            fragment: 0x4000,
            protocol: UDP,
            ports: (source.port(), destination.port()),
            ecn: 0,
            payload: b"payload".to_vec(),
            surplus: 0,
            padding: 0,
        }
    }

    /// A datagram that a receiver has to take, of any form that it may have.
    pub fn draw(choices: &mut Choices<'_>) -> Self {
        let (source, destination) = draw_addresses(choices);
        let port = |choices: &mut Choices<'_>| choices.between(1, u64::from(u16::MAX)) as u16;
        let tag = |choices: &mut Choices<'_>| ([0x8100, 0x88a8][choices.below(2)], choices.number() as u16);
        Self {
            tags: (0..choices.below(3)).map(|_| tag(choices)).collect(),
            option_words: if choices.once_in(4) { choices.below(11) } else { 0 },
            ports: (port(choices), port(choices)),
            ecn: choices.below(4) as u8,
            payload: {
                let len = choices.up_to(1472) as usize;
                choices.bytes(len)
            },
            surplus: if choices.once_in(8) { choices.below(30) } else { 0 },
            padding: if choices.once_in(3) { choices.below(40) } else { 0 },
            fragment: [0x4000, 0, 0x8000][choices.below(3)],
            ..Self::new(SocketAddr::new(source, 1), SocketAddr::new(destination, 1))
        }
    }

    /// The frame.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        for (kind, control) in &self.tags {
            frame.extend_from_slice(&kind.to_be_bytes());
            frame.extend_from_slice(&control.to_be_bytes());
        }
        let segment = [self.segment(), vec![0xee; self.surplus]].concat();
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                frame.extend_from_slice(&[0x08, 0x00]);
                frame.extend(self.ipv4_header(source, destination, segment.len()));
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                frame.extend_from_slice(&[0x86, 0xdd, 0x60, self.ecn << 4, 0, 0]);
                frame.extend_from_slice(&(segment.len() as u16).to_be_bytes());
                frame.extend_from_slice(&[self.protocol, 64]);
                frame.extend_from_slice(&[source.octets(), destination.octets()].concat());
            }
            _ => unreachable!("a packet has one family"),
        }
        frame.extend(segment);
        frame.extend(vec![0; self.padding]);
        frame
    }

    fn ipv4_header(&self, source: Ipv4Addr, destination: Ipv4Addr, segment: usize) -> Vec<u8> {
        let bytes = 20 + 4 * self.option_words;
        let mut header = vec![0x40 | (bytes / 4) as u8, self.ecn];
        header.extend_from_slice(&((bytes + segment) as u16).to_be_bytes());
        header.extend_from_slice(&[0, 0]);
        header.extend_from_slice(&self.fragment.to_be_bytes());
        header.extend_from_slice(&[64, self.protocol, 0, 0]);
        header.extend_from_slice(&[source.octets(), destination.octets()].concat());
        // No-operation, up to the end.
        header.resize(bytes, 1);
        let sum = checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        header
    }

    /// UDP's header and payload, with a right checksum.
    fn segment(&self) -> Vec<u8> {
        let length = (8 + self.payload.len()) as u16;
        let mut segment =
            [self.ports.0, self.ports.1, length, 0].into_iter().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
        segment.extend_from_slice(&self.payload);
        let sum = match datagram_checksum(self.source, self.destination, &segment) {
            0 => 0xffff,
            sum => sum,
        };
        segment[6..8].copy_from_slice(&sum.to_be_bytes());
        segment
    }
}

fn draw_addresses(choices: &mut Choices<'_>) -> (IpAddr, IpAddr) {
    if choices.below(2) == 0 {
        let source = Ipv4Addr::new(10, choices.number() as u8, choices.number() as u8, 1);
        return (source.into(), Ipv4Addr::from(choices.array::<4>()).into());
    }
    let mut source = choices.array::<16>();
    source[0] = 0xfd;
    let mut destination = choices.array::<16>();
    destination[0] |= 0x20;
    (Ipv6Addr::from(source).into(), Ipv6Addr::from(destination).into())
}

/// RFC 1071, word by word.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The checksum over pseudo header and datagram; zero over one that has its own.
#[must_use]
pub fn datagram_checksum(source: IpAddr, destination: IpAddr, segment: &[u8]) -> u16 {
    let octets = |address| match address {
        IpAddr::V4(address) => Ipv4Addr::octets(&address).to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let length = (segment.len() as u32).to_be_bytes();
    checksum(&[&octets(source), &octets(destination), &length[..], &[0, 0, 0, UDP], segment].concat())
}

/// Bytes that are taken from the front, with the place of the next one.
pub(crate) struct Reader<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl Reader<'_> {
    pub(crate) fn number(&mut self, bytes: usize) -> Option<u64> {
        let taken = self.bytes.get(self.at..self.at + bytes)?;
        self.at += bytes;
        Some(taken.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = self.bytes.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(*taken)
    }
}

/// What [`parse_udp`] has to find in a frame.
#[must_use]
pub fn expected(frame: &[u8]) -> Option<UdpPacket> {
    let mut reader = Reader { bytes: frame, at: 6 };
    let ether_source = MacAddress(reader.array()?);
    let mut tags = Vec::new();
    let mut kind = reader.number(2)?;
    while kind == 0x8100 || kind == 0x88a8 {
        tags.push((reader.number(2)? % 4096) as u16);
        kind = reader.number(2)?;
    }
    let (source, destination, ecn, segment) = match kind {
        0x0800 => expected_ipv4(&mut reader)?,
        0x86dd => expected_ipv6(&mut reader)?,
        _ => return None,
    };
    let mut reader = Reader { bytes: &frame[..segment.end], at: segment.start };
    let (from, to, length) = (reader.number(2)? as u16, reader.number(2)? as u16, reader.number(2)? as usize);
    let _checksum = reader.number(2)?;
    let fits = length >= 8 && length <= segment.len();
    let packet = UdpPacket {
        ether_source,
        vlan: tags.first().copied(),
        source: SocketAddr::new(source, from),
        destination: SocketAddr::new(destination, to),
        ecn,
        payload: reader.at..(segment.start + length),
    };
    (tags.len() <= 2 && fits && from != 0).then_some(packet)
}

type Packet = (IpAddr, IpAddr, u8, Range<usize>);

fn expected_ipv4(reader: &mut Reader<'_>) -> Option<Packet> {
    let start = reader.at;
    let (version_length, service, total) = (reader.number(1)?, reader.number(1)?, reader.number(2)? as usize);
    let (_id, fragment) = (reader.number(2)?, reader.number(2)?);
    let (_hops, protocol, _sum) = (reader.number(1)?, reader.number(1)?, reader.number(2)?);
    let (source, destination) = (Ipv4Addr::from(reader.array::<4>()?), Ipv4Addr::from(reader.array::<4>()?));
    let header = (version_length % 16) as usize * 4;
    let is_right = version_length / 16 == 4
        && header >= 20
        && checksum(reader.bytes.get(start..start + header)?) == 0
        && total >= header
        && start + total <= reader.bytes.len()
        && fragment % 0x4000 == 0
        && protocol == u64::from(UDP)
        && !matches!(source.octets(), [0, 0, 0, 0] | [224..=239, ..] | [255, 255, 255, 255]);
    is_right.then(|| (source.into(), destination.into(), (service % 4) as u8, start + header..start + total))
}

fn expected_ipv6(reader: &mut Reader<'_>) -> Option<Packet> {
    let (version, length, next, _hops) =
        (reader.number(4)?, reader.number(2)? as usize, reader.number(1)?, reader.number(1)?);
    let (source, destination) = (reader.array::<16>()?, reader.array::<16>()?);
    let is_mapped = |address: &[u8; 16]| matches!(address, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..]);
    let is_right = version >> 28 == 6
        && reader.at + length <= reader.bytes.len()
        && next == u64::from(UDP)
        && source[0] != 0xff
        && source != [0; 16]
        && !is_mapped(&source)
        && !is_mapped(&destination);
    let segment = reader.at..reader.at + length;
    is_right.then(|| (source.into(), destination.into(), (version >> 20) as u8 % 4, segment))
}

/// Reads a frame, holds the outcome against [`expected`], and writes what was read anew.
///
/// # Errors
/// What [`parse_udp`] says of a frame that it is right to refuse.
///
/// # Panics
/// Where something does not hold.
pub fn read_and_write(frame: &[u8]) -> Result<(), NetReject> {
    let found = parse_udp(frame);
    assert_eq!(found.clone().ok(), expected(frame), "{found:?} in {frame:02x?}");
    let packet = found?;
    let headers = UdpHeaders {
        ether_source: packet.ether_source,
        ether_destination: MacAddress([2, 0, 0, 0, 0, 9]),
        vlan: packet.vlan,
        source: packet.source,
        destination: packet.destination,
        ecn: packet.ecn,
        hop_limit: 64,
    };
    let payload = &frame[packet.payload.clone()];
    for room in [UdpHeaders::MAX_BYTES, headers.len()] {
        let mut bytes = [&vec![0xaa; room], payload].concat();
        let end = bytes.len();
        let begin = room - headers.len();
        assert_eq!(headers.write_before(&mut bytes, room..end), Some(begin));
        assert!(bytes[..begin].iter().all(|byte| *byte == 0xaa));
        let again = UdpPacket { payload: headers.len()..end - begin, ..packet.clone() };
        assert_eq!(parse_udp(&bytes[begin..]), Ok(again));
        assert_eq!(&bytes[room..], payload);
        let segment = &bytes[room - 8..];
        assert_eq!(datagram_checksum(packet.source.ip(), packet.destination.ip(), segment), 0);
        assert_ne!(segment[6..8], [0, 0]);
        assert_eq!(headers.write_before(&mut bytes[begin + 1..], room - begin - 1..end - begin - 1), None);
    }
    Ok(())
}
