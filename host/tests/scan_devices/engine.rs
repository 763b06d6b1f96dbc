//! Surveys of a namespace whose kernel answers, in every way that packets can travel: SCAN-1, SCAN-3, SCAN-7.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use wirehaul::clock::Clock;
use wirehaul::scan::Choice;
use wirehaul::scan::counters::Progress;
use wirehaul::scan::engine::{Running, Setup, StartError, Work, start};
use wirehaul::scan::{Addresses, Excluded, Found, Spans};
use wirehaul_core::cdn::prefix::Prefix;
use wirehaul_core::numa;
use wirehaul_core::scan::{Cap, Class, Course, Key, Probe, Protocol, Shard};

use crate::machine::{Link, enter, has_xdp, is_privileged};
use crate::{on_a_thread, until};

const ICMP: Probe = Probe { protocol: Protocol::Icmp, port: 0 };

fn addresses(targets: &[&str]) -> Addresses {
    let mut spans = Spans::default();
    targets.iter().for_each(|target| spans.push(Prefix::parse(target).unwrap()));
    spans.joined()
}

fn work(targets: &[&str], probes: &[Probe]) -> Work {
    let targets = addresses(targets);
    let mut probes = probes.to_vec();
    probes.sort_unstable();
    let count = wirehaul::scan::TargetRuns::of(&targets).targets().addresses();
    let course = Course::new(count * probes.len() as u128, 7, Shard::WHOLE, 1, 0).unwrap();
    Work {
        targets,
        probes,
        course,
        from: 0,
        cap: Cap::Packets(20_000),
        subnet_pps: None,
        retry_after: wirehaul_core::time::Duration::ZERO,
        key: Key::new([3, 4]),
        contact: Vec::new(),
    }
}

fn setup(transport: Choice) -> Setup {
    Setup {
        interface: None,
        transport,
        workers: None,
        numa: numa::Choice::Off,
        clock: Clock::start(),
        excluded: Excluded::default(),
    }
}

/// Takes what is found until all probes are sent and nothing came for a while; or until the survey fails.
fn gather(running: &mut Running) -> (Vec<Found>, Progress) {
    let results = running.results();
    let mut found = Vec::new();
    let mut quiet = 0;
    until(|| {
        let before = found.len();
        found.extend(results.try_iter().flatten());
        let progress = running.progress();
        quiet = if progress.is_done && found.len() == before { quiet + 1 } else { 0 };
        quiet > 300 || progress.has_failed
    });
    let progress = running.end();
    found.extend(results.iter().flatten());
    (found, progress)
}

fn classes(found: &[Found]) -> BTreeMap<(IpAddr, Probe), Class> {
    found.iter().map(|found| ((found.reply.target, found.reply.probe), found.reply.class)).collect()
}

/// Sockets in a namespace that accept and answer, kept until dropped.
struct Services {
    _tcp: Vec<TcpListener>,
    _udp: Vec<UdpSocket>,
}

fn serve(namespace: &str) -> Services {
    let name = namespace.to_owned();
    on_a_thread(move || {
        enter(&name);
        let tcp = ["10.74.0.2:80", "[fd74::2]:80"].map(|address| TcpListener::bind(address).unwrap());
        let udp = [UdpSocket::bind("10.74.0.2:9").unwrap()];
        Services { _tcp: tcp.into(), _udp: udp.into() }
    })
}

/// Surveys the right end of a link from the left one.
fn survey_a_peer(choice: Choice, queues: u32) {
    let link = Link::with(queues, 1500);
    let _services = serve(link.right.name());
    let left = link.left.name().to_owned();
    on_a_thread(move || {
        enter(&left);
        let probes = [Probe::tcp(80), Probe::tcp(81), Probe::udp(9), Probe::udp(10), ICMP];
        let work = work(&["10.74.0.0/29", "fd74::2", "fd74::7"], &probes);
        let mut running = start(work, &setup(choice)).unwrap();
        assert_eq!(running.about().transport, choice.name());
        assert_eq!(running.about().interface, "wire");
        let (found, progress) = gather(&mut running);
        let classes = classes(&found);
        for peer in ["10.74.0.2", "fd74::2"].map(|peer| peer.parse::<IpAddr>().unwrap()) {
            let of = |probe| classes.get(&(peer, probe)).copied();
            let expected = [Some(Class::Open), Some(Class::Closed), Some(Class::Closed), Some(Class::Alive)];
            assert_eq!([Probe::tcp(80), Probe::tcp(81), Probe::udp(10), ICMP].map(of), expected, "{peer} {classes:?}");
        }
        let peers: BTreeSet<_> = classes.keys().map(|(target, _)| target.to_string()).collect();
        assert_eq!(peers, ["10.74.0.2", "fd74::2"].map(str::to_owned).into(), "nobody else is there");
        let opened: Vec<_> = found.iter().filter(|found| found.reply.class == Class::Open).collect();
        assert!(opened.iter().all(|found| found.reply.rtt.is_some()), "a SYN-ACK brings the time of its SYN back");
        assert_eq!(progress.done_before, u64::MAX);
        assert!(progress.is_done && !progress.has_failed, "{:?}", running.failure());
        assert_eq!(progress.drops.of_replies(), 0, "{:?}", progress.drops);
        assert_eq!(progress.sent.sent, 2 * 5, "who is not there is sent nothing");
        // 10.74.0.0/29 without this host, and fd74::7: all of them were asked for.
        assert_eq!(progress.sent.no_route, 5);
        assert_eq!(progress.sent.absent, (8 - 2) * 5 + 5);
        drop(running);
        let shown = std::process::Command::new("ip").args(["link", "show", "dev", "wire"]).output().unwrap();
        assert!(!String::from_utf8_lossy(&shown.stdout).contains("xdp"), "nothing is left on the interface");
    });
}

#[test]
fn packet_sockets_find_what_is_there() {
    if is_privileged("a survey by packet sockets") {
        survey_a_peer(Choice::Packet, 1);
    }
}

#[test]
fn af_xdp_finds_what_is_there() {
    if has_xdp("a survey by AF_XDP") {
        survey_a_peer(Choice::XdpCopy, 1);
        survey_a_peer(Choice::XdpSkb, 1);
    }
}

/// SCAN-9: a worker for each queue, and none of the elements is left out or asked twice.
#[test]
fn several_workers_ask_each_once() {
    if !has_xdp("a survey with several workers") {
        return;
    }
    for choice in [Choice::Packet, Choice::XdpCopy] {
        let link = Link::with(2, 1500);
        let left = link.left.name().to_owned();
        on_a_thread(move || {
            enter(&left);
            let probes: Vec<_> = (1..=2000).map(Probe::tcp).collect();
            let mut running =
                start(work(&["10.74.0.2"], &probes), &Setup { workers: Some(2), ..setup(choice) }).unwrap();
            assert_eq!(running.about().workers.len(), 2);
            let (found, progress) = gather(&mut running);
            assert_eq!((progress.sent.sent, progress.done_before), (2000, u64::MAX));
            assert_eq!(classes(&found).len(), 2000, "{:?}", progress.drops);
            assert!(found.iter().all(|found| found.reply.class == Class::Closed));
        });
    }
}

/// SCAN-6: exclusions win, also over targets that were named, and hold while the survey runs.
#[test]
fn what_is_excluded_is_not_asked() {
    if !is_privileged("exclusions of a survey") {
        return;
    }
    let link = Link::new();
    let left = link.left.name().to_owned();
    on_a_thread(move || {
        enter(&left);
        let setup = setup(Choice::Packet);
        setup.excluded.set(Arc::new(|ip: IpAddr| ip.is_ipv4()));
        let mut running = start(work(&["10.74.0.2", "fd74::2"], &[Probe::tcp(1), Probe::tcp(2)]), &setup).unwrap();
        let (found, progress) = gather(&mut running);
        assert_eq!((progress.sent.sent, progress.sent.excluded), (2, 2));
        assert!(found.iter().all(|found| found.reply.target.is_ipv6()) && found.len() >= 2);
    });
}

/// Back-pressure: while nobody takes what is found, nothing is sent, and nothing is lost.
#[test]
fn who_does_not_take_results_stops_the_survey_and_loses_nothing() {
    if !is_privileged("results that nobody takes") {
        return;
    }
    let link = Link::new();
    let left = link.left.name().to_owned();
    on_a_thread(move || {
        enter(&left);
        let probes: Vec<_> = (1..=60_000).map(Probe::tcp).collect();
        let work = Work { cap: Cap::Packets(200_000), ..work(&["10.74.0.2"], &probes) };
        let mut running = start(work, &setup(Choice::Packet)).unwrap();
        let mut last = (0, 0);
        until(|| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            let sent = running.progress().sent.sent;
            last = if sent == last.0 { (sent, last.1 + 1) } else { (sent, 0) };
            last.1 > 10
        });
        assert!(!running.progress().is_done, "it stopped after {}", last.0);
        let (found, progress) = gather(&mut running);
        assert_eq!((progress.sent.sent, progress.drops.replies), (60_000, 0));
        assert_eq!(classes(&found).len(), 60_000, "{:?}", progress.drops);
    });
}

/// SCAN-5, SCAN-7: a link that goes ends the survey, with what is done so far.
#[test]
fn a_link_that_goes_ends_the_survey() {
    if !has_xdp("a survey whose link goes") {
        return;
    }
    for (choice, how, words) in [
        (Choice::Packet, "set dev wire down", "wire went down"),
        (Choice::XdpCopy, "set dev wire down", "wire went down"),
        (Choice::Packet, "delete dev wire", "wire disappeared"),
        (Choice::XdpCopy, "delete dev wire", "wire disappeared"),
    ] {
        let link = Link::new();
        let left = link.left.name().to_owned();
        on_a_thread(move || {
            enter(&left);
            let probes: Vec<_> = (1..=60_000).map(Probe::tcp).collect();
            let work = Work { cap: Cap::Packets(1000), ..work(&["10.74.0.2"], &probes) };
            let mut running = start(work, &setup(choice)).unwrap();
            until(|| running.progress().sent.sent > 100);
            let status = std::process::Command::new("ip").arg("link").args(how.split(' ')).status();
            assert!(status.unwrap().success());
            let (_, progress) = gather(&mut running);
            assert!(progress.has_failed && progress.done_before < 60_000, "{}", progress.done_before);
            let failure = running.failure().unwrap();
            assert!(failure.starts_with(words) || failure.starts_with("wire went down"), "{how}: {failure}");
        });
    }
}

/// SCAN-7: this host, by IPv6, which needs no setting of the kernel.
#[test]
fn loopback_is_surveyed() {
    if !is_privileged("a survey of loopback") {
        return;
    }
    let link = Link::new();
    let left = link.left.name().to_owned();
    on_a_thread(move || {
        enter(&left);
        let _listener = TcpListener::bind("[::1]:8080").unwrap();
        let probes = [Probe::tcp(8080), Probe::tcp(8081), ICMP];
        let mut running = start(work(&["::1"], &probes), &setup(Choice::Auto)).unwrap();
        assert_eq!((running.about().interface.as_str(), running.about().transport), ("lo", "packet"));
        let (found, progress) = gather(&mut running);
        let classes: Vec<_> = classes(&found).into_iter().map(|((_, probe), class)| (probe, class)).collect();
        let expected = [(Probe::tcp(8080), Class::Open), (Probe::tcp(8081), Class::Closed), (ICMP, Class::Alive)];
        assert_eq!(classes, expected, "{progress:?}");
    });
}

/// XDP-9: what is forced and cannot be is an error, with what to do; without force, something else is taken and said.
#[test]
fn a_way_that_cannot_be_gone_is_refused_or_left() {
    if !has_xdp("ways that cannot be gone") {
        return;
    }
    let link = Link::new();
    let left = link.left.name().to_owned();
    on_a_thread(move || {
        enter(&left);
        let error = start(work(&["10.74.0.2"], &[Probe::tcp(80)]), &setup(Choice::Xdp)).unwrap_err();
        assert!(matches!(error, StartError::Transport(_)), "{error}");
        assert!(
            error.to_string().starts_with("--transport xdp: the driver of wire (veth) has no zero-copy"),
            "{error}"
        );
        let running = start(work(&["10.74.0.2"], &[Probe::tcp(80)]), &setup(Choice::Auto)).unwrap();
        let about = running.about();
        let steps: Vec<_> = about.steps.iter().map(|step| step.way).collect();
        assert_eq!((about.transport, steps), ("xdp-copy", vec!["xdp", "xdp-copy"]));
        // The filter is taken: the next survey goes by packet sockets.
        let beside = start(work(&["10.74.0.2"], &[Probe::tcp(80)]), &setup(Choice::Auto)).unwrap();
        assert_eq!(beside.about().transport, "packet", "{:?}", beside.about().steps);
        let error = start(work(&["10.74.0.2"], &[Probe::tcp(80)]), &setup(Choice::XdpSkb)).unwrap_err();
        assert!(error.to_string().contains("another XDP program is attached to wire"), "{error}");
    });
}
