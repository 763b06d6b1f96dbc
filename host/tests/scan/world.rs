//! How every address and port of the other side behaves: a function of address, protocol and port, and nothing else. What a
//! survey has to find follows from it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::frames::{ACK, Packet, RST, SYN, Segment, What, echo_reply, icmp_error, octets, tcp, udp};

/// What was asked for: a protocol by the name that rows have for it, and a port, 0 for ICMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asked {
    pub target: IpAddr,
    pub protocol: &'static str,
    pub port: u16,
}

/// How the other side meets a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conduct {
    Open,
    Closed,
    Silent,
    /// An ICMP error of the router of this type and code, quoting the whole packet, or eight bytes of what is in it.
    Error(Icmp, Quote),
    /// Open, after [`LATE`].
    Late,
    /// Open, said three times.
    Duplicate,
    /// A RST, and open after [`CHANGE_OF_MIND`].
    RstThenOpen,
    /// An answer with all numbers right, from an address that nobody asked.
    FromStranger,
    /// An answer with all numbers right, from an address that was asked for something else.
    FromOther,
    /// An answer to something that was not sent: a wrong acknowledgement, id or identifier.
    WrongNumber,
    /// An answer to a port that nothing was sent from.
    WrongPort,
    /// An ICMP error about something that was not sent.
    ErrorAboutNothing,
    /// Answers that are no packets: cut short, with a wrong checksum of the IP header, with lengths beyond their end.
    Malformed,
}

/// What an ICMP error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Icmp {
    Port,
    Host,
    Prohibited,
    TimeExceeded,
}

/// How much of the packet an ICMP error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quote {
    /// Eight bytes behind the IP header: the least (RFC 792).
    Least,
    /// All of it.
    Whole,
    /// Four bytes: a router that does not keep to it, and tells too little.
    TooShort,
}

/// After this time the late answer comes.
pub const LATE: Duration = Duration::from_millis(1200);
/// After this time a host that sent RST sends SYN-ACK.
pub const CHANGE_OF_MIND: Duration = Duration::from_millis(300);

/// Who sends ICMP errors.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
pub const ROUTER6: Ipv6Addr = Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 1);

/// A network in which there is some of everything.
pub fn varied(asked: Asked) -> Conduct {
    let is_tcp = asked.protocol == "tcp";
    let is_icmp = asked.protocol == "icmp";
    match number(asked) % 64 {
        0..=17 => Conduct::Open,
        18..=27 if !is_icmp => Conduct::Closed,
        18..=39 => Conduct::Silent,
        40 => Conduct::Error(Icmp::Port, Quote::Least),
        41 => Conduct::Error(Icmp::Port, Quote::Whole),
        42 => Conduct::Error(Icmp::Host, Quote::Least),
        43 => Conduct::Error(Icmp::Host, Quote::Whole),
        44 => Conduct::Error(Icmp::Prohibited, Quote::Least),
        45 => Conduct::Error(Icmp::Prohibited, Quote::Whole),
        46 => Conduct::Error(Icmp::TimeExceeded, Quote::Whole),
        47 => Conduct::Error(Icmp::Host, Quote::TooShort),
        48 => Conduct::Late,
        49 | 50 => Conduct::Duplicate,
        51 | 52 if is_tcp => Conduct::RstThenOpen,
        53 => Conduct::FromStranger,
        54 => Conduct::FromOther,
        55 | 56 => Conduct::WrongNumber,
        57 if !is_icmp => Conduct::WrongPort,
        58 => Conduct::ErrorAboutNothing,
        59 => Conduct::Malformed,
        _ => Conduct::Silent,
    }
}

/// Everything is open.
pub fn open(_: Asked) -> Conduct {
    Conduct::Open
}

/// Nothing is there.
pub fn silent(_: Asked) -> Conduct {
    Conduct::Silent
}

/// A number that looks drawn, of what was asked.
pub fn number(asked: Asked) -> u64 {
    let bytes = octets(asked.target).into_iter().chain(asked.protocol.bytes()).chain(asked.port.to_be_bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash ^ hash >> 29 ^ hash >> 47
}

impl Conduct {
    /// The classes that have to be reported of it, in this order; none of what is silent, or lies.
    pub fn classes(self, asked: Asked) -> &'static [&'static str] {
        let positive: &[&str] = if asked.protocol == "icmp" { &["alive"] } else { &["open"] };
        match self {
            Self::Open | Self::Late | Self::Duplicate => positive,
            Self::RstThenOpen => &["closed", "open"],
            Self::Closed => &["closed"],
            Self::Error(_, Quote::TooShort) => &[],
            Self::Error(Icmp::Host, _) => &["unreachable"],
            // A router knows nothing of another host's ports: a filter says so.
            Self::Error(Icmp::Port | Icmp::Prohibited, _) => &["filtered"],
            Self::Error(Icmp::TimeExceeded, _) => &["time-exceeded"],
            Self::Silent
            | Self::FromStranger
            | Self::FromOther
            | Self::WrongNumber
            | Self::WrongPort
            | Self::ErrorAboutNothing
            | Self::Malformed => &[],
        }
    }

    /// Who is heard.
    pub fn responder(self, asked: Asked) -> IpAddr {
        match self {
            Self::Error(..) if asked.target.is_ipv4() => ROUTER.into(),
            Self::Error(..) => ROUTER6.into(),
            _ => asked.target,
        }
    }
}

/// What a packet asks for; `None` where it is no probe.
pub fn asked(packet: &Packet) -> Option<Asked> {
    let (protocol, port) = match &packet.what {
        What::Tcp { destination, flags, .. } if *flags == SYN => ("tcp", *destination),
        What::Udp { destination, .. } => ("udp", *destination),
        What::Echo { .. } => ("icmp", 0),
        _ => return None,
    };
    Some(Asked { target: packet.target, protocol, port })
}

/// The IP packets that come back for a probe, each after some time. `quoted` is the probe as it came.
pub fn answers(conduct: Conduct, packet: &Packet, quoted: &[u8]) -> Vec<(Duration, Vec<u8>)> {
    let now = Duration::ZERO;
    let honest = || positive(packet, packet.target, 0, 0);
    match conduct {
        Conduct::Open => vec![(now, honest())],
        Conduct::Closed => vec![(now, negative(packet, quoted))],
        Conduct::Silent => Vec::new(),
        Conduct::Error(icmp, quote) => vec![(now, error(packet, icmp, quote, quoted))],
        Conduct::Late => vec![(LATE, honest())],
        Conduct::Duplicate => vec![(now, honest()), (now, honest()), (CHANGE_OF_MIND, honest())],
        Conduct::RstThenOpen => vec![(now, negative(packet, quoted)), (CHANGE_OF_MIND, honest())],
        Conduct::FromStranger => vec![(now, positive(packet, stranger(packet.target), 0, 0))],
        Conduct::FromOther => vec![(now, positive(packet, neighbour(packet.target), 0, 0))],
        Conduct::WrongNumber => {
            vec![(now, positive(packet, packet.target, 1, 0)), (now, positive(packet, packet.target, 0x8000_0000, 0))]
        }
        Conduct::WrongPort => vec![(now, positive(packet, packet.target, 0, 1))],
        Conduct::ErrorAboutNothing => {
            let mut other = quoted.to_vec();
            // Numbers are in the first eight bytes behind the header: a bit of the last of them.
            let header = if packet.target.is_ipv4() { 20 } else { 40 };
            let at = if matches!(packet.what, What::Udp { .. }) { header + 1 } else { header + 7 };
            other[at] ^= 4;
            vec![(now, error(packet, Icmp::Host, Quote::Whole, &other))]
        }
        Conduct::Malformed => malformed(&honest()).into_iter().map(|packet| (now, packet)).collect(),
    }
}

/// What an open port or a living host sends, from `source`; with numbers that are off by so much.
fn positive(packet: &Packet, source: IpAddr, off_by: u32, ports_off_by: u16) -> Vec<u8> {
    match &packet.what {
        What::Tcp { source: from, destination, seq, options, .. } => {
            let segment = Segment {
                source: *destination,
                destination: from.wrapping_add(ports_off_by.wrapping_mul(0x1000)),
                seq: 0x1234_5678,
                ack: seq.wrapping_add(1).wrapping_add(off_by),
                flags: SYN | ACK,
            };
            tcp(source, packet.source, segment, &echoed(options))
        }
        What::Udp { source: from, destination, payload } => {
            let mut payload = payload.clone();
            // The id of a DNS message stays, and QR says that it is an answer (RFC 1035).
            if *destination == 53 && payload.len() > 2 {
                payload[2] |= 0x80;
                payload[1] ^= off_by as u8 ^ (off_by >> 24) as u8;
            }
            let to = from.wrapping_add(ports_off_by.wrapping_mul(0x1000));
            udp((source, *destination), (packet.source, to), &payload)
        }
        What::Echo { rest, payload } => {
            let rest = u32::from_be_bytes(*rest).wrapping_add(off_by).to_be_bytes();
            echo_reply(source, packet.source, rest, payload)
        }
        other => panic!("{other:?} is no probe"),
    }
}

/// What a closed port sends.
fn negative(packet: &Packet, quoted: &[u8]) -> Vec<u8> {
    match &packet.what {
        What::Tcp { source: from, destination, seq, .. } => {
            let (source, destination) = (*destination, *from);
            let segment = Segment { source, destination, seq: 0, ack: seq.wrapping_add(1), flags: RST | ACK };
            tcp(packet.target, packet.source, segment, &[])
        }
        _ => {
            let kind = if packet.target.is_ipv4() { (3, 3) } else { (1, 4) };
            icmp_error(packet.target, kind, quoted, usize::MAX / 2)
        }
    }
}

fn error(packet: &Packet, icmp: Icmp, quote: Quote, quoted: &[u8]) -> Vec<u8> {
    let is_ipv4 = packet.target.is_ipv4();
    let kind = match icmp {
        Icmp::Port if is_ipv4 => (3, 3),
        Icmp::Port => (1, 4),
        Icmp::Host if is_ipv4 => (3, 1),
        Icmp::Host => (1, 3),
        Icmp::Prohibited if is_ipv4 => (3, 13),
        Icmp::Prohibited => (1, 1),
        Icmp::TimeExceeded if is_ipv4 => (11, 0),
        Icmp::TimeExceeded => (3, 0),
    };
    let bytes = match quote {
        Quote::Least => 8,
        Quote::Whole => usize::MAX / 2,
        Quote::TooShort => 4,
    };
    let router = if is_ipv4 { ROUTER.into() } else { ROUTER6.into() };
    icmp_error(router, kind, quoted, bytes)
}

/// MSS, SACK permitted, timestamps with the sender's own time echoed, and window scale, as Linux answers a SYN that has them.
fn echoed(options: &[u8]) -> Vec<u8> {
    let mut own = vec![2, 4, 5, 0xb4];
    if let Some(time) = options.windows(2).position(|two| two == [8, 10]).and_then(|at| options.get(at + 2..at + 6)) {
        own.extend([4, 2, 8, 10, 0, 0, 0, 9]);
        own.extend(time);
        own.extend([1, 3, 3, 7]);
    }
    own
}

/// Packets that nobody may take for an answer.
fn malformed(honest: &[u8]) -> Vec<Vec<u8>> {
    let header = if honest[0] >> 4 == 4 { 20 } else { 40 };
    let cut = honest[..header + 4].to_vec();
    let mut too_long = honest.to_vec();
    let mut found = vec![cut];
    if header == 20 {
        let mut wrong_sum = honest.to_vec();
        wrong_sum[10] ^= 0x55;
        too_long[2] = 0x7f;
        let mut without_header = honest.to_vec();
        without_header[0] = 0x44;
        found.extend([wrong_sum, without_header]);
    } else {
        too_long[4] = 0x7f;
    }
    let mut no_version = honest.to_vec();
    no_version[0] = 0xf5;
    found.extend([too_long, no_version]);
    found
}

/// Somebody far away.
fn stranger(target: IpAddr) -> IpAddr {
    match target {
        IpAddr::V4(ip) => Ipv4Addr::from(u32::from(ip) & 0xffff | 0x0b63_0000).into(),
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) & 0xffff | 0xfd98 << 112).into(),
    }
}

/// Somebody next to it.
fn neighbour(target: IpAddr) -> IpAddr {
    match target {
        IpAddr::V4(ip) => Ipv4Addr::from(u32::from(ip) ^ 1).into(),
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) ^ 1).into(),
    }
}
