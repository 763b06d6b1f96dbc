//! Addresses of which it is known whose they are, drawn from the lists: edges of each provider, and addresses that are none although
//! the companies are the same. Two halves that share no network, one to calibrate with and one to judge by.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use wirehaul_core::cdn::facts::Holds;
use wirehaul_core::cdn::prefix::Prefix;
use wirehaul_core::cdn::{Database, rows};
use wirehaul_core::cdn_data::{EMBEDDED, FILES};

use super::{next_random, random_below};

/// The providers whose figures the requirement is about.
pub const NAMED: [&str; 6] = ["cloudflare", "akamai", "fastly", "cloudfront", "google", "azure"];

/// Which half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Half {
    /// To find weights with.
    Calibrate,
    /// To judge by.
    Evaluate,
}

/// An address and whose edge it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The address.
    pub ip: IpAddr,
    /// The provider's key, or `-` for no edge.
    pub expected: &'static str,
    /// The list that it was drawn from, or `any`.
    pub from: &'static str,
}

/// Draws so many addresses of each list, and as many that are on none: half of them with every prefix as likely as any other, half with
/// every address as likely as any other.
pub fn draw(per_list: usize, half: Half, seed: u64) -> Vec<Row> {
    let mut state = seed;
    let mut drawn = Vec::new();
    for (name, text) in FILES {
        let (is_edges, key) = match name.split_once('/') {
            Some(("ranges", file)) => (true, file.trim_end_matches(".txt")),
            Some(("ranges-neg", file)) => (false, file.trim_end_matches(".txt")),
            _ => continue,
        };
        let prefixes: Vec<_> = rows::rows(text).filter_map(|(_, row)| Prefix::parse(row).ok()).collect();
        for family in [4, 6] {
            let of_family: Vec<_> = prefixes.iter().copied().filter(|prefix| family_of(prefix) == family).collect();
            let picked = pick(&of_family, per_list / 2, half, &mut state);
            drawn.extend(picked.into_iter().filter(|ip| is_edges || !is_edge(&EMBEDDED, *ip)).map(|ip| Row {
                ip,
                expected: if is_edges { key } else { "-" },
                from: key,
            }));
        }
    }
    drawn.extend(anybody(per_list, half, &mut state));
    drawn
}

/// A folder of facts from which half of what is no edge was taken away, and addresses that were taken away: what becomes of relays and
/// rented machines that no list has yet.
pub struct HeldOut {
    /// The folder's files, by name.
    pub files: Vec<(String, String)>,
    /// None of them is an edge; as many of each list and family.
    pub rows: Vec<Row>,
}

/// Takes half of the prefixes of each list in `ranges-neg` away, and draws so many addresses of each of those.
pub fn hold_out(per_list: usize, seed: u64) -> HeldOut {
    let mut state = seed;
    let mut held = HeldOut { files: Vec::new(), rows: Vec::new() };
    for (name, text) in FILES {
        let Some(key) = name.strip_prefix("ranges-neg/").and_then(|file| file.strip_suffix(".txt")) else {
            if name.starts_with("ranges/") {
                held.files.push(((*name).to_owned(), (*text).to_owned()));
            }
            continue;
        };
        let is_kept = |line: &&str| line.starts_with('#') || blake3::hash(line.as_bytes()).as_bytes()[0] & 1 == 1;
        let kept: Vec<_> = text.lines().filter(is_kept).collect();
        held.files.push(((*name).to_owned(), kept.join("\n") + "\n"));
        let taken = text.lines().filter(|line| !is_kept(line)).filter_map(|row| Prefix::parse(row).ok());
        let taken: Vec<_> = taken.collect();
        for family in [4, 6] {
            let of_family: Vec<_> = taken.iter().copied().filter(|prefix| family_of(prefix) == family).collect();
            for half in [Half::Calibrate, Half::Evaluate] {
                let picked = pick(&of_family, per_list / 4, half, &mut state);
                let no_edges = picked.into_iter().filter(|ip| !is_edge(&EMBEDDED, *ip));
                held.rows.extend(no_edges.map(|ip| Row { ip, expected: "-", from: key }));
            }
        }
    }
    held
}

const fn family_of(prefix: &Prefix) -> u8 {
    match prefix {
        Prefix::V4(_) => 4,
        Prefix::V6(_) => 6,
    }
}

/// Whether a list of edges has it: their makers add prefixes, and lists of what is no edge are older.
fn is_edge(database: &Database<'_>, ip: IpAddr) -> bool {
    database.network(ip).edges.is_some_and(|list| matches!(list.holds, Holds::Edges { .. }))
}

fn pick(prefixes: &[Prefix], count: usize, half: Half, state: &mut u64) -> Vec<IpAddr> {
    let weight = |prefix: &Prefix| prefix.addresses();
    let total: u128 = prefixes.iter().map(weight).fold(0, u128::saturating_add);
    let mut picked = Vec::new();
    // A half may have none of a short list's networks.
    for attempt in 0..count * 8 {
        if picked.len() == count || prefixes.is_empty() {
            break;
        }
        let by_prefix = attempt % 2 == 0;
        let prefix = if by_prefix {
            prefixes[next_random(state) as usize % prefixes.len()]
        } else {
            let mut left = random_below(state, total);
            let at = prefixes.iter().position(|prefix| {
                let is_here = left < weight(prefix);
                left = left.saturating_sub(weight(prefix));
                is_here
            });
            prefixes[at.unwrap_or(0)]
        };
        let ip: IpAddr = match prefix {
            Prefix::V4(span) => Ipv4Addr::from(span.first + random_below(state, prefix.addresses()) as u32).into(),
            Prefix::V6(span) => Ipv6Addr::from(span.first + random_below(state, prefix.addresses())).into(),
        };
        if half_of(ip) == half {
            picked.push(ip);
        }
    }
    picked
}

/// Networks, not addresses, belong to a half: neighbours are too much alike.
fn half_of(ip: IpAddr) -> Half {
    let network = match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip) >> 8),
        IpAddr::V6(ip) => u128::from(ip) >> 80,
    };
    let digest = blake3::hash(&network.to_be_bytes());
    if digest.as_bytes()[0] & 1 == 0 { Half::Calibrate } else { Half::Evaluate }
}

/// Addresses of IPv4 that are on no list: unicast, and not set aside for a purpose (RFC 6890).
fn anybody(count: usize, half: Half, state: &mut u64) -> Vec<Row> {
    let mut drawn = Vec::new();
    while drawn.len() < count {
        let ip = Ipv4Addr::from(next_random(state) as u32);
        let first = ip.octets()[0];
        let is_set_aside = first == 0 || first >= 224 || ip.is_private() || ip.is_loopback() || ip.is_link_local();
        let network = EMBEDDED.network(ip.into());
        let is_listed = network.edges.is_some() || network.no_edges.is_some();
        if !is_set_aside && !is_listed && half_of(ip.into()) == half {
            drawn.push(Row { ip: ip.into(), expected: "-", from: "any" });
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn halves_share_no_network_and_have_everybody() {
        let network = |row: &Row| match row.ip {
            IpAddr::V4(ip) => u128::from(u32::from(ip) >> 8),
            IpAddr::V6(ip) => u128::from(ip) >> 80,
        };
        let halves = [Half::Calibrate, Half::Evaluate].map(|half| draw(400, half, 1));
        let [first, second] = halves.each_ref().map(|rows| rows.iter().map(network).collect::<BTreeSet<_>>());
        assert!(first.is_disjoint(&second));
        for rows in &halves {
            for named in NAMED {
                let count = rows.iter().filter(|row| row.expected == named).count();
                assert!(count >= 100, "{named} has {count}");
            }
            let hard = rows.iter().filter(|row| row.expected == "-" && row.from != "any").count();
            assert!(hard >= 1_000, "{hard} that are no edges");
        }
    }

    #[test]
    fn what_is_held_out_is_not_in_the_folder() {
        let held = hold_out(200, 1);
        assert!(held.rows.len() >= 800, "{}", held.rows.len());
        for (name, text) in held.files.iter().filter(|(name, _)| name.starts_with("ranges-neg/")) {
            let whole = FILES.iter().find(|(known, _)| known == name).unwrap().1.lines().count();
            let kept = text.lines().count();
            assert!((whole / 3..whole * 2 / 3).contains(&kept), "{name}: {kept} of {whole}");
            let prefixes: Vec<_> = rows::rows(text).filter_map(|(_, row)| Prefix::parse(row).ok()).collect();
            for row in &held.rows {
                let has = |prefix: &Prefix| match (prefix, row.ip) {
                    (Prefix::V4(span), IpAddr::V4(ip)) => span.contains(ip.into()),
                    (Prefix::V6(span), IpAddr::V6(ip)) => span.contains(ip.into()),
                    _ => false,
                };
                assert!(!prefixes.iter().any(has), "{row:?} in {name}");
            }
        }
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        assert_eq!(draw(20, Half::Evaluate, 7), draw(20, Half::Evaluate, 7));
        assert_ne!(draw(20, Half::Evaluate, 7), draw(20, Half::Evaluate, 8));
    }
}
