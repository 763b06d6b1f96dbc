//! Packets that are lost on the way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wirehaul::interface::Interface;
use wirehaul::xdp::{Datapath, Mode, Port};
use wirehaul_core::wire::net::parse_udp;

use super::{COPY, MIB, V4, transfer};
use crate::common::machine::{Link, Namespace, has_xdp};
use crate::common::shared;

/// A wire between two hosts that drops one packet of a hundred in each direction: a host of its own, which hands frames from
/// one interface to the other with AF_XDP.
struct LossyWire {
    host: Arc<Namespace>,
    is_over: Arc<AtomicBool>,
    dropped: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

const DROPS_ONE_OF: u64 = 100;

impl LossyWire {
    fn between(link: &Link) -> Self {
        let host = Arc::new(Namespace::new());
        for (end, port) in [(&link.left, "left"), (&link.right, "right")] {
            end.join("wire", &host, port, 1);
            host.set_up(port, &[], 1500);
        }
        let (is_over, dropped) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let thread = std::thread::spawn({
            let (host, is_over, dropped) = (Arc::clone(&host), Arc::clone(&is_over), Arc::clone(&dropped));
            move || {
                host.enter();
                forward(&is_over, &dropped);
            }
        });
        Self { host, is_over, dropped, thread: Some(thread) }
    }

    fn end(mut self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        // A child that another test has begun to start has our descriptors too, until it runs its program.
        let begin = Instant::now();
        while self.host.ask_ip(&["link", "show"]).contains("xdp") && begin.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
        }
        super::assert_nothing_attached(&self.host);
        self.dropped.load(Ordering::Relaxed)
    }
}

fn port(interface: &str, to: SocketAddr) -> Port {
    let interface = Interface::by_name(interface).unwrap();
    Datapath::open(&interface, Mode::Copy, to).unwrap().port(0).unwrap()
}

/// Until it is over. The sender's port is known from its first packet.
fn forward(is_over: &AtomicBool, dropped: &AtomicU64) {
    let mut left = port("left", V4.parse().unwrap());
    let mut right = None;
    let mut seen = [0, 0];
    while !is_over.load(Ordering::Relaxed) {
        let mut to_right = Vec::new();
        left.receive(64, |frame| to_right.push(frame.to_vec()));
        if let (None, Some(first)) = (&right, to_right.first()) {
            right = Some(port("right", parse_udp(first).unwrap().source));
        }
        let mut to_left = Vec::new();
        if let Some(right) = &mut right {
            right.receive(64, |frame| to_left.push(frame.to_vec()));
            hand_over(to_right, right, &mut seen[0], dropped);
        }
        if to_left.is_empty() {
            left.wait(1).unwrap();
        }
        hand_over(to_left, &mut left, &mut seen[1], dropped);
    }
}

fn hand_over(frames: Vec<Vec<u8>>, to: &mut Port, seen: &mut u64, dropped: &AtomicU64) {
    for frame in frames {
        *seen += 1;
        let is_sent = !seen.is_multiple_of(DROPS_ONE_OF)
            && to.transmit(|room| {
                room[..frame.len()].copy_from_slice(&frame);
                frame.len()
            });
        dropped.fetch_add(u64::from(!is_sent), Ordering::Relaxed);
    }
    to.flush();
}

/// XDP-10: one packet of a hundred is lost in each direction, acknowledgements too.
#[test]
fn a_hundredth_of_the_packets_is_lost_and_nothing_of_the_file() {
    let _guard = shared();
    if !has_xdp("AF_XDP over a wire that loses packets") {
        return;
    }
    let link = Link { left: Namespace::new(), right: Namespace::new() };
    let wire = LossyWire::between(&link);
    for (host, end) in [(&link.left, 1), (&link.right, 2)] {
        host.set_up("wire", &[&format!("10.74.0.{end}/24")], 1500);
        host.ip(&["link", "set", "wire", "address", &format!("02:00:00:00:74:0{end}")]);
    }
    for (host, peer) in [(&link.left, 2), (&link.right, 1)] {
        let (address, mac) = (format!("10.74.0.{peer}"), format!("02:00:00:00:74:0{peer}"));
        host.ip(&["neighbour", "add", &address, "lladdr", &mac, "dev", "wire", "nud", "permanent"]);
    }
    let [sent, _] = transfer((&link, V4), 40 * MIB, [COPY, COPY], || {});
    let dropped = wire.end();
    let share = sent.summary()["retransmitted_pct"].as_f64().unwrap();
    assert!(share > 0.5 && share < 20.0 && dropped > 200, "{dropped} dropped\n{}", sent.output());
}
