//! What a UDP probe says, and what an answer to it brings back.
//!
//! A datagram that means nothing to a service gets no answer, so common ports get a question in their own protocol. Most
//! protocols have a field that the answer repeats; the cookie goes there. All questions are harmless (they ask for a version or a
//! list, change nothing, and name no resource), and where it could be chosen, the answer is short.
//!
//! | port | question | brought back |
//! |-|-|-|
//! | 7 | echo (RFC 862) | all of it |
//! | 53 | DNS: `version.bind` (RFC 1035, RFC 4892) | id |
//! | 111, 2049 | ONC RPC: null call of the port mapper (RFC 5531) | transaction id |
//! | 123 | NTP: client (RFC 5905) | transmit timestamp, as the origin timestamp |
//! | 137 | NetBIOS: node status (RFC 1002) | transaction id |
//! | 161 | SNMP: sysDescr of `public`; every other time, discovery of version 3 (RFC 1157, RFC 3414) | request id; message id |
//! | 177 | XDMCP: query | nothing |
//! | 389 | CLDAP: root entry (RFC 4511) | message id |
//! | 443 | QUIC: a reserved version (RFC 9000 section 6) | source connection id |
//! | 500, 4500 | IKE: main mode (RFC 2408) | initiator's cookie |
//! | 623 | RMCP: presence ping (DSP0114) | message tag |
//! | 1194 | OpenVPN: hard reset | session id |
//! | 1434 | SQL Server: list of instances | nothing |
//! | 1900 | SSDP: root devices | nothing |
//! | 2123, 2152 | GTP: echo (3GPP TS 29.060) | sequence number |
//! | 3478 | STUN: binding (RFC 8489) | transaction id |
//! | 5060 | SIP: options (RFC 3261) | Call-ID |
//! | 5351 | NAT-PMP: external address (RFC 6886) | nothing |
//! | 5353 | mDNS: list of services (RFC 6762 section 6.7) | id |
//! | 5683 | CoAP: `/.well-known/core` (RFC 7252) | token; of an empty message, the message id |
//! | 6881 | BitTorrent DHT: ping (BEP 5) | transaction id |
//! | 11211 | memcached: `version` | request id |
//! | 27015 | Source engine: info | nothing |
//! | others | the contact text | nothing |
//!
//! Where the table says that nothing is brought back, only the 12 bits in the source port vouch for an answer: those protocols have
//! no field that a server would repeat. Everywhere else an answer without its field is refused, whoever sent it: a server of another
//! protocol on that port would be told apart from a forger by nothing.

mod echo;
mod questions;
#[cfg(test)]
mod tests;

use super::Cookie;
use crate::wire::net::Checksum;
use echo::Back;

pub(super) use echo::is_answer;

/// The most bytes of contact text that go into a probe.
pub const MAX_CONTACT_BYTES: usize = 128;
/// The longest question: a server looks at no shorter one in QUIC (RFC 9000 section 14.1).
pub(super) const MAX_PAYLOAD_BYTES: usize = 1200;

/// How the cookie is written into a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Not at all.
    Nothing,
    /// Seven bits in a byte: the values above mean something else.
    Tag,
    /// 16 bits.
    Half,
    /// 32 bits.
    Word,
    /// 30 bits in four bytes that are the shortest form of a positive number in BER, so that no server writes them otherwise.
    Number,
    /// 64 bits.
    Whole,
    /// The message id of CoAP, 16 bits, and the token behind it, 64.
    IdAndToken,
    /// 64 bits in hexadecimal digits.
    Hex,
}

impl Form {
    /// The bytes, and how many of them count.
    #[inline]
    fn bytes(self, cookie: Cookie) -> ([u8; 16], usize) {
        (self.number(cookie).to_be_bytes(), self.len())
    }

    /// The bytes as one number, the first byte uppermost, with zeros behind them.
    #[inline]
    fn number(self, cookie: Cookie) -> u128 {
        let bits = cookie.bits();
        match self {
            Self::Nothing => 0,
            Self::Tag => u128::from(bits & 0x7f) << 120,
            Self::Half => u128::from(bits as u16) << 112,
            Self::Word => u128::from(cookie.seq()) << 96,
            Self::Number => u128::from(cookie.seq() & 0x3fff_ffff | 0x4000_0000) << 96,
            Self::Whole => u128::from(bits) << 64,
            Self::IdAndToken => u128::from(bits as u16) << 112 | u128::from(bits) << 48,
            Self::Hex => hexadecimal(bits),
        }
    }

    const fn len(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Tag => 1,
            Self::Half => 2,
            Self::Word | Self::Number => 4,
            Self::Whole => 8,
            Self::IdAndToken => 10,
            Self::Hex => 16,
        }
    }
}

/// The sixteen digits of a number.
fn hexadecimal(bits: u64) -> u128 {
    (0..16).fold(0, |digits, place| {
        let digit = match (bits >> (60 - 4 * place)) as u8 & 0xf {
            digit @ 0..10 => b'0' + digit,
            digit => b'a' + digit - 10,
        };
        digits << 8 | u128::from(digit)
    })
}

/// A question, and where its answer has the cookie.
struct Question {
    /// With zeros where the cookie goes.
    bytes: &'static [u8],
    form: Form,
    /// Where the cookie goes.
    at: usize,
    back: Back,
}

impl Question {
    const fn new(bytes: &'static [u8], form: Form, at: usize, back: Back) -> Self {
        assert!(at + form.len() <= bytes.len() && bytes.len() <= MAX_PAYLOAD_BYTES);
        let mut place = at;
        while place < at + form.len() {
            assert!(bytes[place] == 0, "the sum over the constant bytes leaves out the cookie");
            place += 1;
        }
        assert!(at.is_multiple_of(2) || form.len() < 16, "moved by a byte, the field fits its number");
        Self { bytes, form, at, back }
    }

    /// Writes the question to the front of `out`, and goes on with `sum`, which has its constant bytes, over the cookie.
    #[inline]
    fn write(&self, cookie: Cookie, out: &mut [u8], sum: Checksum) -> Option<Checksum> {
        let out = out.get_mut(..self.bytes.len())?;
        out.copy_from_slice(self.bytes);
        let (field, length) = (self.form.number(cookie), self.form.len());
        out.get_mut(self.at..self.at + length)?.copy_from_slice(field.to_be_bytes().get(..length)?);
        // As the words have it that it lies in: from the second byte of the first one where it is at an odd place.
        let words = if self.at.is_multiple_of(2) { field } else { field >> 8 };
        Some(sum.over_u64((words >> 64) as u64).over_u64(words as u64))
    }
}

/// All questions with what can be summed of them beforehand, and the text for ports that have none.
#[derive(Clone, Debug)]
pub(super) struct Payloads {
    sums: [Checksum; Talk::ALL.len()],
    pub(super) contact: Contact,
}

/// A text of at most [`MAX_CONTACT_BYTES`], with its sum.
#[derive(Clone, Debug)]
pub(super) struct Contact {
    text: heapless::Vec<u8, MAX_CONTACT_BYTES>,
    sum: Checksum,
}

impl Contact {
    /// How many bytes it has.
    #[inline]
    pub(super) fn len(&self) -> u16 {
        // At most MAX_CONTACT_BYTES.
        self.text.len() as u16
    }

    /// Writes it over all of `out`, which has [`Contact::len`], and goes on with `sum` over it.
    #[inline]
    pub(super) fn write(&self, out: &mut [u8], sum: Checksum) -> Option<Checksum> {
        out.get_mut(..self.text.len())?.copy_from_slice(&self.text);
        Some(sum.and(self.sum))
    }
}

impl Payloads {
    /// `None` where the text is longer than [`MAX_CONTACT_BYTES`].
    pub(super) fn new(contact: &[u8]) -> Option<Self> {
        let text = heapless::Vec::from_slice(contact).ok()?;
        let sum = Checksum::new().over(contact);
        let sums = Talk::ALL.map(|talk| Checksum::new().over(talk.question().bytes));
        Some(Self { sums, contact: Contact { text, sum } })
    }

    /// How many bytes the payload for this port has.
    #[inline]
    pub(super) fn len(&self, port: u16, attempt: u8) -> u16 {
        // At most MAX_PAYLOAD_BYTES.
        Talk::of(port, attempt).map_or(self.contact.len(), |talk| talk.question().bytes.len() as u16)
    }

    /// Writes the payload for this port over all of `out`, which has [`Payloads::len`], and goes on with `sum` over it.
    #[inline]
    pub(super) fn write(
        &self,
        port: u16,
        attempt: u8,
        cookie: Cookie,
        out: &mut [u8],
        sum: Checksum,
    ) -> Option<Checksum> {
        let Some(talk) = Talk::of(port, attempt) else { return self.contact.write(out, sum) };
        talk.question().write(cookie, out, sum.and(*self.sums.get(talk as usize)?))
    }
}

/// A protocol that we have a question of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Talk {
    Echo,
    Dns,
    Rpc,
    Ntp,
    NetBios,
    Snmp,
    Snmp3,
    Xdmcp,
    Ldap,
    Quic,
    Ike,
    IkeBehindNat,
    Rmcp,
    OpenVpn,
    SqlServer,
    Ssdp,
    Gtp,
    Stun,
    Sip,
    NatPmp,
    Mdns,
    Coap,
    Dht,
    Memcached,
    Source,
}

impl Talk {
    const ALL: [Self; 25] = [
        Self::Echo,
        Self::Dns,
        Self::Rpc,
        Self::Ntp,
        Self::NetBios,
        Self::Snmp,
        Self::Snmp3,
        Self::Xdmcp,
        Self::Ldap,
        Self::Quic,
        Self::Ike,
        Self::IkeBehindNat,
        Self::Rmcp,
        Self::OpenVpn,
        Self::SqlServer,
        Self::Ssdp,
        Self::Gtp,
        Self::Stun,
        Self::Sip,
        Self::NatPmp,
        Self::Mdns,
        Self::Coap,
        Self::Dht,
        Self::Memcached,
        Self::Source,
    ];

    /// The protocols that an answer from this port may be of.
    const fn of_port(port: u16) -> &'static [Self] {
        match port {
            7 => &[Self::Echo],
            53 => &[Self::Dns],
            111 | 2049 => &[Self::Rpc],
            123 => &[Self::Ntp],
            137 => &[Self::NetBios],
            161 => &[Self::Snmp, Self::Snmp3],
            177 => &[Self::Xdmcp],
            389 => &[Self::Ldap],
            443 => &[Self::Quic],
            500 => &[Self::Ike],
            623 => &[Self::Rmcp],
            1194 => &[Self::OpenVpn],
            1434 => &[Self::SqlServer],
            1900 => &[Self::Ssdp],
            2123 | 2152 => &[Self::Gtp],
            3478 => &[Self::Stun],
            4500 => &[Self::IkeBehindNat],
            5060 => &[Self::Sip],
            5351 => &[Self::NatPmp],
            5353 => &[Self::Mdns],
            5683 => &[Self::Coap],
            6881 => &[Self::Dht],
            11211 => &[Self::Memcached],
            27015 => &[Self::Source],
            _ => &[],
        }
    }

    /// The protocol to ask this port in, the first time (0) or a later one.
    #[inline]
    fn of(port: u16, attempt: u8) -> Option<Self> {
        let talks = Self::of_port(port);
        talks.get(usize::from(attempt).checked_rem(talks.len())?).copied()
    }

    const fn question(self) -> &'static Question {
        match self {
            Self::Echo => &questions::ECHO,
            Self::Dns => &questions::DNS,
            Self::Rpc => &questions::RPC,
            Self::Ntp => &questions::NTP,
            Self::NetBios => &questions::NETBIOS,
            Self::Snmp => &questions::SNMP,
            Self::Snmp3 => &questions::SNMP3,
            Self::Xdmcp => &questions::XDMCP,
            Self::Ldap => &questions::LDAP,
            Self::Quic => &questions::QUIC,
            Self::Ike => &questions::IKE,
            Self::IkeBehindNat => &questions::IKE_BEHIND_NAT,
            Self::Rmcp => &questions::RMCP,
            Self::OpenVpn => &questions::OPENVPN,
            Self::SqlServer => &questions::SQL_SERVER,
            Self::Ssdp => &questions::SSDP,
            Self::Gtp => &questions::GTP,
            Self::Stun => &questions::STUN,
            Self::Sip => &questions::SIP,
            Self::NatPmp => &questions::NAT_PMP,
            Self::Mdns => &questions::MDNS,
            Self::Coap => &questions::COAP,
            Self::Dht => &questions::DHT,
            Self::Memcached => &questions::MEMCACHED,
            Self::Source => &questions::SOURCE,
        }
    }
}
