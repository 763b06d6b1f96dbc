//! The arguments of `wirehaul origin`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use wirehaul_core::cdn::prefix::Prefix;
use wirehaul_core::time::Duration;

use super::cdn::{parse_resolver, parse_timeout};
use super::help;
use crate::cdn::origin::leaks::name_of_host;
use crate::cdn::origin::owned::parse_owned;
use crate::cdn::origin::registry::Registry;

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
    /// Ask this RDAP service for the name servers that the registry has on record, like `https://rdap.org` [default: nobody]
    #[arg(long, value_name = "URL")]
    pub rdap: Option<Registry>,
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
}
