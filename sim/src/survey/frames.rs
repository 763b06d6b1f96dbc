//! Frames as a network reads and writes them, byte by byte: it shares no code with the core that it answers.

use std::net::Ipv4Addr;

const ETHER_BYTES: usize = 14;
const IPV4_BYTES: usize = 20;
const TYPE_IPV4: [u8; 2] = [0x08, 0x00];
const TYPE_ARP: [u8; 2] = [0x08, 0x06];

/// What a survey sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Asks who has an address.
    WhoHas {
        /// That address.
        address: Ipv4Addr,
        /// Who asks.
        sender: Ipv4Addr,
        /// And from which interface.
        mac: [u8; 6],
    },
    /// Asks to connect.
    Syn(Syn),
    /// Gives a connection up.
    Reset {
        /// Whose.
        target: Ipv4Addr,
        /// At which port.
        port: u16,
    },
}

/// A segment that asks to connect, and what has to be known to answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syn {
    /// Who is asked.
    pub target: Ipv4Addr,
    /// At which port.
    pub port: u16,
    source: Ipv4Addr,
    source_port: u16,
    sequence: u32,
    /// TSval, where it has timestamps.
    timestamp: Option<u32>,
    /// Addresses of the frame: destination and source.
    ether: ([u8; 6], [u8; 6]),
    /// The packet, as routers quote it.
    packet: Vec<u8>,
}

/// Reads a frame; `Err` says what no network would take.
pub fn read(frame: &[u8]) -> Result<Sent, String> {
    let field = |at: usize, len: usize| frame.get(at..at + len).ok_or_else(|| format!("{} bytes", frame.len()));
    let macs = (array::<6>(field(0, 6)?), array::<6>(field(6, 6)?));
    match array::<2>(field(12, 2)?) {
        TYPE_ARP => {
            if field(ETHER_BYTES, 8)? != [0, 1, 0x08, 0x00, 6, 4, 0, 1] {
                return Err("no ARP request for IPv4 over Ethernet".to_owned());
            }
            let (mac, sender, address) = (field(22, 6)?, field(28, 4)?, field(38, 4)?);
            Ok(Sent::WhoHas { address: array(address).into(), sender: array(sender).into(), mac: array(mac) })
        }
        TYPE_IPV4 => read_ipv4(frame.get(ETHER_BYTES..).unwrap_or(&[]), macs),
        other => Err(format!("EtherType {other:02x?}")),
    }
}

fn read_ipv4(packet: &[u8], ether: ([u8; 6], [u8; 6])) -> Result<Sent, String> {
    let field = |at: usize, len: usize| packet.get(at..at + len).ok_or_else(|| format!("{} bytes of IP", packet.len()));
    let header = field(0, IPV4_BYTES)?;
    if header[0] != 0x45 || sum(header) != 0 || header[9] != 6 {
        return Err(format!("header {header:02x?}"));
    }
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let segment = field(IPV4_BYTES, total.saturating_sub(IPV4_BYTES))?;
    let pseudo = [&header[12..20], &[0, 6], &u16::try_from(segment.len()).unwrap_or(0).to_be_bytes(), segment].concat();
    if sum(&pseudo) != 0 || segment.len() < 20 {
        return Err("the sum of the segment is wrong".to_owned());
    }
    let (source, target) = (array::<4>(&header[12..16]).into(), array::<4>(&header[16..20]).into());
    let port = u16::from_be_bytes([segment[2], segment[3]]);
    match segment[13] {
        0x02 => Ok(Sent::Syn(Syn {
            target,
            port,
            source,
            source_port: u16::from_be_bytes([segment[0], segment[1]]),
            sequence: u32::from_be_bytes(array(&segment[4..8])),
            timestamp: timestamp_of(segment),
            ether,
            packet: packet[..total].to_vec(),
        })),
        0x04 => Ok(Sent::Reset { target, port }),
        flags => Err(format!("flags {flags:#04x}")),
    }
}

/// TSval among the options of a segment (RFC 7323 section 3.2).
fn timestamp_of(segment: &[u8]) -> Option<u32> {
    let mut options = segment.get(20..usize::from(segment[12] >> 4) * 4)?;
    while let [kind, rest @ ..] = options {
        if *kind == 1 {
            options = rest;
            continue;
        }
        let len = usize::from(*rest.first()?);
        if *kind == 8 {
            return Some(u32::from_be_bytes(array(options.get(2..6)?)));
        }
        options = options.get(len.max(2)..)?;
    }
    None
}

/// The answer to who has an address.
#[must_use]
pub fn is_at(address: Ipv4Addr, mac: [u8; 6], sender: Ipv4Addr, sender_mac: [u8; 6]) -> Vec<u8> {
    let mut frame = [&sender_mac[..], &mac, &TYPE_ARP, &[0, 1, 0x08, 0x00, 6, 4, 0, 2]].concat();
    frame.extend([&mac[..], &address.octets(), &sender_mac, &sender.octets()].concat());
    frame
}

impl Syn {
    /// The address on the link that it was sent to.
    #[must_use]
    pub const fn next_hop(&self) -> [u8; 6] {
        self.ether.0
    }

    /// A host that takes the connection; `wrong` by how much the acknowledgement is off, as a forger's is.
    #[must_use]
    pub fn accept(&self, wrong: u32) -> Vec<u8> {
        let mut options = Vec::new();
        if let Some(timestamp) = self.timestamp {
            options.extend([1, 1, 8, 10, 0, 0, 0, 7]);
            options.extend(timestamp.to_be_bytes());
        }
        self.answer(0x12, self.sequence.wrapping_add(1).wrapping_add(wrong), &options, self.target)
    }

    /// A host that refuses it.
    #[must_use]
    pub fn refuse(&self) -> Vec<u8> {
        self.answer(0x14, self.sequence.wrapping_add(1), &[], self.target)
    }

    /// Somebody who was not asked, and saw what was sent.
    #[must_use]
    pub fn accept_from(&self, other: Ipv4Addr) -> Vec<u8> {
        self.answer(0x12, self.sequence.wrapping_add(1), &[], other)
    }

    fn answer(&self, flags: u8, ack: u32, options: &[u8], from: Ipv4Addr) -> Vec<u8> {
        let words = u8::try_from(5 + options.len() / 4).unwrap_or(5);
        let mut segment = [&self.port.to_be_bytes()[..], &self.source_port.to_be_bytes()].concat();
        segment.extend([0, 0, 0, 9]);
        segment.extend(ack.to_be_bytes());
        segment.extend([words << 4, flags, 0x20, 0, 0, 0, 0, 0]);
        segment.extend(options);
        let len = u16::try_from(segment.len()).unwrap_or(0).to_be_bytes();
        let pseudo = [&from.octets()[..], &self.source.octets(), &[0, 6], &len, &segment].concat();
        segment[16..18].copy_from_slice(&sum(&pseudo).to_be_bytes());
        self.packet(6, from, &segment)
    }

    /// A router on the way that has no use for it: destination unreachable, with this code (RFC 792).
    #[must_use]
    pub fn unreachable(&self, router: Ipv4Addr, code: u8) -> Vec<u8> {
        let quoted = &self.packet[..self.packet.len().min(IPV4_BYTES + 8)];
        let mut message = [&[3, code, 0, 0, 0, 0, 0, 0][..], quoted].concat();
        let checksum = sum(&message).to_be_bytes();
        message[2..4].copy_from_slice(&checksum);
        self.packet(1, router, &message)
    }

    fn packet(&self, protocol: u8, from: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
        let total = u16::try_from(IPV4_BYTES + payload.len()).unwrap_or(0).to_be_bytes();
        let mut header = [0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 61, protocol, 0, 0].to_vec();
        header.extend(from.octets());
        header.extend(self.source.octets());
        let checksum = sum(&header).to_be_bytes();
        header[10..12].copy_from_slice(&checksum);
        [&self.ether.1[..], &self.ether.0, &TYPE_IPV4, &header, payload].concat()
    }
}

/// The Internet checksum, as RFC 1071 describes it; zero over what includes a right one.
fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(!sum & 0xffff).unwrap_or(0)
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|place| bytes.get(place).copied().unwrap_or(0))
}
