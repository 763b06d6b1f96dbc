//! The boundary between the core and whatever carries packets: UDP sockets, AF_XDP rings, the simulator's links.

use core::net::SocketAddr;

use crate::time::Instant;

/// The ECN field of an IP header (RFC 3168).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ecn {
    /// Not ECN-capable, or the device cannot tell.
    #[default]
    NotEct,
    /// ECN-capable transport, codepoint 1.
    Ect1,
    /// ECN-capable transport, codepoint 0.
    Ect0,
    /// Congestion experienced.
    Ce,
}

/// Datagrams from one sender, received together: one datagram, or a run of equal ones that the kernel merged (GRO).
#[derive(Debug)]
pub struct Received<'a> {
    /// Who sent them.
    pub remote: SocketAddr,
    /// Their ECN field.
    pub ecn: Ecn,
    /// Bytes of each datagram; the last may be shorter. At least 1.
    pub stride: usize,
    /// The datagrams, back to back.
    pub bytes: &'a mut [u8],
}

/// A run of datagrams to send to one peer, written into [`Device::transmit_buffer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub remote: SocketAddr,
    /// Bytes used at the front of the buffer.
    pub len: usize,
    /// Bytes of each datagram in it; the last may be shorter.
    pub segment_bytes: usize,
    /// The ECN field to set.
    pub ecn: Ecn,
    /// When the first datagram may leave, at the earliest. A device without transmit time sends at once: the
    /// session hands nothing out before its time.
    pub depart_at: Instant,
}

/// What became of a [`Device::submit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// Handed to the network, or lost in a way that the network might have lost it.
    Sent,
    /// The device has no room now. The datagrams were dropped, and loss recovery will send them again.
    Full,
    /// The network cannot reach the destination (no route, interface down, refused by a firewall).
    Unreachable,
    /// Datagrams of this size do not fit the first link of the way. They were dropped.
    TooBig,
}

/// Something that receives and sends datagrams.
pub trait Device {
    /// Receives at most one bounded batch and shows each run to `sink`; returns how many datagrams that were.
    ///
    /// Zero means that nothing was waiting. `sink` may change the bytes (it decrypts in place).
    fn receive(&mut self, sink: impl FnMut(Received<'_>)) -> usize;

    /// A buffer for the next run to send; its length bounds the run. `None` while the device has no room.
    fn transmit_buffer(&mut self) -> Option<&mut [u8]>;

    /// The most datagrams that one run may hold on this device: 1 where segmentation offload is missing.
    fn max_segments(&self) -> usize;

    /// Sends what was written into [`Device::transmit_buffer`].
    fn submit(&mut self, transmit: &Transmit) -> Submitted;

    /// Pushes out what [`Device::submit`] held back to send in one call.
    fn flush(&mut self);
}
