//! What answers probes of the survey: hosts and routers that read and write packets byte by byte, and share nothing with the core.

#![allow(clippy::expect_used, reason = "a probe that is not as it should be is to stop the test there")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::frames::{Reader, checksum};

/// Numbers of protocols that IP carries.
pub const TCP: u8 = 6;
/// See [`TCP`].
pub const UDP: u8 = 17;

/// How packets lie in frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// As they are.
    Bare,
    /// Behind an Ethernet header.
    Ethernet,
    /// Behind an Ethernet header with a tag.
    Vlan(u16),
}

impl Link {
    /// One of each.
    pub const ALL: [Self; 3] = [Self::Bare, Self::Ethernet, Self::Vlan(7)];

    /// Whether there is an Ethernet header.
    #[must_use]
    pub fn is_ethernet(self) -> bool {
        self != Self::Bare
    }

    fn header(self, kind: u16) -> Vec<u8> {
        let mut header = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        match self {
            Self::Bare => return Vec::new(),
            Self::Ethernet => {}
            Self::Vlan(id) => header.extend_from_slice(&[[0x81, 0x00], id.to_be_bytes()].concat()),
        }
        header.extend_from_slice(&kind.to_be_bytes());
        header
    }

    /// How long the header is.
    #[must_use]
    pub fn header_bytes(self) -> usize {
        self.header(0).len()
    }
}

/// An IP packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Where from; decides the family.
    pub source: IpAddr,
    /// Where to.
    pub destination: IpAddr,
    /// What it carries.
    pub protocol: u8,
    /// Time to live, hop limit.
    pub ttl: u8,
    /// IPv4's id, IPv6's flow label.
    pub mark: u32,
    /// What is behind the header.
    pub segment: Vec<u8>,
}

impl Packet {
    /// Reads a frame that somebody sends who does all as it should be.
    ///
    /// # Panics
    /// Where it is not as a Linux host would send it: lengths, version, flags, all checksums.
    #[must_use]
    pub fn read(link: Link, frame: &[u8]) -> Self {
        let is_v6 = frame[link.header_bytes()] >> 4 == 6;
        let packet = &frame[link.header_bytes()..];
        let header = link.header(if is_v6 { 0x86dd } else { 0x0800 });
        assert_eq!(frame[..header.len()].get(12..), header.get(12..), "tag and type");
        let mut reader = Reader { bytes: packet, at: 0 };
        let mut number = |bytes| reader.number(bytes).expect("a whole header");
        let read = if is_v6 {
            let (first, length, protocol, ttl) = (number(4), number(2), number(1), number(1));
            assert_eq!((first >> 20, length as usize), (0x600, packet.len() - 40));
            let (source, destination) = (address6(&packet[8..24]), address6(&packet[24..40]));
            let (protocol, ttl, mark) = (protocol as u8, ttl as u8, first as u32 & 0xf_ffff);
            Self { source, destination, protocol, ttl, mark, segment: packet[40..].to_vec() }
        } else {
            let (first, length, id, fragment) = (number(2), number(2), number(2), number(2));
            assert_eq!((first, length as usize, fragment), (0x4500, packet.len(), 0x4000));
            assert_eq!(checksum(&packet[..20]), 0, "the header's sum");
            let (source, destination) = (address4(&packet[12..16]), address4(&packet[16..20]));
            let (protocol, ttl, mark) = (packet[9], packet[8], id as u32);
            Self { source, destination, protocol, ttl, mark, segment: packet[20..].to_vec() }
        };
        assert_eq!(read.segment_sum(), 0, "the sum of what it carries: {read:02x?}");
        read
    }

    /// ICMP's number in this packet's family.
    #[must_use]
    pub fn icmp(&self) -> u8 {
        if self.source.is_ipv6() { 58 } else { 1 }
    }

    fn pseudo_header(&self) -> Vec<u8> {
        if self.protocol == 1 {
            return Vec::new();
        }
        let length = (self.segment.len() as u32).to_be_bytes();
        [&octets(self.source)[..], &octets(self.destination), &length, &[0, 0, 0, self.protocol]].concat()
    }

    /// Zero where the checksum of what is carried is right.
    fn segment_sum(&self) -> u16 {
        checksum(&[self.pseudo_header(), self.segment.clone()].concat())
    }

    /// Makes the checksum of what is carried right, at this byte of it.
    #[must_use]
    pub fn summed(mut self, at: usize) -> Self {
        self.segment[at..at + 2].fill(0);
        let sum = match self.segment_sum() {
            0 if self.protocol == UDP => 0xffff,
            sum => sum,
        };
        self.segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        self
    }

    /// The IP packet.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let length = self.segment.len() as u16;
        let mut out = if self.source.is_ipv6() {
            let mut header = (6 << 28 | self.mark).to_be_bytes().to_vec();
            header.extend_from_slice(&length.to_be_bytes());
            header.extend_from_slice(&[self.protocol, self.ttl]);
            [header, octets(self.source), octets(self.destination)].concat()
        } else {
            let numbers = [0x4500, 20 + length, self.mark as u16, 0x4000].map(u16::to_be_bytes);
            let rest = [self.ttl, self.protocol, 0, 0];
            let mut header = [&numbers.concat(), &rest[..], &octets(self.source), &octets(self.destination)].concat();
            let sum = checksum(&header);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header
        };
        out.extend_from_slice(&self.segment);
        out
    }

    /// The frame with it.
    #[must_use]
    pub fn frame(&self, link: Link) -> Vec<u8> {
        let kind = if self.source.is_ipv6() { 0x86dd } else { 0x0800 };
        [link.header(kind), self.bytes()].concat()
    }

    /// A packet back from the destination, that was passed on by seven routers.
    fn back(&self, segment: Vec<u8>) -> Self {
        let (source, destination) = (self.destination, self.source);
        Self { source, destination, protocol: self.protocol, ttl: 57, mark: 0, segment }
    }

    /// A SYN-ACK, with or without timestamps as the SYN has them.
    #[must_use]
    pub fn syn_ack(&self, with_timestamps: bool) -> Self {
        let options = if with_timestamps {
            let time = self.syn_time().expect("a SYN with timestamps");
            [&[2, 4, 5, 0xb4, 4, 2, 8, 10, 9, 9, 9, 9][..], &time, &[1, 3, 3, 7]].concat()
        } else {
            vec![2, 4, 5, 0xb4]
        };
        self.tcp_back(0x12, 0x0102_0304, &options)
    }

    /// A reset, as a closed port sends it.
    #[must_use]
    pub fn reset(&self) -> Self {
        self.tcp_back(0x14, 0, &[])
    }

    /// A segment that acknowledges this one, a SYN.
    #[must_use]
    pub fn tcp_back(&self, flags: u8, sequence: u32, options: &[u8]) -> Self {
        let seq = u32::from_be_bytes([4, 5, 6, 7].map(|at| self.segment[at]));
        let mut segment = [&self.segment[2..4], &self.segment[..2]].concat();
        segment.extend_from_slice(&sequence.to_be_bytes());
        segment.extend_from_slice(&seq.wrapping_add(1).to_be_bytes());
        segment.extend_from_slice(&[(5 + options.len() as u8 / 4) << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
        segment.extend_from_slice(options);
        self.back(segment).summed(16)
    }

    /// The timestamp in a SYN.
    fn syn_time(&self) -> Option<[u8; 4]> {
        let options = self.segment.get(20..)?;
        let at = options.windows(2).position(|window| window == [8, 10])?;
        options.get(at + 2..at + 6)?.try_into().ok()
    }

    /// A datagram back.
    #[must_use]
    pub fn datagram_back(&self, payload: &[u8]) -> Self {
        let length = (8 + payload.len() as u16).to_be_bytes();
        let segment = [&self.segment[2..4], &self.segment[..2], &length, &[0, 0], payload].concat();
        self.back(segment).summed(6)
    }

    /// What a server of DNS, NTP or STUN says to this datagram, and for other ports a text.
    #[must_use]
    pub fn service_answer(&self) -> Self {
        let asked = &self.segment[8..];
        let answer = match u16::from_be_bytes([self.segment[2], self.segment[3]]) {
            53 => [&asked[..2], &[0x84, 0], &asked[4..]].concat(),
            123 => [&[0x24, 2, 0, 0][..], &[9; 20], &asked[40..48], &[1; 16]].concat(),
            3478 => [&[1, 1, 0, 0][..], &asked[4..20]].concat(),
            _ => b"something".to_vec(),
        };
        self.datagram_back(&answer)
    }

    /// An echo reply.
    #[must_use]
    pub fn echo_reply(&self) -> Self {
        let mut segment = self.segment.clone();
        segment[0] = if self.source.is_ipv6() { 129 } else { 0 };
        self.back(segment).summed(2)
    }

    /// An error about this packet from `router`, which quotes `quote` bytes behind the IP header, all of them at most.
    #[must_use]
    pub fn error(&self, router: IpAddr, kind: u8, code: u8, quote: usize) -> Self {
        let segment = self.segment[..quote.min(self.segment.len())].to_vec();
        // It has passed all but one router; its length and checksum are of the whole.
        let header = self.bytes().len() - self.segment.len();
        let mut quoted = Self { ttl: 1, ..self.clone() }.bytes();
        quoted.truncate(header + segment.len());
        let segment = [&[kind, code, 0, 0, 0, 0, 0, 0], &quoted[..]].concat();
        let protocol = self.icmp();
        Self { source: router, destination: self.source, protocol, ttl: 250, mark: 0, segment }.summed(2)
    }
}

/// An ARP reply or a neighbour advertisement of `ip`, to `to`.
#[must_use]
pub fn neighbour_answer(link: Link, ip: IpAddr, mac: [u8; 6], to: IpAddr) -> Vec<u8> {
    if ip.is_ipv4() {
        let packet = [&[0, 1, 8, 0, 6, 4, 0, 2][..], &mac, &octets(ip), &[2, 0, 0, 0, 0, 1], &octets(to)].concat();
        return [link.header(0x0806), packet].concat();
    }
    let segment = [&[136, 0, 0, 0, 0x60, 0, 0, 0], &octets(ip)[..], &[2, 1], &mac].concat();
    Packet { source: ip, destination: to, protocol: 58, ttl: 255, mark: 0, segment }.summed(2).frame(link)
}

/// The bytes of an address.
#[must_use]
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Four bytes as an address.
pub(crate) fn address4(bytes: &[u8]) -> IpAddr {
    Ipv4Addr::from(<[u8; 4]>::try_from(bytes).unwrap_or_default()).into()
}

/// Sixteen bytes as an address.
pub(crate) fn address6(bytes: &[u8]) -> IpAddr {
    Ipv6Addr::from(<[u8; 16]>::try_from(bytes).unwrap_or_default()).into()
}
