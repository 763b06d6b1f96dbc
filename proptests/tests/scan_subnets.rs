//! SCAN-4: the cap of a subnet against an exact record of what left.
#![allow(clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use wirehaul_core::scan::{SubnetSlot, Subnets};
use wirehaul_core::time::{Duration, Instant};

/// An address of the subnet of this number, of either family.
fn ip_of(subnet: u8, host: u8) -> IpAddr {
    if subnet.is_multiple_of(2) {
        Ipv4Addr::new(10, 0, subnet, host).into()
    } else {
        Ipv6Addr::new(0x2001, 0xdb8, subnet.into(), host.into(), 0, 0, 0, host.into()).into()
    }
}

#[derive(Clone, Copy, Debug)]
struct Cap {
    interval: u64,
    burst: u32,
}

fn cap() -> impl Strategy<Value = Cap> {
    (1..500_u64, 1..6_u32).prop_map(|(interval, burst)| Cap { interval, burst })
}

impl Cap {
    /// How far ahead of its time a packet may leave: the rest of a burst, and the eighth part of an interval.
    fn tolerance(self) -> u64 {
        self.interval * u64::from(self.burst - 1) + self.interval / 8
    }
}

/// In whichever window that ends now: at most one, and one for each whole interval of it and of what may be ahead.
fn check(left: &[u64], cap: Cap) -> Result<(), TestCaseError> {
    let now = left.last().copied().unwrap_or(0);
    for (at, first) in left.iter().enumerate() {
        let count = (left.len() - at) as u64;
        let most = 1 + (now - first + cap.tolerance()) / cap.interval;
        prop_assert!(count <= most, "{count} packets in {} ns: {cap:?}", now - first);
    }
    Ok(())
}

/// How long somebody waits, which subnet he asks for, and which of its hosts.
fn packets() -> impl Strategy<Value = Vec<(u64, u8, u8)>> {
    vec((prop_oneof![Just(0), 0..20_u64, 0..600_u64], 0..40_u8, any::<u8>()), 1..600)
}

proptest! {
    /// However small the table is.
    #[test]
    fn no_subnet_ever_gets_more_than_its_cap(cap in cap(), slots in 0..40_usize, packets in packets()) {
        let mut slots = vec![SubnetSlot::default(); slots];
        let mut subnets = Subnets::new(&mut slots, Some(Duration::from_nanos(cap.interval)), cap.burst);
        let mut left: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
        let mut now = 0;
        for (wait, subnet, host) in packets {
            now += wait;
            match subnets.admit(Instant::from_nanos(now), ip_of(subnet, host)) {
                Ok(()) => {
                    let left = left.entry(subnet).or_default();
                    left.push(now);
                    check(left, cap)?;
                }
                Err(again) => prop_assert!(again > Instant::from_nanos(now)),
            }
        }
    }

    /// With room for all of them, a packet leaves whenever the cap has room for it, and who waits alone is told when that is.
    #[test]
    fn a_table_that_is_large_enough_is_exact(cap in cap(), packets in packets()) {
        // No more subnets than a set has slots: no set can be full.
        let mut slots = vec![SubnetSlot::default(); 256];
        let mut subnets = Subnets::new(&mut slots, Some(Duration::from_nanos(cap.interval)), cap.burst);
        let mut arrivals: BTreeMap<u8, u64> = BTreeMap::new();
        let mut now = 0;
        for (wait, subnet, host) in packets {
            now += wait;
            let subnet = subnet % 8;
            let arrival = arrivals.entry(subnet).or_default();
            let earliest = arrival.saturating_sub(cap.tolerance());
            let ip = ip_of(subnet, host);
            let answer = subnets.admit(Instant::from_nanos(now), ip);
            if earliest > now {
                prop_assert_eq!(answer, Err(Instant::from_nanos(earliest)));
                subnets.returned(ip);
            } else {
                prop_assert_eq!(answer, Ok(()));
                *arrival = now.max(*arrival) + cap.interval;
            }
        }
    }

    /// Whoever asks again when he was told to gets through, however many others were refused before and never came back.
    #[test]
    fn whoever_waits_gets_through(cap in cap(), slots in 1..20_usize, packets in packets(), subnet in 0..40_u8) {
        let mut slots = vec![SubnetSlot::default(); slots];
        let mut subnets = Subnets::new(&mut slots, Some(Duration::from_nanos(cap.interval)), cap.burst);
        let mut now = 0;
        for (wait, subnet, host) in packets {
            now += wait;
            let _ = subnets.admit(Instant::from_nanos(now), ip_of(subnet, host));
        }
        let ip = ip_of(subnet, 1);
        if let Err(again) = subnets.admit(Instant::from_nanos(now), ip) {
            prop_assert!(again > Instant::from_nanos(now));
            subnets.returned(ip);
            prop_assert_eq!(subnets.admit(again, ip), Ok(()));
        }
    }
}

/// What the command line's default means: a thousand a second, in any second.
#[test]
fn a_thousand_a_second_is_never_more() {
    let mut slots = vec![SubnetSlot::default(); 64];
    let mut subnets = Subnets::new(&mut slots, Some(Subnets::interval_of(1_000)), 1);
    let mut left = Vec::new();
    for nanos in (0..3_000_000_000_u64).step_by(77_777) {
        if subnets.admit(Instant::from_nanos(nanos), ip_of(4, 1)).is_ok() {
            left.push(nanos);
        }
    }
    for (at, first) in left.iter().enumerate() {
        let in_second = left[at..].iter().take_while(|nanos| **nanos < first + 1_000_000_000).count();
        assert!(in_second <= 1_000, "{in_second}");
    }
    assert!(left.len() > 2_700, "{}", left.len());
}
