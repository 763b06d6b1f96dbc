//! Servers that behave as nobody should: never a hang, and never a wrong provider.

use wirehaul::cdn::detection::{Found, NotTried};
use wirehaul::cdn::detector::Options;

use super::cdn::certificates::Authority;
use super::cdn::ports;
use super::cdn::providers::Provider;
use super::cdn::web::{Conduct, Edge, Handshake};
use super::{HASTY, detect, key, of_signal, options, with_detector};

fn hostile() -> [(Conduct, &'static [NotTried]); 7] {
    let answer = Provider::Cloudflare.answer();
    [
        (Conduct::EndlessHeaders, &[NotTried::BadAnswer]),
        (Conduct::EndlessHeader, &[NotTried::BadAnswer]),
        (Conduct::EndlessContinue, &[NotTried::Timeout]),
        (Conduct::Slowly(answer), &[NotTried::Timeout]),
        (Conduct::Garbage, &[NotTried::BadAnswer]),
        (Conduct::HangsUp, &[NotTried::BadAnswer]),
        (Conduct::Silent, &[NotTried::Timeout]),
    ]
}

/// What bad input gets: each has a reason, within TLS and without.
#[test]
fn hostile_web_servers_have_reasons() {
    let authority = Authority::new();
    for (conduct, expected) in hostile() {
        let identity = authority.sign("www.example.com", &["www.example.com"]);
        let edge = Edge::tls(Handshake::always(identity), conduct.clone()).and_plain(conduct.clone());
        let options = Options { timeouts: HASTY, ..options(&authority, None) };
        with_detector(&[("cloudflare", edge.ip)], options, |detector| {
            let texts = [
                format!("{}", edge.ip),
                format!("https://{}", edge.ip),
                format!("http://{}:{}", edge.ip, ports().http),
            ];
            for text in &texts {
                let found = detect(detector, &[text]).remove(0);
                let Found::NotTried(why) = of_signal(&found, "http")[0].found else { panic!("{conduct:?}: {found:?}") };
                // Endless headers may be cut off by the clock before they are too many.
                let is_endless = matches!(conduct, Conduct::EndlessHeaders | Conduct::EndlessHeader);
                assert!(expected.contains(&why) || (is_endless && why == NotTried::Timeout), "{conduct:?}: {why:?}");
                // What is known offline stands.
                assert_eq!(key(detector, &found), Some("cloudflare"), "{conduct:?}");
            }
        });
    }
}

/// A server that sends a body without end has answered.
#[test]
fn bodies_are_not_read() {
    let authority = Authority::new();
    let edge = Edge::plain(Conduct::EndlessBody(Provider::Bunny.answer()));
    with_detector(&[], options(&authority, None), |detector| {
        let found = detect(detector, &[&format!("http://{}:{}", edge.ip, ports().http)]).remove(0);
        assert!(of_signal(&found, "http")[0].clue().is_some(), "{:?}", found.evidence);
    });
}

/// Closed ports, firewalls, and ports that speak something else.
#[test]
fn those_that_cannot_be_asked_are_not_tried() {
    let authority = Authority::new();
    let (closed, firewalled) = (Edge::closed(), Edge::firewalled());
    let other = Edge::closed().and_bytes(ports().https, b"220 mail.example.com ESMTP\r\n").and_bytes(ports().http, b"");
    let options = Options { timeouts: HASTY, ..options(&authority, None) };
    with_detector(&[], options, |detector| {
        let texts = [closed.ip.to_string(), firewalled.ip.to_string(), other.ip.to_string()];
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let found = detect(detector, &texts);
        let reasons: Vec<_> = found
            .iter()
            .flat_map(|found| ["http", "tls"].map(|signal| of_signal(found, signal)[0].found.clone()))
            .collect();
        let expected = [
            [NotTried::Refused, NotTried::Refused],
            [NotTried::Timeout, NotTried::Timeout],
            [NotTried::Timeout, NotTried::BadAnswer],
        ];
        assert_eq!(reasons, expected.into_iter().flatten().map(Found::NotTried).collect::<Vec<_>>());
        assert!(found.iter().all(|found| key(detector, found).is_none()));
    });
}

/// Addresses that no single host has are not connected to: Linux takes the unspecified one for itself.
#[test]
fn addresses_of_nobody_are_not_visited() {
    let authority = Authority::new();
    let edge = Edge::plain(Conduct::Answer(Provider::Bunny.answer()));
    with_detector(&[], options(&authority, None), |detector| {
        for found in
            detect(detector, &["0.0.0.0", "[::]:80", "::ffff:0.0.0.0", "224.0.0.1", "ff02::1", "255.255.255.255"])
        {
            assert_eq!(of_signal(&found, "http")[0].found, Found::NotTried(NotTried::Unreachable), "{:?}", found.ip);
            assert_eq!(of_signal(&found, "tls")[0].found, Found::NotTried(NotTried::Unreachable), "{:?}", found.ip);
        }
    });
    assert_eq!(edge.connections(), 0);
}
