//! Rows as they come out of the stream: the same bytes whichever way they were made.

use std::io::Cursor;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;

use smallvec::SmallVec;
use wirehaul_core::cdn::calibration::{DEFAULT_PRIOR, DEFAULT_THRESHOLD};
use wirehaul_core::cdn::{Probability, Signal};

use super::json::Json;
use super::text::Text;
use super::*;
use crate::cdn::detection::{Detection, Evidence, NotTried};
use crate::cdn::rows::{Place, Row, Sink};
use crate::cdn::stream::{Ask, Entry};

/// Knows no name.
struct Nobody;

impl<'d> Ask<'d> for Nobody {
    fn ask<'l>(
        &self,
        entries: &mut dyn Iterator<Item = Entry<'l>>,
        each: &mut dyn FnMut(Entry<'l>, Option<Detection<'d>>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        for entry in entries {
            let detection = matches!(entry, Entry::Ask { .. }).then(unresolved);
            if each(entry, detection).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn unresolved<'d>() -> Detection<'d> {
    let evidence = vec![Evidence::not_tried(Signal::Cname, NotTried::Timeout)];
    let verdict = wirehaul_core::cdn::weigh(&[], DEFAULT_PRIOR, |_| wirehaul_core::cdn::Listing::Published);
    Detection { ip: None, ips: SmallVec::new(), asn: None, verdict, evidence, took: Duration::ZERO }
}

/// Has no means to ask anybody.
struct Helpless;

impl<'d> Ask<'d> for Helpless {
    fn ask<'l>(
        &self,
        _: &mut dyn Iterator<Item = Entry<'l>>,
        _: &mut dyn FnMut(Entry<'l>, Option<Detection<'d>>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        Err(io::Error::other("no sockets"))
    }
}

/// How a test wants it.
#[derive(Clone, Copy)]
struct Way<'t> {
    text: &'t [u8],
    threads: usize,
    ranges: bool,
    asks_addresses: bool,
}

const PLAIN: Way<'static> = Way { text: b"", threads: 1, ranges: false, asks_addresses: false };

fn run_with(
    way: Way<'_>,
    asns: &AsnSource<'static>,
    render: &impl Render,
    ask: &dyn Ask<'static>,
) -> (String, Outcome) {
    let stop = AtomicBool::new(false);
    let job = Job {
        offline: Offline { database: EMBEDDED, asns, prior: DEFAULT_PRIOR },
        threshold: DEFAULT_THRESHOLD,
        render,
        ask,
        asks_addresses: way.asks_addresses,
        ranges: way.ranges,
        stop: &stop,
        clock: Clock::start(),
    };
    let mut out = Vec::new();
    let input = Input::new(vec![Box::new(Cursor::new(way.text.to_vec()))]);
    let outcome = stream::run(&job, &[], input, way.threads, &mut out);
    (String::from_utf8(out).unwrap(), outcome)
}

fn run(way: Way<'_>, render: &impl Render) -> (String, Outcome) {
    run_with(way, &AsnSource::of_facts(EMBEDDED), render, &Nobody)
}

const JSON: Json<'static> = Json { database: EMBEDDED, threshold: DEFAULT_THRESHOLD };
const TEXT: Text<'static> = Text { database: EMBEDDED, threshold: DEFAULT_THRESHOLD, explains: false };
const EXPLAINED: Text<'static> = Text { explains: true, ..TEXT };

/// Addresses of all kinds, those at the edges of what is known among them.
fn addresses() -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for (span, _) in EMBEDDED.v4.iter().step_by(37).chain(EMBEDDED.v4.iter().take(50)) {
        found.extend([span.first, span.last, span.first.wrapping_sub(1)].map(|ip| IpAddr::V4(ip.into())));
    }
    for (span, _) in EMBEDDED.v6.iter().step_by(97) {
        found.extend([span.first, span.last, span.last.wrapping_add(1)].map(|ip| IpAddr::V6(ip.into())));
    }
    found.extend((0..2_000_u32).map(|n| IpAddr::V4(Ipv4Addr::from(n.wrapping_mul(0x9e37_79b9)))));
    found.extend(
        ["1.128.0.1", "12.81.92.1", "2600:6000::1", "::ffff:104.16.0.1"].map(|ip| ip.parse::<IpAddr>().unwrap()),
    );
    found
}

fn directly(render: &impl Render, offline: Offline<'_, 'static>, ip: IpAddr) -> String {
    let (input, mut sink) = (ip.to_string(), Sink::default());
    let detection = offline.detection(ip);
    render.row(&Row { input: &input, place: Place::Ip(Some(ip)), detection: &detection }, &mut sink);
    String::from_utf8(sink.bytes).unwrap()
}

/// CDN-6: a row is the same whether it came out of a mould or not.
#[test]
fn moulds_give_the_same_bytes() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/GeoLite2-ASN-Test.mmdb");
    for asns in [AsnSource::of_facts(EMBEDDED), AsnSource::open(&fixture, EMBEDDED).unwrap()] {
        check_moulds(&JSON, &asns);
        check_moulds(&TEXT, &asns);
        check_moulds(&EXPLAINED, &asns);
    }
}

fn check_moulds(render: &impl Render, asns: &AsnSource<'static>) {
    let offline = Offline { database: EMBEDDED, asns, prior: DEFAULT_PRIOR };
    let addresses = addresses();
    let text: String = addresses.iter().map(|ip| format!("{ip}\n")).collect();
    let (out, outcome) = run_with(Way { text: text.as_bytes(), ..PLAIN }, asns, render, &Nobody);
    let expected: String = addresses.iter().map(|ip| directly(render, offline, *ip)).collect();
    assert!(out == expected, "{}", first_difference(&out, &expected));
    assert_eq!(outcome.tally.rows, addresses.len() as u64);
}

fn first_difference(left: &str, right: &str) -> String {
    let pair = left.lines().zip(right.lines()).find(|(left, right)| left != right);
    format!("{pair:#?}, {} and {} bytes", left.len(), right.len())
}

/// A line of JSON for each item, in order, whatever is in the middle, and however many threads there are.
#[test]
fn rows_come_in_the_order_of_lines() {
    let mut text = Vec::new();
    for number in 0..60_000_u32 {
        let line = match number % 997 {
            3 => "not..a.name".to_owned(),
            5 => format!("name-{number}.example"),
            7 => format!("198.51.{}.0/30", number % 256),
            11 => "# a remark".to_owned(),
            13 => "x".repeat(5_000),
            17 => String::new(),
            19 => format!("  [2606:4700::{number:x}]:443\r"),
            _ => Ipv4Addr::from(number.wrapping_mul(0x9e37_79b9)).to_string(),
        };
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    text.extend_from_slice(b"\xff\xfe\n192.0.2.255");
    let way = Way { text: &text, ..PLAIN };
    let (one, counted) = run(way, &JSON);
    let (many, counted_too) = run(Way { threads: 4, ..way }, &JSON);
    assert!(one == many, "{}", first_difference(&one, &many));
    assert_eq!(counted.tally, counted_too.tally);
    assert_eq!(one.lines().count() as u64, counted.tally.rows);
    assert!(one.ends_with("\"ms\":0.000}\n") && one.contains("\"input\":\"192.0.2.255\""));
    let inputs: Vec<String> = one.lines().map(input_of).collect();
    assert_eq!(inputs[0], "0.0.0.0");
    assert_eq!(&inputs[7..11], ["198.51.7.0/30"; 4]);
    assert!(inputs.contains(&"[2606:4700::13]:443".to_owned()));
    // The last item was asked after everything else was printed.
    let names = inputs.iter().filter(|input| input.starts_with("name-")).count();
    assert_eq!(names, 61);
}

fn input_of(row: &str) -> String {
    let row: Value = serde_json::from_str(row).unwrap_or_else(|error| panic!("{row}: {error}"));
    row["input"].as_str().unwrap().to_owned()
}

#[test]
fn prefixes_are_a_row_for_each_address_or_each_part() {
    let rows = |text: &[u8], ranges: bool| run(Way { text, ranges, ..PLAIN }, &JSON);
    let ip_of = |row: &str| serde_json::from_str::<Value>(row).unwrap()["ip"].as_str().unwrap().to_owned();
    let (out, outcome) = rows(b"198.51.100.6/30", false);
    let ips: Vec<_> = out.lines().map(ip_of).collect();
    assert_eq!(ips, ["198.51.100.4", "198.51.100.5", "198.51.100.6", "198.51.100.7"]);
    assert_eq!((outcome.tally.inputs, outcome.tally.rows), (1, 4));
    let (out, _) = rows(b"255.255.255.254/31\nffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/127", false);
    assert_eq!(out.lines().count(), 4);
    let (out, outcome) = rows(b"104.0.0.0/7\n2606:4700::/32\n192.0.2.1", false);
    assert_eq!(outcome.tally.errors, 2, "{out}");
    assert!(out.contains("--ranges"), "{out}");
    let (out, outcome) = rows(b"104.0.0.0/7\n::/0", true);
    let ips: Vec<_> = out.lines().map(ip_of).collect();
    assert!(ips[0].starts_with("104.0.0.0/") && outcome.tally.detected > 100 && outcome.tally.errors == 0);
}

/// Everything of a prefix is asked about where addresses are, and the row says which prefix it is of.
#[test]
fn addresses_are_asked_about_one_by_one() {
    let way = Way { text: b"198.51.100.0/30\n192.0.2.1\nx..y\nexample.com", asks_addresses: true, ..PLAIN };
    let (out, outcome) = run(way, &JSON);
    let inputs: Vec<_> = out.lines().map(input_of).collect();
    let prefix = "198.51.100.0/30";
    assert_eq!(inputs, [prefix, prefix, prefix, prefix, "192.0.2.1", "x..y", "example.com"]);
    assert_eq!((outcome.tally.inputs, outcome.tally.rows, outcome.tally.errors), (4, 7, 1));
    let (out, outcome) = run(Way { ranges: true, ..way }, &JSON);
    assert!(out.contains("\"ip\":\"198.51.100.0/30\"") && outcome.tally.rows == 4, "{out}");
}

#[test]
fn what_cannot_be_asked_ends_it() {
    let asns = AsnSource::of_facts(EMBEDDED);
    let way = Way { text: b"192.0.2.1\nexample.com\n192.0.2.2", ..PLAIN };
    let (out, outcome) = run_with(way, &asns, &JSON, &Helpless);
    assert_eq!((out.lines().count(), outcome.unasked.is_some()), (1, true));
}

/// Bytes of a long line are not repeated in the row about it.
#[test]
fn errors_show_the_beginning_of_a_line() {
    let long = [b"x".repeat(5_000), "\n\u{e9}".as_bytes().to_vec(), "\u{e9}".repeat(3_000).into_bytes()].concat();
    let (out, outcome) = run(Way { text: &long, ..PLAIN }, &JSON);
    let inputs: Vec<_> = out.lines().map(input_of).collect();
    assert_eq!(inputs[0], format!("{}\u{2026}", "x".repeat(100)));
    assert_eq!(inputs[1], format!("{}\u{2026}", "\u{e9}".repeat(50)));
    assert_eq!(outcome.tally.errors, 2);
    let (out, _) = run(Way { text: b"a\x1b[31mb", ..PLAIN }, &TEXT);
    assert!(!out.contains('\x1b') && out.contains("error: "), "{out:?}");
}

/// Takes some bytes, and then fails.
struct Narrow(usize);

impl Write for Narrow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(left) = self.0.checked_sub(bytes.len()) else { return Err(io::ErrorKind::BrokenPipe.into()) };
        self.0 = left;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn nobody_who_reads_ends_it() {
    let (stop, asns) = (AtomicBool::new(false), AsnSource::of_facts(EMBEDDED));
    let job = Job {
        offline: Offline { database: EMBEDDED, asns: &asns, prior: DEFAULT_PRIOR },
        threshold: Probability::HALF,
        render: &JSON,
        ask: &Nobody,
        asks_addresses: false,
        ranges: false,
        stop: &stop,
        clock: Clock::start(),
    };
    for text in [b"10.0.0.0/8".to_vec(), b"192.0.2.1\n".repeat(1_000_000)] {
        let input = Input::new(vec![Box::new(Cursor::new(text))]);
        let outcome = stream::run(&job, &[], input, 3, Narrow(1 << 20));
        assert_eq!(outcome.unwritten.unwrap().kind(), io::ErrorKind::BrokenPipe);
        assert!(outcome.tally.rows < 500_000, "{}", outcome.tally.rows);
    }
}
