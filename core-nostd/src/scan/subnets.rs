//! The cap on packets to one subnet: a /24 of IPv4, a /48 of IPv6 (SCAN-4).
//!
//! The generic cell rate algorithm (ITU-T I.371, annex A) per subnet: a packet moves the subnet's theoretical arrival time on by one
//! interval, and may leave when that is no more than `burst - 1` intervals ahead. What lies in the past says nothing, so a subnet is
//! forgotten then and only then; where a set of the table has room for no more, packets wait until it has. So the cap holds whatever
//! the table's size is, and its size decides only how many subnets go at full speed.

use core::net::IpAddr;

use crate::time::{Duration, Instant};

/// A packet may come by this part of an interval before its time: who was told when to come back comes to the minute, but those before
/// may have been a little late, and without it everybody behind them would be sent away in turn.
const EARLY: u64 = 8;

/// What may lie between letting a packet go and its leaving: a turn, and a system call on a busy machine.
const ON_THE_WAY: Duration = Duration::from_millis(2);

/// Slots of a set: two cache lines.
const WAYS: usize = 8;

/// What is known of a subnet.
#[derive(Clone, Copy, Debug, Default)]
pub struct SubnetSlot {
    /// Never 0 where it is of a subnet.
    subnet: u64,
    /// Its theoretical arrival time. The slot is free when this is not after now.
    arrival: Instant,
    /// How many were refused and have not come back.
    waiting: u32,
    /// A time that nobody of those was told, and that is later than theirs.
    untold: Instant,
}

/// When packets may leave for which subnet. See the module.
#[derive(Debug)]
pub struct Subnets<'a> {
    slots: &'a mut [SubnetSlot],
    interval: Option<Duration>,
    /// `burst - 1` intervals, and the eighth part of one.
    tolerance: Duration,
}

impl<'a> Subnets<'a> {
    /// A cap of one packet an `interval` for each subnet, `burst` of them together at most (0 is taken for 1): in any time `t` no more
    /// than `burst + 1/8 + t / interval` leave for one. `None` is no cap, which needs no slots.
    ///
    /// The slots should be several times as many as subnets get a packet in an interval; eight at least, or fewer subnets than that
    /// are served at a time, and with none nothing ever leaves.
    #[must_use]
    pub fn new(slots: &'a mut [SubnetSlot], interval: Option<Duration>, burst: u32) -> Self {
        slots.fill(SubnetSlot::default());
        let interval = interval.filter(|interval| *interval > Duration::ZERO);
        let whole = interval.unwrap_or_default();
        let tolerance = whole.saturating_mul(u64::from(burst.saturating_sub(1))) + whole.mul_ratio(1, EARLY);
        Self { slots, interval, tolerance }
    }

    /// The interval at which, with bursts of one packet, no more than this many leave in any second, the one that may come early among
    /// them, and although one may be two milliseconds on its way to the link; the longest for 0.
    #[must_use]
    pub fn interval_of(packets_per_second: u64) -> Duration {
        const SECOND: u128 = 1_000_000_000 + ON_THE_WAY.as_nanos() as u128;
        let packets = u128::from(packets_per_second);
        // So many intervals are a second and the eighth part of an interval, rounded up.
        let nanos = (SECOND * u128::from(EARLY)).checked_div(packets * u128::from(EARLY) - packets.min(1));
        Duration::from_nanos(nanos.and_then(|nanos| u64::try_from(nanos + 1).ok()).unwrap_or(u64::MAX))
    }

    /// Counts a packet to the address, if one may leave now. Time must not run backwards.
    ///
    /// # Errors
    /// It may not, and nothing was counted: a time after `now` at which to ask again. Whoever is refused is told a later time than those
    /// before, so that they do not all come back at once and all but one in vain; when they do, they say so by [`Subnets::returned`].
    #[inline]
    pub fn admit(&mut self, now: Instant, ip: IpAddr) -> Result<(), Instant> {
        let Some(interval) = self.interval else { return Ok(()) };
        let subnet = subnet_of(ip);
        let tolerance = self.tolerance;
        let mut free: Option<&mut SubnetSlot> = None;
        let mut free_at = Instant::FAR_FUTURE;
        for slot in self.set_of(subnet) {
            if slot.subnet == subnet {
                let earliest = slot.arrival - tolerance;
                // At the end of time nothing can be counted any more.
                if slot.arrival > now && (earliest > now || slot.arrival == Instant::FAR_FUTURE) {
                    let again = earliest.max(slot.untold).max(now + Duration::from_nanos(1));
                    slot.waiting = slot.waiting.saturating_add(1);
                    slot.untold = again + interval;
                    return Err(again);
                }
                slot.arrival = slot.arrival.max(now) + interval;
                return Ok(());
            }
            if slot.arrival > now {
                free_at = free_at.min(slot.arrival);
            } else if free.as_ref().is_none_or(|free| slot.waiting < free.waiting) {
                free = Some(slot);
            }
        }
        // Where another subnet's slot is taken, those who wait for that one are told times as if nobody waited: no more than that.
        let slot = free.ok_or(free_at)?;
        *slot = SubnetSlot { subnet, arrival: now + interval, ..SubnetSlot::default() };
        Ok(())
    }

    /// Somebody who was refused is here again, to ask or to give up.
    #[inline]
    pub fn returned(&mut self, ip: IpAddr) {
        let subnet = subnet_of(ip);
        if self.interval.is_none() {
            return;
        }
        if let Some(slot) = self.set_of(subnet).iter_mut().find(|slot| slot.subnet == subnet) {
            slot.waiting = slot.waiting.saturating_sub(1);
            if slot.waiting == 0 {
                slot.untold = Instant::ZERO;
            }
        }
    }

    /// The slots that the subnet can be in.
    #[inline]
    fn set_of(&mut self, subnet: u64) -> &mut [SubnetSlot] {
        let sets = (self.slots.len() / WAYS).max(1);
        // The multiplier of SplitMix64; the upper bits depend on all bits of the subnet.
        let mixed = subnet.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 32).wrapping_mul(0x94d0_49bb_1331_11eb);
        // Below the number of sets.
        let start = ((u128::from(mixed) * sets as u128) >> 64) as usize * WAYS;
        let end = (start + WAYS).min(self.slots.len());
        self.slots.get_mut(start..end).unwrap_or_default()
    }
}

/// A /24 of IPv4 or a /48 of IPv6 as a number that is not 0.
#[inline]
fn subnet_of(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => 4 << 60 | u64::from(ip.to_bits() >> 8),
        // 48 bits are left.
        IpAddr::V6(ip) => 6 << 60 | (ip.to_bits() >> 80) as u64,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;

    use super::*;

    const fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Of which a packet may be 100 early.
    const INTERVAL: Option<Duration> = Some(Duration::from_nanos(800));

    /// SCAN-4: a /24 of IPv4 and a /48 of IPv6 share one cap each.
    #[test]
    fn a_subnet_waits_for_itself_and_for_nobody_else() {
        let mut slots = vec![SubnetSlot::default(); 1024];
        let mut subnets = Subnets::new(&mut slots, INTERVAL, 1);
        // The subnet 0 of each family is a subnet like any other.
        for (one, same, next) in [
            ("10.0.0.1", "10.0.0.255", "10.0.1.0"),
            ("0.0.0.0", "0.0.0.0", "0.0.1.0"),
            ("2001:db8:1::", "2001:db8:1:ffff::1", "2001:db8:2::"),
            ("::", "::1", "0:0:1::"),
        ] {
            assert_eq!(subnets.admit(at(0), ip(one)), Ok(()), "{one}");
            assert_eq!(subnets.admit(at(0), ip(same)), Err(at(700)), "{same}");
            assert_eq!(subnets.admit(at(0), ip(next)), Ok(()), "{next}");
        }
        // What was refused did not count.
        assert_eq!(subnets.admit(at(700), ip("10.0.0.9")), Ok(()));
        assert_eq!(subnets.admit(at(1_499), ip("10.0.1.9")), Ok(()));
        assert!(subnets.admit(at(1_499), ip("10.0.0.9")).is_err());
        assert_eq!(subnets.admit(at(1_500), ip("10.0.0.9")), Ok(()));
        // Time that was not used is not made up for.
        assert_eq!(subnets.admit(at(10_000), ip("10.0.1.1")), Ok(()));
        assert_eq!(subnets.admit(at(10_000), ip("10.0.1.1")), Err(at(10_700)));
    }

    #[test]
    fn a_burst_leaves_at_once() {
        let mut slots = vec![SubnetSlot::default(); 8];
        let mut subnets = Subnets::new(&mut slots, INTERVAL, 3);
        let host = ip("192.0.2.1");
        assert_eq!([1_000; 3].map(|nanos| subnets.admit(at(nanos), host)), [Ok(()); 3]);
        assert_eq!(subnets.admit(at(1_000), host), Err(at(1_700)));
        subnets.returned(host);
        assert_eq!(subnets.admit(at(1_700), host), Ok(()));
        assert_eq!(subnets.admit(at(1_700), host), Err(at(2_500)));
    }

    /// Whoever is refused has his own time, and whoever is here again makes room for others.
    #[test]
    fn those_who_wait_come_back_one_after_the_other() {
        let mut slots = vec![SubnetSlot::default(); 8];
        let mut subnets = Subnets::new(&mut slots, INTERVAL, 1);
        let host = ip("192.0.2.1");
        assert_eq!(subnets.admit(at(0), host), Ok(()));
        assert_eq!(
            [1, 2, 3].map(|nanos| subnets.admit(at(nanos), host)),
            [Err(at(700)), Err(at(1_500)), Err(at(2_300))]
        );
        for nanos in [700, 1_500, 2_300] {
            subnets.returned(host);
            assert_eq!(subnets.admit(at(nanos), host), Ok(()));
        }
        assert_eq!(subnets.admit(at(2_301), host), Err(at(3_100)));
        subnets.returned(host);
        subnets.returned(host);
        assert_eq!(subnets.admit(at(2_302), host), Err(at(3_100)));
    }

    /// Several who come late come together, and all but one in vain. They are told different times again: were it one, they would
    /// come together for good, and the subnet get a packet where it could have many.
    #[test]
    fn those_who_come_late_do_not_stay_together() {
        let mut slots = vec![SubnetSlot::default(); 8];
        let mut subnets = Subnets::new(&mut slots, INTERVAL, 1);
        let host = ip("192.0.2.1");
        assert_eq!(subnets.admit(at(0), host), Ok(()));
        let mut waiting: vec::Vec<_> = (0..200).filter_map(|_| subnets.admit(at(0), host).err()).collect();
        let mut now = at(0);
        // Ten times somebody comes late, by twenty intervals, and from then on in time.
        for turn in 0..410 {
            waiting.sort();
            let Some(first) = waiting.first() else { break };
            now = if turn < 10 { now + Duration::from_nanos(20 * 800) } else { now.max(*first) };
            for _ in 0..waiting.iter().filter(|due| **due <= now).count() {
                waiting.remove(0);
                subnets.returned(host);
                waiting.extend(subnets.admit(now, host).err());
            }
        }
        assert_eq!(waiting, []);
        assert!(now < at(410 * 800), "{now:?}");
    }

    /// The cap holds where the table is too small: packets wait for room.
    #[test]
    fn a_full_set_defers_and_forgets_nobody() {
        let mut slots = vec![SubnetSlot::default(); 2];
        let mut subnets = Subnets::new(&mut slots, INTERVAL, 1);
        assert_eq!(subnets.admit(at(0), ip("10.0.0.1")), Ok(()));
        assert_eq!(subnets.admit(at(80), ip("10.0.1.1")), Ok(()));
        assert_eq!(subnets.admit(at(160), ip("10.0.2.1")), Err(at(800)));
        assert_eq!(subnets.admit(at(160), ip("10.0.1.1")), Err(at(780)));
        assert_eq!(subnets.admit(at(800), ip("10.0.2.1")), Ok(()));
        assert_eq!(subnets.admit(at(800), ip("10.0.0.1")), Err(at(880)));
        let mut none = Subnets::new(&mut [], INTERVAL, 1);
        assert_eq!(none.admit(at(0), ip("10.0.0.1")), Err(Instant::FAR_FUTURE));
    }

    #[test]
    fn no_cap_needs_no_slots() {
        for interval in [None, Some(Duration::ZERO)] {
            let mut subnets = Subnets::new(&mut [], interval, 1);
            assert!((0..100).all(|_| subnets.admit(at(5), ip("10.0.0.1")).is_ok()));
        }
    }

    #[test]
    fn the_end_of_time_is_not_a_gap_in_the_cap() {
        let mut slots = vec![SubnetSlot::default(); 8];
        let mut subnets = Subnets::new(&mut slots, Some(Subnets::interval_of(0)), u32::MAX);
        assert_eq!(subnets.admit(at(1), ip("10.0.0.1")), Ok(()));
        for now in [1, 2, 1_000] {
            assert!(subnets.admit(at(now), ip("10.0.0.1")).is_err_and(|again| again > at(now)));
        }
    }

    #[test]
    fn an_interval_is_neither_too_short_nor_much_too_long() {
        const SECOND: u64 = 1_000_000_000;
        for rate in (1..3_000).chain([10_000, 99_999, 1_000_000, SECOND]) {
            let interval = Subnets::interval_of(rate).as_nanos();
            // As many as leave from one time to less than a second later.
            let most = 1 + (SECOND - 1 + interval / EARLY) / interval;
            assert!(most <= rate, "{most} instead of {rate}");
            assert!(interval - 2 <= (SECOND + ON_THE_WAY.as_nanos()) * 8 / (7 * rate), "{rate}: {interval}");
        }
        assert_eq!(
            (Subnets::interval_of(1), Subnets::interval_of(0)),
            (Duration::from_nanos(1_145_142_858), Duration::MAX)
        );
    }
}
