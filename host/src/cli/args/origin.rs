//! The arguments of `wirehaul origin`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use wirehaul_core::cdn::prefix::Prefix;
use wirehaul_core::time::Duration;

use super::help;
use crate::cdn::origin::leaks::name_of_host;
use crate::cdn::origin::owned::parse_owned;
use crate::cli::units::parse_duration;

/// Beyond this nobody waits.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Arguments of `wirehaul origin`.
#[derive(Debug, Args)]
#[command(after_help = help::ending(help::ORIGIN), override_usage = "wirehaul origin [OPTIONS] DOMAIN --owned PREFIX...")]
pub struct OriginArgs {
    /// The name of your site, which a CDN stands in front of
    #[arg(value_name = "DOMAIN", value_parser = parse_domain)]
    pub domain: String,
    /// Prefixes and addresses that are yours: only these are contacted. One of at most 16 addresses is looked at even if nothing
    /// leads there
    #[arg(long, value_name = "PREFIX", required = true, num_args = 1.., value_delimiter = ',', value_parser = parse_own_prefix)]
    pub owned: Vec<Prefix>,
    /// Ask the CDN for the site, too: one HEAD request to an edge that your domain points at, to compare answers with
    #[arg(long)]
    pub probe_front: bool,
    /// Ask this resolver, ADDR or ADDR:PORT [default: the system's]
    #[arg(long, value_name = "ADDR", value_parser = parse_resolver)]
    pub resolver: Option<SocketAddr>,
    /// How long a name, a connection or an answer may take, each
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_timeout)]
    pub timeout: Duration,
    /// The port for HTTPS
    #[arg(long, value_name = "PORT", default_value_t = 443, value_parser = clap::value_parser!(u16).range(1..))]
    pub https_port: u16,
    /// The port for HTTP
    #[arg(long, value_name = "PORT", default_value_t = 80, value_parser = clap::value_parser!(u16).range(1..))]
    pub http_port: u16,
    /// Facts about CDNs from this folder, in place of those that are compiled in
    #[arg(long, value_name = "DIR")]
    pub db: Option<PathBuf>,
}

fn parse_domain(text: &str) -> Result<String, String> {
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', ':', '?']).next().unwrap_or_default();
        return Err(format!("expected a name, not a URL: {host}"));
    }
    if text.parse::<IpAddr>().is_ok() {
        return Err("expected the name of a site; an address of its origin belongs to --owned".to_owned());
    }
    if !text.is_ascii() {
        return Err("write the name as name servers know it, with its labels in punycode (xn--...)".to_owned());
    }
    name_of_host(text).ok_or_else(|| "expected the name of a site, like www.example.com".to_owned())
}

fn parse_own_prefix(text: &str) -> Result<Prefix, String> {
    parse_owned(text).map_err(|error| match name_of_host(text) {
        Some(_) => format!("{error}; DOMAIN goes in front of --owned"),
        None => error.to_string(),
    })
}

fn parse_resolver(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = text.parse().ok().or_else(|| bare.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, 53)));
    let usable = |address: &SocketAddr| address.port() != 0 && !address.ip().is_unspecified();
    address
        .filter(usable)
        .ok_or_else(|| "expected the address of a resolver, like 192.0.2.53 or [2001:db8::53]:5353".to_owned())
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(timeout) if timeout == Duration::from_nanos(0) => Err("nothing is answered in no time".to_owned()),
        Ok(timeout) if timeout > LONGEST_TIMEOUT => Err("this is longer than a minute".to_owned()),
        Ok(timeout) => Ok(timeout),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_names() {
        assert_eq!(parse_domain("WWW.Example.com."), Ok("www.example.com".to_owned()));
        for (text, hint) in [
            ("https://www.example.com/", "www.example.com"),
            ("192.0.2.1", "--owned"),
            ("bücher.example", "punycode"),
            ("example", "like www.example.com"),
            ("-a.example.com", "like www.example.com"),
            ("", "like www.example.com"),
        ] {
            let error = parse_domain(text).unwrap_err();
            assert!(error.contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn resolvers_have_port_53_unless_another_is_named() {
        for (text, expected) in [
            ("192.0.2.53", "192.0.2.53:53"),
            ("192.0.2.53:5353", "192.0.2.53:5353"),
            ("2001:db8::53", "[2001:db8::53]:53"),
            ("[2001:db8::53]", "[2001:db8::53]:53"),
            ("[2001:db8::53]:5353", "[2001:db8::53]:5353"),
        ] {
            assert_eq!(parse_resolver(text), Ok(expected.parse().unwrap()), "{text}");
        }
        for text in ["", "dns.example", "0.0.0.0", "192.0.2.1:0", "192.0.2.1:x"] {
            assert!(parse_resolver(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nobody_waits_for_ever_or_not_at_all() {
        assert_eq!(parse_timeout("500ms"), Ok(Duration::from_millis(500)));
        for text in ["0s", "2m", "x", "", "5"] {
            assert!(parse_timeout(text).is_err(), "{text}");
        }
    }
}
