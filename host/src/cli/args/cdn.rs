//! Arguments of `wirehaul cdn`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use wirehaul_core::cdn::Probability;
use wirehaul_core::time::Duration;

use super::help;
use crate::cdn::detector::Probes;
use crate::cli::exit::EXIT_CODES;
use crate::units::parse_duration;

/// The port of name servers.
const DNS_PORT: u16 = 53;

/// Arguments of `wirehaul cdn`.
#[derive(Debug, Args)]
#[command(after_help = help::ending(help::CDN), args_conflicts_with_subcommands = true)]
#[command(override_usage = "wirehaul cdn [OPTIONS] [ITEM...]\n       wirehaul cdn update --from PATH... --db DIR")]
pub struct CdnArgs {
    /// Something else than to look items up.
    #[command(subcommand)]
    pub command: Option<CdnCommand>,
    /// Addresses, prefixes, names, URLs, HOST:PORT; without any, and without --file, a line of standard input each
    #[arg(value_name = "ITEM")]
    pub items: Vec<String>,
    /// Read items from this file, a line each; - is standard input; repeatable
    #[arg(short, long, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// A row for each part of a prefix of which the same is known, in place of one for each address
    #[arg(long)]
    pub ranges: bool,
    /// Show all evidence below each row: what it says, who says so, and of when that is
    #[arg(long)]
    pub explain: bool,
    /// Name a provider from this probability on
    #[arg(long, value_name = "P", default_value = "0.5", value_parser = parse_probability)]
    pub threshold: Probability,
    /// How likely it is to be an edge before anything is known of it
    #[arg(long, value_name = "P", default_value = "0.02", value_parser = parse_probability)]
    pub prior: Probability,
    /// Facts to use in place of those that are built in: a folder that `wirehaul cdn update` has written
    #[arg(long, value_name = "DIR", help_heading = "Facts")]
    pub db: Option<PathBuf>,
    /// Which network an address belongs to: an MMDB file with the fields of GeoLite2-ASN [default: what the facts have of providers'
    /// networks]
    #[arg(long, value_name = "FILE", help_heading = "Facts")]
    pub asn_db: Option<PathBuf>,
    /// What to ask: none, dns, http, tls or all, more than one with commas [default: dns for names, none for addresses]
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',', hide_possible_values = true)]
    #[arg(help_heading = "Probes")]
    pub probe: Vec<Probe>,
    /// Ask this name server [default: the system's]
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = parse_resolver, help_heading = "Probes")]
    pub resolver: Option<SocketAddr>,
    /// Wait so long for a name server, and so long for a connection; twice as long for all about an address [default: 80ms each, 90ms
    /// for all]
    #[arg(long, value_name = "TIME", value_parser = parse_timeout, help_heading = "Probes")]
    pub timeout: Option<Duration>,
    /// Ask about so many items at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    #[arg(help_heading = "Probes")]
    pub concurrency: u16,
}

/// Something else than to look items up.
#[derive(Debug, Subcommand)]
pub enum CdnCommand {
    /// Make a folder of facts out of the lists that providers publish
    Update(CdnUpdateArgs),
}

/// Arguments of `wirehaul cdn update`.
#[derive(Debug, Args)]
#[command(after_help = format!("{}\n\n{EXIT_CODES}", help::CDN_UPDATE))]
pub struct CdnUpdateArgs {
    /// Files in the providers' own formats, or folders of such files
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    pub from: Vec<PathBuf>,
    /// The folder to renew, for --db of `wirehaul cdn`; made out of the facts that are built in where there is none
    #[arg(long, value_name = "DIR")]
    pub db: PathBuf,
    /// Take lists that have lost more than a fifth of their addresses
    #[arg(long)]
    pub allow_shrink: bool,
}

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Probe {
    /// Nothing
    None,
    /// Names of addresses, and what names are aliases of
    Dns,
    /// What a web server says
    Http,
    /// Which certificate a server shows
    Tls,
    /// All of it
    All,
}

impl CdnArgs {
    /// What to ask about names.
    #[must_use]
    pub fn probes_of_names(&self) -> Probes {
        if self.probe.is_empty() { Probes::DNS } else { self.probes_of_addresses() }
    }

    /// What to ask about addresses.
    #[must_use]
    pub fn probes_of_addresses(&self) -> Probes {
        let has = |probe| self.probe.contains(&probe) || self.probe.contains(&Probe::All);
        Probes { dns: has(Probe::Dns), http: has(Probe::Http), tls: has(Probe::Tls) }
    }

    /// What is wrong beyond what each argument says by itself.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let has_none = self.probe.contains(&Probe::None);
        (has_none && self.probe.iter().any(|probe| *probe != Probe::None))
            .then_some("--probe none asks nothing: leave it out, or leave out what else is to be asked")
    }
}

/// More than 0 and less than 1, with up to six decimals.
fn parse_probability(text: &str) -> Result<Probability, String> {
    let expected = || "expected more than 0 and less than 1, with up to six decimals, like 0.5".to_owned();
    let decimals = text.strip_prefix("0.").or_else(|| text.strip_prefix('.')).ok_or_else(expected)?;
    let is_number = matches!(decimals.len(), 1..=6) && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let ppm = format!("{decimals:0<6}").parse().ok().filter(|ppm| is_number && *ppm > 0);
    ppm.map(Probability::of_ppm).ok_or_else(expected)
}

pub(super) fn parse_resolver(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ip = bare
        .parse::<IpAddr>()
        .map_err(|_| "expected an address, like 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53");
    Ok(SocketAddr::new(ip?, DNS_PORT))
}

pub(super) fn parse_timeout(text: &str) -> Result<Duration, String> {
    const MOST: Duration = Duration::from_secs(60);
    let time = parse_duration(text).map_err(|error| error.to_string())?;
    if time == Duration::ZERO || time > MOST {
        Err("expected more than nothing, and at most 60s".to_owned())
    } else {
        Ok(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_exact() {
        for (text, ppm) in [("0.5", 500_000), (".02", 20_000), ("0.000001", 1), ("0.999999", 999_999)] {
            assert_eq!(parse_probability(text), Ok(Probability::of_ppm(ppm)), "{text}");
        }
        for text in ["0", "1", "0.", "0.0", "1.0", "-0.5", "0.0000001", "0.5x", "0,5", "5e-1", "50%", "", "0.+5"] {
            assert!(parse_probability(text).is_err(), "{text}");
        }
    }

    #[test]
    fn resolvers_with_and_without_a_port() {
        for (text, expected) in [
            ("192.0.2.53", "192.0.2.53:53"),
            ("192.0.2.53:5353", "192.0.2.53:5353"),
            ("2001:db8::53", "[2001:db8::53]:53"),
            ("[2001:db8::53]", "[2001:db8::53]:53"),
            ("[2001:db8::53]:5353", "[2001:db8::53]:5353"),
        ] {
            assert_eq!(parse_resolver(text), Ok(expected.parse().unwrap()), "{text}");
        }
        assert!(parse_resolver("dns.example").is_err());
    }
}
