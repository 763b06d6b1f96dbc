//! Order, memory, and how much is asked of others at a time (CDN-5).

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use wirehaul::cdn::detection::Detection;
use wirehaul::cdn::detector::{Options, Probes};
use wirehaul_core::time::Duration as Span;

use super::cdn::certificates::Authority;
use super::cdn::names::Zone;
use super::cdn::providers::Provider;
use super::cdn::web::{Conduct, Edge};
use super::cdn::{own_address, ports};
use super::{HASTY, detect, key, options, run, target, with_detector};

/// A web server that counts how many ask at the same time: from the connection to just before the answer.
struct Counting {
    ip: IpAddr,
    most: Arc<AtomicUsize>,
    total: Arc<AtomicUsize>,
}

impl Counting {
    /// Its threads end with the process.
    fn start() -> Self {
        let ip = own_address();
        let listener = TcpListener::bind(SocketAddr::new(ip, ports().http)).unwrap();
        let (now, most, total) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default(), Arc::default());
        let counting = Self { ip, most: Arc::clone(&most), total: Arc::clone(&total) };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                total.fetch_add(1, Ordering::SeqCst);
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let now = Arc::clone(&now);
                std::thread::spawn(move || {
                    let _ = stream.read(&mut [0; 4096]);
                    // Long enough for others to come, if any may.
                    std::thread::sleep(Duration::from_millis(20));
                    now.fetch_sub(1, Ordering::SeqCst);
                    let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nserver: x\r\n\r\n");
                });
            }
        });
        counting
    }
}

fn http_only(authority: &Authority) -> Options {
    let http = Probes { http: true, ..Probes::NONE };
    Options { of_addresses: http, of_names: http, cache_entries: 0, ..options(authority, None) }
}

/// CDN-5: requests to one host come one after the other.
#[test]
fn one_host_is_asked_one_thing_at_a_time() {
    let authority = Authority::new();
    let server = Counting::start();
    with_detector(&[], http_only(&authority), |detector| {
        let targets = (0..8).map(|_| target(&server.ip.to_string()));
        let found: Vec<_> = run(detector.detect_all(targets).collect());
        assert_eq!(found.len(), 8);
    });
    assert_eq!((server.most.load(Ordering::SeqCst), server.total.load(Ordering::SeqCst)), (1, 8));
}

/// CDN-5: two connections to one address at a time, whatever its hosts are called.
#[test]
fn one_address_has_two_connections_at_a_time() {
    let authority = Authority::new();
    let server = Counting::start();
    let hosts: Vec<String> = (0..10).map(|number| format!("host-{number}.example.com")).collect();
    let names = hosts.iter().fold(Zone::new(), |zone, host| zone.address(host, server.ip)).serve();
    let options = Options { resolver: Some(names.address), ..http_only(&authority) };
    with_detector(&[], options, |detector| {
        let found: Vec<_> = run(detector.detect_all(hosts.iter().map(|host| target(host))).collect());
        assert!(found.iter().all(|(_, found)| found.ip == Some(server.ip)));
    });
    assert_eq!((server.most.load(Ordering::SeqCst), server.total.load(Ordering::SeqCst)), (2, 10));
}

/// CDN-5: so many at a time.
#[test]
fn so_many_targets_are_looked_at_at_a_time() {
    let authority = Authority::new();
    let server = Counting::start();
    let hosts: Vec<String> = (0..4).map(|number| format!("host-{number}.example.com")).collect();
    let names = hosts.iter().fold(Zone::new(), |zone, host| zone.address(host, server.ip)).serve();
    let options = Options { resolver: Some(names.address), concurrency: 1, ..http_only(&authority) };
    with_detector(&[], options, |detector| {
        let found: Vec<_> = run(detector.detect_all(hosts.iter().map(|host| target(host))).collect());
        assert_eq!(found.len(), 4);
    });
    assert_eq!(server.most.load(Ordering::SeqCst), 1);
}

/// CDN-6: what was found comes in the order of the input, however long each takes.
#[test]
fn results_come_in_the_order_of_the_input() {
    let authority = Authority::new();
    let slow = Edge::plain(Conduct::Silent);
    let quick: Vec<Edge> = (0..5).map(|_| Edge::plain(Conduct::Answer(Provider::Bunny.answer()))).collect();
    let mut texts = vec![slow.ip.to_string()];
    texts.extend(quick.iter().map(|edge| edge.ip.to_string()));
    let options = Options { timeouts: HASTY, ..http_only(&authority) };
    with_detector(&[], options, |detector| {
        let targets = texts.iter().map(|text| target(text));
        let found: Vec<_> = run(detector.detect_all(targets).collect());
        let order: Vec<_> = found.iter().map(|(target, _)| target.text.as_str()).collect();
        assert_eq!(order, texts.iter().map(String::as_str).collect::<Vec<_>>());
    });
}

/// CDN-5: what was found out is remembered for a time.
#[test]
fn detections_are_remembered_for_a_time() {
    let authority = Authority::new();
    let edge = Provider::Bunny.serve(&authority, &[]);
    let text = edge.ip.to_string();
    let twice = |holds: Span, entries: usize| {
        let before = edge.connections();
        let options = Options { cache_holds: holds, cache_entries: entries, ..options(&authority, None) };
        let found: Vec<(Option<String>, Span)> = with_detector(&[], options, |detector| {
            let found = detect(detector, &[&text, &text]);
            let read = |found: &Detection<'_>| (key(detector, found).map(str::to_owned), found.took);
            found.iter().map(read).collect()
        });
        assert_eq!(found[0].0, found[1].0);
        (edge.connections() - before, found[1].1)
    };
    assert_eq!(twice(Span::from_secs(600), 10), (2, Span::ZERO));
    assert_eq!(twice(Span::ZERO, 10).0, 4);
    assert_eq!(twice(Span::from_secs(600), 0).0, 4);
}

/// CDN-5: the same, asked at the same time, is asked once.
#[test]
fn what_is_asked_at_the_same_time_is_asked_once() {
    let authority = Authority::new();
    let server = Counting::start();
    let options = Options { cache_entries: 10, ..http_only(&authority) };
    with_detector(&[], options, |detector| {
        let targets = (0..6).map(|_| target(&server.ip.to_string()));
        let found: Vec<_> = run(detector.detect_all(targets).collect());
        assert_eq!(found.len(), 6);
    });
    assert_eq!(server.total.load(Ordering::SeqCst), 1);
}
