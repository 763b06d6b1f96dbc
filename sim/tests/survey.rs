//! Surveys under virtual time: who is asked how often, how fast, and what is said of it in the end (SCAN-2, SCAN-3, SCAN-4, SCAN-5).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use wirehaul_core::scan::cap::Cap;
use wirehaul_core::scan::reply::Class;
use wirehaul_core::time::{Duration, Instant};
use wirehaul_sim::rng::Seed;
use wirehaul_sim::survey::{Fate, SurveyConfig, SurveyOutcome, fate, is_there, run, verdict};

const SECOND: Duration = Duration::from_secs(1);

/// Every address and port of a configuration whose targets are one /24 or /22 of 10/8.
fn all(config: &SurveyConfig) -> BTreeSet<(Ipv4Addr, u16)> {
    let mut all = BTreeSet::new();
    for target in &config.targets {
        let (address, length) = target.split_once('/').unwrap();
        let first = u32::from(address.parse::<Ipv4Addr>().unwrap());
        for offset in 0..1_u32 << (32 - length.parse::<u32>().unwrap()) {
            for port in config.ports.split(',') {
                all.insert(((first + offset).into(), port.parse().unwrap()));
            }
        }
    }
    all
}

/// How often each was asked.
fn asked(outcome: &SurveyOutcome) -> BTreeMap<(Ipv4Addr, u16), usize> {
    let mut asked = BTreeMap::new();
    for (_, address, port) in &outcome.probes {
        *asked.entry((*address, *port)).or_insert(0) += 1;
    }
    asked
}

/// The most of these in any second, both ends of which are within it or one of them.
fn most_in_a_second(times: impl IntoIterator<Item = Instant>) -> usize {
    let mut times: Vec<_> = times.into_iter().collect();
    times.sort_unstable();
    let mut first = 0;
    let mut most = 0;
    for (last, at) in times.iter().enumerate() {
        while at.saturating_since(times[first]) >= SECOND {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

#[track_caller]
fn assert_sound(outcome: &SurveyOutcome) {
    assert_eq!(outcome.malformed, [""; 0]);
    assert_eq!(outcome.repeated, 0);
    assert_eq!(outcome.done_before, u64::MAX);
}

fn ports() -> String {
    "22,80,443,8080".to_owned()
}

/// SCAN-2, SCAN-3: everybody is asked once, and what is said is what the network is, no more and no less: a refusal does not hide that
/// somebody takes the connection later, and who forges an answer is not believed.
#[test]
fn what_is_found_is_what_is_there() {
    for workers in [1, 3] {
        let config =
            SurveyConfig { targets: vec!["10.1.0.0/22".into()], ports: ports(), workers, ..SurveyConfig::default() };
        let outcome = run(&config);
        assert_sound(&outcome);
        let all = all(&config);
        assert!(asked(&outcome).values().all(|times| *times == 1));
        assert!(asked(&outcome).keys().eq(&all));
        let truth: BTreeMap<_, _> =
            all.iter().filter_map(|asked| Some((*asked, verdict(fate(asked.0, asked.1))?))).collect();
        assert_eq!(outcome.found, truth);
        let mut fates: Vec<_> = all.iter().map(|asked| fate(asked.0, asked.1) as u8).collect();
        fates.sort_unstable();
        fates.dedup();
        assert_eq!(fates.len(), 8, "every fate is among them");
        // One of those who took the connection twice was reset in between, and is half open again.
        let twice = all.iter().filter(|asked| fate(asked.0, asked.1) == Fate::OpenTwice).count() as u64;
        assert!(outcome.half_open <= twice, "{} of {twice}", outcome.half_open);
    }
}

/// SCAN-4: in no second leaves more than the cap, requests and resets included, whoever wakes late; and not much less.
#[test]
fn the_cap_holds_in_every_second_and_is_used() {
    for (pps, targets, lateness, workers) in [
        (7, "10.2.0.0/26", 0, 1),
        (1000, "10.2.0.0/22", 0, 1),
        (1000, "10.2.0.0/22", 900, 2),
        (10_000, "10.2.0.0/20", 80, 1),
        (100_000, "10.2.0.0/17", 50, 3),
    ] {
        let config = SurveyConfig {
            targets: vec![targets.into()],
            ports: ports(),
            cap: Cap::Packets(pps),
            lateness: Duration::from_micros(lateness),
            workers,
            ..SurveyConfig::default()
        };
        let outcome = run(&config);
        assert_sound(&outcome);
        let most = most_in_a_second(outcome.departures.iter().copied()) as u64;
        assert!(most <= pps, "{most} in a second of {pps}");
        // While there are probes to send.
        let last = outcome.probes.last().unwrap().0;
        let during = outcome.departures.iter().filter(|at| **at <= last).count() as u64;
        let span = last.saturating_since(outcome.departures[0]);
        let rate = during * 1_000_000_000 / span.as_nanos();
        assert!(rate * 100 >= pps * 99 && rate <= pps + 1, "{rate} of {pps} pps over {span:?}");
    }
}

/// SCAN-4: the same for every /24.
#[test]
fn the_cap_of_a_subnet_holds_in_every_second() {
    for workers in [1, 2] {
        let config = SurveyConfig {
            targets: vec!["10.3.0.0/23".into(), "10.99.0.0/24".into()],
            ports: ports(),
            subnet_cap: Some(100),
            workers,
            ..SurveyConfig::default()
        };
        let outcome = run(&config);
        assert_sound(&outcome);
        assert!(asked(&outcome).keys().eq(&all(&config)));
        for third in [(3, 0), (3, 1), (99, 0)] {
            let of = |address: &Ipv4Addr| (address.octets()[1], address.octets()[2]) == third;
            let times = outcome.probes.iter().filter(|(_, address, _)| of(address)).map(|(at, ..)| *at);
            let most = most_in_a_second(times);
            assert!(most <= 100, "{most}");
        }
        // 1024 probes for each at 100 a second.
        let took = outcome.probes.last().unwrap().0.saturating_since(outcome.probes[0].0);
        assert!(took >= Duration::from_secs(10) && took <= Duration::from_secs(12), "{took:?}");
    }
}

/// SCAN-4: retries are spread over time: a second lies between two attempts, and every probe is made as often as was said.
#[test]
fn retries_come_later() {
    let config = SurveyConfig {
        targets: vec!["10.4.0.0/22".into()],
        ports: ports(),
        attempts: 3,
        spacing: 2000,
        cap: Cap::Packets(2000),
        ..SurveyConfig::default()
    };
    let outcome = run(&config);
    assert_sound(&outcome);
    let all = all(&config);
    let asked = asked(&outcome);
    assert!(asked.keys().eq(&all) && asked.values().all(|times| *times == 3));
    let mut last: BTreeMap<_, Instant> = BTreeMap::new();
    for (at, address, port) in &outcome.probes {
        if let Some(before) = last.insert((address, port), *at) {
            assert!(at.saturating_since(before) >= Duration::from_millis(300), "{:?}", at.saturating_since(before));
        }
    }
}

/// SCAN-4: a survey that has sent everything before the first retry is due waits for it.
#[test]
fn a_short_survey_rests_before_it_asks_again() {
    for workers in [1, 2] {
        let config = SurveyConfig {
            targets: vec!["10.4.0.0/26".into()],
            ports: ports(),
            attempts: 3,
            spacing: 10_000,
            retry_after: Duration::from_secs(1),
            workers,
            ..SurveyConfig::default()
        };
        let outcome = run(&config);
        assert_sound(&outcome);
        assert!(asked(&outcome).keys().eq(&all(&config)) && asked(&outcome).values().all(|times| *times == 3));
        let at: Vec<_> = outcome.probes.iter().map(|(at, ..)| *at).collect();
        let span = |from: usize, to: usize| at[to].saturating_since(at[from]);
        for attempt in 0..3 {
            let (first, last) = (attempt * 256, attempt * 256 + 255);
            assert!(span(first, last) < Duration::from_millis(100), "{:?}", span(first, last));
            assert!(attempt == 0 || span(first - 256, first) >= Duration::from_millis(950));
        }
    }
}

/// SCAN-3 and SCAN-4: over a network that loses and repeats, three attempts find nearly all, and never what is not there.
#[test]
fn loss_hides_and_invents_nothing() {
    let config = SurveyConfig {
        targets: vec!["10.5.0.0/22".into()],
        ports: ports(),
        attempts: 3,
        spacing: 5000,
        loss_ppm: 100_000,
        duplicate_ppm: 200_000,
        jitter: Duration::from_millis(30),
        ..SurveyConfig::default()
    };
    let outcome = run(&config);
    assert_sound(&outcome);
    let all = all(&config);
    for ((address, port), class) in &outcome.found {
        let truth = verdict(fate(*address, *port)).expect("something that is there");
        assert!(truth.rank() >= class.rank(), "{address} {port}: {class:?}");
    }
    let open = |asked: &&(Ipv4Addr, u16)| verdict(fate(asked.0, asked.1)) == Some(Class::Open);
    let (there, found) = (
        all.iter().filter(open).count(),
        all.iter().filter(open).filter(|asked| outcome.found.get(asked) == Some(&Class::Open)).count(),
    );
    // 19 % of round trips get lost: three in a row, 0.7 %.
    assert!(found * 100 >= there * 98, "{found} of {there}");
}

/// SCAN-7: on the link, hosts are asked for their addresses first; who does not answer is not waited for for ever, and not probed.
#[test]
fn hosts_on_the_link_are_found_by_themselves() {
    let config = SurveyConfig {
        targets: vec!["10.6.0.0/22".into()],
        ports: ports(),
        is_behind_gateway: false,
        ..SurveyConfig::default()
    };
    let outcome = run(&config);
    assert_sound(&outcome);
    let there: BTreeSet<_> = all(&config).into_iter().filter(|(address, _)| is_there(*address)).collect();
    assert!(asked(&outcome).keys().eq(&there));
    assert_eq!(outcome.sent.absent, (1024 * 4 - there.len()) as u64);
    assert_eq!(outcome.sent.sent, there.len() as u64);
}

/// SCAN-5: whenever it is killed, what is left is done by the next run, from the step that the first one said.
#[test]
fn nothing_is_skipped_by_a_survey_that_was_killed() {
    for (number, killed_after) in [1, 130, 777, 1300, 2500].into_iter().enumerate() {
        let config = SurveyConfig {
            seed: Seed(number as u64),
            targets: vec!["10.7.0.0/22".into()],
            ports: ports(),
            attempts: 2,
            spacing: 500,
            cap: Cap::Packets(3000),
            subnet_cap: Some(900),
            workers: 2,
            is_behind_gateway: number % 2 == 0,
            ..SurveyConfig::default()
        };
        let killed_at = Instant::from_nanos(1_000_000_000) + Duration::from_millis(killed_after);
        let first = run(&SurveyConfig { killed_at: Some(killed_at), ..config.clone() });
        assert!(first.done_before < u64::MAX, "it was killed too late");
        // Another number of workers goes on.
        let second = run(&SurveyConfig { from: first.done_before, workers: 1, ..config.clone() });
        assert_sound(&second);
        let (mut times, again) = (asked(&first), asked(&second));
        again.iter().for_each(|(asked, count)| *times.entry(*asked).or_insert(0) += count);
        let is_there = |(address, _): &(Ipv4Addr, u16)| config.is_behind_gateway || is_there(*address);
        let wanted: BTreeSet<_> = all(&config).into_iter().filter(is_there).collect();
        assert!(times.keys().eq(&wanted));
        assert!(times.values().all(|times| *times >= 2), "an attempt was skipped");
        let repeated: usize = times.values().map(|times| times - 2).sum();
        assert!(repeated < 3 * 4096, "{repeated} were repeated");
    }
}

/// SCAN-2: seven shards are the whole, and share nothing.
#[test]
fn shards_are_the_whole_and_share_nothing() {
    let config = SurveyConfig { targets: vec!["10.8.0.0/22".into()], ports: ports(), ..SurveyConfig::default() };
    let mut seen = BTreeMap::new();
    for shard in 1..=7 {
        let outcome = run(&SurveyConfig { shard: format!("{shard}/7"), workers: 1 + shard % 3, ..config.clone() });
        assert_sound(&outcome);
        for (asked, times) in asked(&outcome) {
            *seen.entry(asked).or_insert(0) += times;
        }
    }
    assert!(seen.keys().eq(&all(&config)) && seen.values().all(|times| *times == 1));
}

/// A device that takes a few frames at a time gets all of them.
#[test]
fn a_device_without_room_is_waited_for() {
    let config = SurveyConfig {
        targets: vec!["10.9.0.0/23".into()],
        device_room: 3,
        cap: Cap::Unlimited,
        ..SurveyConfig::default()
    };
    let outcome = run(&config);
    assert_sound(&outcome);
    assert!(outcome.sent.no_room > 0);
    assert!(asked(&outcome).keys().eq(&all(&config)) && asked(&outcome).values().all(|times| *times == 1));
}

/// SIM-3: a run is a function of its configuration.
#[test]
fn the_same_seed_is_the_same_survey() {
    let hash = |seed| {
        let config = SurveyConfig {
            seed: Seed(seed),
            loss_ppm: 50_000,
            jitter: Duration::from_millis(3),
            workers: 2,
            ..SurveyConfig::default()
        };
        run(&config).trace_hash
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}
