//! A ring that the kernel copies packets into, mapped (TPACKET_V2 of Documentation/networking/packet_mmap.rst).
//!
//! Not TPACKET_V3: that hands packets over in blocks, when they are full or milliseconds later, and round trips would be as much
//! longer. Here a packet can be seen as soon as it came, and without a system call.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use super::Link;
use super::socket::{PacketError, Socket};

/// Bytes of a piece of the ring: a power of two, so that the kernel finds it in one piece, and slots fit in whole.
const BLOCK_BYTES: usize = 256 << 10;
/// Bytes of the ring. At 2048 a packet it holds 8192: 8 ms of a million packets per second.
const RING_BYTES: usize = 16 << 20;
/// The least and the largest bytes of a slot. What is longer than the largest is cut, which no header is.
const MIN_SLOT_BYTES: usize = 2048;
const MAX_SLOT_BYTES: usize = 16 << 10;
/// The first word of a slot, which says whose it is.
const STATUS_BYTES: usize = size_of::<u32>();
/// The kernel's own header, the address of the link and the alignment in front of a packet, and an Ethernet header.
const OVERHEAD_BYTES: usize = 128;

const _: () = assert!(BLOCK_BYTES.is_multiple_of(MAX_SLOT_BYTES) && RING_BYTES.is_multiple_of(BLOCK_BYTES));

/// The ring, and where in it we are.
#[derive(Debug)]
pub(super) struct Ring {
    start: NonNull<u8>,
    slot_bytes: usize,
    slots: usize,
    next: usize,
}

// SAFETY: it owns its mapping, which no thread but the owner's reads or writes; the kernel does by the protocol of the status
// word.
unsafe impl Send for Ring {}

impl Ring {
    /// Has the kernel make the ring of this socket, and maps it.
    pub(super) fn of(socket: &Socket, link: &Link) -> Result<Self, PacketError> {
        let failed = |source| PacketError::Ring { interface: link.name.clone(), bytes: RING_BYTES, source };
        let version = libc::tpacket_versions::TPACKET_V2 as libc::c_int;
        socket.set(libc::SOL_PACKET, libc::PACKET_VERSION, &version).map_err(failed)?;
        let slot_bytes = slot_bytes(link.mtu);
        let slots = RING_BYTES / slot_bytes;
        let request = libc::tpacket_req {
            tp_block_size: BLOCK_BYTES as u32,
            tp_block_nr: (RING_BYTES / BLOCK_BYTES) as u32,
            tp_frame_size: slot_bytes as u32,
            tp_frame_nr: slots as u32,
        };
        socket.set(libc::SOL_PACKET, libc::PACKET_RX_RING, &request).map_err(failed)?;
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        let descriptor = socket.as_fd().as_raw_fd();
        // SAFETY: a new mapping where the kernel chooses touches no memory of anybody.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), RING_BYTES, protection, flags, descriptor, 0) };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().cast() != libc::MAP_FAILED => Ok(Self { start, slot_bytes, slots, next: 0 }),
            _ => Err(failed(io::Error::last_os_error())),
        }
    }

    /// Shows up to `limit` packets to `sink`, and gives their slots back. Returns how many there were.
    pub(super) fn receive(&mut self, limit: usize, mut sink: impl FnMut(&mut [u8])) -> usize {
        let mut count = 0;
        while count < limit {
            let slot = self.start.as_ptr().wrapping_add(self.next * self.slot_bytes);
            // SAFETY: a slot begins inside of the mapping, aligned to its size, and its first four bytes are the status, which
            // the kernel and we use as an atomic number only. The mapping lives as long as `self`.
            let status = unsafe { &*slot.cast::<AtomicU32>() };
            if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
                break;
            }
            // SAFETY: the status says that the slot is ours until we write it, and nobody else has a reference: the one before
            // ended with its turn of this loop. The slot is `slot_bytes` long and initialised by the kernel; the status is left out.
            let bytes = unsafe {
                std::slice::from_raw_parts_mut(slot.wrapping_add(STATUS_BYTES), self.slot_bytes - STATUS_BYTES)
            };
            if let Some(packet) = packet_in(bytes) {
                sink(packet);
            }
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.next = if self.next + 1 == self.slots { 0 } else { self.next + 1 };
            count += 1;
        }
        count
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing points into it any more: what `receive` showed is gone.
        unsafe { libc::munmap(self.start.as_ptr().cast(), RING_BYTES) };
    }
}

/// Bytes of a slot for packets of this MTU.
fn slot_bytes(mtu: u32) -> usize {
    let wanted = (mtu as usize).saturating_add(OVERHEAD_BYTES).min(MAX_SLOT_BYTES);
    wanted.next_power_of_two().clamp(MIN_SLOT_BYTES, MAX_SLOT_BYTES)
}

/// The packet in a slot, from the link's header on: `struct tpacket2_hdr` says where. `None` where that makes no sense. The slot is
/// shown from behind the status on.
fn packet_in(slot: &mut [u8]) -> Option<&mut [u8]> {
    const SNAPLEN_AT: usize = 8 - STATUS_BYTES;
    const MAC_AT: usize = 12 - STATUS_BYTES;
    let len = u32::from_ne_bytes(*slot.get(SNAPLEN_AT..)?.first_chunk()?) as usize;
    let begin = usize::from(u16::from_ne_bytes(*slot.get(MAC_AT..)?.first_chunk()?));
    // In front is the kernel's header.
    if begin < size_of::<libc::tpacket2_hdr>() {
        return None;
    }
    let begin = begin - STATUS_BYTES;
    slot.get_mut(begin..begin.checked_add(len)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_hold_what_the_mtu_allows() {
        assert_eq!(
            [68, 1500, 1920, 1921, 9000, 65536, u32::MAX].map(slot_bytes),
            [2048, 2048, 2048, 4096, 16384, 16384, 16384]
        );
    }

    #[test]
    fn a_header_that_makes_no_sense_is_no_packet() {
        let mut slot = [0; 2048];
        let mut with = |len: u32, begin: u16| {
            slot[8..12].copy_from_slice(&len.to_ne_bytes());
            slot[12..14].copy_from_slice(&begin.to_ne_bytes());
            packet_in(&mut slot[STATUS_BYTES..]).map(|packet| packet.len())
        };
        assert_eq!(with(60, 66), Some(60));
        assert_eq!(with(2048 - 66, 66), Some(2048 - 66));
        assert_eq!(with(2048 - 65, 66), None);
        assert_eq!(with(u32::MAX, u16::MAX), None);
        assert_eq!(with(60, 16), None, "in the kernel's header");
    }
}
