//! With scripted answers of a kernel that counts what it is asked.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::*;

const OURS: u32 = 3;
const VLAN: u32 = 7;
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const PEER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));
const REACHABLE: u16 = 0x02;
const FAILED: u16 = 0x20;
const PERMANENT: u16 = 0x80;

struct Script {
    route: Result<Route, NoAnswer>,
    neighbour: Result<Neighbour, NoAnswer>,
    confirms: Result<(), NoAnswer>,
    asked: u32,
    confirmed: u32,
}

impl Kernel for Script {
    fn route_to(&mut self, _: IpAddr) -> Result<Route, NoAnswer> {
        self.asked += 1;
        self.route
    }

    fn neighbour(&mut self, _: u32, _: IpAddr) -> Result<Neighbour, NoAnswer> {
        self.neighbour
    }

    fn confirm(&mut self, interface: u32, address: IpAddr) -> Result<(), NoAnswer> {
        assert_eq!((interface, address), (OURS, GATEWAY));
        self.confirmed += 1;
        self.confirms
    }

    fn port(&self, interface: u32) -> Option<Port> {
        let vlan = (interface == VLAN).then_some(44);
        (interface == OURS || interface == VLAN).then_some(Port { ether_source: MAC, vlan, mtu_v4: 1500, mtu_v6: 1400 })
    }
}

fn through(interface: u32, mtu: Option<u32>) -> Result<Route, NoAnswer> {
    Ok(Route::Unicast { interface, neighbour: GATEWAY, source: Some(SOURCE), mtu })
}

fn neighbour(state: u16) -> Neighbour {
    Neighbour { state, ether: Some(PEER) }
}

fn script() -> Script {
    let neighbour = Ok(neighbour(REACHABLE));
    Script { route: through(OURS, None), neighbour, confirms: Ok(()), asked: 0, confirmed: 0 }
}

fn remote(last: u8) -> IpAddr {
    Ipv4Addr::new(198, 51, 100, last).into()
}

fn at(millis: u64) -> Instant {
    Instant::from_nanos(1_000_000_000) + Duration::from_millis(millis)
}

fn direct(vlan: Option<u16>, mtu: u32) -> Way {
    Way::Direct(NextHop { ether_source: MAC, ether_destination: PEER, vlan, source: SOURCE, mtu })
}

#[test]
fn the_kernel_is_asked_once_and_again_when_its_answer_is_old() {
    let (mut hops, mut kernel) = (Hops::new(), script());
    for millis in 0..9_999 {
        assert_eq!(hops.way_to(at(millis), remote(1), &mut kernel), direct(None, 1500));
    }
    assert_eq!(kernel.asked, 1);
    hops.way_to(at(10_000), remote(1), &mut kernel);
    assert_eq!(kernel.asked, 2);
}

#[test]
fn the_least_limit_of_route_and_link_counts() {
    for (mtu, limit) in [(None, 1500), (Some(1300), 1300), (Some(9000), 1500)] {
        let mut kernel = Script { route: through(OURS, mtu), ..script() };
        assert_eq!(Hops::new().way_to(at(0), remote(1), &mut kernel), direct(None, limit));
    }
    let source = Some(Ipv6Addr::LOCALHOST.into());
    let route = Ok(Route::Unicast { interface: OURS, neighbour: GATEWAY, source, mtu: None });
    let way = Hops::new().way_to(at(0), Ipv6Addr::LOCALHOST.into(), &mut Script { route, ..script() });
    assert!(matches!(way, Way::Direct(NextHop { mtu: 1400, .. })), "{way:?}");
}

#[test]
fn a_vlan_on_our_interface_is_a_tag() {
    let mut kernel = Script { route: through(VLAN, None), ..script() };
    assert_eq!(Hops::new().way_to(at(0), remote(1), &mut kernel), direct(Some(44), 1500));
}

#[test]
fn what_is_not_ours_to_frame_is_the_kernel_s() {
    let no_source = |source| Ok(Route::Unicast { interface: OURS, neighbour: GATEWAY, source, mtu: None });
    for (route, reason) in [
        (through(4, None), KernelReason::OtherInterface),
        (Ok(Route::Local), KernelReason::Local),
        (Ok(Route::NotUnicast), KernelReason::NotUnicast),
        (Ok(Route::Encapsulated), KernelReason::Encapsulated),
        (no_source(None), KernelReason::NoSource),
        (no_source(Some(Ipv6Addr::LOCALHOST.into())), KernelReason::NoSource),
        (Err(NoAnswer), KernelReason::NoAnswer),
    ] {
        let way = Hops::new().way_to(at(0), remote(1), &mut Script { route, ..script() });
        assert_eq!(way, Way::Kernel(reason));
    }
    let unreachable = Ok(Route::Unreachable);
    let way = Hops::new().way_to(at(0), remote(1), &mut Script { route: unreachable, ..script() });
    assert_eq!(way, Way::Unreachable);
}

/// The states in which the kernel sends without asking first.
#[test]
fn a_neighbour_is_used_in_the_states_in_which_the_kernel_uses_it() {
    for (state, usable) in [
        (0x00, false),
        (0x01, false),
        (0x02, true),
        (0x04, true),
        (0x08, true),
        (0x10, true),
        (0x20, false),
        (0x40, true),
        (0x80, true),
    ] {
        let way = Hops::new().way_to(at(0), remote(1), &mut Script { neighbour: Ok(neighbour(state)), ..script() });
        let expected = if usable { direct(None, 1500) } else { Way::Kernel(KernelReason::Unresolved) };
        assert_eq!(way, expected, "state {state:#x}");
    }
    let other_medium = Ok(Neighbour { state: REACHABLE, ether: None });
    let way = Hops::new().way_to(at(0), remote(1), &mut Script { neighbour: other_medium, ..script() });
    assert_eq!(way, Way::Kernel(KernelReason::Unresolved));
}

#[test]
fn an_unresolved_neighbour_is_asked_for_ten_times_a_second() {
    let (mut hops, mut kernel) = (Hops::new(), Script { neighbour: Ok(Neighbour::NONE), ..script() });
    for millis in 0..1_000 {
        assert_eq!(hops.way_to(at(millis), remote(1), &mut kernel), Way::Kernel(KernelReason::Unresolved));
    }
    assert_eq!(kernel.asked, 10);
    hops.neighbour_changed(at(999), OURS, GATEWAY, neighbour(REACHABLE));
    assert_eq!(hops.way_to(at(999), remote(1), &mut kernel), direct(None, 1500));
}

#[test]
fn a_neighbour_s_changes_are_followed_without_a_question() {
    let (mut hops, mut kernel) = (Hops::new(), script());
    hops.way_to(at(0), remote(1), &mut kernel);
    let moved = Neighbour { state: 0x04, ether: Some([7; 6]) };
    hops.neighbour_changed(at(1), OURS, remote(1), moved);
    hops.neighbour_changed(at(1), VLAN, GATEWAY, moved);
    assert_eq!(hops.way_to(at(1), remote(1), &mut kernel), direct(None, 1500), "that was another neighbour");
    hops.neighbour_changed(at(2), OURS, GATEWAY, moved);
    let way = hops.way_to(at(2), remote(1), &mut kernel);
    assert!(matches!(way, Way::Direct(hop) if hop.ether_destination == [7; 6]), "{way:?}");
    hops.neighbour_changed(at(3), OURS, GATEWAY, Neighbour { state: FAILED, ether: Some([7; 6]) });
    assert_eq!(hops.way_to(at(3), remote(1), &mut kernel), Way::Kernel(KernelReason::Unresolved));
    assert_eq!(kernel.asked, 1);
    hops.way_to(at(103), remote(1), &mut kernel);
    assert_eq!(kernel.asked, 2, "what failed is soon asked for again");
}

#[test]
fn a_route_that_changes_concerns_the_remotes_behind_it() {
    let (mut hops, mut kernel) = (Hops::new(), script());
    for last in [1, 129] {
        hops.way_to(at(0), remote(last), &mut kernel);
    }
    let mut asked_after = |hops: &mut Hops, prefix: IpAddr, bits| {
        hops.route_changed(prefix, bits);
        let before = kernel.asked;
        for last in [1, 129] {
            hops.way_to(at(1), remote(last), &mut kernel);
        }
        kernel.asked - before
    };
    assert_eq!(asked_after(&mut hops, remote(0), 24), 2);
    assert_eq!(asked_after(&mut hops, remote(128), 25), 1);
    assert_eq!(asked_after(&mut hops, remote(1), 32), 1);
    assert_eq!(asked_after(&mut hops, remote(2), 32), 0);
    assert_eq!(asked_after(&mut hops, Ipv4Addr::UNSPECIFIED.into(), 0), 2);
    assert_eq!(asked_after(&mut hops, Ipv6Addr::UNSPECIFIED.into(), 0), 0);
    hops.forget_all();
    hops.way_to(at(2), remote(1), &mut kernel);
    assert_eq!(kernel.asked, 2 + 2 + 1 + 1 + 2 + 1);
}

#[test]
fn an_ipv4_address_in_ipv6_clothing_is_the_same_remote() {
    let (mut hops, mut kernel) = (Hops::new(), script());
    hops.way_to(at(0), remote(1), &mut kernel);
    let IpAddr::V4(plain) = remote(1) else { unreachable!() };
    assert_eq!(hops.way_to(at(1), plain.to_ipv6_mapped().into(), &mut kernel), direct(None, 1500));
    assert_eq!(kernel.asked, 1);
}

#[test]
fn a_stale_neighbour_in_use_is_confirmed_once_in_a_while() {
    let (mut hops, mut kernel) = (Hops::new(), Script { neighbour: Ok(neighbour(0x04)), ..script() });
    // Three remotes behind one gateway, one after another, and a whole minute of packets.
    for millis in (0..60_000).step_by(10) {
        for last in 1..=(1 + millis / 2_000).min(3) as u8 {
            assert_eq!(hops.way_to(at(millis), remote(last), &mut kernel), direct(None, 1500));
        }
        hops.keep_alive(at(millis), &mut kernel);
    }
    assert_eq!(kernel.confirmed, 12);
    for millis in (60_000..120_000).step_by(10) {
        hops.keep_alive(at(millis), &mut kernel);
    }
    assert_eq!(kernel.confirmed, 13, "once more for what was sent since, and not for who is silent");
}

/// Asking to confirm a permanent entry would make it an ordinary one (__neigh_update in net/core/neighbour.c).
#[test]
fn only_stale_neighbours_are_confirmed() {
    for state in [REACHABLE, 0x08, 0x10, 0x40, PERMANENT, FAILED] {
        let (mut hops, mut kernel) = (Hops::new(), Script { neighbour: Ok(neighbour(state)), ..script() });
        hops.way_to(at(0), remote(1), &mut kernel);
        hops.keep_alive(at(0), &mut kernel);
        assert_eq!(kernel.confirmed, 0, "state {state:#x}");
    }
}

#[test]
fn without_privileges_a_packet_now_and_then_confirms() {
    let stale = Script { neighbour: Ok(neighbour(0x04)), confirms: Err(NoAnswer), ..script() };
    let (mut hops, mut kernel) = (Hops::new(), stale);
    hops.way_to(at(0), remote(1), &mut kernel);
    hops.keep_alive(at(0), &mut kernel);
    assert_eq!(kernel.confirmed, 1);
    let mut through_kernel = 0;
    for millis in 1..60_000 {
        hops.keep_alive(at(millis), &mut kernel);
        match hops.way_to(at(millis), remote(1), &mut kernel) {
            Way::Kernel(KernelReason::Unconfirmed) => through_kernel += 1,
            way => assert_eq!(way, direct(None, 1500)),
        }
    }
    assert_eq!((kernel.confirmed, through_kernel), (1, 11));
}

#[test]
fn what_is_in_use_outlives_a_flood_of_others() {
    let (mut hops, mut kernel) = (Hops::new(), script());
    hops.way_to(at(0), remote(1), &mut kernel);
    let mut asked_for_it = 0;
    for flood in 0..5_000_u32 {
        hops.way_to(at(u64::from(flood)), Ipv4Addr::from_bits(0x0a00_0000 + flood).into(), &mut kernel);
        let before = kernel.asked;
        hops.way_to(at(u64::from(flood)), remote(1), &mut kernel);
        asked_for_it += kernel.asked - before;
    }
    assert_eq!(asked_for_it, 0);
}

#[test]
fn questions_are_bounded_in_time() {
    let (mut hops, mut kernel) = (Hops::new(), script());
    let mut refused = 0;
    for flood in 0..100_000_u32 {
        let flooder = Ipv4Addr::from_bits(0x0a00_0000 + flood).into();
        let way = hops.way_to(at(u64::from(flood / 100)), flooder, &mut kernel);
        refused += u32::from(way == Way::Kernel(KernelReason::TooManyQuestions));
    }
    assert_eq!(kernel.asked + refused, 100_000);
    assert!((1_000..2_000).contains(&kernel.asked), "{} questions in a second", kernel.asked);
}
