//! Packets as RFC 791, 8200, 768, 9293, 792 and 4443 write them: written out here once more, so that what the program sends and
//! takes is held against something that shares no code with it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMP: u8 = 1;
pub const ICMPV6: u8 = 58;

pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

pub type Mac = [u8; 6];

/// What a packet carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Tcp {
        source: u16,
        destination: u16,
        seq: u32,
        ack: u32,
        flags: u8,
        options: Vec<u8>,
    },
    Udp {
        source: u16,
        destination: u16,
        payload: Vec<u8>,
    },
    /// An echo request, of either ICMP.
    Echo {
        rest: [u8; 4],
        payload: Vec<u8>,
    },
    /// A neighbour solicitation for this address.
    Solicitation(Ipv6Addr),
    Other,
}

/// An IP packet, taken apart.
#[derive(Clone, Debug)]
pub struct Packet {
    pub source: IpAddr,
    pub target: IpAddr,
    pub what: What,
}

/// Takes an IP packet apart; `None` where it is cut short.
pub fn parse(ip: &[u8]) -> Option<Packet> {
    let (source, target, protocol, body): (IpAddr, IpAddr, u8, &[u8]) = match ip.first()? >> 4 {
        4 => {
            let header = usize::from(ip[0] & 15) * 4;
            let total = usize::from(u16::from_be_bytes(ip.get(2..4)?.try_into().ok()?));
            let at = |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(ip.get(at..at + 4)?).ok()?));
            (at(12)?, at(16)?, *ip.get(9)?, ip.get(header..total)?)
        }
        6 => {
            let len = usize::from(u16::from_be_bytes(ip.get(4..6)?.try_into().ok()?));
            let at = |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(ip.get(at..at + 16)?).ok()?));
            (at(8)?, at(24)?, *ip.get(6)?, ip.get(40..40 + len)?)
        }
        _ => return None,
    };
    Some(Packet { source, target, what: parse_body(protocol, body)? })
}

fn parse_body(protocol: u8, body: &[u8]) -> Option<What> {
    let short = |at: usize| Some(u16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?));
    let long = |at: usize| Some(u32::from_be_bytes(body.get(at..at + 4)?.try_into().ok()?));
    Some(match (protocol, body.first()?) {
        (TCP, _) => What::Tcp {
            source: short(0)?,
            destination: short(2)?,
            seq: long(4)?,
            ack: long(8)?,
            flags: *body.get(13)?,
            options: body.get(20..usize::from(body.get(12)? >> 4) * 4)?.to_vec(),
        },
        (UDP, _) => What::Udp { source: short(0)?, destination: short(2)?, payload: body.get(8..)?.to_vec() },
        (ICMP, 8) | (ICMPV6, 128) => {
            What::Echo { rest: body.get(4..8)?.try_into().ok()?, payload: body.get(8..)?.to_vec() }
        }
        (ICMPV6, 135) => What::Solicitation(Ipv6Addr::from(<[u8; 16]>::try_from(body.get(8..24)?).ok()?)),
        _ => What::Other,
    })
}

/// An IP packet around `body`, whose checksum is put at `sum_at`.
pub fn ip(source: IpAddr, target: IpAddr, protocol: u8, hops: u8, mut body: Vec<u8>, sum_at: usize) -> Vec<u8> {
    let mut pseudo = Vec::new();
    // ICMP for IPv4 has no pseudo header.
    if protocol != ICMP {
        pseudo.extend(octets(source));
        pseudo.extend(octets(target));
        pseudo.extend((body.len() as u32).to_be_bytes());
        pseudo.extend([0, 0, 0, protocol]);
    }
    body[sum_at..sum_at + 2].fill(0);
    pseudo.extend(&body);
    let sum = match checksum(&pseudo) {
        0 if protocol == UDP => 0xffff,
        sum => sum,
    };
    body[sum_at..sum_at + 2].copy_from_slice(&sum.to_be_bytes());
    let mut packet = if source.is_ipv4() {
        let total = (20 + body.len()) as u16;
        let mut header = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, hops, protocol, 0, 0];
        header[2..4].copy_from_slice(&total.to_be_bytes());
        header.extend(octets(source));
        header.extend(octets(target));
        let sum = checksum(&header).to_be_bytes();
        header[10..12].copy_from_slice(&sum);
        header
    } else {
        let mut header = vec![0x60, 0, 0, 0, 0, 0, protocol, hops];
        header[4..6].copy_from_slice(&(body.len() as u16).to_be_bytes());
        header.extend(octets(source));
        header.extend(octets(target));
        header
    };
    packet.extend(body);
    packet
}

/// Everything of a TCP segment but its addresses.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub source: u16,
    pub destination: u16,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
}

pub fn tcp(source: IpAddr, target: IpAddr, segment: Segment, options: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(segment.source.to_be_bytes());
    body.extend(segment.destination.to_be_bytes());
    body.extend(segment.seq.to_be_bytes());
    body.extend(segment.ack.to_be_bytes());
    body.extend([((20 + options.len()) / 4 * 16) as u8, segment.flags, 0xfa, 0xf0, 0, 0, 0, 0]);
    body.extend(options);
    ip(source, target, TCP, 61, body, 16)
}

pub fn udp(source: (IpAddr, u16), target: (IpAddr, u16), payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(source.1.to_be_bytes());
    body.extend(target.1.to_be_bytes());
    body.extend((8 + payload.len() as u16).to_be_bytes());
    body.extend([0, 0]);
    body.extend(payload);
    ip(source.0, target.0, UDP, 61, body, 6)
}

pub fn echo_reply(source: IpAddr, target: IpAddr, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let (kind, protocol) = if source.is_ipv4() { (0, ICMP) } else { (129, ICMPV6) };
    let body = [&[kind, 0, 0, 0], &rest[..], payload].concat();
    ip(source, target, protocol, 61, body, 2)
}

/// An ICMP error of `router` about the packet `quoted`, of which it quotes so many bytes behind the IP header.
pub fn icmp_error(router: IpAddr, kind: (u8, u8), quoted: &[u8], quote: usize) -> Vec<u8> {
    let target = parse_source(quoted);
    let (protocol, header) = if router.is_ipv4() { (ICMP, 20) } else { (ICMPV6, 40) };
    let quote = &quoted[..quoted.len().min(header + quote)];
    let body = [&[kind.0, kind.1, 0, 0, 0, 0, 0, 0], quote].concat();
    ip(router, target, protocol, 62, body, 2)
}

fn parse_source(ip: &[u8]) -> IpAddr {
    if ip[0] >> 4 == 4 {
        IpAddr::from(<[u8; 4]>::try_from(&ip[12..16]).unwrap())
    } else {
        IpAddr::from(<[u8; 16]>::try_from(&ip[8..24]).unwrap())
    }
}

/// A neighbour advertisement: `of` is at `mac` (RFC 4861).
pub fn advertisement(of: Ipv6Addr, to: IpAddr, mac: Mac) -> Vec<u8> {
    // Router is not set, solicited and override are; then the option with the target's link-layer address.
    let body = [&[136, 0, 0, 0, 0x60, 0, 0, 0], &of.octets()[..], &[2, 1], &mac[..]].concat();
    ip(of.into(), to, ICMPV6, 255, body, 2)
}

/// An ARP reply (RFC 826) to the request in `request`, a frame behind its Ethernet header.
pub fn arp_reply(request: &[u8], mac: Mac) -> Option<Vec<u8>> {
    let (sender, target) = (request.get(8..18)?, request.get(24..28)?);
    Some([&[0, 1, 8, 0, 6, 4, 0, 2], &mac[..], target, sender].concat())
}

/// Who is asked for in an ARP request.
pub fn arp_target(request: &[u8]) -> Option<Ipv4Addr> {
    let is_request = request.get(..8)? == [0, 1, 8, 0, 6, 4, 0, 1];
    is_request.then(|| Some(Ipv4Addr::from(<[u8; 4]>::try_from(request.get(24..28)?).ok()?)))?
}

pub fn ethernet(destination: Mac, source: Mac, ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&destination[..], &source, &ether_type.to_be_bytes(), payload].concat()
}

pub fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// RFC 1071.
pub fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}
