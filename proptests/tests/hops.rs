//! Next hops beside a kernel whose routes and neighbours change at random and which tells late: once everything was told, what
//! is remembered is what the kernel would say now.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use wirehaul_core::hops::{Hops, Kernel, KernelReason, LOOK_AGAIN, Neighbour, NextHop, NoAnswer, Port, Route, Way};
use wirehaul_core::time::{Duration, Instant};

const OURS: u32 = 2;
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A packet to this remote.
    Send(u8),
    /// The route to 16 remotes: through this interface and gateway, or nowhere.
    Route(u8, Option<(u32, u8)>),
    /// The entry of a gateway.
    Neighbour(u8, u16, u8),
    /// The kernel's messages so far are read.
    Read,
    /// The kernel's messages so far are lost.
    Lose,
    /// Time passes, and neighbours are confirmed.
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Step> {
    let state = prop::sample::select(vec![0, 0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80]);
    prop_oneof![
        8 => (0..64_u8).prop_map(Step::Send),
        2 => (0..4_u8, prop::option::weighted(0.8, (OURS..OURS + 3, 0..3_u8))).prop_map(|(net, to)| Step::Route(net, to)),
        4 => (0..3_u8, state, any::<u8>()).prop_map(|(gateway, state, ether)| Step::Neighbour(gateway, state, ether)),
        3 => Just(Step::Read),
        1 => Just(Step::Lose),
        2 => (0..12_000_u64).prop_map(Step::Pass),
    ]
}

/// What the kernel tells without being asked.
#[derive(Clone, Copy, Debug)]
enum Notice {
    Route(u8),
    Neighbour(u8, Neighbour),
}

#[derive(Debug, Default)]
struct Truth {
    routes: BTreeMap<u8, (u32, u8)>,
    neighbours: BTreeMap<u8, Neighbour>,
    asked: usize,
    confirmed: BTreeMap<(u32, u8), Vec<Instant>>,
    now: Instant,
}

fn remote(last: u8) -> IpAddr {
    Ipv4Addr::new(198, 51, 100, last).into()
}

fn gateway(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn last(address: IpAddr) -> u8 {
    let IpAddr::V4(v4) = address else { unreachable!("the model speaks IPv4") };
    v4.octets()[3]
}

impl Kernel for Truth {
    fn route_to(&mut self, remote: IpAddr) -> Result<Route, NoAnswer> {
        self.asked += 1;
        let Some((interface, to)) = self.routes.get(&(last(remote) / 16)) else { return Ok(Route::Unreachable) };
        let neighbour = gateway(*to);
        Ok(Route::Unicast { interface: *interface, neighbour, source: Some(SOURCE), mtu: None })
    }

    fn neighbour(&mut self, _: u32, address: IpAddr) -> Result<Neighbour, NoAnswer> {
        Ok(self.neighbours.get(&last(address)).copied().unwrap_or(Neighbour::NONE))
    }

    fn confirm(&mut self, interface: u32, address: IpAddr) -> Result<(), NoAnswer> {
        self.confirmed.entry((interface, last(address))).or_default().push(self.now);
        Ok(())
    }

    fn port(&self, interface: u32) -> Option<Port> {
        // Ours and a VLAN on it; the third leads elsewhere.
        let vlan = (interface > OURS).then_some(5);
        (interface < OURS + 2).then_some(Port { ether_source: [1; 6], vlan, mtu_v4: 1500, mtu_v6: 1500 })
    }
}

impl Truth {
    /// The way as the kernel itself would go now.
    fn way(&self, to: u8) -> Way {
        let Some((interface, via)) = self.routes.get(&(to / 16)) else { return Way::Unreachable };
        let Some(port) = self.port(*interface) else { return Way::Kernel(KernelReason::OtherInterface) };
        let entry = self.neighbours.get(via).filter(|entry| entry.state & 0xde != 0);
        let Some(ether_destination) = entry.and_then(|entry| entry.ether) else {
            return Way::Kernel(KernelReason::Unresolved);
        };
        let Port { ether_source, vlan, .. } = port;
        Way::Direct(NextHop { ether_source, ether_destination, vlan, source: SOURCE, mtu: 1500 })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn what_is_remembered_is_what_the_kernel_would_say(script in vec(steps(), 1..200)) {
        let (mut hops, mut truth, mut untold) = (Hops::new(), Truth::default(), VecDeque::new());
        let mut sent = 0;
        for step in script {
            match step {
                Step::Send(to) => {
                    let now = truth.now;
                    hops.way_to(now, remote(to), &mut truth);
                    sent += 1;
                }
                Step::Route(net, to) => {
                    match to {
                        Some(to) => truth.routes.insert(net, to),
                        None => truth.routes.remove(&net),
                    };
                    untold.push_back(Notice::Route(net));
                }
                Step::Neighbour(via, state, ether) => {
                    let entry = Neighbour { state, ether: (state != 0).then_some([ether; 6]) };
                    truth.neighbours.insert(via, entry);
                    untold.push_back(Notice::Neighbour(via, entry));
                }
                Step::Read => tell(&mut hops, truth.now, &mut untold),
                Step::Lose => {
                    untold.clear();
                    hops.forget_all();
                }
                Step::Pass(millis) => {
                    truth.now += Duration::from_millis(millis);
                    let now = truth.now;
                    hops.keep_alive(now, &mut truth);
                }
            }
        }
        tell(&mut hops, truth.now, &mut untold);
        prop_assert!(truth.asked <= sent, "asked without a packet");
        for times in truth.confirmed.values() {
            prop_assert!(times.windows(2).all(|pair| pair[1].saturating_since(pair[0]) >= LOOK_AGAIN));
        }
        for to in 0..64 {
            let now = truth.now;
            prop_assert_eq!(hops.way_to(now, remote(to), &mut truth), truth.way(to));
        }
        // And once more, without a question.
        let asked = truth.asked;
        for to in 0..64 {
            let now = truth.now;
            prop_assert_eq!(hops.way_to(now, remote(to), &mut truth), truth.way(to));
        }
        prop_assert_eq!(truth.asked, asked);
    }
}

fn tell(hops: &mut Hops, now: Instant, untold: &mut VecDeque<Notice>) {
    for notice in untold.drain(..) {
        match notice {
            Notice::Route(net) => hops.route_changed(remote(net * 16), 28),
            // Both links have the gateway; a real kernel tells each apart.
            Notice::Neighbour(via, entry) => {
                for interface in OURS..OURS + 3 {
                    hops.neighbour_changed(now, interface, gateway(via), entry);
                }
            }
        }
    }
}
