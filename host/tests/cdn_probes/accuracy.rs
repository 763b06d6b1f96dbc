//! Many probed targets at once: how many are missed or taken for another's, and how long each takes (CDN-3, CDN-4).

use std::time::Duration;

use futures_util::StreamExt;
use wirehaul::cdn::detector::{Options, Timeouts};

use super::cdn::certificates::Authority;
use super::cdn::names::Zone;
use super::cdn::providers::Provider;
use super::cdn::web::{Answer, Conduct, Edge};
use super::{key, options, run, target, with_detector};

/// Edges of each provider.
const EDGES: usize = 5;

/// What there is: names of edges and of origins, and whose each is.
struct Scene {
    _edges: Vec<Edge>,
    zone: Zone,
    listed: Vec<(&'static str, std::net::IpAddr)>,
    expected: Vec<(String, Option<&'static str>)>,
}

/// Names of edges, nine of ten of all; the others are origins: ordinary ones, some with the headers of a provider, and some that
/// never answer.
fn scene(authority: &Authority, count: usize) -> Scene {
    let mut edges: Vec<(Option<Provider>, Edge)> = Vec::new();
    let mut listed = Vec::new();
    for provider in Provider::ALL.into_iter().filter(|provider| *provider != Provider::Edgecast) {
        for _ in 0..EDGES {
            let edge = provider.serve(authority, &[]);
            // Google's edges have no aliases, and lists of the other named ones are complete, too.
            match provider {
                _ if Provider::NAMED.contains(&provider) => listed.push((provider.key(), edge.ip)),
                _ if provider.alias().is_none() => continue,
                _ => {}
            }
            edges.push((Some(provider), edge));
        }
    }
    let origins = edges.len() / 9;
    for number in 0..origins {
        let edge = match number % 4 {
            0 => Edge::plain(Conduct::Silent),
            1 => Edge::plain(Conduct::Slowly(Provider::Fastly.answer())),
            2 => Provider::Vercel.serve_answer(authority, &[], Provider::Cloudflare.answer()),
            _ => Provider::Vercel.serve_answer(authority, &[], Answer::new("200 OK", &[("server", "nginx")])),
        };
        edges.push((None, edge));
    }
    let mut zone = Zone::new();
    let mut expected = Vec::new();
    for (number, (provider, edge)) in (0..count).zip(edges.iter().cycle()) {
        let name = format!("site-{number}.example.com");
        zone = match provider.and_then(Provider::alias) {
            Some(alias) => {
                let alias = format!("site-{number}.{}", alias.split_once('.').map_or(alias, |(_, rest)| rest));
                zone.alias(&name, &alias).address(&alias, edge.ip)
            }
            None => zone.address(&name, edge.ip),
        };
        expected.push((name, provider.map(Provider::key)));
    }
    Scene { _edges: edges.into_iter().map(|(_, edge)| edge).collect(), zone, listed, expected }
}

/// Looks at so many names, and gives how many were missed, how many named wrongly, and how long each took, in microseconds.
fn survey(count: usize, timeouts: Timeouts) -> (usize, usize, Vec<u64>) {
    let authority = Authority::new();
    let scene = scene(&authority, count);
    let names = scene.zone.clone().serve();
    let options = Options { timeouts, concurrency: 16, ..options(&authority, Some(&names)) };
    with_detector(&scene.listed, options, |detector| {
        let targets = scene.expected.iter().map(|(name, _)| target(name));
        let found: Vec<_> = run(detector.detect_all(targets).collect());
        let (mut missed, mut wrong, mut took) = (0, 0, Vec::new());
        for ((_, detection), (name, expected)) in found.iter().zip(&scene.expected) {
            let key = key(detector, detection);
            missed += usize::from(key.is_none() && expected.is_some());
            wrong += usize::from(key.is_some() && key != *expected);
            if key != *expected {
                println!("{name}: {key:?} instead of {expected:?}: {:?}", detection.evidence);
            }
            took.push(detection.took.as_nanos() / 1_000);
        }
        took.sort_unstable();
        (missed, wrong, took)
    })
}

/// CDN-3: with all signals no edge of the scene is missed, and no origin is taken for one.
#[test]
fn edges_of_many_names_are_found() {
    // Some never answer.
    let timeouts = Timeouts { address: Duration::from_secs(1), ..super::PATIENT };
    let (missed, wrong, took) = survey(200, timeouts);
    assert_eq!((missed, wrong, took.len()), (0, 0, 200));
}

/// CDN-4: for measurements; run it alone, in a release build: `cargo test --release --test cdn_probes -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement: prints what it finds"]
fn how_long_a_thousand_targets_take() {
    let (missed, wrong, took) = survey(1_000, Timeouts::default());
    let at = |part: usize| took[(took.len() - 1) * part / 1_000];
    println!("targets {}: missed {missed}, wrong {wrong}", took.len());
    println!("took [us]: p50 {} p90 {} p99 {} p99.9 {} most {}", at(500), at(900), at(990), at(999), at(1_000));
}
