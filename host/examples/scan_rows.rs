//! Measures what becomes of replies, without a network: de-duplicated, looked up, written, by one thread.
//!
//! `cargo run --release --example scan_rows -- DIR` makes its files in DIR and removes them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

use std::net::IpAddr;
use std::path::Path;
use std::time::Instant;

use wirehaul::clock::Clock;
use wirehaul::scan::Found;
use wirehaul::scan::cdn::Edges;
use wirehaul::scan::collect::{Collector, Show};
use wirehaul::scan::format::{Format, Writer};
use wirehaul::scan::row::Run;
use wirehaul::scan::sink::{Output, Sink};
use wirehaul::scan::zgrab::Zgrab;
use wirehaul_core::scan::{Class, Key, Probe, Reply, Window};
use wirehaul_core::time::Duration;

const ROWS: u32 = 4_000_000;
const BATCH: u32 = 256;

fn main() {
    let dir = std::env::args().nth(1).expect("name a directory to measure in");
    let dir = tempfile::tempdir_in(dir).unwrap();
    for is_v6 in [false, true] {
        let batches = batches(is_v6);
        for format in [Format::Json, Format::Csv, Format::Text, Format::Parquet] {
            for edges in [false, true] {
                measure(dir.path(), &batches, format, edges, if is_v6 { "IPv6" } else { "IPv4" });
            }
        }
    }
}

fn batches(is_v6: bool) -> Vec<Vec<Found>> {
    let found = |number: u32| {
        // All over the address space, each once.
        let bits = number.wrapping_mul(2_654_435_761);
        let target: IpAddr = if is_v6 {
            IpAddr::V6((0x2606_4700_u128 << 96 | u128::from(bits)).into())
        } else {
            IpAddr::V4(bits.into())
        };
        let reply = Reply {
            target,
            probe: Probe::tcp(443),
            class: Class::Open,
            responder: target,
            local: "192.0.2.1:61440".parse().unwrap(),
            ttl: 57,
            rtt: Some(Duration::from_micros(1234)),
            icmp: None,
            ack: Some(1),
        };
        Found { at_ns: 1_700_000_000_000_000_000 + u64::from(number), reply, queue: 1, node: Some(0) }
    };
    (0..ROWS / BATCH).map(|batch| (batch * BATCH..(batch + 1) * BATCH).map(found).collect()).collect()
}

fn measure(dir: &Path, batches: &[Vec<Found>], format: Format, edges: bool, what: &str) {
    let path = dir.join(format!("out.{}", format.name()));
    let run = Run { scan_id: "0123456789abcdef".to_owned(), shard: 1, list_version: "2026-07-01-01234567".to_owned() };
    let writer = Writer::new(format, &run, Zgrab::default(), false);
    let output = Output { path: Some(path.clone()), format, rotate: None };
    let sink = Sink::create(&output, writer).unwrap();
    let mut slots = vec![0; 1 << 20];
    let window = Window::new(&mut slots, Key::new([1, 2]));
    let mut collector = Collector::new(window, edges.then(Edges::new), None, Clock::start(), Show::All, sink);
    let begin = Instant::now();
    batches.iter().for_each(|batch| collector.take(batch).unwrap());
    let (tally, mut sink) = collector.into_parts();
    sink.flush().unwrap();
    let taken = begin.elapsed().as_secs_f64();
    sink.finish().unwrap();
    let all = begin.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(&path).unwrap().len();
    std::fs::remove_file(path).unwrap();
    println!(
        "{what} {:8} edges {edges:5}  {:6.2} M rows/s, {:6.2} with sync and completion, {:4} bytes a row, {} received",
        format.name(),
        f64::from(ROWS) / taken / 1e6,
        f64::from(ROWS) / all / 1e6,
        bytes / u64::from(ROWS),
        tally.received,
    );
}
