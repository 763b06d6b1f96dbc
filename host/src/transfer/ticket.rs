//! Tickets: one line of text that lets whoever holds it send to one receiver.
//!
//! ```text
//! wh1 + base32( version u16 | length u8 | secret 16 bytes | responder's public key 32 bytes |
//!               addresses: 4 | IPv4 4 bytes | port u16   or   6 | IPv6 16 bytes | port u16
//!               checksum 4 bytes )
//! ```
//! `length` counts all before the checksum, so that a ticket that was not copied whole is told from a mistyped one.

use core::fmt;
use core::str::FromStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use wirehaul_core::limits::VERSION;
use zeroize::Zeroizing;

use crate::crypto::text::{self, CHECKSUM_BYTES};
use crate::crypto::{NoRandomness, Psk, PublicKey, identity::KEY_BYTES, random_bytes};

/// What the text of a ticket begins with.
pub const PREFIX: &str = "wh1";
/// The most addresses in one ticket.
pub const MAX_ADDRESSES: usize = 8;

const SECRET_BYTES: usize = 16;
const HEAD_BYTES: usize = 2 + 1;
const IPV4: u8 = 4;
const IPV6: u8 = 6;

/// The right to send to one receiver, and where to find it.
///
/// Whoever reads the text may use it: show it only to whom it is for. [`fmt::Debug`] leaves the secret out (SEC-6).
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    secret: Zeroizing<[u8; SECRET_BYTES]>,
    responder: PublicKey,
    addresses: Vec<SocketAddr>,
}

/// Why no ticket could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NewTicketError {
    /// There is nowhere to send to.
    #[error("the ticket would name no address; give one with --advertise")]
    NoAddress,
    /// More addresses than a ticket holds.
    #[error("a ticket holds {MAX_ADDRESSES} addresses at most; choose among them with --advertise")]
    TooManyAddresses,
    /// The secret could not be drawn.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Why a text is not a ticket that this build can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Nothing but white space.
    #[error("the ticket is empty; copy the line that `wirehaul recv` printed")]
    Empty,
    /// It begins with something else.
    #[error("this is not a ticket: a ticket begins with {PREFIX}; copy the line that `wirehaul recv` printed")]
    NotATicket,
    /// It is a public key.
    #[error(
        "this is a public key and not a ticket; trust it with `wirehaul key trust NAME KEY`, then send to the host"
    )]
    IsAKey,
    /// It was made by a build that speaks another version.
    #[error("the ticket is of another version of wirehaul; run the same version on both hosts")]
    OtherVersion,
    /// It breaks off.
    #[error("the ticket is not complete; copy the whole line that `wirehaul recv` printed")]
    Truncated,
    /// The checksum does not match.
    #[error("the ticket has a mistake in it; copy again the line that `wirehaul recv` printed")]
    Damaged,
}

impl Ticket {
    /// A ticket with a fresh secret for the receiver with this key at these addresses.
    ///
    /// # Errors
    /// See [`NewTicketError`].
    pub fn new(responder: PublicKey, addresses: Vec<SocketAddr>) -> Result<Self, NewTicketError> {
        match addresses.len() {
            0 => Err(NewTicketError::NoAddress),
            1..=MAX_ADDRESSES => Ok(Self { secret: Zeroizing::new(random_bytes()?), responder, addresses }),
            _ => Err(NewTicketError::TooManyAddresses),
        }
    }

    /// The secret, for [`crate::crypto::HostAcceptor::accept_ticket`].
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        &self.secret[..]
    }

    /// The pre-shared key that the secret stands for.
    #[must_use]
    pub fn psk(&self) -> Psk {
        Psk::of_ticket(self.secret())
    }

    /// The key that the receiver must prove to have.
    #[must_use]
    pub const fn responder(&self) -> PublicKey {
        self.responder
    }

    /// Where the receiver listens, in the order in which to try; at least one.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    fn to_value(&self) -> Zeroizing<Vec<u8>> {
        let mut value = Zeroizing::new(Vec::with_capacity(255));
        value.extend_from_slice(&VERSION.to_be_bytes());
        value.push(0);
        value.extend_from_slice(self.secret());
        value.extend_from_slice(self.responder.as_bytes());
        for address in &self.addresses {
            match address.ip() {
                IpAddr::V4(ip) => {
                    value.push(IPV4);
                    value.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    value.push(IPV6);
                    value.extend_from_slice(&ip.octets());
                }
            }
            value.extend_from_slice(&address.port().to_be_bytes());
        }
        // Eight addresses of 19 bytes behind 51 others: 203 at most.
        value[HEAD_BYTES - 1] = u8::try_from(value.len()).unwrap_or(u8::MAX);
        value
    }

    fn from_value(value: &[u8]) -> Option<Self> {
        let (_, rest) = value.split_at_checked(HEAD_BYTES)?;
        let (secret, rest) = rest.split_first_chunk::<SECRET_BYTES>()?;
        let (responder, mut rest) = rest.split_first_chunk::<KEY_BYTES>()?;
        let mut addresses = Vec::new();
        while !rest.is_empty() {
            let address;
            (address, rest) = take_address(rest)?;
            addresses.push(address);
        }
        if addresses.is_empty() || addresses.len() > MAX_ADDRESSES {
            return None;
        }
        Some(Self { secret: Zeroizing::new(*secret), responder: PublicKey::from_bytes(*responder), addresses })
    }
}

/// One address from the front of `bytes`, and what follows it.
fn take_address(bytes: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (family, rest) = bytes.split_first()?;
    let (ip, rest) = match *family {
        IPV4 => rest.split_first_chunk::<4>().map(|(ip, rest)| (IpAddr::V4(Ipv4Addr::from(*ip)), rest))?,
        IPV6 => rest.split_first_chunk::<16>().map(|(ip, rest)| (IpAddr::V6(Ipv6Addr::from(*ip)), rest))?,
        _ => return None,
    };
    let (port, rest) = rest.split_first_chunk::<2>()?;
    Some((SocketAddr::new(ip, u16::from_be_bytes(*port)), rest))
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::encode(PREFIX, &self.to_value()))
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("responder", &self.responder)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        let text = text.trim();
        check_prefix(text)?;
        if is_cut_short(&text[PREFIX.len()..]) {
            return Err(TicketError::Truncated);
        }
        let value = text::decode(PREFIX, text).map_err(|_| TicketError::Damaged)?;
        match value.split_first_chunk() {
            Some((version, _)) if u16::from_be_bytes(*version) == VERSION => {}
            Some(_) => return Err(TicketError::OtherVersion),
            None => return Err(TicketError::Damaged),
        }
        if value.get(HEAD_BYTES - 1).is_none_or(|length| usize::from(*length) != value.len()) {
            return Err(TicketError::Damaged);
        }
        Self::from_value(&value).ok_or(TicketError::Damaged)
    }
}

fn check_prefix(text: &str) -> Result<(), TicketError> {
    if text.is_empty() {
        return Err(TicketError::Empty);
    }
    let head: String = text.chars().take(PREFIX.len()).collect::<String>().to_ascii_lowercase();
    match head.strip_prefix("wh") {
        Some("1") => Ok(()),
        Some("k") => Err(TicketError::IsAKey),
        Some(other) if other.chars().all(|c| c.is_ascii_digit()) && !other.is_empty() => Err(TicketError::OtherVersion),
        _ => Err(TicketError::NotATicket),
    }
}

/// Whether the base32 text is shorter than the length at its front says.
fn is_cut_short(body: &str) -> bool {
    // Eight characters are five bytes, which hold the head.
    let Some(front) = body.get(..8) else { return true };
    let Ok(head) = data_encoding::BASE32_NOPAD.decode(front.to_ascii_uppercase().as_bytes()) else { return false };
    let expected_bytes = usize::from(head[HEAD_BYTES - 1]) + CHECKSUM_BYTES;
    body.len() < (expected_bytes * 8).div_ceil(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn ticket(texts: &[&str]) -> Ticket {
        Ticket::new(PublicKey::from_bytes([0xc4; 32]), addresses(texts)).unwrap()
    }

    fn parse(text: &str) -> Result<Ticket, TicketError> {
        text.parse()
    }

    #[test]
    fn a_ticket_comes_back_from_its_text() {
        let full = ["192.0.2.1:1"; MAX_ADDRESSES];
        let six = ["[2001:db8::1]:65535"; MAX_ADDRESSES];
        for texts in [&["192.0.2.1:7420"][..], &["[2001:db8::1]:7420", "192.0.2.1:1"], &full, &six] {
            let ticket = ticket(texts);
            let shown = ticket.to_string();
            assert_eq!(parse(&shown).as_ref(), Ok(&ticket));
            assert_eq!(parse(&format!("  {}\r\n", shown.to_uppercase())).as_ref(), Ok(&ticket));
            assert!(shown.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{shown}");
        }
    }

    #[test]
    fn every_ticket_has_a_secret_of_its_own() {
        assert_ne!(ticket(&["192.0.2.1:1"]).secret(), ticket(&["192.0.2.1:1"]).secret());
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let key = PublicKey::from_bytes([1; 32]);
        assert_eq!(Ticket::new(key, vec![]), Err(NewTicketError::NoAddress));
        let nine = addresses(&["192.0.2.1:1"; MAX_ADDRESSES + 1]);
        assert_eq!(Ticket::new(key, nine), Err(NewTicketError::TooManyAddresses));
    }

    #[test]
    fn any_single_character_change_is_refused() {
        let shown = ticket(&["192.0.2.1:7420", "[2001:db8::1]:7420"]).to_string();
        for at in 0..shown.len() {
            for other in "abcdefghijklmnopqrstuvwxyz0123456789!- é".chars() {
                if shown[at..].starts_with(other) {
                    continue;
                }
                let mistyped = format!("{}{other}{}", &shown[..at], &shown[at + 1..]);
                assert!(parse(&mistyped).is_err(), "{mistyped} was taken");
            }
        }
    }

    #[test]
    fn swapped_and_doubled_characters_are_refused() {
        let shown = ticket(&["192.0.2.1:7420"]).to_string();
        for at in 0..shown.len() - 1 {
            let mut swapped = shown.clone().into_bytes();
            swapped.swap(at, at + 1);
            let swapped = String::from_utf8(swapped).unwrap();
            assert!(swapped == shown || parse(&swapped).is_err());
            let doubled = format!("{}{}", &shown[..=at], &shown[at..]);
            assert!(parse(&doubled).is_err(), "{doubled}");
        }
    }

    #[test]
    fn an_incomplete_ticket_is_called_so() {
        let shown = ticket(&["192.0.2.1:7420"]).to_string();
        for kept in PREFIX.len()..shown.len() {
            assert_eq!(parse(&shown[..kept]), Err(TicketError::Truncated), "{kept} characters");
        }
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        assert_eq!(parse(""), Err(TicketError::Empty));
        assert_eq!(parse(" \t\n"), Err(TicketError::Empty));
        for other in ["hello", "w", "wh", "whé", "192.0.2.1", "é"] {
            assert_eq!(parse(other), Err(TicketError::NotATicket), "{other}");
        }
        assert_eq!(parse(&PublicKey::from_bytes([3; 32]).to_string()), Err(TicketError::IsAKey));
        assert_eq!(parse("wh2whatevercomeshere"), Err(TicketError::OtherVersion));
        let mut value = ticket(&["192.0.2.1:7420"]).to_value();
        value[1] += 1;
        assert_eq!(parse(&text::encode(PREFIX, &value)), Err(TicketError::OtherVersion));
        let shown = ticket(&["192.0.2.1:7420"]).to_string();
        assert_eq!(parse(&format!("{}0{}", &shown[..40], &shown[41..])), Err(TicketError::Damaged));
    }

    #[test]
    fn a_ticket_that_contradicts_itself_is_refused_and_no_panic() {
        let value = ticket(&["192.0.2.1:7420"]).to_value();
        for (kept, family) in [(51, 0), (52, IPV4), (57, IPV4), (58, IPV6), (58, 5)] {
            let mut bad = value[..kept].to_vec();
            bad[2] = kept as u8;
            if kept > 51 {
                bad[51] = family;
            }
            assert_eq!(parse(&text::encode(PREFIX, &bad)), Err(TicketError::Damaged), "{kept} {family}");
        }
        for bytes in 0..60 {
            assert!(parse(&text::encode(PREFIX, &vec![0; bytes])).is_err());
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let ticket = ticket(&["192.0.2.1:7420"]);
        let shown = format!("{ticket:?}");
        let bytes: Vec<_> = ticket.secret().iter().map(u8::to_string).collect();
        assert!(shown.contains("192.0.2.1:7420") && !shown.contains(&bytes[..3].join(", ")), "{shown}");
        assert!(!shown.contains(&ticket.to_string()[8..20]), "{shown}");
    }
}
