use std::net::IpAddr;

use proptest::prelude::*;
use serde_json::{Value, json};
use wirehaul_core::cdn::Probability;
use wirehaul_core::scan::reply::{Class, Reply};
use wirehaul_core::scan::{Probe, Protocol};
use wirehaul_core::time::Duration;

use super::*;
use crate::scan::cdn::Edge;
use crate::scan::row::COLUMNS;

pub(crate) fn run() -> Run {
    Run { scan_id: "nightly".to_owned(), shard: 3, list_version: "2026-07-01-0a1b2c3d".to_owned() }
}

pub(crate) fn reply(target: &str, probe: Probe, class: Class) -> Reply {
    let target: IpAddr = target.parse().unwrap();
    Reply {
        target,
        probe,
        class,
        responder: target,
        local: "10.9.8.7:61440".parse().unwrap(),
        ttl: 57,
        rtt: Some(Duration::from_micros(1234)),
        icmp: None,
        ack: None,
    }
}

fn row(reply: &Reply) -> Row<'_> {
    Row { at_ns: 1_700_000_000_123_456_789, reply, is_repeat: false, queue: 2, node: Some(1), edge: None }
}

fn written(format: Format, rows: &[Row<'_>]) -> String {
    let writer = Writer::new(format, &run(), Zgrab::default(), false);
    let mut out = Vec::new();
    writer.push_header(&mut out);
    rows.iter().for_each(|row| writer.push(row, &mut out));
    String::from_utf8(out).unwrap()
}

fn edge() -> Edge {
    let evidence = "asn:AS13335 prefix:cloudflare".to_owned();
    Edge { provider: Some("cloudflare"), posterior: Probability::HALF, evidence }
}

/// SCAN-8: for people, in columns.
#[test]
fn text_has_address_port_class_and_cdn() {
    let edge = edge();
    let (one, two, three) = (
        reply("104.16.0.1", Probe::tcp(443), Class::Open),
        reply("2001:db8::1", Probe::udp(53), Class::Closed),
        reply("255.255.255.255", Probe::ECHO, Class::Alive),
    );
    let rows = [Row { edge: Some(&edge), ..row(&one) }, row(&two), row(&three)];
    let expected = "\
104.16.0.1      443/tcp   open cloudflare
2001:db8::1     53/udp    closed
255.255.255.255 icmp      alive
";
    assert_eq!(written(Format::Text, &rows), expected);
}

/// RFC 4180, and a column for each name of the header.
#[test]
fn csv_is_rfc_4180() {
    let edge = edge();
    let mut unreachable = reply("192.0.2.9", Probe::tcp(80), Class::Unreachable);
    unreachable.responder = "192.0.2.254".parse().unwrap();
    unreachable.icmp = Some((3, 1));
    unreachable.rtt = None;
    let open = reply("104.16.0.1", Probe::tcp(443), Class::Open);
    let rows = [Row { edge: Some(&edge), is_repeat: true, ..row(&open) }, Row { node: None, ..row(&unreachable) }];
    let text = written(Format::Csv, &rows);
    let expected = "\
nightly,3,1700000000123456789,104.16.0.1,443,10.9.8.7,61440,tcp,open,true,true,57,1234,104.16.0.1,,,2,1,cloudflare,asn:AS13335 prefix:cloudflare,2026-07-01-0a1b2c3d\r
nightly,3,1700000000123456789,192.0.2.9,80,10.9.8.7,61440,tcp,unreachable,false,false,57,,192.0.2.254,3,1,2,,,,2026-07-01-0a1b2c3d\r
";
    assert_eq!(text, format!("{}\r\n{expected}", COLUMNS.join(",")));
    for line in text.lines() {
        assert_eq!(line.split(',').count(), COLUMNS.len(), "{line}");
    }
}

#[test]
fn names_with_commas_and_quotes_are_quoted() {
    let odd = Run { scan_id: "a,\"b\"\\\n".to_owned(), ..run() };
    let reply = reply("192.0.2.1", Probe::tcp(1), Class::Open);
    let mut csv = Vec::new();
    Writer::new(Format::Csv, &odd, Zgrab::default(), false).push(&row(&reply), &mut csv);
    assert!(csv.starts_with(b"\"a,\"\"b\"\"\\\n\",3,"));
    let mut json = Vec::new();
    Writer::new(Format::Json, &odd, Zgrab::default(), false).push(&row(&reply), &mut json);
    assert_eq!(serde_json::from_slice::<Value>(&json).unwrap()["scan_id"], json!(odd.scan_id));
}

/// Scripts depend on it: what `scan --json` gives per reply, in one flat object with every column.
#[test]
fn json_has_every_column_in_order() {
    let edge = edge();
    let open = reply("2606:4700::1", Probe::udp(53), Class::Open);
    let text = written(Format::Json, &[Row { edge: Some(&edge), ..row(&open) }]);
    let value: Value = serde_json::from_str(&text).unwrap();
    let mut places: Vec<_> = COLUMNS.iter().map(|column| text.find(&format!("\"{column}\":")).unwrap()).collect();
    assert!(places.is_sorted(), "{text}");
    places.dedup();
    assert_eq!(places.len(), COLUMNS.len());
    assert_eq!(value.as_object().unwrap().len(), COLUMNS.len());
    assert_eq!(
        value,
        json!({
            "scan_id": "nightly", "shard": 3, "ts_ns": 1_700_000_000_123_456_789_u64,
            "saddr": "2606:4700::1", "sport": 53, "daddr": "10.9.8.7", "dport": 61440,
            "proto": "udp", "class": "open", "success": true, "repeat": false, "ttl": 57, "rtt_us": 1234,
            "responder": "2606:4700::1", "icmp_type": null, "icmp_code": null, "queue": 2, "node": 1,
            "cdn_provider": "cloudflare", "cdn_evidence": "asn:AS13335 prefix:cloudflare",
            "list_version": "2026-07-01-0a1b2c3d",
        })
    );
    let mut typed = Vec::new();
    Writer::new(Format::Json, &run(), Zgrab::default(), true).push(&row(&open), &mut typed);
    assert_eq!(serde_json::from_slice::<Value>(&typed).unwrap()["type"], json!("reply"));
}

/// `IP, DOMAIN, TAG, PORT`, of what can be connected to.
#[test]
fn zgrab_gets_open_ports_with_their_names() {
    let replies = [
        reply("192.0.2.1", Probe::tcp(443), Class::Open),
        reply("192.0.2.1", Probe::tcp(80), Class::Closed),
        reply("192.0.2.2", Probe::ECHO, Class::Alive),
        reply("2001:db8::1", Probe::tcp(22), Class::Open),
    ];
    let names = [("192.0.2.1".parse().unwrap(), "www.example.com".to_owned())].into();
    let writer = Writer::new(Format::Zgrab, &run(), Zgrab { names }, false);
    let mut out = Vec::new();
    replies.iter().for_each(|reply| writer.push(&row(reply), &mut out));
    assert_eq!(String::from_utf8(out).unwrap(), "192.0.2.1,www.example.com,,443\n2001:db8::1,,,22\n");
}

#[test]
fn endings_stand_for_formats() {
    for (name, format) in [
        ("a.csv", Some(Format::Csv)),
        ("a.jsonl", Some(Format::Json)),
        ("a.b.JSON", Some(Format::Json)),
        ("a.ndjson", Some(Format::Json)),
        ("a.parquet", Some(Format::Parquet)),
        ("a.txt", Some(Format::Text)),
        ("a.zgrab", Some(Format::Zgrab)),
        ("a.gz", None),
        ("csv", None),
    ] {
        assert_eq!(Format::of_ending(Path::new(name)), format, "{name}");
    }
    for (name, format) in Format::ALL {
        assert_eq!(format.name(), name);
    }
}

proptest! {
    /// A row is one line and one object, whatever is in it.
    #[test]
    fn any_row_is_valid_json(
        v4: u32, v6: u128, is_v6: bool, port: u16, at_ns: u64, ttl: u8, rtt: Option<u32>, icmp: Option<(u8, u8)>,
        queue: u32, node: Option<u32>, is_repeat: bool, id in "\\PC{0,20}|[\\x00-\\x7f]{0,8}",
    ) {
        let target: IpAddr = if is_v6 { IpAddr::V6(v6.into()) } else { IpAddr::V4(v4.into()) };
        let reply = Reply {
            target, probe: Probe { protocol: Protocol::Tcp, port }, class: Class::Filtered, responder: target,
            local: "[fd00::1]:61441".parse().unwrap(), ttl,
            rtt: rtt.map(|rtt| Duration::from_micros(rtt.into())), icmp, ack: None,
        };
        let run = Run { scan_id: id.clone(), ..run() };
        let row = Row { at_ns, reply: &reply, is_repeat, queue, node, edge: None };
        let mut out = Vec::new();
        Writer::new(Format::Json, &run, Zgrab::default(), false).push(&row, &mut out);
        prop_assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        let value: Value = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(&value["scan_id"], &json!(id));
        prop_assert_eq!(&value["saddr"], &json!(target.to_string()));
        prop_assert_eq!(&value["ts_ns"], &json!(at_ns));
        prop_assert_eq!(&value["rtt_us"], &json!(rtt));
        prop_assert_eq!(&value["icmp_code"], &json!(icmp.map(|(_, code)| code)));
        prop_assert_eq!(&value["node"], &json!(node));
    }
}
