//! Rows about addresses as bytes, and moulds of them: rows about addresses of which the same is known differ in a few places only.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::Write as _;
use std::net::IpAddr;

use wirehaul_core::cdn::prefix::Prefix;
use wirehaul_core::cdn::{ProviderId, Signal};

use super::detection::{Detection, Evidence, Found};
use super::offline::Likeness;

/// What a row is about.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// An address, or none for a name that has none.
    Ip(Option<IpAddr>),
    /// A prefix of addresses that are all alike.
    Part(Prefix),
}

/// A row before it is bytes.
#[derive(Clone, Copy, Debug)]
pub struct Row<'r, 'd> {
    /// What was asked about, as it was written.
    pub input: &'r str,
    /// What of it the row is about.
    pub place: Place,
    /// What was found out.
    pub detection: &'r Detection<'d>,
}

/// Makes bytes of rows.
pub trait Render: Sync {
    /// A row, with the end of its line.
    fn row(&self, row: &Row<'_, '_>, out: &mut Sink);

    /// Whether rows about addresses of which the same is known differ in holes only.
    fn has_moulds(&self) -> bool {
        true
    }

    /// A row in the place of one, where there is none.
    fn error(&self, input: &str, error: &dyn Display, out: &mut Sink);
}

/// What differs from row to row although the same is known of the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hole {
    /// [`Row::input`].
    Input,
    /// The address.
    Ip,
    /// The number of the network.
    Asn,
    /// The same behind `AS`.
    AsnName,
    /// The prefix of the lists.
    Prefix,
}

impl Hole {
    /// Which of them the value of an entry is.
    #[must_use]
    pub fn of_evidence(evidence: &Evidence<'_>) -> Option<Self> {
        match (evidence.signal, &evidence.found) {
            (Signal::Asn, Found::NotTried(_)) => None,
            (Signal::Asn, _) if !evidence.value.is_empty() => Some(Self::AsnName),
            (Signal::Anti, Found::Fact { .. }) if evidence.value.starts_with("AS") => Some(Self::AsnName),
            (Signal::Prefix | Signal::Anti, Found::Fact { .. }) => Some(Self::Prefix),
            _ => None,
        }
    }
}

/// Where a hole is in a row.
#[derive(Clone, Copy, Debug)]
struct Slot {
    hole: Hole,
    start: usize,
    end: usize,
    width: usize,
}

/// Bytes of rows.
#[derive(Debug, Default)]
pub struct Sink {
    /// What was written so far.
    pub bytes: Vec<u8>,
    slots: Option<Vec<Slot>>,
}

impl Sink {
    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Text as it is.
    pub fn text(&mut self, text: impl Display) {
        // Memory takes everything.
        let _ = write!(self.bytes, "{text}");
    }

    /// Text with spaces behind it, up to so many bytes.
    pub fn padded(&mut self, text: impl Display, width: usize) {
        let start = self.bytes.len();
        self.text(text);
        pad(&mut self.bytes, start, width);
    }

    /// The same for what is in a hole, which must be in ASCII and in no need of escapes.
    pub fn hole(&mut self, hole: Hole, text: impl Display, width: usize) {
        let start = self.bytes.len();
        self.padded(text, width);
        let end = self.bytes.len();
        if let Some(slots) = &mut self.slots {
            slots.push(Slot { hole, start, end, width });
        }
    }
}

fn pad(bytes: &mut Vec<u8>, start: usize, width: usize) {
    let end = start + width;
    if bytes.len() < end {
        bytes.resize(end, b' ');
    }
}

// --- moulds ---

/// A row with holes.
#[derive(Debug)]
pub struct Mould {
    /// What is the same, all in one.
    text: Vec<u8>,
    /// Up to where of it each hole is from the front, which hole, and how wide it is at least.
    holes: Vec<(usize, Hole, usize)>,
    /// Whom rows of it name.
    pub provider: Option<ProviderId>,
    /// Whether a prefix is in it.
    pub has_prefix: bool,
}

/// What goes into the holes.
#[derive(Clone, Copy, Debug)]
pub struct Filling<'f> {
    /// What was asked about: ASCII, in no need of escapes.
    pub input: &'f [u8],
    /// The address.
    pub ip: &'f [u8],
    /// The number of the network.
    pub asn: Option<u32>,
    /// The prefix, where [`Mould::has_prefix`].
    pub prefix: &'f [u8],
}

impl Mould {
    /// Of a row.
    pub fn of(render: &impl Render, row: &Row<'_, '_>, provider: Option<ProviderId>) -> Self {
        let mut sink = Sink { bytes: Vec::new(), slots: Some(Vec::new()) };
        render.row(row, &mut sink);
        let mut mould = Self { text: Vec::new(), holes: Vec::new(), provider, has_prefix: false };
        let mut done = 0;
        for slot in sink.slots.unwrap_or_default() {
            mould.text.extend_from_slice(sink.bytes.get(done..slot.start).unwrap_or_default());
            mould.holes.push((mould.text.len(), slot.hole, slot.width));
            mould.has_prefix |= slot.hole == Hole::Prefix;
            done = slot.end;
        }
        mould.text.extend_from_slice(sink.bytes.get(done..).unwrap_or_default());
        mould
    }

    /// A row of it.
    pub fn fill(&self, filling: &Filling<'_>, out: &mut Vec<u8>) {
        let mut digits = [0; 10];
        let asn = filling.asn.map_or(&[][..], |asn| decimal(asn, &mut digits));
        let mut done = 0;
        for (end, hole, width) in &self.holes {
            out.extend_from_slice(self.text.get(done..*end).unwrap_or_default());
            done = *end;
            let start = out.len();
            match hole {
                Hole::Input => out.extend_from_slice(filling.input),
                Hole::Ip => out.extend_from_slice(filling.ip),
                Hole::Asn => out.extend_from_slice(asn),
                Hole::AsnName => {
                    out.extend_from_slice(b"AS");
                    out.extend_from_slice(asn);
                }
                Hole::Prefix => out.extend_from_slice(filling.prefix),
            }
            pad(out, start, *width);
        }
        out.extend_from_slice(self.text.get(done..).unwrap_or_default());
    }
}

/// A number's digits.
pub fn decimal(number: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut rest = number;
    let mut at = digits.len();
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        at = place;
        if rest == 0 {
            break;
        }
    }
    digits.get(at..).unwrap_or_default()
}

/// Moulds that were made before.
#[derive(Debug, Default)]
pub struct Moulds {
    known: HashMap<Likeness, Mould, BuildHasherDefault<Spread>>,
}

impl Moulds {
    /// So many at most: there are some thousand combinations of lists and networks.
    const MOST: usize = 8_192;

    /// The mould for addresses like this one.
    pub fn get(&mut self, likeness: Likeness, make: impl FnOnce() -> Mould) -> &Mould {
        if self.known.len() >= Self::MOST && !self.known.contains_key(&likeness) {
            self.known.clear();
        }
        self.known.entry(likeness).or_insert_with(make)
    }
}

/// A hash of some small numbers that nobody chooses in order to do harm: there are few of them.
#[derive(Debug, Default)]
pub struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64((*byte).into());
        }
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }
}

// --- addresses ---

/// An address of IPv4 in the one form that is not read as another by anybody: four numbers without zeros in front.
#[inline]
#[must_use]
pub fn parse_v4(text: &[u8]) -> Option<u32> {
    if text.len() > 15 {
        return None;
    }
    let (mut address, mut part, mut digits, mut dots) = (0_u32, 0_u32, 0, 0);
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            if digits > 0 && part == 0 {
                return None;
            }
            part = part * 10 + u32::from(digit);
            digits += 1;
            if part > 255 {
                return None;
            }
        } else if *byte == b'.' && digits > 0 && dots < 3 {
            address = address << 8 | part;
            (part, digits) = (0, 0);
            dots += 1;
        } else {
            return None;
        }
    }
    (dots == 3 && digits > 0).then_some(address << 8 | part)
}

/// The text of an address, in `out`, which is emptied before.
pub fn write_ip(ip: IpAddr, out: &mut Vec<u8>) {
    out.clear();
    match ip {
        IpAddr::V4(ip) => {
            for (place, part) in ip.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(decimal(part.into(), &mut [0; 10]));
            }
        }
        IpAddr::V6(ip) => {
            // Memory takes everything.
            let _ = write!(out, "{ip}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_as_the_standard_library_writes_them() {
        for number in [0, 1, 9, 10, 255, 13_335, 999_999_999, 1_000_000_000, u32::MAX] {
            assert_eq!(decimal(number, &mut [0; 10]), number.to_string().as_bytes());
        }
        let mut out = Vec::new();
        for text in ["0.0.0.0", "255.255.255.255", "104.16.0.1", "::", "2606:4700::1", "::ffff:192.0.2.1"] {
            write_ip(text.parse().unwrap(), &mut out);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn addresses_of_ipv4_in_one_form_only() {
        for text in ["0.0.0.0", "255.255.255.255", "1.2.3.4", "192.0.2.10"] {
            let expected: std::net::Ipv4Addr = text.parse().unwrap();
            assert_eq!(parse_v4(text.as_bytes()), Some(expected.into()), "{text}");
        }
        for text in ["", ".", "1.2.3", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.4.", "1.2.3.4.5", "01.2.3.4", "1.2.3.00"] {
            assert_eq!(parse_v4(text.as_bytes()), None, "{text}");
        }
        for text in ["256.1.1.1", "1.1.1.999", "1.1.1.1 ", " 1.1.1.1", "1.1.1.a", "1111.1.1.1", "4294967297.1.1.1"] {
            assert_eq!(parse_v4(text.as_bytes()), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn addresses_are_read_as_the_standard_library_does(text in "[0-9.]{0,18}|([0-9]{1,3}\\.){3}[0-9]{1,3}") {
            let expected = text.parse::<std::net::Ipv4Addr>().ok().map(u32::from);
            assert_eq!(parse_v4(text.as_bytes()), expected);
        }
    }
}
