//! What each signal says, of edges and of look-alikes.

use std::net::IpAddr;
use std::process::Command;

use wirehaul::cdn::detection::{Found, NotTried};
use wirehaul::cdn::detector::{Options, Probes};
use wirehaul::events::{Bus, CdnDetection, Event, Heard};
use wirehaul_core::cdn_data::EMBEDDED;

use super::cdn::certificates::{Authority, self_signed};
use super::cdn::names::{Conduct as NameConduct, Zone};
use super::cdn::ports;
use super::cdn::providers::{Provider, huge_certificate};
use super::cdn::web::{Answer, Conduct, Edge, Handshake};
use super::{HASTY, detect, key, of_signal, options, speaks_for, target, with_detector};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// CDN-2: what its edges answer speaks for the provider, and for nobody else.
#[test]
fn headers_of_each_provider_speak_for_it() {
    let authority = Authority::new();
    for provider in Provider::ALL {
        let edge = provider.serve(&authority, &[]);
        with_detector(&[], options(&authority, None), |detector| {
            let found = detect(detector, &[&edge.ip.to_string()]).remove(0);
            let id = EMBEDDED.provider_of_key(provider.key()).unwrap();
            let others = speaks_for(&found, "http").into_iter().filter(|other| *other != id).count();
            assert!(speaks_for(&found, "http").contains(&id), "{provider:?}: {:?}", of_signal(&found, "http"));
            // A via of 1.1 varnish or a cache's status is weak, and of several; nothing else is.
            assert!(others <= 1, "{provider:?}: {:?}", of_signal(&found, "http"));
        });
    }
}

/// CDN-2: what they show to clients that name no host speaks for the provider where it is known.
#[test]
fn default_certificates_and_alerts_speak_for_their_provider() {
    let authority = Authority::new();
    let known = [
        Provider::Cloudflare,
        Provider::Akamai,
        Provider::Fastly,
        Provider::CloudFront,
        Provider::Google,
        Provider::Azure,
        Provider::Imperva,
        Provider::Bunny,
        Provider::Cdn77,
        Provider::KeyCdn,
        Provider::Gcore,
    ];
    for provider in known {
        let edge = provider.serve(&authority, &["www.example.com"]);
        with_detector(&[], options(&authority, None), |detector| {
            let found = detect(detector, &[&edge.ip.to_string()]).remove(0);
            let id = EMBEDDED.provider_of_key(provider.key()).unwrap();
            assert_eq!(speaks_for(&found, "tls"), [id], "{provider:?}: {:?}", of_signal(&found, "tls"));
            // RFC 6066 has no addresses in server names.
            assert_eq!(edge.server_names(), [None]);
        });
    }
}

/// CDN-2: an alias into the provider's zone names it on addresses of which nothing is known.
#[test]
fn names_that_are_aliases_of_an_edge_are_named() {
    let authority = Authority::new();
    // Those whose service has ended have weak aliases.
    let providers = Provider::ALL.into_iter().filter(|provider| *provider != Provider::Edgecast);
    for provider in providers {
        let Some(alias) = provider.alias() else { continue };
        let edge = provider.serve(&authority, &["www.example.com"]);
        let names = Zone::new().alias("www.example.com", alias).address(alias, edge.ip).serve();
        with_detector(&[], options(&authority, Some(&names)), |detector| {
            let found = detect(detector, &["www.example.com"]).remove(0);
            assert_eq!(key(detector, &found), Some(provider.key()), "{provider:?}: {:?}", found.evidence);
            assert_eq!((found.ip, found.ips.as_slice()), (Some(edge.ip), [edge.ip].as_slice()));
            assert_eq!(of_signal(&found, "dns")[0].value, alias);
            assert_eq!(edge.server_names(), [Some("www.example.com".to_owned())]);
            assert!(edge.requests()[0].to_ascii_lowercase().contains("\r\nhost: www.example.com"));
        });
    }
}

/// CDN-2: the six named providers, on their lists, with all signals.
#[test]
fn edges_on_lists_are_named_whatever_else_they_show() {
    let authority = Authority::new();
    for provider in Provider::NAMED {
        let edge = provider.serve(&authority, &[]);
        with_detector(&[(provider.key(), edge.ip)], options(&authority, None), |detector| {
            let found = detect(detector, &[&edge.ip.to_string()]).remove(0);
            assert_eq!(key(detector, &found), Some(provider.key()), "{:?}", found.evidence);
            let signals: Vec<_> = found.evidence.iter().map(|evidence| evidence.signal.name()).collect();
            let mut each = signals.clone();
            each.dedup();
            assert_eq!(each, ["asn", "prefix", "dns", "http", "tls"], "{signals:?}");
            assert!(found.verdict.seed_tenths >= 6, "{}", found.verdict.seed_tenths);
        });
    }
}

/// CDN-2: anybody can write a header.
#[test]
fn headers_alone_name_nobody() {
    let authority = Authority::new();
    for provider in Provider::ALL {
        let edge = Edge::plain(Conduct::Answer(provider.answer()));
        with_detector(&[], options(&authority, None), |detector| {
            let found = detect(detector, &[&edge.ip.to_string()]).remove(0);
            assert_eq!(key(detector, &found), None, "{provider:?}: {:?}", found.evidence);
        });
    }
}

/// CDN-2: so can certificates be written that nobody vouches for.
#[test]
fn certificates_that_nobody_vouches_for_name_nobody() {
    let authority = Authority::new();
    let names = ["*.cloudfront.net", "cloudfront.net"];
    let look_alikes = [self_signed("*.cloudfront.net", &names), authority.sign_expired("*.cloudfront.net", &names)];
    for identity in look_alikes {
        let edge = Edge::tls(Handshake::always(identity), Conduct::Answer(Provider::CloudFront.answer()));
        with_detector(&[], options(&authority, None), |detector| {
            let found = detect(detector, &[&format!("https://{}", edge.ip)]).remove(0);
            let evidence = &of_signal(&found, "tls")[0];
            assert_eq!(evidence.value, "*.cloudfront.net (not verified)");
            assert!(evidence.clue().unwrap().weight.0 <= 300);
            assert_eq!(key(detector, &found), None, "{:?}", found.evidence);
        });
    }
    // The same with an authority behind it counts.
    let edge = Edge::tls(Handshake::always(authority.sign(names[0], &names)), Conduct::Silent);
    with_detector(
        &[],
        Options { of_addresses: Probes { tls: true, ..Probes::NONE }, ..options(&authority, None) },
        |detector| {
            let found = detect(detector, &[&edge.ip.to_string()]).remove(0);
            assert_eq!(of_signal(&found, "tls")[0].value, "*.cloudfront.net");
            assert_eq!(key(detector, &found), Some("cloudfront"));
            assert_eq!(of_signal(&found, "http")[0].found, Found::NotTried(NotTried::Off));
        },
    );
}

/// CDN-2: the roots are those of the system, or those that SSL_CERT_FILE names.
#[test]
fn roots_are_those_of_the_system() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let others = Authority::new();
    let identity = authority.sign("*.cloudfront.net", &["*.cloudfront.net"]);
    let edge = Edge::tls(Handshake::always(identity), Conduct::Silent);
    let url = format!("https://{}:{}/", edge.ip, ports().https);
    for (roots, expected) in [(&authority, "*.cloudfront.net"), (&others, "*.cloudfront.net (not verified)")] {
        let mut wirehaul = Command::new(env!("CARGO_BIN_EXE_wirehaul"));
        wirehaul.args(["cdn", "--json", "--probe", "tls", "--timeout", "5s", &url]);
        let output = wirehaul.env("SSL_CERT_FILE", roots.write_to(directory.path())).output().unwrap();
        let rows = String::from_utf8(output.stdout).unwrap();
        assert!(
            rows.contains(&format!("\"value\":\"{expected}\"")),
            "{rows}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// What bad input gets: certificates of other names say nothing, however many names they have.
#[test]
fn other_certificates_say_nothing() {
    let authority = Authority::new();
    let wrong = authority.sign("cloudfront.net.attacker.example", &["fastly.net.attacker.example", "notfastly.net"]);
    for identity in [huge_certificate(&authority), wrong] {
        let edge = Edge::tls(Handshake::always(identity), Conduct::Answer(Answer::new("200 OK", &[])));
        with_detector(&[], options(&authority, None), |detector| {
            let found = detect(detector, &[&format!("https://{}", edge.ip)]).remove(0);
            let evidence = &of_signal(&found, "tls")[0];
            assert!(evidence.found == Found::Nothing && !evidence.value.contains("not verified"), "{evidence:?}");
            assert_eq!(key(detector, &found), None);
        });
    }
}

/// CDN-2: whoever owns an address can give it any name; it counts if it leads back.
#[test]
fn names_of_addresses_count_if_they_lead_back() {
    let authority = Authority::new();
    let (real, fake) = (ip("192.0.2.7"), ip("192.0.2.8"));
    let name = "server-192-0-2-7.fra2.r.cloudfront.net";
    let names = Zone::new().pointer(real, name).pointer(fake, name).address(name, real).serve();
    let options = Options { of_addresses: Probes::DNS, ..options(&authority, Some(&names)) };
    with_detector(&[], options, |detector| {
        let found = detect(detector, &["192.0.2.7", "192.0.2.8", "192.0.2.9"]);
        let keys: Vec<_> = found.iter().map(|found| key(detector, found)).collect();
        assert_eq!(keys[1..], [None, None]);
        assert_eq!(of_signal(&found[0], "dns")[0].value, name);
        assert!(of_signal(&found[0], "dns")[0].clue().unwrap().weight.0 >= 700);
        assert_eq!(of_signal(&found[1], "dns")[0].value, format!("{name} (does not lead back)"));
        assert_eq!(of_signal(&found[2], "dns")[0].value, "no name");
        assert_eq!(of_signal(&found[2], "dns")[0].found, Found::Nothing);
    });
}

/// What bad input gets: a resolver that never answers, or fails, is a reason and never a hang.
#[test]
fn resolvers_that_do_not_answer_are_reasons() {
    let authority = Authority::new();
    for (conduct, expected) in [
        (NameConduct::Silent, NotTried::Timeout),
        (NameConduct::Failing, NotTried::ResolverFailed),
        (NameConduct::Refusing, NotTried::ResolverFailed),
        (NameConduct::WrongId, NotTried::Timeout),
        (NameConduct::Garbage, NotTried::Timeout),
    ] {
        let names = Zone::new().all(conduct).serve();
        let options = Options { timeouts: HASTY, of_addresses: Probes::DNS, ..options(&authority, Some(&names)) };
        with_detector(&[], options, |detector| {
            for found in detect(detector, &["www.example.com", "192.0.2.1"]) {
                assert_eq!(of_signal(&found, "dns")[0].found, Found::NotTried(expected), "{conduct:?}");
                assert_eq!(key(detector, &found), None);
            }
        });
    }
}

/// What bad input gets: aliases in circles end, long chains are followed, and answers over TCP are read.
#[test]
fn aliases_in_circles_long_chains_and_giant_answers_end() {
    let authority = Authority::new();
    let address = ip("192.0.2.1");
    let names = Zone::new()
        .alias("a.example.com", "b.example.com")
        .alias("b.example.com", "a.example.com")
        .alias_chain("long.example.com", 20, "example.map.fastly.net")
        .address("example.map.fastly.net", address)
        .conduct("giant.example.com", NameConduct::Giant)
        .serve();
    let options = Options { of_names: Probes::DNS, ..options(&authority, Some(&names)) };
    with_detector(&[], options, |detector| {
        let found = detect(detector, &["a.example.com", "long.example.com", "giant.example.com", "none.example.com"]);
        assert_eq!((found[0].ip, key(detector, &found[0])), (None, None));
        assert_eq!((found[1].ip, key(detector, &found[1])), (Some(address), Some("fastly")));
        // More than fits into an answer over TCP is cut off there, too.
        let giant = &of_signal(&found[2], "dns")[0].found;
        let is_cut_off = *giant == Found::NotTried(NotTried::BadAnswer);
        assert!(is_cut_off || (2..=128).contains(&found[2].ips.len()), "{:?}", found[2].evidence);
        assert_eq!(of_signal(&found[3], "dns")[0].value, "no such name");
        assert_eq!(of_signal(&found[3], "asn")[0].found, Found::NotTried(NotTried::NoAddress));
    });
}

/// CDN-6: of several addresses the likeliest stands for the name.
#[test]
fn of_several_addresses_the_likeliest_is_shown() {
    let authority = Authority::new();
    let names = Zone::new()
        .address("www.example.com", ip("192.0.2.1"))
        .address("www.example.com", ip("104.16.0.1"))
        .address("www.example.com", ip("2606:4700::1"))
        .serve();
    let options = Options { of_names: Probes::DNS, ..options(&authority, Some(&names)) };
    with_detector(&[], options, |detector| {
        let found = detect(detector, &["www.example.com"]).remove(0);
        assert_eq!(found.ip, Some(ip("104.16.0.1")));
        assert_eq!(found.ips.as_slice(), [ip("192.0.2.1"), ip("104.16.0.1"), ip("2606:4700::1")]);
        assert_eq!((key(detector, &found), found.asn), (Some("cloudflare"), Some(13335)));
    });
}

/// CDN-6: ports and schemes are followed, and headers are asked for within TLS where that is spoken.
#[test]
fn ports_and_schemes_lead_to_the_right_servers() {
    let authority = Authority::new();
    let edge = Provider::Fastly.serve(&authority, &["www.example.com"]);
    let plain = Edge::plain(Conduct::Answer(Provider::Bunny.answer()));
    let (http, https) = (ports().http, ports().https);
    with_detector(&[], options(&authority, None), |detector| {
        let at_tls = format!("{}:{https}", edge.ip);
        let at_plain = format!("{}:{http}", plain.ip);
        let by_scheme = format!("http://{}:{http}/path", plain.ip);
        let found = detect(detector, &[&at_tls, &at_plain, &by_scheme]);
        assert!(!speaks_for(&found[0], "http").is_empty() && !speaks_for(&found[0], "tls").is_empty());
        assert_eq!(edge.connections(), 1, "headers come within the handshake");
        assert!(!speaks_for(&found[1], "http").is_empty());
        assert_eq!(of_signal(&found[1], "tls")[0].found, Found::NotTried(NotTried::BadAnswer));
        assert!(!speaks_for(&found[2], "http").is_empty());
        assert_eq!(of_signal(&found[2], "tls")[0].found, Found::NotTried(NotTried::Off));
    });
}

/// CDN-8: each detection is an event.
#[test]
fn detections_are_events() {
    let authority = Authority::new();
    let bus = Bus::default();
    let mut listener = bus.listen();
    let options = Options { events: Some(bus), ..options(&authority, None) };
    with_detector(&[], Options { of_addresses: Probes::NONE, ..options }, |detector| {
        let _ = detect(detector, &["104.16.0.1", "192.0.2.1"]);
    });
    for (expected, key, is_origin) in [("104.16.0.1", Some("cloudflare"), false), ("192.0.2.1", None, true)] {
        let Some(Heard::Event(Event::CdnDetection(CdnDetection { target, provider, confidence, origin, .. }))) =
            listener.try_next()
        else {
            panic!("nothing about {expected}")
        };
        assert_eq!((target.as_str(), provider.as_deref(), origin), (expected, key, is_origin));
        assert_eq!(confidence.ppm() > 500_000, key.is_some());
    }
    assert!(listener.try_next().is_none());
}

/// CDN-9: names that land on the same edge are one.
#[test]
fn names_on_the_same_edge_are_one() {
    let authority = Authority::new();
    let mut zone = Zone::new().address("origin.example.com", ip("192.0.2.1"));
    for name in ["a.example.com", "b.example.com", "c.example.com"] {
        zone = zone.address(name, ip("104.16.0.1"));
    }
    let names = zone.address("c.example.com", ip("104.16.0.2")).serve();
    let options = Options { of_names: Probes::DNS, ..options(&authority, Some(&names)) };
    with_detector(&[], options, |detector| {
        let texts = ["a.example.com", "origin.example.com", "b.example.com", "c.example.com"];
        assert_eq!(target(texts[0]).text, texts[0]);
        let found = detect(detector, &texts);
        let groups = detector.canonical(&found);
        let groups: Vec<_> = groups.iter().map(|group| (group.representative, group.others.clone())).collect();
        assert_eq!(groups, [(0, vec![2]), (1, vec![]), (3, vec![])]);
    });
}
