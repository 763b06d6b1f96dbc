extern crate std;

use core::net::IpAddr;
use std::string::ToString;
use std::vec::Vec;

use super::calibration::{
    ALIAS, CERTIFICATE, DEFAULT_PRIOR, DEFAULT_THRESHOLD, HEADER, LISTED, MOST_OF_SHARED_NETWORK, PTR,
};
use super::facts::{CertificateField, NameKind};
use super::prefix::{Address, Span};
use super::rows::{self, HeaderRow, RowError};
use super::table::{self, Table};
use super::{CentiNats, Clue, Database, Date, Listing, ProviderId, Signal, Verdict, weigh};
use crate::cdn_data::EMBEDDED;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn edges_of(text: &str) -> Option<&'static str> {
    EMBEDDED.network(ip(text)).edges.map(|list| list.key)
}

fn no_edges_of(text: &str) -> Option<&'static str> {
    EMBEDDED.network(ip(text)).no_edges.map(|list| list.key)
}

/// What a database makes of an address without asking anybody.
fn offline(database: &Database<'_>, text: &str) -> Verdict {
    let ip = ip(text);
    let mut clues = Vec::new();
    database.clues_of_network(&database.network(ip), |clue| clues.push(clue));
    let asn = database.announced_by(ip).and_then(|asn| database.asn(asn));
    clues.extend(asn.map(|fact| fact.clue()));
    weigh(&clues, DEFAULT_PRIOR, |provider| database.listing(provider))
}

fn key(provider: Option<ProviderId>) -> Option<&'static str> {
    provider.and_then(|provider| EMBEDDED.provider(provider)).map(|provider| provider.key)
}

// --- CDN-1: what is compiled in ---

#[test]
fn well_known_addresses_are_on_the_lists_of_their_owners() {
    for (address, expected) in [
        ("104.16.132.229", "cloudflare"),
        ("2606:4700::6810:84e5", "cloudflare"),
        ("::ffff:104.16.132.229", "cloudflare"),
        ("23.32.0.1", "akamai"),
        ("151.101.1.69", "fastly"),
        ("2a04:4e42::645", "fastly"),
        ("13.32.0.1", "cloudfront"),
        ("34.8.0.1", "google"),
        ("4.145.22.161", "azure"),
        ("45.60.0.1", "imperva"),
    ] {
        assert_eq!(edges_of(address), Some(expected), "{address}");
    }
    for address in ["8.8.8.8", "192.0.2.1", "2001:db8::1", "::", "255.255.255.255", "ffff::"] {
        assert_eq!(edges_of(address), None, "{address}");
    }
}

#[test]
fn what_is_no_edge_although_the_owner_has_some_is_known() {
    for (address, expected) in [
        ("104.28.28.1", "icloud_private_relay"),
        ("45.33.0.1", "linode"),
        ("4.144.0.1", "azure_noncdn"),
        ("8.34.208.1", "gcp_regional"),
    ] {
        assert_eq!((edges_of(address), no_edges_of(address)), (None, Some(expected)), "{address}");
        assert_eq!(offline(&EMBEDDED, address).provider(DEFAULT_THRESHOLD), None, "{address}");
    }
}

/// An edge inside of what is otherwise for rent is an edge: its list is the more exact one.
#[test]
fn an_edge_within_rented_space_is_an_edge() {
    assert_eq!((edges_of("34.95.148.131"), no_edges_of("34.95.148.131")), (Some("gocache"), Some("gcp_regional")));
    assert_eq!(key(offline(&EMBEDDED, "34.95.148.131").provider(DEFAULT_THRESHOLD)), Some("gocache"));
}

#[test]
fn every_fact_names_its_source_and_every_list_its_day() {
    for list in EMBEDDED.lists {
        assert!(!list.provenance.source.is_empty() && list.provenance.date.is_some(), "{}", list.key);
    }
    assert!(EMBEDDED.announced.date.is_some() && !EMBEDDED.announced.source.is_empty());
    assert!(EMBEDDED.asns.iter().all(|fact| !fact.provenance.source.is_empty()));
    assert!(EMBEDDED.providers.len() >= 30 && EMBEDDED.lists.len() >= 29);
}

#[test]
fn the_tables_that_are_compiled_in_are_tables() {
    fn parts<A: Address, V: Copy + Default + PartialEq>(table: &Table<'_, A, V>) -> usize {
        let (mut starts, mut values, mut index) = (Vec::new(), Vec::new(), Vec::new());
        let spans: Vec<_> = table.iter().collect();
        table::segments(
            &spans,
            &[],
            |over, _| over.unwrap_or_default(),
            |start, value| {
                starts.push(start);
                values.push(value);
            },
        );
        table::index(&starts, |entry| index.push(entry));
        let (highs, lows): (Vec<_>, Vec<_>) = starts.iter().map(|start| start.split()).unzip();
        assert!(Table::<A, V>::new(&highs, &lows, &values, &index).is_ok());
        assert_eq!(starts.len(), table.len(), "segments of the same value are one");
        spans.len()
    }
    assert!(parts(&EMBEDDED.v4) > 4_000 && parts(&EMBEDDED.v6) > 9_000);
    assert!(parts(&EMBEDDED.announced_v4) > 1_000 && parts(&EMBEDDED.announced_v6) > 1_000);
}

#[test]
fn names_of_edges_and_names_that_only_look_like_them() {
    let provider = |kind, name: &str| key(EMBEDDED.suffix(kind, name).map(|fact| fact.provider));
    for (name, expected) in [
        ("www.example.com.edgekey.net.", "akamai"),
        ("d111111abcdef8.cloudfront.net", "cloudfront"),
        ("dualstack.example.map.FASTLY.net", "fastly"),
        ("example.z01.azurefd.net", "azure"),
        ("example.com.cdn.cloudflare.net", "cloudflare"),
    ] {
        assert_eq!(provider(NameKind::Cname, name), Some(expected), "{name}");
    }
    for name in ["fastly.net.attacker.com", "notfastly.net", "cloudfront.net.example", "xcloudfront.net"] {
        assert_eq!(provider(NameKind::Cname, name), None, "{name}");
    }
    let ptr = |name| EMBEDDED.suffix(NameKind::Ptr, name).map(|fact| fact.weight);
    assert!(ptr("a23-1-2-3.deploy.static.akamaitechnologies.com").is_some_and(|weight| weight > PTR));
    // Shared with every rented machine: it says nothing.
    assert_eq!(ptr("1.2.3.4.bc.googleusercontent.com"), Some(CentiNats::ZERO));
    assert_eq!(ptr("lhr25s34-in-f14.1e100.net"), Some(CentiNats::ZERO));
}

#[test]
fn headers_as_edges_send_them() {
    let providers = |name, value: &str| -> Vec<_> {
        EMBEDDED.header(name, value.as_bytes()).filter_map(|fact| key(Some(fact.provider))).collect()
    };
    for (name, value, expected) in [
        ("CF-RAY", "8f1c2e0f3a1b2c3d-LHR", "cloudflare"),
        ("Server", "AkamaiGHost", "akamai"),
        ("X-Served-By", "cache-lhr-egll1980021-LHR", "fastly"),
        ("Via", "1.1 abcdef.cloudfront.net (CloudFront)", "cloudfront"),
        ("Via", "1.1 google", "google"),
        ("X-Azure-Ref", "20260822T101010Z-abc", "azure"),
        ("X-ID", "lhr-up-gc42", "gcore"),
        ("Server", "BunnyCDN-DE1-1077", "bunny"),
    ] {
        assert_eq!(providers(name, value), [expected], "{name}: {value}");
    }
    assert_eq!(providers("Server", "nginx"), [""; 0]);
    assert!(EMBEDDED.leaks_origin("X-Backend-Server") && !EMBEDDED.leaks_origin("server"));
}

#[test]
fn certificates_that_edges_show() {
    let provider = |field, name: &str| key(EMBEDDED.certificate(field, name).map(|fact| fact.provider));
    for (field, name, expected) in [
        (CertificateField::CommonName, "a248.e.akamai.net", Some("akamai")),
        (CertificateField::CommonName, "*.cloudfront.net", Some("cloudfront")),
        (CertificateField::CommonName, "default.ssl.fastly.net", Some("fastly")),
        (CertificateField::CommonName, "d.sni-644-default.ssl.fastly.net", Some("fastly")),
        (CertificateField::CommonName, "invalid2.invalid", Some("google")),
        (CertificateField::AlternativeName, "*.azurefd.net", Some("azure")),
        (CertificateField::AlternativeName, "*.b-cdn.net", Some("bunny")),
        (CertificateField::Alert, "", Some("cloudflare")),
        (CertificateField::CommonName, "example.com", None),
        (CertificateField::AlternativeName, "azurefd.net.example.com", None),
    ] {
        assert_eq!(provider(field, name), expected, "{name}");
    }
}

// --- CDN-2: what evidence comes to ---

const A: ProviderId = ProviderId::trusted(3);
const B: ProviderId = ProviderId::trusted(7);

fn clue(signal: Signal, provider: ProviderId, weight: CentiNats) -> Clue {
    Clue { signal, provider: Some(provider), weight }
}

fn named(clues: &[Clue]) -> Option<ProviderId> {
    weigh(clues, DEFAULT_PRIOR, |_| Listing::Published).provider(DEFAULT_THRESHOLD)
}

#[test]
fn two_signals_that_anybody_can_write_name_nobody() {
    assert_eq!(named(&[clue(Signal::Http, A, HEADER), clue(Signal::Http, A, HEADER)]), None);
    assert_eq!(named(&[clue(Signal::Http, A, HEADER), clue(Signal::Tls, A, CentiNats(300))]), None);
    // The older rule is what it is.
    let verdict =
        weigh(&[clue(Signal::Http, A, HEADER), clue(Signal::Tls, A, HEADER)], DEFAULT_PRIOR, |_| Listing::Published);
    assert_eq!((verdict.seed_tenths, verdict.seed_provider), (5, Some(A)));
}

#[test]
fn addresses_that_customers_bring_are_named_by_alias_or_certificate() {
    assert_eq!(named(&[clue(Signal::Cname, A, ALIAS)]), Some(A));
    assert_eq!(named(&[clue(Signal::Tls, A, CERTIFICATE), clue(Signal::Http, A, HEADER)]), Some(A));
}

#[test]
fn signals_of_one_cause_count_once() {
    let one = weigh(&[clue(Signal::Prefix, A, LISTED)], DEFAULT_PRIOR, |_| Listing::Published);
    let three = [clue(Signal::Prefix, A, LISTED), clue(Signal::Asn, A, PTR), clue(Signal::Ptr, A, PTR)];
    let three = weigh(&three, DEFAULT_PRIOR, |_| Listing::Published);
    assert_eq!(one.posterior, three.posterior);
    assert_eq!((one.seed_tenths, three.seed_tenths), (3, 9));
}

#[test]
fn what_speaks_against_a_provider_leaves_others_alone() {
    let relay = clue(Signal::Anti, A, CentiNats(-1_000));
    assert_eq!(named(&[clue(Signal::Ptr, A, CentiNats(874)), relay]), None);
    assert_eq!(named(&[clue(Signal::Ptr, B, CentiNats(874)), relay]), Some(B));
    let rented = Clue { provider: None, ..relay };
    assert_eq!(named(&[clue(Signal::Ptr, B, CentiNats(874)), rented]), None);
}

/// Of a network whose edges are on a list, the rest is relays as often as addresses that customers brought.
#[test]
fn a_network_names_nobody_where_a_list_of_its_edges_says_no() {
    let weigh = |clues: &[Clue], listing| weigh(clues, DEFAULT_PRIOR, |_| listing).provider(DEFAULT_THRESHOLD);
    let network = clue(Signal::Asn, A, CentiNats(874));
    assert_eq!(weigh(&[network], Listing::None), Some(A));
    for listing in [Listing::Made, Listing::Published] {
        assert_eq!(weigh(&[network], listing), None, "{listing:?}");
        assert_eq!(weigh(&[network, clue(Signal::Http, A, HEADER)], listing), Some(A), "{listing:?}");
        assert_eq!(weigh(&[network, clue(Signal::Prefix, A, LISTED)], listing), Some(A), "{listing:?}");
    }
    // Rented machines share a network with edges, and relay their headers.
    let shared = clue(Signal::Asn, A, MOST_OF_SHARED_NETWORK);
    assert_eq!(weigh(&[shared, clue(Signal::Http, A, HEADER)], Listing::Published), None);
}

#[test]
fn of_two_the_likelier_is_named_in_any_order() {
    let clues = [clue(Signal::Prefix, A, LISTED), clue(Signal::Http, B, HEADER)];
    assert_eq!(named(&clues), Some(A));
    assert_eq!(named(&[clues[1], clues[0]]), Some(A));
    let level = [clue(Signal::Cname, B, ALIAS), clue(Signal::Cname, A, ALIAS)];
    assert_eq!((named(&level), named(&[level[1], level[0]])), (Some(A), Some(A)));
}

#[test]
fn nothing_known_is_less_likely_than_before() {
    let verdict = weigh(&[], DEFAULT_PRIOR, |_| Listing::Published);
    assert_eq!((verdict.likeliest, verdict.seed_tenths, verdict.seed_provider), (None, 0, None));
    assert!(verdict.posterior < DEFAULT_PRIOR);
}

#[test]
fn the_older_rule_stops_at_ten_tenths() {
    let all = [Signal::Asn, Signal::Prefix, Signal::Ptr, Signal::Cname, Signal::Http, Signal::Tls];
    let clues: Vec<_> = all.into_iter().map(|signal| clue(signal, A, PTR)).collect();
    assert_eq!(weigh(&clues, DEFAULT_PRIOR, |_| Listing::Published).seed_tenths, 10);
}

// --- tables ---

#[test]
fn segments_of_two_layers() {
    let span = |first, last| Span { first, last };
    let over = [(span(10_u32, 19), 'a'), (span(20, 29), 'a'), (span(40, u32::MAX), 'b')];
    let under = [(span(0_u32, 4), 'x'), (span(15, 45), 'y')];
    let mut found = Vec::new();
    table::segments(&over, &under, |over, under| (over, under), |start, value| found.push((start, value)));
    let expected = [
        (0, (None, Some('x'))),
        (5, (None, None)),
        (10, (Some('a'), None)),
        (15, (Some('a'), Some('y'))),
        (30, (None, Some('y'))),
        (40, (Some('b'), Some('y'))),
        (46, (Some('b'), None)),
    ];
    assert_eq!(found, expected);
}

#[test]
fn parts_that_are_no_table_are_refused() {
    let (starts, values) = ([0_u32, 1 << 16, 1 << 20], [0_u16, 1, 0]);
    let mut index = Vec::new();
    table::index(&starts, |entry| index.push(entry));
    let is_table = |starts: &[u32], values: &[u16], index: &[u32]| {
        let lows = [(); 3];
        Table::<u32, u16>::new(starts, &lows[..starts.len()], values, index).is_ok()
    };
    assert!(is_table(&starts, &values, &index));
    assert!(!is_table(&starts, &values[..2], &index));
    assert!(!is_table(&starts[1..], &values[1..], &index));
    assert!(!is_table(&[0, 7, 7], &values, &index));
    assert!(!is_table(&starts, &values, &index[1..]));
    for at in [0, 1, 16, 65_536] {
        let mut damaged = index.clone();
        damaged[at] += 1;
        assert!(!is_table(&starts, &values, &damaged), "{at}");
    }
}

/// Several segments of IPv6 begin within one /64.
#[test]
fn low_halves_decide_where_high_ones_are_equal() {
    let base = 0x2a03_90c0_0011_2801_u128 << 64;
    let spans: Vec<_> =
        (0..40_u128).map(|at| (Span { first: base + at * 16, last: base + at * 16 + 7 }, 1_u16)).collect();
    let (mut starts, mut values, mut index) = (Vec::new(), Vec::new(), Vec::new());
    table::segments(
        &spans,
        &[],
        |over, _| over.unwrap_or(0),
        |start, value| {
            starts.push(start);
            values.push(value);
        },
    );
    table::index(&starts, |entry| index.push(entry));
    let (highs, lows): (Vec<u64>, Vec<u64>) = starts.iter().map(|start: &u128| start.split()).unzip();
    let table = Table::<u128, u16>::new(&highs, &lows, &values, &index).unwrap();
    for offset in 0..40 * 16 {
        assert_eq!(table.get(base + offset), u16::from(offset % 16 < 8), "{offset}");
    }
    assert_eq!((table.get(base - 1), table.get(base + (1 << 64)), table.get(0)), (0, 0, 0));
}

// --- rows ---

#[test]
fn dates_are_found_however_they_are_written() {
    let newest = |text| Date::newest_in(text).map(|date| date.to_string());
    assert_eq!(newest("via: x 2026-08-22 (CC0), change 40, 2026-06-26").as_deref(), Some("2026-08-22"));
    assert_eq!(newest("version 20260819").as_deref(), Some("2026-08-19"));
    assert_eq!(newest("asn 2.3.2026061719 (CC BY 4.0)").as_deref(), Some("2026-06-17"));
    assert_eq!(newest("gathered 2026-11").as_deref(), Some("2026-11"));
    assert_eq!(newest("12345678, 2026-13-01, 4.0, 99"), None);
}

#[test]
fn sources_are_the_names_behind_their_codes() {
    let text = "# sources: G wappalyzergo 2026-08-16 (MIT; tags); K wafw00f (BSD-3)\nrow";
    assert_eq!(rows::source_of_row(text, "G"), "wappalyzergo 2026-08-16 (MIT; tags)");
    assert_eq!(rows::source_of_row(text, "K,G"), "wafw00f (BSD-3)");
    assert_eq!(rows::source_of_row(text, "a blog"), "a blog");
    assert_eq!(rows::source_of_row(text, "-"), "");
}

#[test]
fn rows_that_are_not_as_they_have_to_be_say_why() {
    assert_eq!(rows::AsnRow::parse("akamai\t1").unwrap_err(), RowError::Columns(3));
    assert_eq!(rows::AsnRow::parse("akamai\tx\tedge").unwrap_err(), RowError::Number("asn"));
    assert!(matches!(rows::AsnRow::parse("akamai\t1\tfringe"), Err(RowError::Word("role", _))));
    assert!(matches!(rows::SuffixRow::parse("akamai\tname\ta.net"), Err(RowError::Word("kind", _))));
    assert_eq!(HeaderRow::parse("gcore\tx-id\tregex:(a+)+$\tstrong").unwrap_err(), RowError::Pattern);
    assert!(matches!(HeaderRow::parse("gcore\tx-id\tlike:a\tstrong"), Err(RowError::Word("match", _))));
    assert_eq!(HeaderRow::parse("gcore\tx-id\tprefix:\tstrong").unwrap_err(), RowError::Empty("match"));
    assert_eq!(rows::ProviderRow::parse("\tName\tcdn").unwrap_err(), RowError::Empty("key"));
    assert_eq!(rows::ShareRow::parse("a\t1\tx\t2\t3").unwrap_err(), RowError::Number("announced_v4"));
    assert_eq!(rows::RatioRow::parse("a\tASN 1\t\t\tmany").unwrap_err(), RowError::Number("LR"));
}

#[test]
fn ratios_are_read_as_their_logarithms() {
    let weight = |ratio: &str| {
        let row = std::format!("akamai\tASN 1\t0.5\t0.1\t{ratio}\t0");
        rows::RatioRow::parse(&row).map(|row| row.unwrap().weight.0)
    };
    assert_eq!((weight("6.25e+03"), weight("18"), weight("0.00114")), (Ok(874), Ok(289), Ok(-678)));
    assert!(weight("0").is_err() && weight("-1").is_err() && weight("1e99").is_err() && weight("").is_err());
}
