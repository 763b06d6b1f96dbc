//! How fast, to whom, and how often. Times are those at which the other side's kernel had the packets; nothing here depends on how
//! fast the machine is, but for what a cap forbids.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::common::machine::is_privileged;
use crate::common::{alone, shared};
use crate::rig::{Rig, addresses, probes};
use crate::world::silent;

const SECOND: u64 = 1_000_000_000;

/// The most within any second.
fn most_in_a_second(times: &[u64]) -> usize {
    let mut most = 0;
    let mut first = 0;
    for (last, time) in times.iter().enumerate() {
        while time - times[first] >= SECOND {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

#[test]
fn the_most_in_a_second_is_counted_right() {
    let even: Vec<u64> = (0..50).map(|number| number * SECOND / 10).collect();
    assert_eq!(most_in_a_second(&even), 10);
    assert_eq!(most_in_a_second(&[0, 1, SECOND - 1, SECOND, SECOND + 1]), 3);
    assert_eq!(most_in_a_second(&[]), 0);
}

/// SCAN-4: no second has more than the cap, by one worker and by two, with resets and all; and what is said of the rate is what
/// arrived.
#[test]
fn the_cap_holds_in_every_second_and_its_error_is_told() {
    let _guard = alone();
    if !is_privileged("a cap on the rate") {
        return;
    }
    for (transport, workers) in [("packet", "1"), ("packet", "2"), ("auto", "1"), ("auto", "2")] {
        let rig = Rig::new(silent, 2);
        let options = ["--rate", "3k", "--subnet-rate", "unlimited", "--cooldown", "300ms", "--workers", workers];
        let (_, finished) = rig.scan(&[&["10.20.0.0/19", "-p", "80", "--transport", transport], &options[..]].concat());
        let times = rig.responder.log().times(|_| true);
        assert_eq!(times.len(), 1 << 13);
        let most = most_in_a_second(&times);
        assert!(most <= 3000, "{most} packets in a second, with {workers} workers by {transport}");
        let seconds = (times[times.len() - 1] - times[0]) as f64 / SECOND as f64;
        let error = 100.0 * ((times.len() - 1) as f64 / seconds - 3000.0) / 3000.0;
        let summary = finished.summary();
        let told = summary["rate_error_pct"].as_f64().unwrap_or_else(|| panic!("no rate_error_pct: {summary}"));
        eprintln!("{workers} workers by {transport}: {error:+.3} % of the rate, told as {told:+.3} %");
        // The program reckons from before its first packet until after its last.
        assert!(
            told >= error.abs() - 1.0 && told <= error.abs() + 8.0,
            "the rate is {error} % off, and said to be {told} %"
        );
    }
}

/// SCAN-4: no /24 gets more than its cap in any second, and the caps of others do not wait for it.
#[test]
fn the_cap_of_a_subnet_holds_in_every_second() {
    let _guard = alone();
    if !is_privileged("a cap for subnets") {
        return;
    }
    let rig = Rig::new(silent, 1);
    // Three probes for each of 256 addresses at 250 a second are three seconds.
    let targets = ["10.20.7.0/24", "10.20.9.0/24", "10.20.16.0/22", "fd20::5:0/120", "fd20:0:1::/120"];
    let options = ["-p", "80,81,82", "--rate", "20k", "--subnet-rate", "250", "--cooldown", "300ms"];
    rig.scan(&[&targets[..], &options].concat());
    let log = rig.responder.log();
    assert_eq!(log.count(), 3 * (6 * 256 + 2 * 256));
    let mut by_subnet: BTreeMap<Vec<u8>, Vec<u64>> = BTreeMap::new();
    for (asked, times) in &log.probes {
        let prefix = if asked.target.is_ipv4() { 3 } else { 6 };
        by_subnet.entry(crate::frames::octets(asked.target)[..prefix].to_vec()).or_default().extend(times);
    }
    assert_eq!(by_subnet.len(), 8);
    for (subnet, times) in &mut by_subnet {
        times.sort_unstable();
        let most = most_in_a_second(times);
        assert!(most <= 250, "{most} packets in a second for {subnet:?}");
    }
    let most = most_in_a_second(&log.times(|_| true));
    assert!(most > 250, "subnets waited for each other: {most} in a second");
}

/// SCAN-4: each retry comes its time after the one before, and all have as many.
#[test]
fn retries_are_spread_over_time() {
    let _guard = alone();
    if !is_privileged("retries") {
        return;
    }
    let rig = Rig::new(silent, 1);
    let options =
        ["--rate", "1k", "--subnet-rate", "unlimited", "--retries", "2", "--retry-after", "1s", "--cooldown", "300ms"];
    rig.scan(&[&["10.20.0.0/22", "-p", "80"], &options[..]].concat());
    let log = rig.responder.log();
    for asked in probes(&addresses("10.20.0.0", 1024), &[("tcp", 80)]) {
        let mut times = log.probes.get(&asked).cloned().unwrap_or_default();
        times.sort_unstable();
        assert_eq!(times.len(), 3, "{asked:?}");
        let least = times.windows(2).map(|two| two[1] - two[0]).min().unwrap();
        assert!(least >= SECOND * 9 / 10, "{asked:?} was asked again after {least} ns");
    }
}

/// SCAN-6: a file of exclusions is read again while the survey runs.
#[test]
fn who_is_excluded_while_it_runs_is_asked_no_more() {
    let _guard = shared();
    if !is_privileged("exclusions while it runs") {
        return;
    }
    let rig = Rig::new(silent, 1);
    let exclude = rig.write("exclude", "10.20.0.0/28\n");
    let fixed = ["10.20.0.0/19", "-p", "80", "--rate", "1200", "--subnet-rate", "unlimited", "--cooldown", "300ms"];
    let output = rig.path("found.jsonl");
    let process = rig.start(
        [&fixed[..], &["--exclude-file", exclude.to_str().unwrap(), "--output", output.to_str().unwrap()]].concat(),
    );
    for _ in 0..2000 {
        if rig.responder.count() >= 1000 {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // The last half of the targets is no longer wanted.
    rig.write("exclude", "10.20.0.0/28\n10.20.16.0/20\n");
    let written = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    process.wait().expect(0);
    let log = rig.responder.log();
    let is_excluded = |ip: std::net::IpAddr| crate::frames::octets(ip)[2] >= 16;
    let late =
        log.times(|asked| is_excluded(asked.target)).into_iter().filter(|time| *time > written + 2 * SECOND).count();
    assert_eq!(late, 0, "asked two seconds after they were excluded");
    let others = log.probes.keys().filter(|asked| !is_excluded(asked.target)).count();
    assert_eq!(others, (1 << 12) - 16, "all others are asked, but those excluded from the start");
    assert!(log.probes.len() < 3 << 11, "most of those excluded were asked: {}", log.probes.len());
}
