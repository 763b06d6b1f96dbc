//! Several queues over one UMEM: XDP-4, XDP-7.

use wirehaul::clock::Clock;
use wirehaul::udp::{Options, UdpDevice};
use wirehaul::xdp::{Mode, Port, XdpDevice};
use wirehaul_core::device::Device;
use wirehaul_core::xsk::MAX_QUEUES;

use crate::wire::{address, assert_conserved, datapath, frame, number_of, on_a_wire, payload, put, until};

const AHEAD: u32 = 100;

fn device(end: usize, mode: Mode, queues: &[u32]) -> XdpDevice {
    let kernel = UdpDevice::bind(address(end), &Options::default()).unwrap();
    let opened = datapath(end, mode).device(queues, Box::new(kernel), Clock::start().now());
    opened.map_err(|(error, _)| error).unwrap()
}

/// Sends `count` datagrams of this length on each of two queues; returns what the device received of each.
fn through_two_queues(mode: Mode, len: usize, count: u32) -> [Vec<u32>; 2] {
    let sending = datapath(0, mode);
    let mut ports: [Port; 2] = [0, 1].map(|queue| sending.port(queue).unwrap());
    let mut device = device(1, mode, &[0, 1]);
    let mut next = [0; 2];
    let mut came: [Vec<u32>; 2] = Default::default();
    until(|| {
        for (queue, port) in ports.iter_mut().enumerate() {
            // No more under way than the receiver has frames for.
            let limit = count.min(came[queue].len() as u32 + AHEAD);
            while next[queue] < limit && put(port, &frame(0, &payload(next[queue] | (queue as u32) << 31, len))) {
                next[queue] += 1;
            }
            port.flush();
        }
        device.receive(|received| {
            let number = number_of(received.bytes);
            assert!(received.bytes == payload(number, len), "packet {number:#x} is not whole");
            assert_eq!(received.remote, address(0));
            came[(number >> 31) as usize].push(number & 0x7fff_ffff);
        });
        came.iter().all(|came| came.len() as u32 >= count)
    });
    ports.iter_mut().for_each(assert_conserved);
    let found = device.statistics();
    assert_eq!((found.faults, found.device.strange), ((0, 0), 0), "{found:?}");
    assert_eq!(found.frames.free + found.frames.filled, found.frames.frames, "{found:?}");
    came
}

/// SHARED_UMEM: packets of both queues arrive, each queue's in their order, and every frame of the one UMEM is accounted for.
#[test]
fn two_queues_share_a_umem() {
    for mode in [Mode::Copy, Mode::Generic] {
        on_a_wire("two queues", 1500, 2, move || {
            let came = through_two_queues(mode, 200, 3000);
            assert_eq!(came, [(); 2].map(|()| (0..3000).collect::<Vec<_>>()));
        });
    }
}

/// XDP-4: of more queues than a device has room for, it says which it took.
#[test]
fn of_very_many_queues_some_are_taken() {
    on_a_wire("very many queues", 1500, 70, || {
        let all: Vec<u32> = (0..70).collect();
        let mut device = device(1, Mode::Copy, &all);
        assert_eq!(device.queues(), &all[..MAX_QUEUES]);
        let at = device.statistics().frames;
        assert_eq!((at.free + at.filled, at.filled), (at.frames, 64 * 256), "{at:?}");
    });
}

/// XDP-5, XDP-7: long packets of several queues, taken out a few chunks at a time, are not mixed up.
#[test]
fn long_packets_of_two_queues_are_not_mixed_up() {
    on_a_wire("long packets on two queues", 9000, 2, || {
        let came = through_two_queues(Mode::Copy, 8000, 1000);
        assert_eq!(came, [(); 2].map(|()| (0..1000).collect::<Vec<_>>()));
    });
}
