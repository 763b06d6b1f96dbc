//! Arguments of `wirehaul scan`.

use std::path::PathBuf;

use clap::Args;
use wirehaul_core::numa;
use wirehaul_core::scan::{Cap, MAX_CONTACT_BYTES, Probe, Shard, ports};
use wirehaul_core::time::Duration;

use super::help;
use crate::config::words::{parse_iface, parse_name};
use crate::scan::Choice;
use crate::scan::collect::Show;
use crate::scan::format::Format;
use crate::scan::parquet;
use crate::scan::rotate::Limit;
use crate::units::{parse_cap, parse_count, parse_duration, parse_size};

const WHAT: &str = "What is asked";
const ORDER: &str = "Order and resumption";
const SPEED: &str = "Speed";
const NETWORK: &str = "Network";
const RESULTS: &str = "Results";
const CDN: &str = "CDN";

/// Retries at most: beyond some, who does not answer will not.
const MOST_RETRIES: i64 = 16;
/// Threads that send and receive, at most.
const MOST_WORKERS: i64 = 64;
/// Replies that are remembered: 8 bytes each, from 8 KiB to 8 GiB.
const FEWEST_WINDOW: u64 = 1 << 10;
const MOST_WINDOW: u64 = 1 << 30;

/// Arguments of `wirehaul scan`.
#[derive(Clone, Debug, Args)]
#[command(after_help = help::ending(help::SCAN))]
#[command(override_usage = "wirehaul scan [OPTIONS] TARGET... --ports PORTS\n       \
    wirehaul scan [OPTIONS] --targets-file FILE --ports PORTS")]
pub struct ScanArgs {
    /// Whom to ask: addresses, prefixes (192.0.2.0/24), ranges (192.0.2.1-192.0.2.9), host names
    #[arg(value_name = "TARGET", help_heading = WHAT)]
    pub targets: Vec<String>,
    /// What to ask them: 22,80,1000-2000 are TCP ports; udp:53,123 are UDP ports; icmp is an echo request
    #[arg(short, long, value_name = "PORTS", value_parser = parse_ports, help_heading = WHAT)]
    pub ports: PortList,
    /// Read targets from this file, a line each; - is standard input; repeatable
    #[arg(short = 'f', long, value_name = "FILE", help_heading = WHAT)]
    pub targets_file: Vec<PathBuf>,
    /// Never ask what is in this file, whatever else says so; repeatable
    #[arg(long, value_name = "FILE", help_heading = WHAT)]
    pub exclude_file: Vec<PathBuf>,
    /// Public addresses that may be asked, with owner, authorisation and expiry; needed for any of them; repeatable
    #[arg(long, value_name = "FILE", help_heading = WHAT)]
    pub allow_file: Vec<PathBuf>,
    /// Print what would be asked, `address,port` in the order of sending, and send nothing
    #[arg(long, help_heading = WHAT)]
    pub dry_run: bool,
    /// Whom to write to: in the metadata, and in probes where the protocol has a place for it
    #[arg(long, value_name = "TEXT", value_parser = parse_contact, help_heading = WHAT)]
    pub contact: Option<String>,
    /// Add a line to this log at the start and the end [default: wirehaul/scan-audit.jsonl in $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, value_name = "FILE", help_heading = WHAT)]
    pub audit_log: Option<PathBuf>,

    /// Draw the order by this number; the same one gives the same order [default: a random one]
    #[arg(long, value_name = "N", help_heading = ORDER)]
    pub seed: Option<u64>,
    /// Ask part I of N only; all parts together are the whole, each target once
    #[arg(long, value_name = "I/N", value_parser = parse_shard, help_heading = ORDER)]
    pub shard: Option<Shard>,
    /// Call the scan so in rows and metadata: the same for all shards [default: a random name]
    #[arg(long, value_name = "NAME", value_parser = parse_id, help_heading = ORDER)]
    pub scan_id: Option<String>,
    /// Go on from this checkpoint; the rest of the command line, and files of targets and exclusions, as they were
    #[arg(long, value_name = "FILE", help_heading = ORDER)]
    pub resume: Option<PathBuf>,
    /// Keep the checkpoint here [default: the file of results with .checkpoint behind its name]
    #[arg(long, value_name = "FILE", help_heading = ORDER)]
    pub checkpoint: Option<PathBuf>,

    /// Send no faster than this: 10k packets a second, or a rate such as 100mbit
    #[arg(long, value_name = "RATE", default_value = "10k", value_parser = parse_cap, help_heading = SPEED)]
    pub rate: Cap,
    /// Send no faster than this to any /24 of IPv4 or /48 of IPv6, in packets a second; or unlimited
    #[arg(long, value_name = "RATE", default_value = "1000", value_parser = parse_subnet_rate, help_heading = SPEED)]
    pub subnet_rate: Cap,
    /// Ask again so often
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = SPEED)]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=MOST_RETRIES))]
    pub retries: u8,
    /// Ask again about so long after the last time
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_wait, help_heading = SPEED)]
    pub retry_after: Duration,
    /// Wait so long for replies to the last packets
    #[arg(long, value_name = "TIME", default_value = "4s", value_parser = parse_wait, help_heading = SPEED)]
    pub cooldown: Duration,
    /// Leave with 6 if more than so much of what came in was lost on this host
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent, help_heading = SPEED)]
    pub max_loss: Option<Percent>,

    /// The interface to send through [default: the one that packets to the first target leave through]
    #[arg(long, value_name = "IF", value_parser = parse_iface, help_heading = NETWORK)]
    pub iface: Option<String>,
    /// How packets travel: auto takes the first that works of xdp (AF_XDP), xdp-copy, xdp-skb and packet (AF_PACKET); a name only that one
    #[arg(long, value_name = "WAY", default_value = "auto", value_parser = parse_transport, help_heading = NETWORK)]
    pub transport: Choice,
    /// Threads that send and receive [default: one for each queue that there is a CPU for]
    #[arg(long, value_name = "N", help_heading = NETWORK)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=MOST_WORKERS))]
    pub workers: Option<u8>,
    /// Put threads and memory on NUMA nodes as queues and CPUs are; this is what is done without it, too
    #[arg(long, help_heading = NETWORK, hide = true, conflicts_with_all = ["no_numa", "numa_node"])]
    pub numa: bool,
    /// Leave threads and memory where the system puts them
    #[arg(long, help_heading = NETWORK, conflicts_with = "numa_node")]
    pub no_numa: bool,
    /// Work on this NUMA node [default: each worker on the node of its queue]
    #[arg(long, value_name = "N", help_heading = NETWORK)]
    pub numa_node: Option<u32>,

    /// Write rows to this file; it has this name when it is complete, and .part behind it until then [default: standard output]
    #[arg(short, long, value_name = "FILE", help_heading = RESULTS)]
    pub output: Option<PathBuf>,
    /// The format: text, csv, json, parquet or zgrab [default: what the file's ending stands for; text on standard output]
    #[arg(long, value_name = "FORMAT", value_parser = parse_format, help_heading = RESULTS)]
    pub format: Option<Format>,
    /// Begin another file after so much, 256mib, or so many rows, 1000000rows: FILE becomes FILE-00001 and so on
    #[arg(long, value_name = "SIZE|ROWS", value_parser = parse_rotation, requires = "output", help_heading = RESULTS)]
    pub rotate: Option<Limit>,
    /// Which replies: open (and alive), or all [default: open in text, all in csv, json and parquet]
    #[arg(long, value_name = "WHICH", value_parser = parse_show, help_heading = RESULTS)]
    pub show: Option<Show>,
    /// Remember so many replies, so that none is reported twice
    #[arg(long, value_name = "N", default_value = "1048576", value_parser = parse_window, help_heading = RESULTS)]
    pub window: usize,

    /// Say in each row whose CDN edge the target is; this is what is done without it, too
    #[arg(long, help_heading = CDN, conflicts_with = "no_cdn_detect")]
    pub cdn_detect: bool,
    /// Do not look for CDN edges
    #[arg(long, help_heading = CDN, conflicts_with_all = ["skip_cdn", "ignore_cdn_detection"])]
    pub no_cdn_detect: bool,
    /// Do not ask CDN edges
    #[arg(long, help_heading = CDN, conflicts_with = "ignore_cdn_detection")]
    pub skip_cdn: bool,
    /// Say whose edge a target is, but ask it like any other, and each name by itself
    #[arg(long, help_heading = CDN)]
    pub ignore_cdn_detection: bool,
    /// How to watch it.
    #[command(flatten)]
    pub screen: super::ScreenArgs,
}

/// What each target is asked: sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortList {
    /// As it was written.
    pub text: String,
    /// What that means.
    pub probes: std::sync::Arc<[Probe]>,
}

/// A part of a hundred, in millionths of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent {
    /// Millionths.
    pub ppm: u32,
}

impl ScanArgs {
    /// What is wrong beyond what each argument says by itself.
    pub(super) fn contradiction(&self) -> Option<String> {
        if self.targets.is_empty() && self.targets_file.is_empty() {
            return Some("whom to ask is missing: give at least one TARGET, or a --targets-file".to_owned());
        }
        if self.dry_run && self.screen.tui {
            return Some("a --dry-run prints and is over: there is nothing to watch with --tui".to_owned());
        }
        if self.format() == Format::Parquet {
            if !parquet::IS_BUILT_IN {
                return Some("this build writes no Parquet files: use --format json".to_owned());
            }
            if self.output.is_none() {
                return Some("Parquet cannot be written to standard output: give a file with --output".to_owned());
            }
        }
        let ending = self.output.as_deref().filter(|_| self.format.is_none());
        ending.filter(|path| Format::of_ending(path).is_none()).map(|path| {
            format!(
                "the ending of {} stands for no format: use .csv, .jsonl, .parquet, .txt or .zgrab, or say which with --format",
                path.display()
            )
        })
    }

    /// The format of rows that go to a file, or to standard output without `--json`.
    #[must_use]
    pub fn format(&self) -> Format {
        let of_ending = || self.output.as_deref().and_then(Format::of_ending);
        self.format.or_else(of_ending).unwrap_or(Format::Text)
    }

    /// Which replies become rows, in this format.
    #[must_use]
    pub fn shown_in(&self, format: Format) -> Show {
        self.show.unwrap_or(if format.is_for_positive() { Show::Open } else { Show::All })
    }

    /// Where the checkpoint is kept, if it is.
    #[must_use]
    pub fn checkpoint_path(&self) -> Option<PathBuf> {
        let beside = |output: &PathBuf| crate::scan::rotate::with_suffix(output, ".checkpoint");
        let named = self.checkpoint.clone().or_else(|| self.resume.clone());
        named.or_else(|| self.output.as_ref().map(beside))
    }

    /// Whether rows say whose edge a target is.
    #[must_use]
    pub const fn detects_edges(&self) -> bool {
        !self.no_cdn_detect
    }

    /// On which NUMA node the work is done.
    #[must_use]
    pub const fn numa_choice(&self) -> numa::Choice {
        match self {
            Self { no_numa: true, .. } => numa::Choice::Off,
            Self { numa_node: Some(node), .. } => numa::Choice::Node(*node),
            Self { numa_node: None, .. } => numa::Choice::Auto,
        }
    }
}

fn parse_ports(text: &str) -> Result<PortList, String> {
    let mut probes = Vec::new();
    ports::parse(text, |probe| probes.push(probe)).map_err(|error| error.to_string())?;
    let distinct = ports::sort(&mut probes);
    probes.truncate(distinct);
    Ok(PortList { text: text.to_owned(), probes: probes.into() })
}

fn parse_shard(text: &str) -> Result<Shard, String> {
    Shard::parse(text).map_err(|error| error.to_string())
}

fn parse_id(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    if (1..=64).contains(&text.len()) && text.bytes().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err("expected 1 to 64 letters, digits, hyphens, underscores, dots or colons".to_owned())
}

fn parse_contact(text: &str) -> Result<String, String> {
    if (1..=MAX_CONTACT_BYTES).contains(&text.len()) && text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Ok(text.to_owned());
    }
    Err(format!("expected an address of mail or of a page, in at most {MAX_CONTACT_BYTES} characters of ASCII"))
}

fn parse_subnet_rate(text: &str) -> Result<Cap, String> {
    match parse_cap(text).map_err(|error| error.to_string())? {
        Cap::Bits(_) => Err("expected packets a second, like 1000 or 5k, or unlimited".to_owned()),
        rate => Ok(rate),
    }
}

fn parse_wait(text: &str) -> Result<Duration, String> {
    const MOST: Duration = Duration::from_secs(3600);
    let time = parse_duration(text).map_err(|error| error.to_string())?;
    if time > MOST { Err("expected at most 1h".to_owned()) } else { Ok(time) }
}

/// From 0 to 100 with up to four decimals, with or without a sign behind it.
fn parse_percent(text: &str) -> Result<Percent, String> {
    let expected = || "expected 0 to 100 with up to four decimals, like 0.5".to_owned();
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let is_number =
        |part: &str, most: usize| (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole, 3) || !is_number(decimals, 4) {
        return Err(expected());
    }
    let ppm = format!("{whole}{decimals:0<4}").parse().ok().filter(|ppm| *ppm <= 1_000_000);
    ppm.map(|ppm| Percent { ppm }).ok_or_else(expected)
}

fn parse_transport(text: &str) -> Result<Choice, String> {
    parse_name(&Choice::ALL, text)
}

fn parse_format(text: &str) -> Result<Format, String> {
    parse_name(&Format::ALL, text)
}

fn parse_show(text: &str) -> Result<Show, String> {
    parse_name(&[("open", Show::Open), ("all", Show::All)], text)
}

fn parse_rotation(text: &str) -> Result<Limit, String> {
    let zero = || "expected more than nothing".to_owned();
    if let Some(rows) = text.trim().strip_suffix("rows").or_else(|| text.trim().strip_suffix("row")) {
        let rows = parse_count(rows).map_err(|error| error.to_string())?;
        return if rows == 0 { Err(zero()) } else { Ok(Limit::Rows(rows)) };
    }
    match parse_size(text) {
        Ok(0) => Err(zero()),
        Ok(bytes) => Ok(Limit::Bytes(bytes)),
        Err(error) => Err(format!("{error}; or a number of rows, like 1000000rows")),
    }
}

fn parse_window(text: &str) -> Result<usize, String> {
    let expected = || format!("expected a number of replies from {FEWEST_WINDOW} to {MOST_WINDOW}");
    let window = parse_count(text).map_err(|error| error.to_string())?;
    let fits = (FEWEST_WINDOW..=MOST_WINDOW).contains(&window);
    usize::try_from(window).ok().filter(|_| fits).ok_or_else(expected)
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
