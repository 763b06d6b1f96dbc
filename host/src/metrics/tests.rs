use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration as Span;

use wirehaul_core::cdn::Probability;
use wirehaul_core::pool::PoolStats;
use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::wire::{Reject, RejectCounters};
use wirehaul_core::xsk::Whereabouts;

use super::process::Look;
use super::*;
use crate::events::{
    CdnDetection, Direction, Event, Heard, KernelCounters, SessionFigures, Stage, Totals, TransferEnd, TransferId,
    TransferState, WorkerState,
};

fn worker(number: u8) -> WorkerState {
    let mut rejects = RejectCounters::new();
    rejects.count(Reject::ALL[0]);
    let pool = PoolStats { slots: 100, slot_bytes: 65_536, free: 90, lowest_free: 70, exhausted: 2 };
    WorkerState {
        number,
        at: Instant::from_nanos(u64::from(number)),
        sessions: 3,
        transfers: 2,
        totals: Totals {
            transfers_begun: 5,
            transfers_done: 2,
            transfers_failed: 1,
            sent_packets: 10,
            sent_bytes: 1000,
            received_packets: 20,
            received_bytes: 28_000,
            lost_packets: 4,
            stream_bytes_sent: 500,
            stream_bytes_resent: 50,
            file_bytes: 27_000,
            files: 7,
            rejects,
        },
        packets: pool,
        blocks: PoolStats { slots: 640, slot_bytes: 294_912, free: 640, lowest_free: 600, exhausted: 0 },
        kernel: KernelCounters {
            socket_overflows: 1,
            xdp_rx_ring_full: 2,
            xdp_rx_fill_ring_empty: 3,
            xdp_rx_dropped: 4,
            xdp_invalid: 5,
            xdp_tx_ring_empty: 6,
            xdp_kicks: 7,
            xdp_frames: Some(Whereabouts { frames: 4096, free: 2040, filled: 2048, sent: 5 }),
        },
    }
}

fn transfer(number: u64, peer: &str) -> TransferState {
    TransferState {
        id: TransferId { worker: 0, number },
        at: Instant::from_nanos(number),
        began: Instant::ZERO,
        direction: Direction::Receiving,
        peer: Some(peer.into()),
        remote: Some("192.0.2.1:7420".parse().unwrap()),
        stage: Stage::Moving,
        total_bytes: 1000,
        done_bytes: 100,
        figures: SessionFigures {
            srtt: Duration::from_micros(200),
            pacing_error_ppm: Some(3000),
            ..SessionFigures::default()
        },
    }
}

fn end(number: u64, peer: &str, exit_code: u8) -> Event {
    Event::Finished(Arc::new(TransferEnd {
        state: transfer(number, peer),
        took: Duration::from_millis(1500),
        files: 3,
        stored_bytes: 900,
        resumed_bytes: 100,
        verified: true,
        failure: None,
        exit_code,
    }))
}

fn detection(provider: Option<&str>) -> Event {
    Event::CdnDetection(CdnDetection {
        at: Instant::ZERO,
        target: "192.0.2.1".to_owned(),
        provider: provider.map(str::to_owned),
        confidence: Probability::HALF,
        origin: false,
    })
}

/// The page after these events, for a process that always stands the same.
fn page(events: Vec<Event>) -> String {
    let mut sums = Sums::new(["backup".into()]);
    events.into_iter().for_each(|event| sums.hear(Heard::Event(event)));
    sums.hear(Heard::Missed(9));
    let look = Look { cpu_seconds: 1.5, resident_bytes: 4096, open_fds: Some(10), max_fds: 1024, threads: 4 };
    let process = Process { started_seconds: 1_700_000_000, pretend: Some(look) };
    exposition::write(&Arc::new(Mutex::new(sums)), &process).unwrap()
}

fn events() -> Vec<Event> {
    vec![
        Event::Worker(worker(0)),
        Event::Worker(worker(1)),
        Event::Transfer(transfer(1, "backup")),
        Event::Transfer(transfer(2, "backup")),
        Event::Transfer(transfer(3, "stranger")),
        end(2, "backup", 0),
        end(4, "a second stranger", 5),
        end(5, "backup", 1),
        detection(Some("cloudflare")),
        detection(None),
    ]
}

/// The whole page; `WIREHAUL_GOLDEN=write` writes it anew.
#[test]
fn the_page_is_as_it_was() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/src/metrics/golden.txt");
    // Of the rules that nobody broke there are as many as the core knows, and the version changes.
    let is_told = |line: &&str| !(line.starts_with("wirehaul_rejects_total{") && line.ends_with(" 0"));
    let page: String = page(events()).lines().filter(is_told).map(|line| format!("{line}\n")).collect();
    let page = page.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    if std::env::var_os("WIREHAUL_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(golden, &page).unwrap();
    }
    assert_eq!(page, std::fs::read_to_string(golden).unwrap());
}

#[test]
fn labels_do_not_grow_with_whoever_comes() {
    let many = (0..1000).map(|n| end(n, &format!("stranger-{n}"), 0));
    let edges = (0..1000).map(|n| detection(Some(&format!("provider-{n}"))));
    let page = page(many.chain(edges).collect());
    assert!(
        page.contains("wirehaul_peer_transfers_total{direction=\"recv\",peer=\"other\",result=\"done\"} 1000"),
        "{page}"
    );
    assert!(page.lines().filter(|line| line.starts_with("wirehaul_cdn_detections_total{")).count() <= 101);
}

/// A state is the sum since the beginning: what was missed in between is in it.
#[test]
fn the_newest_state_of_a_worker_counts() {
    let mut later = worker(0);
    later.totals.files = 70;
    let page = page(vec![Event::Worker(worker(0)), Event::Worker(later)]);
    assert!(page.contains("wirehaul_files_total{worker=\"0\"} 70\n"), "{page}");
}

/// Sockets have no frames, and their workers do not say that they hold none.
#[test]
fn only_workers_with_frames_tell_where_they_are() {
    let mut without = worker(1);
    without.kernel.xdp_frames = None;
    let page = page(vec![Event::Worker(worker(0)), Event::Worker(without)]);
    let told: Vec<_> = page.lines().filter(|line| line.starts_with("wirehaul_xdp_frames{")).collect();
    let of = |place, count| format!("wirehaul_xdp_frames{{worker=\"0\",place=\"{place}\"}} {count}");
    assert_eq!(told, [of("free", 2040), of("receive", 2048), of("transmit", 5), of("held", 3)]);
}

#[test]
fn a_transfer_whose_end_was_missed_is_not_under_way_for_good() {
    let mut much_later = transfer(2, "backup");
    much_later.at = Instant::from_nanos(120_000_000_000);
    let page = page(vec![Event::Transfer(transfer(1, "backup")), Event::Transfer(much_later)]);
    assert!(page.contains("wirehaul_peer_transfers_active{direction=\"recv\",peer=\"backup\"} 1\n"), "{page}");
}

/// Every metric stands in the document, with its kind, and the document has no others.
#[test]
fn the_document_names_every_metric() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md")).unwrap();
    let page = page(events());
    let mut written: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| format!("| `{name}` | {kind} |"))
        .collect();
    let mut told: Vec<_> = document
        .lines()
        .filter(|line| line.starts_with("| `wirehaul_") || line.starts_with("| `process_"))
        .map(|line| line.splitn(4, '|').take(3).map(|cell| format!("{cell}|")).collect::<String>())
        .collect();
    written.sort();
    told.sort();
    assert_eq!(told, written);
}

/// What Prometheus itself thinks of the page.
#[test]
fn promtool_finds_nothing_to_say() {
    use std::process::{Command, Stdio};
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = started else {
        eprintln!("skipped: promtool_finds_nothing_to_say needs promtool");
        return;
    };
    promtool.stdin.take().unwrap().write_all(page(events()).as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

// --- over HTTP ---

struct Served {
    bus: Bus,
    address: SocketAddr,
    metrics: Metrics,
}

impl Served {
    fn start() -> Self {
        let port = Port::take("127.0.0.1:0".parse().unwrap()).unwrap();
        let (bus, address) = (Bus::default(), port.address().unwrap());
        let metrics = Metrics::start(port, &bus, ["backup".into()]).unwrap();
        Self { bus, address, metrics }
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Span::from_secs(60))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }
}

#[test]
fn the_page_is_served_and_nothing_else() {
    let served = Served::start();
    served.bus.send(Event::Worker(worker(0)));
    // The event is heard on another thread.
    let page = loop {
        let page = served.get("/metrics");
        if page.contains("wirehaul_files_total{worker=\"0\"} 7\n") {
            break page;
        }
    };
    let (head, _) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(served.get("/").contains("/metrics"));
    assert!(served.get("/secrets").starts_with("HTTP/1.1 404 "));
    let posted = served.ask("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    assert!(posted.starts_with("HTTP/1.1 405 ") && posted.contains("allow: GET, HEAD"), "{posted}");
    let head = served.ask("HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(served.ask("nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
}

#[test]
fn those_who_say_nothing_do_not_keep_others_out_for_good() {
    let served = Served::start();
    let silent: Vec<_> = (0..8).map(|_| TcpStream::connect(served.address).unwrap()).collect();
    assert!(served.get("/metrics").starts_with("HTTP/1.1 200 OK"));
    drop(silent);
}

#[test]
fn what_the_daemon_says_is_on_the_page() {
    let served = Served::start();
    served.metrics.reloaded(true);
    served.metrics.reloaded(false);
    served.metrics.draining();
    served.metrics.name(["new".into()]);
    let page = served.get("/metrics");
    for line in [
        "wirehaul_config_reloads_total{result=\"ok\"} 1",
        "wirehaul_config_reloads_total{result=\"refused\"} 1",
        "wirehaul_config_last_reload_successful 0",
        "wirehaul_draining 1",
        "wirehaul_peer_transfers_active{direction=\"recv\",peer=\"new\"} 0",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
}

#[test]
fn a_port_is_taken_once() {
    let first = Port::take("127.0.0.1:0".parse().unwrap()).unwrap();
    let again = Port::take(first.address().unwrap());
    assert_eq!(again.err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
}
