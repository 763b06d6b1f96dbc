//! CDN-1, CDN-2: tables, names and weights against the plainest way to the same answer.
#![allow(clippy::expect_used, reason = "a test that meets the unexpected should stop there")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use wirehaul::cdn::folder::{Tables, Texts};
use wirehaul_core::cdn::pattern::Match;
use wirehaul_core::cdn::prefix::{Address, Prefix, Span};
use wirehaul_core::cdn::table::{self, Table};
use wirehaul_core::cdn::{CentiNats, Clue, Listing, Probability, ProviderId, Signal, name, rows, weigh};
use wirehaul_core::cdn_data::{EMBEDDED, FILES};
use wirehaul_proptests::cdn_folder;

// --- tables ---

/// Disjoint spans with values that are not the default.
fn layer<A: Address>(spans: Vec<(A, A, u16)>) -> Vec<(Span<A>, u16)> {
    let mut kept: Vec<(Span<A>, u16)> = Vec::new();
    for (a, b, value) in spans {
        let span = Span { first: a.min(b), last: a.max(b) };
        if kept.iter().all(|(other, _)| span.last < other.first || other.last < span.first) {
            kept.push((span, value));
        }
    }
    kept.sort_unstable_by_key(|(span, _)| *span);
    kept
}

fn value_at<A: Address>(layer: &[(Span<A>, u16)], address: A) -> Option<u16> {
    layer.iter().find(|(span, _)| span.contains(address)).map(|(_, value)| *value)
}

fn join(over: Option<u16>, under: Option<u16>) -> u32 {
    u32::from(over.unwrap_or(0)) << 16 | u32::from(under.unwrap_or(0))
}

fn check_table<A: Address>(over: Vec<(A, A, u16)>, under: Vec<(A, A, u16)>, asked: &[A]) -> Result<(), TestCaseError> {
    let (over, under) = (layer(over), layer(under));
    let (mut starts, mut values, mut index) = (Vec::new(), Vec::new(), Vec::new());
    table::segments(&over, &under, join, |start, value| {
        starts.push(start);
        values.push(value);
    });
    table::index(&starts, |entry| index.push(entry));
    let (highs, lows): (Vec<_>, Vec<_>) = starts.iter().map(|start: &A| start.split()).unzip();
    let table = Table::<A, u32>::new(&highs, &lows, &values, &index).expect("what makes tables makes tables");
    let edges = over.iter().chain(&under).flat_map(|(span, _)| {
        [Some(span.first), span.first.previous(), Some(span.last), span.last.next()].into_iter().flatten()
    });
    for address in edges.chain(asked.iter().copied()).chain([A::ZERO, A::MAX]) {
        let expected = join(value_at(&over, address), value_at(&under, address));
        prop_assert_eq!(table.get(address), expected);
        let (value, span) = table.get_with_span(address);
        prop_assert_eq!(value, expected);
        prop_assert!(span.contains(address));
        let (first, length) = span.prefix_around(address);
        let last = first.with_low_bits(A::BITS - length);
        prop_assert!(first <= address && address <= last && span.contains(first) && span.contains(last));
    }
    for (span, value) in table.iter() {
        prop_assert_eq!((table.get(span.first), table.get(span.last)), (value, value));
    }
    Ok(())
}

/// Addresses that fall into the same parts of the index now and then.
fn v4() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), 0x0a00_0000..0x0a02_0000_u32, Just(0), Just(u32::MAX)]
}

fn v6() -> impl Strategy<Value = u128> {
    let unicast = (0x2000_u128 << 112)..(0x4000_u128 << 112);
    let near = (0x2a02_26f7_u128 << 96)..(0x2a02_26f8_u128 << 96);
    prop_oneof![any::<u128>(), unicast, near, Just(0), Just(u128::MAX)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_table_of_ipv4_says_what_the_lists_say(
        over in vec((v4(), v4(), 1..9_u16), 0..20), under in vec((v4(), v4(), 1..9_u16), 0..20), asked in vec(v4(), 50),
    ) {
        // Short spans mostly: long ones shut all others out.
        let short = |spans: Vec<(u32, u32, u16)>| spans.into_iter().map(|(a, b, value)| (a, a.saturating_add(b >> 14), value)).collect();
        check_table(short(over), short(under), &asked)?;
    }

    #[test]
    fn a_table_of_ipv6_says_what_the_lists_say(
        over in vec((v6(), v6(), 1..9_u16), 0..20), under in vec((v6(), v6(), 1..9_u16), 0..20), asked in vec(v6(), 50),
    ) {
        let short = |spans: Vec<(u128, u128, u16)>| spans.into_iter().map(|(a, b, value)| (a, a.saturating_add(b >> 30), value)).collect();
        check_table(short(over), short(under), &asked)?;
    }

    #[test]
    fn prefixes_are_read_as_they_are_written(address in any::<u32>(), wide in any::<u128>(), length in 0..=128_u32) {
        let short = length.min(32);
        let mask = u32::MAX.checked_shl(32 - short).unwrap_or(0);
        let text = format!("{}/{short}", Ipv4Addr::from(address & mask));
        let expected = Span { first: address & mask, last: address | !mask };
        prop_assert_eq!(Prefix::parse(&text), Ok(Prefix::V4(expected)));
        prop_assert_eq!(Prefix::V4(expected).to_string(), text);
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        let text = format!("{}/{length}", Ipv6Addr::from(wide & mask));
        let expected = Span { first: wide & mask, last: wide | !mask };
        prop_assert_eq!(Prefix::parse(&text), Ok(Prefix::V6(expected)));
        prop_assert_eq!(Prefix::V6(expected).to_string(), text);
    }
}

// --- what is compiled in ---

fn embedded_texts() -> Texts {
    Texts::of(Path::new("embedded"), FILES.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())))
}

/// First address, last address, and the list.
type Listed<A> = (A, A, &'static str);

/// The lists of a folder, read without any of the code under test: first and last address, and the list's name.
fn plain_lists(folder: &str) -> (Vec<Listed<u32>>, Vec<Listed<u128>>) {
    let (mut narrow, mut wide) = (Vec::new(), Vec::new());
    let files = FILES.iter().filter(|(name, _)| name.starts_with(folder) && name.ends_with(".txt"));
    for (name, text) in files {
        let key = name.trim_start_matches(folder).trim_end_matches(".txt");
        for row in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (address, length) = row.split_once('/').expect("every row has a length");
            let length: u32 = length.parse().expect("a number");
            match address.parse().expect("an address") {
                IpAddr::V4(ip) => {
                    let size = 1_u64 << (32 - length);
                    narrow.push((u32::from(ip), (u64::from(u32::from(ip)) + size - 1) as u32, key));
                }
                IpAddr::V6(ip) => wide.push((u128::from(ip), u128::from(ip) + ((1_u128 << (128 - length)) - 1), key)),
            }
        }
    }
    (narrow, wide)
}

/// The tables hold what the files say: at every end of every prefix, just outside of it, and anywhere.
#[test]
fn every_prefix_of_the_files_is_in_the_tables_and_nothing_else() {
    let mut checked = 0;
    for (folder, is_edges) in [("ranges/", true), ("ranges-neg/", false)] {
        let (narrow, wide) = plain_lists(folder);
        let listed = |ip: IpAddr| {
            let network = EMBEDDED.network(ip);
            if is_edges { network.edges } else { network.no_edges }.map(|list| list.key)
        };
        for (first, last, key) in &narrow {
            for at in [*first, *last, first + (last - first) / 2] {
                assert_eq!(listed(Ipv4Addr::from(at).into()), Some(*key));
            }
            for at in [first.wrapping_sub(1), last.wrapping_add(1)] {
                let expected =
                    narrow.iter().find(|(first, last, _)| (*first..=*last).contains(&at)).map(|(_, _, key)| *key);
                assert_eq!(listed(Ipv4Addr::from(at).into()), expected);
            }
            checked += 5;
        }
        for (first, last, key) in &wide {
            for at in [*first, *last, first + (last - first) / 2] {
                assert_eq!(listed(Ipv6Addr::from(at).into()), Some(*key));
            }
            for at in [first.wrapping_sub(1), last.wrapping_add(1)] {
                let expected =
                    wide.iter().find(|(first, last, _)| (*first..=*last).contains(&at)).map(|(_, _, key)| *key);
                assert_eq!(listed(Ipv6Addr::from(at).into()), expected);
            }
            checked += 5;
        }
    }
    assert!(checked > 100_000, "only {checked} addresses were looked at");
}

/// A folder with the same texts gives the same tables as the build did.
#[test]
fn a_folder_read_at_run_time_gives_the_tables_that_are_compiled_in() {
    let texts = embedded_texts();
    let tables = Tables::build(&texts).expect("the files are good");
    let loaded = tables.view();
    assert_eq!((loaded.providers, loaded.lists), (EMBEDDED.providers, EMBEDDED.lists));
    assert!(loaded.v4.iter().eq(EMBEDDED.v4.iter()) && loaded.v6.iter().eq(EMBEDDED.v6.iter()));
    assert!(loaded.announced_v4.iter().eq(EMBEDDED.announced_v4.iter()));
    assert!(loaded.announced_v6.iter().eq(EMBEDDED.announced_v6.iter()));
    assert_eq!((loaded.asns, loaded.announced), (EMBEDDED.asns, EMBEDDED.announced));
    assert_eq!((loaded.cnames, loaded.ptrs), (EMBEDDED.cnames, EMBEDDED.ptrs));
    assert_eq!((loaded.headers, loaded.leaks), (EMBEDDED.headers, EMBEDDED.leaks));
    assert_eq!(loaded.certificates, EMBEDDED.certificates);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever became of a file, there are tables or a message with the file's name; nothing else happens.
    #[test]
    fn damaged_folders_are_refused_or_read(
        file in any::<prop::sample::Index>(), line in any::<prop::sample::Index>(), damage in 0..7_u8, junk in "[\\PC\t|:/.*{}()\\[\\]0-9]{0,30}",
    ) {
        let mut files = cdn_folder::files();
        let place = file.index(files.len());
        let name = files[place].0.clone();
        let mut lines: Vec<String> = files[place].1.lines().map(str::to_owned).collect();
        let at = line.index(lines.len());
        match damage {
            0 => lines[at] = junk,
            1 => lines.insert(at, lines[at].clone()),
            2 => lines.truncate(at),
            3 => lines[at].push_str(&junk),
            4 => lines[at] = lines[at].chars().skip(1).collect(),
            5 => lines[at] = lines[at].replace('\t', " "),
            _ => lines[at] = lines[at].replace(['0', '2', '/'], &junk),
        }
        files[place].1 = lines.join("\n");
        let texts = Texts::of(Path::new("folder"), files);
        match Tables::build(&texts) {
            Ok(tables) => {
                let view = tables.view();
                prop_assert!(view.v4.iter().all(|(span, _)| span.first <= span.last));
                let _ = (view.network(IpAddr::from([23, 32, 0, 1])), view.suffix(wirehaul_core::cdn::facts::NameKind::Cname, "a.fastly.net"));
            }
            // A damaged file of providers shows where one of them is missing.
            Err(error) => prop_assert!(name == "facts/providers.tsv" || error.path.ends_with(&name), "{} for {}", error, name),
        }
    }

    #[test]
    fn no_row_is_too_strange_to_be_read_or_refused(row in "[\\PC\t|:]{0,60}", value in vec(any::<u8>(), 0..80)) {
        let _ = rows::ProviderRow::parse(&row).map(|row| row.answers_to("x"));
        let _ = rows::AntiRow::parse(&row).map(|row| row.against().count());
        let _ = rows::AsnRow::parse(&row);
        let _ = rows::SuffixRow::parse(&row);
        let _ = rows::CertificateRow::parse(&row).map(|row| row.patterns().count());
        let _ = (rows::ShareRow::parse(&row), rows::RatioRow::parse(&row), rows::date(&row), rows::source(&row));
        if let Ok(rows::HeaderRow::Edge { how, words, .. }) = rows::HeaderRow::parse(&row) {
            let _ = how.fits(words, &value);
        }
        for how in [Match::Equal, Match::Prefix, Match::Suffix, Match::Contains, Match::Pattern] {
            let _ = how.fits(&row, &value);
        }
        let _ = EMBEDDED.header(&row, &value).count();
    }

    // --- names ---

    #[test]
    fn the_longest_suffix_is_the_longest(
        suffixes in vec("[ab]{1,2}(\\.[ab]{1,2}){0,2}", 1..12), name in "[abAB]{1,2}(\\.[abAB]{1,2}){0,4}\\.?",
    ) {
        let mut sorted = suffixes;
        sorted.sort_by(|a, b| name::compare(a, b));
        sorted.dedup();
        let expected = sorted.iter().filter(|suffix| name::ends_in(&name, suffix)).max_by_key(|suffix| suffix.len());
        prop_assert_eq!(name::longest_suffix(&sorted, |suffix| suffix, &name), expected);
        // The plainest way to say it.
        let lower = format!(".{}", name.trim_end_matches('.').to_lowercase());
        for suffix in &sorted {
            prop_assert_eq!(name::ends_in(&name, suffix), lower.ends_with(&format!(".{suffix}")));
            let pattern = format!("*.{suffix}");
            prop_assert_eq!(name::matches(&pattern, &name), lower.ends_with(&format!(".{suffix}")) && lower.len() > suffix.len() + 1);
        }
    }

    // --- weights ---

    #[test]
    fn probabilities_are_those_of_the_odds(centinats in -2_000..2_000_i32) {
        let exact = 1e6 / (1.0 + (-f64::from(centinats) / 100.0).exp());
        let found = f64::from(CentiNats(centinats).probability().ppm());
        prop_assert!((found - exact.clamp(1.0, 999_999.0)).abs() <= 12.0, "{} and {}", found, exact);
    }

    #[test]
    fn logarithms_of_ratios(numerator in 1..u64::MAX, denominator in 1..u64::MAX) {
        let exact = ((numerator as f64).ln() - (denominator as f64).ln()) * 100.0;
        let found = f64::from(CentiNats::of_ratio(numerator, denominator).0);
        prop_assert!((found - exact).abs() <= 1.1, "{} and {}", found, exact);
    }

    /// Order makes no difference, and evidence for a provider never makes that provider less likely.
    #[test]
    fn more_evidence_for_a_provider_never_hurts_it(
        clues in vec(clue(), 0..8), weight in 0..2_000_i32, turn in any::<prop::sample::Index>(), prior in 1..999_999_u32,
    ) {
        let prior = Probability::of_ppm(prior);
        let listing = |provider: ProviderId| match provider.place() % 3 {
            0 => Listing::None,
            1 => Listing::Made,
            _ => Listing::Published,
        };
        let before = weigh(&clues, prior, listing);
        let mut turned = clues.clone();
        turned.rotate_left(if clues.is_empty() { 0 } else { turn.index(clues.len()) });
        prop_assert_eq!(weigh(&turned, prior, listing), before);
        turned.reverse();
        prop_assert_eq!(weigh(&turned, prior, listing), before);
        if let Some(likeliest) = before.likeliest {
            let more = Clue { signal: Signal::Http, provider: Some(likeliest), weight: CentiNats(weight) };
            turned.push(more);
            let after = weigh(&turned, prior, listing);
            prop_assert!(after.likeliest == Some(likeliest) && after.posterior >= before.posterior);
            prop_assert!(after.seed_tenths >= before.seed_tenths && after.seed_tenths <= 10);
        }
    }
}

fn clue() -> impl Strategy<Value = Clue> {
    let signals =
        select(vec![Signal::Asn, Signal::Prefix, Signal::Anti, Signal::Ptr, Signal::Cname, Signal::Http, Signal::Tls]);
    let provider = prop_oneof![1 => Just(None), 4 => (0..4_usize).prop_map(ProviderId::of_place)];
    (signals, provider, -1_500..1_500_i32).prop_map(|(signal, provider, weight)| Clue {
        signal,
        provider,
        weight: CentiNats(weight),
    })
}
