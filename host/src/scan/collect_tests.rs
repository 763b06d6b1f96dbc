use std::fs;

use tempfile::TempDir;
use wirehaul_core::scan::{Key, Probe, Reply};

use super::*;
use crate::events::{CdnDetection, Heard};
use crate::scan::format::{Format, Writer};
use crate::scan::row::Run;
use crate::scan::sink::Output;
use crate::scan::zgrab::Zgrab;

fn found(target: &str, port: u16, class: Class) -> Found {
    let target: IpAddr = target.parse().unwrap();
    let local = "192.0.2.1:61440".parse().unwrap();
    let probe = Probe::tcp(port);
    let reply = Reply { target, probe, class, responder: target, local, ttl: 64, rtt: None, icmp: None, ack: None };
    Found { at_ns: 5, reply, queue: 1, node: Some(0) }
}

/// What was counted and written for these.
fn collected(show: Show, edges: Option<Edges>, bus: Option<Bus>, batches: &[&[Found]]) -> (Tally, Vec<String>) {
    let temp = TempDir::new().unwrap();
    let path = temp.path().join("out.txt");
    let output = Output { path: Some(path.clone()), format: Format::Text, rotate: None };
    let writer = Writer::new(Format::Text, &Run::default(), Zgrab::default(), false);
    let sink = Sink::create(&output, writer).unwrap();
    let mut slots = vec![0; 1024];
    let window = Window::new(&mut slots, Key::new([1, 2]));
    let mut collector = Collector::new(window, edges, bus, Clock::start(), show, sink);
    batches.iter().for_each(|batch| collector.take(batch).unwrap());
    let (tally, sink) = collector.into_parts();
    assert_eq!(sink.finish().unwrap(), std::slice::from_ref(&path));
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    (tally, fs::read_to_string(path).unwrap().lines().map(squeezed).collect())
}

/// SCAN-3: de-duplicated without losing a later positive.
#[test]
fn duplicates_are_counted_and_what_says_more_is_reported_again() {
    let first = [
        found("10.0.0.1", 80, Class::Unreachable),
        found("10.0.0.1", 80, Class::Open),
        found("10.0.0.1", 80, Class::Open),
    ];
    let second = [found("10.0.0.1", 80, Class::Closed), found("10.0.0.1", 81, Class::Closed)];
    let (tally, rows) = collected(Show::All, None, None, &[&first, &second]);
    assert_eq!(rows, ["10.0.0.1 80/tcp unreachable", "10.0.0.1 80/tcp open", "10.0.0.1 81/tcp closed"]);
    assert_eq!((tally.received, tally.duplicates, tally.hits()), (5, 2, 1));
    assert_eq!(Class::ALL.map(|class| tally.of(class)).iter().sum::<u64>(), 3);
    let (tally, rows) = collected(Show::Open, None, None, &[&first, &second]);
    assert_eq!(rows, ["10.0.0.1 80/tcp open"]);
    assert_eq!((tally.received, tally.of(Class::Closed)), (5, 1), "what is not shown is counted");
}

/// CDN-8: an event for each edge that answers, for those who listen.
#[test]
fn edges_are_named_in_rows_and_told_on_the_bus() {
    let bus = Bus::default();
    let mut listener = bus.listen();
    let batch = [found("104.16.0.1", 443, Class::Open), found("192.0.2.9", 443, Class::Open)];
    let (tally, rows) = collected(Show::Open, Some(Edges::new()), Some(bus), &[&batch]);
    assert_eq!(rows, ["104.16.0.1 443/tcp open cloudflare", "192.0.2.9 443/tcp open"]);
    assert_eq!(tally.of_edges, 1);
    let Some(Heard::Event(Event::CdnDetection(CdnDetection { target, provider, origin, .. }))) = listener.try_next()
    else {
        panic!("nothing was told")
    };
    assert_eq!((target.as_str(), provider.as_deref(), origin), ("104.16.0.1", Some("cloudflare"), false));
    assert!(listener.try_next().is_none());
}
