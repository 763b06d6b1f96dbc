//! Ethernet II headers and VLAN tags (IEEE 802.3, 802.1Q, 802.1ad).

use core::fmt;

use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::NetReject;

/// Bytes of a header without tags.
pub(crate) const ETHER_BYTES: usize = 14;
/// Bytes of a VLAN tag.
pub(crate) const TAG_BYTES: usize = 4;
/// The largest VLAN id: 12 bits of a tag.
const MAX_VLAN: u16 = 0xfff;

pub(crate) const TYPE_IPV4: u16 = 0x0800;
pub(crate) const TYPE_ARP: u16 = 0x0806;
pub(crate) const TYPE_IPV6: u16 = 0x86dd;
/// A customer's tag, 802.1Q.
const TYPE_VLAN: u16 = 0x8100;
/// A provider's tag, 802.1ad, in front of a customer's.
const TYPE_PROVIDER_VLAN: u16 = 0x88a8;

/// The address of a network interface on its link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// All interfaces on the link.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether the address may be one interface's: it is of no group, and not all zeros.
    #[must_use]
    pub fn is_one_interface(self) -> bool {
        let [first, ..] = self.0;
        first & 1 == 0 && self != Self([0; 6])
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The addresses; an EtherType or a tag follows.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Addresses {
    destination: [u8; 6],
    source: [u8; 6],
}

/// What a tag says, behind its own EtherType.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Tag {
    kind: U16,
    /// Priority (3 bits), drop eligibility (1 bit), VLAN id (12 bits).
    control: U16,
}

const _: () = assert!(size_of::<Addresses>() + size_of::<U16>() == ETHER_BYTES && size_of::<Tag>() == TAG_BYTES);

/// What a frame's header says.
pub(crate) struct Ether {
    pub(crate) source: MacAddress,
    /// The id in the outermost tag.
    pub(crate) vlan: Option<u16>,
    /// What comes behind: an EtherType.
    pub(crate) kind: u16,
}

impl Ether {
    /// Reads the header of a frame; returns it and what comes behind.
    #[inline]
    pub(crate) fn parse(frame: &[u8]) -> Result<(Self, &[u8]), NetReject> {
        let (addresses, rest) = Addresses::ref_from_prefix(frame).map_err(|_| NetReject::EtherTruncated)?;
        let (mut kind, mut rest) = split_type(rest)?;
        let mut vlan = None;
        let mut tags = 0;
        while matches!(kind, TYPE_VLAN | TYPE_PROVIDER_VLAN) {
            if tags == 2 {
                return Err(NetReject::EtherTags);
            }
            tags += 1;
            let (control, behind) = split_type(rest)?;
            vlan = vlan.or(Some(control & MAX_VLAN));
            (kind, rest) = split_type(behind)?;
        }
        Ok((Self { source: MacAddress(addresses.source), vlan, kind }, rest))
    }
}

/// Takes two bytes, big-endian.
#[inline]
fn split_type(bytes: &[u8]) -> Result<(u16, &[u8]), NetReject> {
    let (number, rest) = bytes.split_first_chunk().ok_or(NetReject::EtherTruncated)?;
    Ok((u16::from_be_bytes(*number), rest))
}

/// Bytes of a header with or without a tag.
pub(crate) const fn ether_bytes(vlan: Option<u16>) -> usize {
    if vlan.is_some() { ETHER_BYTES + TAG_BYTES } else { ETHER_BYTES }
}

/// Writes a header over all of `out`, which has [`ether_bytes`]; `None` where it has not, or where the id is above 4095.
#[inline]
pub(crate) fn write(
    out: &mut [u8],
    source: MacAddress,
    destination: MacAddress,
    vlan: Option<u16>,
    kind: u16,
) -> Option<()> {
    let rest = Addresses { destination: destination.0, source: source.0 }.put(out)?;
    let rest = match vlan {
        Some(id) if id > MAX_VLAN => return None,
        Some(id) => Tag { kind: U16::new(TYPE_VLAN), control: U16::new(id) }.put(rest)?,
        None => rest,
    };
    U16::new(kind).write_to(rest).ok()
}

/// Writing one thing after the other.
trait Put: IntoBytes + Immutable {
    /// Writes this to the front of `out`; returns what is behind.
    fn put<'a>(&self, out: &'a mut [u8]) -> Option<&'a mut [u8]> {
        self.write_to_prefix(out).ok()?;
        out.get_mut(size_of_val(self)..)
    }
}

impl Put for Addresses {}
impl Put for Tag {}
