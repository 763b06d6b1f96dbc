//! Congestion controllers under any sequence of events, at the edges of time, bytes and rates (BBR-1, BBR-2, BBR-8): nothing
//! overflows or panics, and what they decide stays usable.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::VecDeque;

use proptest::prelude::*;
use wirehaul_core::{
    bbr::PacketSample,
    congestion::{AckSample, Congestion, CongestionSample, ControllerKind, SendSample},
    rate::Rate,
    time::{Duration, Instant},
};

#[derive(Clone, Debug)]
enum Step {
    Send { packets: u8, bytes: u64 },
    Ack { packets: u8, rtt: Option<u64>, limited: bool },
    Lose { packets: u8, episode: bool, persistent: bool },
    Mark,
    Spurious,
    AppLimited,
    Capped(u64),
    Resize(u64),
    Wait(u64),
}

fn nanos() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        1..1_000u64,
        1_000..100_000_000u64,
        100_000_000..100_000_000_000u64,
        // Years, and what is left of 584 of them.
        any::<u64>().prop_map(|any| any >> 4),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..64u8, 1..9_001u64).prop_map(|(packets, bytes)| Step::Send { packets, bytes }),
        4 => (1..64u8, prop::option::of(nanos()), any::<bool>())
            .prop_map(|(packets, rtt, limited)| Step::Ack { packets, rtt, limited }),
        2 => (1..16u8, any::<bool>(), any::<bool>())
            .prop_map(|(packets, episode, persistent)| Step::Lose { packets, episode, persistent }),
        1 => Just(Step::Mark),
        1 => Just(Step::Spurious),
        1 => Just(Step::AppLimited),
        1 => any::<u64>().prop_map(Step::Capped),
        1 => (1_200..9_001u64).prop_map(Step::Resize),
        4 => nanos().prop_map(Step::Wait),
    ]
}

/// A controller, and the packets that it was told of.
struct Driven {
    controller: Congestion,
    now: Instant,
    number: u64,
    flight: VecDeque<PacketSample>,
    datagram_bytes: u64,
}

impl Driven {
    fn inflight(&self) -> u64 {
        self.flight.iter().map(|packet| packet.bytes).sum()
    }

    fn take(&mut self, packets: u8) -> Vec<PacketSample> {
        let count = usize::from(packets).min(self.flight.len());
        self.flight.drain(..count).map(|packet| PacketSample { now: self.now, ..packet }).collect()
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Send { packets, bytes } => (0..packets).for_each(|_| self.send(bytes)),
            Step::Ack { packets, rtt, limited } => self.ack(packets, rtt.map(Duration::from_nanos), limited),
            Step::Lose { packets, episode, persistent } => self.lose(packets, episode, persistent),
            Step::Mark => {
                let inflight_bytes = self.inflight();
                let sample = CongestionSample {
                    now: self.now,
                    lost_bytes: 0,
                    inflight_bytes,
                    new_episode: true,
                    persistent: false,
                };
                self.controller.get_mut().on_congestion(&sample);
            }
            Step::Spurious => self.controller.get_mut().on_spurious(),
            Step::AppLimited => {
                let inflight = self.inflight();
                self.controller.get_mut().on_app_limited(inflight);
            }
            Step::Capped(bits) => {
                let inflight = self.inflight();
                self.controller.get_mut().on_rate_capped(Rate::from_bits_per_sec(bits), inflight);
            }
            Step::Resize(bytes) => {
                self.datagram_bytes = bytes;
                self.controller.get_mut().set_datagram_bytes(bytes);
            }
            Step::Wait(nanos) => self.now += Duration::from_nanos(nanos),
        }
    }

    fn send(&mut self, bytes: u64) {
        let sample = SendSample { now: self.now, bytes, inflight_bytes: self.inflight() };
        let record = self.controller.get_mut().on_sent(&sample);
        let packet = PacketSample { now: self.now, number: self.number, sent_at: self.now, bytes, record };
        self.flight.push_back(packet);
        self.number += 1;
    }

    fn ack(&mut self, packets: u8, rtt_sample: Option<Duration>, cwnd_limited: bool) {
        let prior_inflight_bytes = self.inflight();
        let acked = self.take(packets);
        let Some(newest) = acked.last() else { return };
        acked.iter().for_each(|packet| self.controller.get_mut().on_packet_acked(packet));
        let sample = AckSample {
            now: self.now,
            acked_bytes: acked.iter().map(|packet| packet.bytes).sum(),
            largest_acked: newest.number,
            largest_sent_at: newest.sent_at,
            next_packet_number: self.number,
            prior_inflight_bytes,
            inflight_bytes: self.inflight(),
            rtt_sample,
            min_rtt: rtt_sample,
            srtt: rtt_sample.unwrap_or(Duration::from_millis(100)),
            cwnd_limited,
        };
        self.controller.get_mut().on_ack(&sample);
    }

    fn lose(&mut self, packets: u8, new_episode: bool, persistent: bool) {
        let lost = self.take(packets);
        if lost.is_empty() {
            return;
        }
        lost.iter().for_each(|packet| self.controller.get_mut().on_packet_lost(packet));
        let sample = CongestionSample {
            now: self.now,
            lost_bytes: lost.iter().map(|packet| packet.bytes).sum(),
            inflight_bytes: self.inflight(),
            new_episode,
            persistent,
        };
        self.controller.get_mut().on_congestion(&sample);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_happens_makes_a_controller_useless(
        kind in prop_oneof![Just(ControllerKind::Bbr), Just(ControllerKind::Cubic)],
        seed in any::<u64>(),
        start in prop_oneof![Just(0), any::<u64>()],
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut driven = Driven {
            controller: Congestion::new(kind, 1472, seed),
            now: Instant::from_nanos(start),
            number: 0,
            flight: VecDeque::new(),
            datagram_bytes: 1472,
        };
        for step in &steps {
            driven.step(step);
            let cwnd = driven.controller.get().cwnd_bytes();
            // One packet past what is in flight, behind persistent congestion; otherwise two at least.
            prop_assert!(cwnd >= driven.datagram_bytes.min(1200), "{cwnd} after {step:?}");
            let rate = driven.controller.get().pacing_rate(Some(Duration::from_millis(50)));
            prop_assert!(rate.is_some_and(|rate| rate > Rate::ZERO), "{rate:?} after {step:?}");
        }
    }

    /// The same events give the same decisions.
    #[test]
    fn a_controller_is_a_function_of_its_events(seed in any::<u64>(), steps in prop::collection::vec(step(), 1..80)) {
        let decisions = || {
            let controller = Congestion::new(ControllerKind::Bbr, 1472, seed);
            let mut driven = Driven {
                controller,
                now: Instant::from_nanos(1),
                number: 0,
                flight: VecDeque::new(),
                datagram_bytes: 1472,
            };
            steps.iter().for_each(|step| driven.step(step));
            (driven.controller.get().cwnd_bytes(), driven.controller.get().pacing_rate(None), driven.controller.get().model())
        };
        prop_assert_eq!(decisions(), decisions());
    }
}
