//! UDP datagrams (RFC 768) in the frames that carry them.

use core::net::SocketAddr;
use core::ops::Range;

use zerocopy::byteorder::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ether::{self, ETHER_BYTES, Ether, TAG_BYTES, ether_bytes};
use super::ip::{Ends, IPV6_BYTES, Ip, PROTOCOL_UDP};
use super::{MacAddress, NetReject};

/// Bytes of a UDP header.
pub(crate) const UDP_BYTES: usize = 8;

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct UdpHeader {
    pub(crate) source: U16,
    pub(crate) destination: U16,
    /// Of header and payload.
    pub(crate) length: U16,
    pub(crate) checksum: U16,
}

const _: () = assert!(size_of::<UdpHeader>() == UDP_BYTES);

/// A UDP datagram in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpPacket {
    /// Which interface put the frame on this link: the sender's, or a router's.
    pub ether_source: MacAddress,
    /// The id in the outermost VLAN tag, 0 to 4095; 0 is a tag that carries a priority and names no VLAN.
    pub vlan: Option<u16>,
    /// Who sent the datagram. An IPv6 address of a link comes without the link's scope id, which no packet carries.
    pub source: SocketAddr,
    /// Whom it is for.
    pub destination: SocketAddr,
    /// The ECN field of the IP header, 0 to 3 (RFC 3168).
    pub ecn: u8,
    /// Where in the frame the payload lies; may be empty.
    pub payload: Range<usize>,
}

/// Finds the UDP datagram in an Ethernet frame.
///
/// Whatever follows the datagram is cut off: Ethernet pads short frames to 60 bytes.
///
/// UDP's own checksum is not looked at. Senders in the same machine leave it to hardware that never sees the packet (a
/// veth pair carries the sum over the pseudo header alone), and every payload that counts here is authenticated.
///
/// # Errors
/// The first rule that is broken, from the outside in.
#[inline]
pub fn parse_udp(frame: &[u8]) -> Result<UdpPacket, NetReject> {
    let (ether, packet) = Ether::parse(frame)?;
    let (ip, segment) = Ip::parse(ether.kind, packet, |protocol| protocol == PROTOCOL_UDP)?;
    let (header, _) = UdpHeader::ref_from_prefix(segment).map_err(|_| NetReject::UdpTruncated)?;
    let payload = segment.get(UDP_BYTES..usize::from(header.length.get())).ok_or(NetReject::UdpLength)?;
    if header.source.get() == 0 {
        return Err(NetReject::UdpSourcePort);
    }
    // The payload is a part of the frame: its distance from the start tells where it lies.
    let start = payload.as_ptr().addr().wrapping_sub(frame.as_ptr().addr());
    Ok(UdpPacket {
        ether_source: ether.source,
        vlan: ether.vlan,
        source: SocketAddr::new(ip.source, header.source.get()),
        destination: SocketAddr::new(ip.destination, header.destination.get()),
        ecn: ip.ecn,
        payload: start..start.wrapping_add(payload.len()),
    })
}

/// The headers of a UDP datagram that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpHeaders {
    /// The interface that sends.
    pub ether_source: MacAddress,
    /// The next hop's interface.
    pub ether_destination: MacAddress,
    /// The VLAN's id, 0 to 4095, where the frame carries a tag.
    pub vlan: Option<u16>,
    /// The sender. A mapped IPv4 address counts as IPv4.
    pub source: SocketAddr,
    /// The receiver, in the sender's family.
    pub destination: SocketAddr,
    /// The ECN field of the IP header: two bits, others are left out.
    pub ecn: u8,
    /// How many routers may pass the packet on.
    pub hop_limit: u8,
}

impl UdpHeaders {
    /// The most bytes that headers take: one tag and IPv6.
    pub const MAX_BYTES: usize = ETHER_BYTES + TAG_BYTES + IPV6_BYTES + UDP_BYTES;

    /// How many bytes these headers take; 0 where the families of the addresses differ.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "headers that can be written are never empty")]
    pub fn len(&self) -> usize {
        let ends = Ends::new(self.source.ip(), self.destination.ip());
        ends.map_or(0, |ends| ether_bytes(self.vlan) + ends.bytes() + UDP_BYTES)
    }

    /// Writes the headers directly in front of the payload, which lies at `payload` in `frame`; returns where the frame
    /// begins.
    ///
    /// IPv4 packets are not to be fragmented. UDP's checksum is there in both families: IPv6 wants it (RFC 8200 8.1).
    ///
    /// `None` where there is no room, the families differ, the VLAN id is above 4095 or the payload longer than an IP
    /// packet. Then what is in front of the payload is unspecified.
    #[inline]
    pub fn write_before(&self, frame: &mut [u8], payload: Range<usize>) -> Option<usize> {
        let ends = Ends::new(self.source.ip(), self.destination.ip())?;
        let begin = payload.start.checked_sub(ether_bytes(self.vlan) + ends.bytes() + UDP_BYTES)?;
        let (ether, packet) = frame.get_mut(begin..payload.end)?.split_at_mut_checked(ether_bytes(self.vlan))?;
        let (ip, segment) = packet.split_at_mut_checked(ends.bytes())?;
        let length = u16::try_from(segment.len()).ok()?;
        ends.write(ip, length, self.ecn, self.hop_limit)?;
        ether::write(ether, self.ether_source, self.ether_destination, self.vlan, ends.ether_type())?;
        let mut header = UdpHeader {
            source: U16::new(self.source.port()),
            destination: U16::new(self.destination.port()),
            length: U16::new(length),
            checksum: U16::ZERO,
        };
        let bytes: &[u8; UDP_BYTES] = zerocopy::transmute_ref!(&header);
        let sum = ends.pseudo_header(length).over_header(bytes).over(segment.get(UDP_BYTES..)?);
        header.checksum = U16::new(sum.finish_udp());
        header.write_to_prefix(segment).ok()?;
        Some(begin)
    }
}
