//! What can be asked on the command line, parsed into types that hold only what makes sense.

use std::ffi::{OsStr, OsString};
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};
use wirehaul_core::rate::Rate;

use super::exit::EXIT_CODES;
pub use crate::config::words::{Address as Advertised, DEFAULT_PORT};
use crate::config::words::{parse_address, parse_file_io, parse_iface, parse_listen, parse_transport};
use crate::crypto::PublicKey;
use crate::file_io;
use crate::transfer::ticket::{Ticket, TicketError};
use crate::transport::Choice;
use crate::units::{parse_rate, parse_size};
pub use cdn::{CdnArgs, CdnCommand, CdnUpdateArgs};
pub use numa::NumaArgs;
pub use origin::OriginArgs;
pub use scan::ScanArgs;

pub mod cdn;
mod help;
pub mod numa;
mod origin;
pub mod scan;
#[cfg(test)]
mod tests;

/// The heading of the flags that every command has.
const OUTPUT: &str = "Output";

/// Moves files between hosts as fast as card and disk allow: encrypted, paced, resumable.
#[derive(Debug, Parser)]
#[command(name = "wirehaul", bin_name = "wirehaul", version, propagate_version = true)]
#[command(after_help = help::ending(help::MAIN), max_term_width = 100)]
pub struct Cli {
    /// How to talk to whoever runs this.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send files and directories to a receiver
    Send(SendArgs),
    /// Receive files, after printing the ticket to send them with
    Recv(RecvArgs),
    /// Receive for good, from hosts whose keys are trusted
    Serve(ServeArgs),
    /// Show or make this host's key, and trust the keys of others
    Key(KeyArgs),
    /// Say whether packets can bypass the kernel on an interface (AF_XDP), and what to change
    Doctor(DoctorArgs),
    /// Show the NUMA nodes of this machine, its network cards, and where a transfer would work
    Topo(TopoArgs),
    /// Ask many hosts whether they listen on ports, at a rate that holds
    Scan(Box<ScanArgs>),
    /// Tell edges of CDNs from other addresses, with the evidence
    Cdn(CdnArgs),
    /// Say whether your site's own server answers past the CDN in front of it, and how to stop that
    Origin(OriginArgs),
    /// Print a script that completes command lines of this program in a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write those of every command
    Man(ManArgs),
}

/// How to talk to whoever runs this.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct OutputArgs {
    /// Print JSON lines on stdout; the last one has "type":"summary"
    #[arg(long, global = true, help_heading = OUTPUT)]
    pub json: bool,
    /// Print no progress and no summary, only errors
    #[arg(short, long, global = true, help_heading = OUTPUT, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more on stderr; twice for even more
    #[arg(short, long, global = true, help_heading = OUTPUT, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Whether there is to be a screen: as [`ScreenArgs`] of the command say.
    #[arg(skip)]
    pub tui: bool,
}

/// How to watch the work, for the commands that have some to watch.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct ScreenArgs {
    /// Show everything on a screen of its own: transfers, scan, NUMA nodes, CDNs, log; ? there shows the keys
    #[arg(long, help_heading = OUTPUT)]
    pub tui: bool,
}

/// What sending and receiving have in common.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Transfer")]
pub struct TransferArgs {
    /// How packets travel: auto takes xdp (AF_XDP, nothing is copied) where the card's driver has that, and udp otherwise; xdp, xdp-copy,
    /// xdp-skb or udp only that one
    #[arg(long, value_name = "WAY", default_value = "auto", value_parser = parse_transport)]
    pub transport: Choice,
    /// The network interface for xdp [default: the one that packets to the peer leave through; of `recv`, the one that has
    /// the address of --listen, or that of the default route]
    #[arg(long, value_name = "IF", value_parser = parse_iface)]
    pub iface: Option<String>,
    /// How files are read and written: auto takes the fastest way that works here; uring (io_uring) or sync (ordinary calls) only
    /// that one
    #[arg(long, value_name = "WAY", default_value = "auto", value_parser = parse_file_io)]
    pub io: file_io::Choice,
    /// Where the work is done.
    #[command(flatten)]
    pub numa: NumaArgs,
    /// Send no faster than this, such as 800mbit, 1.5gbit or 100MB/s
    #[arg(long, value_name = "RATE", default_value = "unlimited", hide_default_value = true, value_parser = parse_rate)]
    pub rate: Rate,
    /// The congestion controller: bbr or cubic
    #[arg(long, value_name = "NAME", value_enum, default_value = "bbr", hide_possible_values = true)]
    pub cc: CongestionControl,
    /// The seed of whatever is random without being secret, such as generated bytes
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

impl TransferArgs {
    /// The rate not to exceed; `None` for as fast as the path carries.
    #[must_use]
    pub fn rate_cap(&self) -> Option<Rate> {
        (self.rate != Rate::MAX).then_some(self.rate)
    }
}

/// The congestion controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CongestionControl {
    /// BBRv3 (draft-ietf-ccwg-bbr)
    Bbr,
    /// CUBIC (RFC 9438)
    Cubic,
}

/// Arguments of `wirehaul send`.
#[derive(Debug, Args)]
#[command(after_help = help::ending(help::SEND), override_usage = "wirehaul send [OPTIONS] PATH... TICKET|HOST[:PORT]\n       \
    wirehaul send [OPTIONS] --generate SIZE TICKET|HOST[:PORT]")]
pub struct SendArgs {
    /// What to send, then where to: the ticket that `wirehaul recv` printed, or a host whose key you trust
    #[arg(value_name = "PATH... TICKET|HOST[:PORT]", required = true, num_args = 1.., hide_possible_values = true)]
    #[arg(value_hint = ValueHint::AnyPath)]
    operands: Vec<OsString>,
    /// Send this many generated bytes and no files: a speed test, to a receiver with --discard
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub generate: Option<u64>,
    /// What sending and receiving have in common.
    #[command(flatten)]
    pub transfer: TransferArgs,
    /// How to watch it.
    #[command(flatten)]
    pub screen: ScreenArgs,
}

/// What `wirehaul send` is to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Sending {
    /// What to send.
    pub source: Source,
    /// Where to.
    pub destination: Destination,
}

/// What to send.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// These files and directories, at least one.
    Paths(Vec<PathBuf>),
    /// This many generated bytes.
    Generated(u64),
}

/// Where to send to.
#[derive(Debug, PartialEq, Eq)]
pub enum Destination {
    /// The receiver that made the ticket.
    Ticket(Ticket),
    /// A host whose key is among the known peers.
    Host {
        /// Its name, or an address.
        host: String,
        /// Its UDP port.
        port: u16,
    },
}

/// Why the operands of `wirehaul send` make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Only the destination is there, or only paths.
    #[error(
        "what to send is missing: give at least one PATH, then the TICKET or HOST[:PORT] last (or --generate SIZE)"
    )]
    NothingToSend,
    /// Paths beside generated bytes.
    #[error("--generate sends no files: leave out `{path}`, or leave out --generate")]
    PathsBesideGenerated {
        /// The first path.
        path: String,
    },
    /// The destination is a ticket, and not a good one.
    #[error("{0}")]
    Ticket(#[from] TicketError),
    /// The destination is neither.
    #[error("`{destination}` is neither a ticket nor a HOST[:PORT]")]
    Destination {
        /// What stands there.
        destination: String,
    },
}

impl SendArgs {
    /// What is to be sent, and where to.
    ///
    /// # Errors
    /// [`SendError`]; [`Cli::parse_arguments`] has seen to it that there is none.
    pub fn sending(&self) -> Result<Sending, SendError> {
        let (last, paths) = self.operands.split_last().ok_or(SendError::NothingToSend)?;
        let source = match (self.generate, paths) {
            (None, []) => return Err(SendError::NothingToSend),
            (None, paths) => Source::Paths(paths.iter().map(PathBuf::from).collect()),
            (Some(bytes), []) => Source::Generated(bytes),
            (Some(_), [path, ..]) => {
                return Err(SendError::PathsBesideGenerated { path: path.to_string_lossy().into_owned() });
            }
        };
        Ok(Sending { source, destination: parse_destination(last)? })
    }
}

fn parse_destination(text: &OsStr) -> Result<Destination, SendError> {
    let unreadable = || SendError::Destination { destination: text.to_string_lossy().into_owned() };
    let text = text.to_str().ok_or_else(unreadable)?.trim();
    match text.parse::<Ticket>() {
        Ok(ticket) => return Ok(Destination::Ticket(ticket)),
        Err(TicketError::NotATicket) => {}
        // A host may be called wh1.example or whk1:7420; a ticket is one run of letters and digits.
        Err(_) if !text.is_empty() && !text.bytes().all(|c| c.is_ascii_alphanumeric()) => {}
        // And it may be called whkeeper, which is much shorter than a key.
        Err(TicketError::IsAKey) if text.len() < 40 => {}
        Err(error) => return Err(error.into()),
    }
    let (host, port) = split_host_port(text).ok_or_else(unreadable)?;
    Ok(Destination::Host { host: host.to_owned(), port })
}

/// `host`, `host:port`, `1.2.3.4:port`, `::1`, `[::1]` or `[::1]:port`.
fn split_host_port(text: &str) -> Option<(&str, u16)> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some((text, DEFAULT_PORT));
    }
    if let Some(bracketed) = text.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        return Some((host, if rest.is_empty() { DEFAULT_PORT } else { parse_port(rest.strip_prefix(':')?)? }));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, parse_port(port)?),
        None => (text, DEFAULT_PORT),
    };
    is_host_name(host).then_some((host, port))
}

/// Letters, digits, dots, hyphens and underscores, as names in DNS and hosts files have them.
fn is_host_name(text: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    !text.is_empty() && text.len() <= 253 && !text.starts_with(['-', '.']) && text.chars().all(allowed)
}

fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0 && !text.starts_with('+'))
}

/// Arguments of `wirehaul recv`.
#[derive(Debug, Args)]
#[command(after_help = help::ending(help::RECV))]
pub struct RecvArgs {
    /// Listen on this UDP address: ADDR:PORT, ADDR or PORT [default: every address, port 7420 or else any free one]
    #[arg(long, value_name = "ADDR", value_parser = parse_listen)]
    listen: Option<SocketAddr>,
    /// Put this address into the ticket instead of those of this host's interfaces, such as that of a NAT; repeatable
    #[arg(long, value_name = "ADDR", value_parser = parse_advertised)]
    pub advertise: Vec<Advertised>,
    /// Write below this directory
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Leave after the first transfer; one that is cut off is awaited again
    #[arg(long)]
    pub once: bool,
    /// Replace files that exist and differ
    #[arg(long)]
    pub overwrite: bool,
    /// Decrypt and throw away what arrives, writing nothing: a speed test
    #[arg(long, conflicts_with_all = ["overwrite", "dir"])]
    pub discard: bool,
    /// What sending and receiving have in common.
    #[command(flatten)]
    pub transfer: TransferArgs,
    /// How to watch it.
    #[command(flatten)]
    pub screen: ScreenArgs,
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address to try.
    pub address: SocketAddr,
    /// Whether any other port will do where this one is taken: only if the user named none.
    pub or_any_port: bool,
}

impl RecvArgs {
    /// Where to listen.
    #[must_use]
    pub fn listen(&self) -> Listen {
        let default = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), DEFAULT_PORT);
        Listen { address: self.listen.unwrap_or(default), or_any_port: self.listen.is_none() }
    }
}

/// Arguments of `wirehaul serve`.
#[derive(Debug, Args)]
#[command(after_help = help::ending(help::SERVE))]
pub struct ServeArgs {
    /// The configuration, in TOML
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Only read the configuration: print the peers and what they may do, or every mistake with its line
    #[arg(long)]
    pub check_config: bool,
    /// How to watch it.
    #[command(flatten)]
    pub screen: ScreenArgs,
}

fn parse_advertised(text: &str) -> Result<Advertised, String> {
    let usable = |address: &Advertised| !address.ip.is_unspecified() && address.port != Some(0);
    parse_address(text)
        .filter(usable)
        .ok_or_else(|| "expected an address that senders can reach, like 192.0.2.1 or [2001:db8::1]:7420".to_owned())
}

/// Arguments of `wirehaul key`.
#[derive(Debug, Args)]
#[command(after_help = help::ending(help::KEY))]
pub struct KeyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: KeyCommand,
}

/// What to do with keys.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum KeyCommand {
    /// Print this host's public key, made now if there is none
    #[command(after_help = EXIT_CODES)]
    Show,
    /// Make a new key for this host
    #[command(after_help = EXIT_CODES)]
    New {
        /// Replace the key that there is; peers that know it will no longer know this host
        #[arg(long)]
        force: bool,
    },
    /// Trust the key of another host
    #[command(after_help = EXIT_CODES)]
    Trust {
        /// What to call the host: the name under which it is sent to
        #[arg(value_name = "NAME")]
        name: String,
        /// The key that `wirehaul key show` prints there
        #[arg(value_name = "KEY")]
        key: PublicKey,
    },
}

/// Arguments of `wirehaul doctor`.
#[derive(Debug, Args)]
#[command(after_help = help::ending(help::DOCTOR))]
pub struct DoctorArgs {
    /// Look at this interface [default: that of the default route, or else every one that is up]
    #[arg(long, value_name = "IF", value_parser = parse_iface)]
    pub iface: Option<String>,
}

/// Arguments of `wirehaul topo`.
#[derive(Debug, Args)]
#[command(after_help = help::ending(help::TOPO))]
pub struct TopoArgs {
    /// Show this card only, and where its packets would be worked on [default: every card, and places for those that are up]
    #[arg(long, value_name = "IF", value_parser = parse_iface, conflicts_with_all = ["synthetic", "xml"])]
    pub iface: Option<String>,
    /// Show a machine that is described in hwloc's words, such as "pack:2 [numa(memory=32GB)] core:4 pu:2"
    #[arg(long, value_name = "DESC", conflicts_with = "xml")]
    pub synthetic: Option<String>,
    /// Show the machine in this file, which `lstopo --of xml FILE` has written there; - is standard input
    #[arg(long, value_name = "FILE")]
    pub xml: Option<PathBuf>,
    /// Put threads and memory on every node for a moment, and count what is not where it belongs
    #[arg(long, conflicts_with_all = ["synthetic", "xml"])]
    pub check: bool,
    /// Where the work would be done.
    #[command(flatten)]
    pub numa: NumaArgs,
}

/// Arguments of `wirehaul completions`.
#[derive(Debug, Args)]
#[command(after_help = help::ending(help::COMPLETIONS))]
pub struct CompletionsArgs {
    /// The shell: bash, zsh or fish
    #[arg(value_name = "SHELL", value_enum, hide_possible_values = true)]
    pub shell: Shell,
}

/// The shells that command lines are completed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash
    Bash,
    /// The Z shell
    Zsh,
    /// fish
    Fish,
}

/// Arguments of `wirehaul man`.
#[derive(Debug, Args)]
#[command(after_help = help::ending(help::MAN))]
pub struct ManArgs {
    /// Write the pages of all commands into this directory: wirehaul.1, wirehaul-send.1 and so on [default: print the main page]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

impl Cli {
    /// The command line in `arguments`, of which the first is the program's own name.
    ///
    /// # Errors
    /// What `clap` found wrong, which also carries help and version where they were asked for; `error.exit()` prints it
    /// and leaves with 0 or 2.
    pub fn parse_arguments<I, T>(arguments: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString> + Clone,
    {
        let mut cli = Self::try_parse_from(arguments)?;
        let (command, screen) = match &cli.command {
            Command::Send(send) => ("send", send.screen),
            Command::Recv(recv) => ("recv", recv.screen),
            Command::Serve(serve) => ("serve", serve.screen),
            Command::Scan(scan) => ("scan", scan.screen),
            _ => ("", ScreenArgs::default()),
        };
        cli.output.tui = screen.tui;
        if screen.tui && (cli.output.json || cli.output.quiet) {
            let other = if cli.output.json { "--json prints lines for scripts" } else { "--quiet prints no progress" };
            let error = format!("--tui shows everything on a screen, and {other}: leave out one of them");
            return Err(Self::usage_error(command, &error));
        }
        let wrong = match &cli.command {
            Command::Send(send) => send.sending().err().map(|error| ("send", error.to_string())),
            Command::Cdn(cdn) => cdn.contradiction().map(|error| ("cdn", error.to_owned())),
            Command::Scan(scan) => scan.contradiction().map(|error| ("scan", error)),
            _ => None,
        };
        match wrong {
            Some((command, error)) => Err(Self::usage_error(command, &error)),
            None => Ok(cli),
        }
    }

    /// An error with the usage of a subcommand, not the program's.
    #[must_use]
    pub fn usage_error(subcommand: &str, error: &str) -> clap::Error {
        let mut command = Self::command();
        command.build();
        match command.find_subcommand_mut(subcommand) {
            Some(subcommand) => subcommand.error(ErrorKind::ValueValidation, error),
            None => command.error(ErrorKind::ValueValidation, error),
        }
    }

    /// This process's command line; prints help or the mistake and leaves where there is nothing to do.
    #[must_use]
    pub fn of_process() -> Self {
        Self::parse_arguments(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }
}
