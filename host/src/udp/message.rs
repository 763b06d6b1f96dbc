//! What goes along with datagrams: ECN, the source address, the segment size and the departure time (cmsg(3)).

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg, sendmsg};
use wirehaul_core::device::Ecn;

use super::Carrier;

/// The most control messages of one send.
const MAX_CONTROLS: usize = 4;

/// The control messages of one send, laid out as the system wants them.
pub(super) struct Controls {
    tos: u8,
    traffic_class: i32,
    v4: bool,
    source: Option<Source>,
    segment_bytes: Option<u16>,
    departure_nanos: Option<u64>,
}

enum Source {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Controls {
    /// For datagrams to an address of IPv4 (`v4`), from `source` or whichever address the routing table prefers.
    pub(super) fn new(v4: bool, ecn: Ecn, source: Option<IpAddr>) -> Self {
        let tos = codepoint_bits(ecn);
        let source = source.map(|source| match source {
            IpAddr::V4(ip) => Source::V4(libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
                ipi_addr: libc::in_addr { s_addr: 0 },
            }),
            IpAddr::V6(ip) => {
                Source::V6(libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: ip.octets() }, ipi6_ifindex: 0 })
            }
        });
        Self { tos, traffic_class: i32::from(tos), v4, source, segment_bytes: None, departure_nanos: None }
    }

    /// Has the kernel cut the bytes into datagrams of so many each.
    pub(super) const fn segmented(self, segment_bytes: Option<u16>) -> Self {
        Self { segment_bytes, ..self }
    }

    /// Has the kernel hold the datagrams until so many nanoseconds of its monotonic clock. The socket must be prepared for it.
    pub(super) const fn departing_at(self, departure_nanos: Option<u64>) -> Self {
        Self { departure_nanos, ..self }
    }

    fn messages(&self) -> heapless::Vec<ControlMessage<'_>, MAX_CONTROLS> {
        let ecn =
            if self.v4 { ControlMessage::Ipv4Tos(&self.tos) } else { ControlMessage::Ipv6TClass(&self.traffic_class) };
        let source = self.source.as_ref().map(|source| match source {
            Source::V4(info) => ControlMessage::Ipv4PacketInfo(info),
            Source::V6(info) => ControlMessage::Ipv6PacketInfo(info),
        });
        let segments = self.segment_bytes.as_ref().map(ControlMessage::UdpGsoSegments);
        let departure = self.departure_nanos.as_ref().map(ControlMessage::TxTime);
        [Some(ecn), source, segments, departure].into_iter().flatten().collect()
    }

    /// Room for the control messages, which must be filled exactly: the kernel refuses an empty one at the end.
    fn room(&self) -> Vec<u8> {
        let source = self.source.as_ref().map_or(0, |source| match source {
            Source::V4(_) => nix::cmsg_space!(libc::in_pktinfo).capacity(),
            Source::V6(_) => nix::cmsg_space!(libc::in6_pktinfo).capacity(),
        });
        let segments = self.segment_bytes.map_or(0, |_| nix::cmsg_space!(u16).capacity());
        let departure = self.departure_nanos.map_or(0, |_| nix::cmsg_space!(u64).capacity());
        Vec::with_capacity(nix::cmsg_space!(i32).capacity() + source + segments + departure)
    }
}

impl Carrier {
    /// Sends datagrams with one call; returns how many of them the kernel took, at least one. Addresses are as the socket wants
    /// them.
    pub(super) fn send_many<'a>(
        &self,
        controls: &Controls,
        datagrams: impl ExactSizeIterator<Item = (SocketAddr, &'a [u8])>,
    ) -> io::Result<usize> {
        let mut headers = MultiHeaders::preallocate(datagrams.len(), Some(controls.room()));
        let (addresses, slices): (Vec<_>, Vec<_>) =
            datagrams.map(|(remote, bytes)| (Some(SockaddrStorage::from(remote)), [IoSlice::new(bytes)])).unzip();
        let (fd, messages) = (self.socket.as_raw_fd(), controls.messages());
        again(|| sendmmsg(fd, &mut headers, &slices, &addresses, &messages, MsgFlags::empty()).map(Iterator::count))
    }

    /// Sends one datagram, or one run of segments, with one call.
    pub(super) fn send_one(&self, controls: &Controls, remote: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let (fd, messages) = (self.socket.as_raw_fd(), controls.messages());
        let remote = SockaddrStorage::from(remote);
        again(|| sendmsg(fd, &[IoSlice::new(bytes)], &messages, MsgFlags::empty(), Some(&remote))).map(|_| ())
    }
}

/// Repeats what a signal interrupted.
fn again<T>(mut call: impl FnMut() -> Result<T, Errno>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result.map_err(Into::into),
        }
    }
}

/// The two ECN bits of an IP header (RFC 3168, section 5).
const fn codepoint_bits(ecn: Ecn) -> u8 {
    match ecn {
        Ecn::NotEct => 0b00,
        Ecn::Ect1 => 0b01,
        Ecn::Ect0 => 0b10,
        Ecn::Ce => 0b11,
    }
}
