//! This end of the rings alone, the kernel's being played in between: nanoseconds and instructions per packet.

use std::cell::Cell;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;

use clap::ValueEnum;
use serde::Serialize;
use wirehaul::xdp::UmemSize;
use wirehaul::xdp::paired::{self, KernelEnd};
use wirehaul_core::device::{Device, Ecn, Submitted, Transmit};
use wirehaul_core::hops::{NextHop, Way};
use wirehaul_core::time::Instant;
use wirehaul_core::wire::net::MacAddress;
use wirehaul_core::xsk::{Frame, Frames, Kick, Outside, Queue, Queues, XskDevice};

use super::{FRAME_BYTES, PORT, write_frame};
use crate::clock::Stopwatch;
use crate::stats::median;

const SIZE: UmemSize =
    UmemSize { chunk_bytes: 2048, receive_frames: 2048, transmit_frames: 2048, chunks_per_transmit: 1 };
const ENTRIES: u32 = 2048;
/// Packets handled between two looks at the clock, as in a turn of the worker.
const BATCH: u32 = 64;
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];
const MACS: [MacAddress; 2] = [MacAddress([2, 0, 0, 0, 0, 1]), MacAddress([2, 0, 0, 0, 0, 2])];

/// What is done with each packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Taken out of the receive ring, its frame given back.
    Receive,
    /// A frame taken, put into the transmit ring, and taken back.
    Send,
    /// Taken out of one ring and put into the other.
    Forward,
    /// Received as a datagram: its headers parsed.
    Datagram,
    /// Sent as a datagram of 18 bytes: its headers written, with checksums.
    SendDatagram,
    /// Sent as a datagram of 1472 bytes.
    SendLarge,
}

/// All of them.
pub const WORKS: [Work; 6] =
    [Work::Receive, Work::Send, Work::Forward, Work::Datagram, Work::SendDatagram, Work::SendLarge];

impl Work {
    /// For people.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Receive => "receive (rings, frames)",
            Self::Send => "send (rings, frames)",
            Self::Forward => "forward (rings, frames)",
            Self::Datagram => "receive a datagram (and headers)",
            Self::SendDatagram => "send a datagram of 18 bytes",
            Self::SendLarge => "send a datagram of 1472 bytes",
        }
    }
}

/// What a packet costs.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cost {
    /// The work.
    pub work: Work,
    /// Median over the batches.
    pub nanoseconds: f64,
    /// As callgrind counts them; `None` without valgrind.
    pub instructions: Option<f64>,
}

/// Does the work so often; nanoseconds per packet of each batch.
#[must_use]
pub fn run(work: Work, batches: usize) -> Vec<f64> {
    run_on_node(work, batches, None)
}

/// The same with frames on this NUMA node; nothing where they cannot be had there.
#[must_use]
pub fn run_on_node(work: Work, batches: usize, node: Option<u32>) -> Vec<f64> {
    let mut found = Vec::with_capacity(batches);
    let done = paired::with_on_node(SIZE, ENTRIES, 0, node, |frames, queue, kernel| match work {
        Work::Receive | Work::Send | Work::Forward => rings(work, batches, frames, queue, kernel, &mut found),
        Work::Datagram | Work::SendDatagram | Work::SendLarge => {
            datagrams(work, batches, frames, queue, kernel, &mut found);
        }
    });
    if done.is_none() {
        found.clear();
    }
    found
}

/// The median cost, with instructions where valgrind is there.
#[must_use]
pub fn measure(work: Work, batches: usize) -> Option<Cost> {
    let nanoseconds = median(&run(work, batches))?;
    Some(Cost { work, nanoseconds, instructions: count_instructions(work) })
}

fn rings<'m>(
    work: Work,
    batches: usize,
    mut frames: Frames<'m, '_>,
    mut queue: Queue<'m>,
    mut kernel: KernelEnd<'m>,
    found: &mut Vec<f64>,
) {
    queue.set_share(ENTRIES);
    queue.refill(&mut frames);
    for _ in 0..batches {
        if work != Work::Send {
            kernel.deliver_as_is(BATCH, FRAME_BYTES as u32);
        }
        let watch = Stopwatch::start();
        let count = match work {
            Work::Receive => receive(&mut frames, &mut queue),
            Work::Send => send(&mut frames, &mut queue),
            _ => forward(&mut frames, &mut queue),
        };
        found.push(watch.seconds() * 1e9 / f64::from(count.max(1)));
        kernel.send_as_is(BATCH);
        assert_eq!(count, BATCH, "the rings ran dry");
    }
}

/// What callgrind counts, by name; apart for that.
#[inline(never)]
fn receive(frames: &mut Frames<'_, '_>, queue: &mut Queue<'_>) -> u32 {
    let mut count = 0;
    let mut incoming = queue.incoming(frames);
    while let Some((frame, _)) = incoming.take() {
        incoming.recycle(black_box(frame));
        count += 1;
    }
    count
}

#[inline(never)]
fn send(frames: &mut Frames<'_, '_>, queue: &mut Queue<'_>) -> u32 {
    queue.reap(frames, BATCH);
    let mut count = 0;
    while count < BATCH {
        let Some(slot) = frames.take() else { break };
        let Ok(frame) = Frame::new(black_box(slot), 0, FRAME_BYTES) else { break };
        if queue.transmit(frames, frame).is_err() {
            break;
        }
        count += 1;
    }
    queue.publish();
    count
}

#[inline(never)]
fn forward(frames: &mut Frames<'_, '_>, queue: &mut Queue<'_>) -> u32 {
    queue.reap(frames, BATCH);
    let mut count = 0;
    while let Some((frame, _)) = queue.next_received(frames) {
        if let Err(frame) = queue.transmit(frames, black_box(frame)) {
            frames.put(frame.into_slot());
        }
        count += 1;
    }
    queue.release();
    queue.publish();
    queue.refill(frames);
    count
}

/// A system that knows one way and does nothing.
struct Still(Cell<u64>);

impl Outside for Still {
    fn kick_transmit(&mut self, _: usize) -> Kick {
        Kick::Done
    }

    fn kick_receive(&mut self, _: usize) -> Kick {
        Kick::Done
    }

    fn way_to(&mut self, _: IpAddr) -> Way {
        self.0.set(self.0.get() + 1);
        Way::Direct(NextHop {
            ether_source: MACS[1].0,
            ether_destination: MACS[0].0,
            vlan: None,
            source: ADDRESSES[1].into(),
            mtu: 1500,
        })
    }

    fn submit_to_kernel(&mut self, _: &Transmit, _: &[u8]) -> Submitted {
        Submitted::Full
    }
}

fn datagrams<'m>(
    work: Work,
    batches: usize,
    frames: Frames<'m, '_>,
    queue: Queue<'m>,
    mut kernel: KernelEnd<'m>,
    found: &mut Vec<f64>,
) {
    let mut queues = Queues::new();
    let _ = queues.push(queue);
    let local = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT);
    let mut device = XskDevice::new(Still(Cell::new(0)), frames, queues, local);
    let mut packet = [0; FRAME_BYTES];
    assert!(write_frame(&mut packet, MACS, ADDRESSES), "the headers fit");
    kernel.write_everywhere(&packet);
    // What was written everywhere goes through the ring once, so that all chunks are in it again.
    let mut left = kernel.deliver_taken(ENTRIES, FRAME_BYTES as u32);
    while left > 0 {
        left = left.saturating_sub(device.receive(|_| ()) as u32);
    }
    for _ in 0..batches {
        if work == Work::Datagram {
            kernel.deliver_as_is(BATCH, FRAME_BYTES as u32);
        }
        let len = if work == Work::SendLarge { 1472 } else { FRAME_BYTES - 42 };
        let watch = Stopwatch::start();
        let count = if work == Work::Datagram { take(&mut device) } else { put(&mut device, len) };
        found.push(watch.seconds() * 1e9 / f64::from(count.max(1)));
        kernel.send_as_is(BATCH);
        assert_eq!(count, BATCH, "the rings ran dry");
    }
}

#[inline(never)]
fn take(device: &mut XskDevice<'_, '_, Still>) -> u32 {
    device.receive(|received| {
        black_box(received.bytes);
    }) as u32
}

#[inline(never)]
fn put(device: &mut XskDevice<'_, '_, Still>, len: usize) -> u32 {
    let remote = SocketAddr::new(ADDRESSES[0].into(), PORT);
    let transmit = Transmit { remote, len, segment_bytes: len, ecn: Ecn::NotEct, depart_at: Instant::ZERO };
    let mut count = 0;
    while count < BATCH && device.transmit_buffer().is_some() && device.submit(black_box(&transmit)) == Submitted::Sent
    {
        count += 1;
    }
    device.flush();
    count
}

/// Instructions per packet between entering and leaving the function that does the work.
fn count_instructions(work: Work) -> Option<f64> {
    const BATCHES: u32 = 200;
    let function = match work {
        Work::Receive => "receive",
        Work::Send => "send",
        Work::Forward => "forward",
        Work::Datagram => "take",
        Work::SendDatagram | Work::SendLarge => "put",
    };
    let name = work.to_possible_value()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg(format!("--toggle-collect=wirehaul_benches::xdp::cost::{function}"))
        .arg(std::env::current_exe().ok()?)
        .args(["--only", name.get_name(), "--batches", &BATCHES.to_string()])
        .output()
        .ok()?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let count = told.lines().find_map(|line| line.split("Collected : ").nth(1))?.trim().parse::<f64>().ok()?;
    Some(count / f64::from(BATCHES * BATCH)).filter(|count| *count > 0.0)
}
