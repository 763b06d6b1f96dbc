//! An experiment: can packets be written to a file from where the card put them? (XDP-5 and URING-1 together.)
//!
//! The same memory can be a UMEM and registered with io_uring. What it costs and gains is printed by the second test, which only
//! runs when it is asked for: `cargo test --release -p wirehaul --lib -- --ignored --nocapture frames_against_blocks`.

use std::ffi::c_void;
use std::fs::File as StdFile;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;

use tempfile::TempDir;
use wirehaul_core::pool::Sizing;

use super::*;
use crate::clock::Clock;
use crate::io::buffer::Buffer;
use crate::io::file::File;
use crate::pools::{LastingPool, lasting};

const FRAME_BYTES: u32 = 4096;
/// What a packet carries, and where in its frame that begins: behind the kernel's headroom and 70 bytes of headers.
const PAYLOAD: std::ops::Range<usize> = 326..326 + 1376;

fn pool(frames: u32) -> LastingPool {
    lasting(&Sizing { slots_per_session: frames, slot_bytes: FRAME_BYTES, ..Sizing::new(1, 1) }).unwrap()
}

/// An AF_XDP socket with the pool's memory as its UMEM; `None` where this process may not.
fn umem_over(pool: LastingPool) -> Option<OwnedFd> {
    // SAFETY: no memory is passed.
    let socket = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return None;
    }
    // SAFETY: opened just now, without another owner.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let region = pool.region();
    let umem = libc::xdp_umem_reg {
        addr: region.cast::<u8>().as_ptr() as u64,
        len: region.len() as u64,
        chunk_size: FRAME_BYTES,
        headroom: 0,
        flags: 0,
        tx_metadata_len: 0,
    };
    // SAFETY: the kernel reads the structure, which outlives the call. It writes into the memory only once frames of it are in a
    // fill ring, and this socket gets none.
    let status = unsafe {
        let at = (&raw const umem).cast::<c_void>();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_XDP, libc::XDP_UMEM_REG, at, size_of_val(&umem) as u32)
    };
    assert_eq!(status, 0, "{}", io::Error::last_os_error());
    Some(socket)
}

fn filled(pool: LastingPool, seed: u8) -> Buffer {
    let mut buffer = Buffer::in_slot(pool.take().unwrap());
    buffer.resize(FRAME_BYTES as usize);
    buffer.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at % 251) as u8 ^ seed);
    buffer
}

#[test]
fn frames_of_a_umem_can_be_written_to_files() {
    let pool = pool(64);
    let Some(umem) = umem_over(pool) else {
        eprintln!("skipped: frames that are written to files need AF_XDP");
        return;
    };
    let Ok(mut queue) = Queue::open(&QueueOptions::default()) else { return };
    queue.register_buffers(&[Region::of(pool, usize::MAX)]).unwrap();
    let dir = TempDir::new().unwrap();
    let file = Arc::new(File::new(StdFile::create(dir.path().join("a")).unwrap().into()));
    for packet in 0..64_u64 {
        let (buffer, offset) = (filled(pool, packet as u8), packet * PAYLOAD.len() as u64);
        queue.submit(Operation::Write { file: file.clone(), buffer, range: PAYLOAD, offset }, packet).unwrap();
    }
    while queue.in_flight() > 0 {
        queue.enter(Wait::One).unwrap();
        while let Some(Finished { operation, result, .. }) = queue.poll() {
            assert!(matches!(result, Ok(Output::Bytes(bytes)) if bytes == PAYLOAD.len() as u64), "{operation:?}");
        }
    }
    let written = std::fs::read(dir.path().join("a")).unwrap();
    for (packet, payload) in written.chunks(PAYLOAD.len()).enumerate() {
        assert_eq!(*payload, filled(pool, packet as u8)[PAYLOAD]);
    }
    drop(umem);
}

/// Writes the payloads of so many packets; nanoseconds for each.
fn from_frames(queue: &mut Queue, pool: LastingPool, file: &Arc<File>, packets: u64) -> f64 {
    let mut idle: Vec<_> = (0..128).map(|_| filled(pool, 1)).collect();
    let clock = Clock::start();
    let mut begun = 0;
    while begun < packets || queue.in_flight() > 0 {
        while begun < packets
            && let Some(buffer) = idle.pop()
        {
            let offset = begun * PAYLOAD.len() as u64;
            queue.submit(Operation::Write { file: file.clone(), buffer, range: PAYLOAD, offset }, 0).unwrap();
            begun += 1;
        }
        queue.enter(Wait::One).unwrap();
        while let Some(finished) = queue.poll() {
            finished.result.unwrap();
            let Operation::Write { buffer, .. } = finished.operation else { panic!() };
            idle.push(buffer);
        }
    }
    clock.now().as_nanos() as f64 / packets as f64
}

/// Copies the payloads into blocks of 256 KiB and writes these.
fn from_blocks(queue: &mut Queue, frames: LastingPool, file: &Arc<File>, packets: u64) -> f64 {
    let sizing = Sizing { slots_per_session: 8, slot_bytes: 256 << 10, ..Sizing::new(1, 1) };
    let blocks = lasting(&sizing).unwrap();
    let mut idle: Vec<_> = std::iter::from_fn(|| blocks.take()).map(Buffer::in_slot).collect();
    let frame = filled(frames, 1);
    let per_block = (256 << 10) / PAYLOAD.len();
    let clock = Clock::start();
    for block in 0..packets / per_block as u64 {
        while idle.is_empty() {
            queue.enter(Wait::One).unwrap();
            while let Some(finished) = queue.poll() {
                finished.result.unwrap();
                let Operation::Write { buffer, .. } = finished.operation else { panic!() };
                idle.push(buffer);
            }
        }
        let mut buffer = idle.pop().unwrap();
        buffer.resize(256 << 10);
        for place in buffer.chunks_exact_mut(PAYLOAD.len()) {
            place.copy_from_slice(std::hint::black_box(&frame[PAYLOAD]));
        }
        let range = 0..buffer.len();
        queue.submit(Operation::Write { file: file.clone(), buffer, range, offset: block << 18 }, 0).unwrap();
    }
    while queue.in_flight() > 0 {
        queue.enter(Wait::One).unwrap();
        while queue.poll().is_some() {}
    }
    clock.now().as_nanos() as f64 / packets as f64
}

#[test]
#[ignore = "prints what it costs; asserts nothing"]
fn frames_against_blocks() {
    let pool = pool(256);
    let Some(_umem) = umem_over(pool) else { return };
    let mut queue = Queue::open(&QueueOptions::default()).unwrap();
    queue.register_buffers(&[Region::of(pool, usize::MAX)]).unwrap();
    for dir in [TempDir::new().unwrap(), TempDir::new_in("/dev/shm").unwrap()] {
        let path = dir.path().join("a");
        let create = |direct: i32| {
            let mut options = StdFile::options();
            let file = options.write(true).create(true).truncate(false).custom_flags(direct).open(&path).unwrap();
            Arc::new(File::new(file.into()))
        };
        // Once, so that the file's space is there for all.
        let _ = from_blocks(&mut queue, pool, &create(0), 200_000);
        for (name, direct, blocks) in
            [("frames", 0, false), ("blocks", 0, true), ("blocks, direct", libc::O_DIRECT, true)]
        {
            let file = create(direct);
            let mut costs: Vec<_> = (0..5)
                .map(|_| {
                    if blocks {
                        from_blocks(&mut queue, pool, &file, 200_000)
                    } else {
                        from_frames(&mut queue, pool, &file, 200_000)
                    }
                })
                .collect();
            costs.sort_by(f64::total_cmp);
            println!("{}: from {name}: {:.0} ns a packet", dir.path().display(), costs[2]);
        }
    }
}
