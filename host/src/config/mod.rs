//! The configuration of `wirehaul serve`: a TOML file as data that makes sense, or every mistake in it with its line.

mod mistakes;
mod section;
#[cfg(all(test, unix))]
mod tests;
pub mod words;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use wirehaul_core::numa;
use wirehaul_core::rate::Rate;
use wirehaul_core::time::Duration;

use crate::crypto::PublicKey;
use crate::units::{UnitError, parse_duration, parse_rate, parse_size};
use crate::{file_io, transport};
pub use mistakes::{ConfigError, Mistake};
use mistakes::{Mistakes, line_of};
use section::{Section, number, text, yes_or_no};
use words::{DEFAULT_PORT, parse_address, parse_file_io, parse_iface, parse_listen, parse_name, parse_transport};

/// Transfers at once where the file does not say.
pub const DEFAULT_MAX_TRANSFERS: u32 = 1024;
/// The most that can be asked for.
const MOST_TRANSFERS: u32 = 2000;
/// How long transfers go on after SIGTERM where the file does not say.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(30);
/// The TCP port of the metrics where the file does not say.
pub const DEFAULT_METRICS_PORT: u16 = 7421;
/// A configuration is a page or two: what is longer is something else.
const MAX_BYTES: u64 = 4 << 20;

const KEYS: &[&str] = &[
    "listen",
    "dir",
    "overwrite",
    "transport",
    "iface",
    "io",
    "numa",
    "numa_node",
    "rate",
    "quota",
    "max_transfers",
    "drain",
    "metrics",
    "log",
    "user",
    "peers",
];
const PEER_KEYS: &[&str] = &["key", "dir", "overwrite", "quota", "rate", "max_transfers"];

/// What `wirehaul serve` is told by its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file.
    pub path: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where peers write that have no directory of their own; `None` refuses them.
    pub dir: Option<PathBuf>,
    /// Whether files that differ are replaced, where a peer's section does not say otherwise.
    pub overwrite: bool,
    /// How packets travel.
    pub transport: transport::Choice,
    /// The network interface for AF_XDP.
    pub iface: Option<String>,
    /// How files are read and written.
    pub io: file_io::Choice,
    /// Whether NUMA nodes are looked at, and which is worked on.
    pub numa: numa::Choice,
    /// The rate of all transfers together.
    pub rate: Option<Rate>,
    /// What each directory may hold, where a peer's section does not say otherwise.
    pub quota_bytes: Option<u64>,
    /// Transfers at once.
    pub max_transfers: u32,
    /// How long transfers may go on after SIGTERM.
    pub drain: Duration,
    /// Where metrics are served; `None` for nowhere.
    pub metrics: Option<SocketAddr>,
    /// How the log is written.
    pub log: LogFormat,
    /// The user to become after set-up.
    pub user: Option<String>,
    /// The peers with a section of their own, by name.
    pub peers: Vec<PeerConfig>,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Sentences.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// A peer with a section of its own. What the section leaves out and is not a sum over peers is that of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    /// Its name.
    pub name: String,
    /// The line of the file that it begins on.
    pub line: usize,
    /// Its key; `None` for the one that is known by this name.
    pub key: Option<PublicKey>,
    /// Where it writes.
    pub dir: Option<PathBuf>,
    /// Whether files that differ are replaced.
    pub overwrite: bool,
    /// What its directory may hold.
    pub quota_bytes: Option<u64>,
    /// The rate of its transfers together.
    pub rate: Option<Rate>,
    /// Its transfers at once.
    pub max_transfers: Option<u32>,
}

impl Config {
    /// Reads the file and checks all that it says, the directories that it names among that.
    ///
    /// # Errors
    /// [`ConfigError`], with every mistake that was found.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::Read { path: path.to_path_buf(), source };
        let bytes = match std::fs::metadata(path) {
            Ok(found) if found.len() > MAX_BYTES => Err(failed(std::io::ErrorKind::FileTooLarge.into())),
            _ => std::fs::read(path).map_err(failed),
        }?;
        match String::from_utf8(bytes) {
            Ok(text) => Self::parse(&text, path),
            Err(error) => {
                let line = line_of(error.as_bytes(), error.utf8_error().valid_up_to());
                let reason = "this is not text in UTF-8".to_owned();
                Err(ConfigError::Wrong { path: path.to_path_buf(), mistakes: vec![Mistake { line, reason }] })
            }
        }
    }

    /// The same for a text that stands in `path`.
    ///
    /// # Errors
    /// [`ConfigError::Wrong`], with every mistake that was found.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut mistakes = Mistakes::of(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            mistakes.add(error.span().unwrap_or(0..0), error.message().to_owned());
        }
        if !errors.is_empty() {
            // What would be said of a table that is read in parts only confuses.
            return Err(mistakes.into_error(path));
        }
        let config = Self::of_table(table.get_ref(), path, &mut mistakes);
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes.into_error(path)) }
    }

    fn of_table(table: &DeTable<'_>, path: &Path, mistakes: &mut Mistakes<'_>) -> Self {
        let mut all = Section::open(table, KEYS, mistakes);
        let dir = all.read("dir", directory);
        let overwrite = all.read("overwrite", yes_or_no).unwrap_or_default();
        let quota_bytes = all.read("quota", text("1tib", parse_quota)).flatten();
        let mut config = Self {
            path: path.to_path_buf(),
            listen: all.read("listen", text("[::]:7420", parse_listen)).unwrap_or_else(default_listen),
            dir,
            overwrite,
            transport: all.read("transport", text("auto", parse_transport)).unwrap_or_default(),
            iface: all.read("iface", text("eth0", parse_iface)),
            io: all.read("io", text("auto", parse_file_io)).unwrap_or_default(),
            numa: read_numa(&mut all),
            rate: all.read("rate", text("2gbit", parse_cap)).flatten(),
            quota_bytes,
            max_transfers: all.read("max_transfers", number(1..=MOST_TRANSFERS)).unwrap_or(DEFAULT_MAX_TRANSFERS),
            drain: all.read("drain", text("30s", parse_duration)).unwrap_or(DEFAULT_DRAIN),
            metrics: all.read("metrics", metrics).unwrap_or_else(|| Some(default_metrics())),
            log: all.read("log", text("text", parse_log)).unwrap_or_default(),
            user: all.read("user", text("wirehaul", parse_user)),
            peers: Vec::new(),
        };
        let has_dir = all.find("dir").is_some();
        if !has_dir && all.find("peers").is_none() {
            all.add(0..0, "dir is missing: name the directory that files go to".to_owned());
        }
        if let Some(peers) = table.get("peers") {
            config.peers = config.read_peers(peers, has_dir, mistakes);
        }
        config
    }

    fn read_peers(&self, peers: &Spanned<DeValue<'_>>, has_dir: bool, mistakes: &mut Mistakes<'_>) -> Vec<PeerConfig> {
        let Some(sections) = peers.get_ref().as_table() else {
            mistakes.add(peers.span(), "peers: expected sections, like [peers.backup]".to_owned());
            return Vec::new();
        };
        if sections.is_empty() && !has_dir {
            mistakes.add(peers.span(), "dir is missing, and no peer has one".to_owned());
        }
        let mut read = Vec::with_capacity(sections.len());
        for (name, section) in sections {
            let word = name.get_ref().as_ref();
            let Some(table) = section.get_ref().as_table() else {
                mistakes.add(section.span(), format!("peers.{word}: expected a section, [peers.{word}]"));
                continue;
            };
            if word.is_empty() || word.chars().any(|c| c.is_whitespace() || c.is_control() || c == '#') {
                mistakes.add(name.span(), "a peer's name has no spaces and no #".to_owned());
            }
            read.push(self.read_peer(name, table, has_dir, mistakes));
        }
        read.sort_by_key(|peer| peer.line);
        refuse_twins(&read, sections, mistakes);
        read
    }

    fn read_peer(
        &self,
        name: &Spanned<toml::de::DeString<'_>>,
        table: &DeTable<'_>,
        has_dir: bool,
        mistakes: &mut Mistakes<'_>,
    ) -> PeerConfig {
        let mut section = Section::open(table, PEER_KEYS, mistakes);
        if !has_dir && section.find("dir").is_none() {
            let reason = "dir is missing: give this peer one, or all of them one above the sections";
            section.add(name.span(), reason.to_owned());
        }
        PeerConfig {
            name: name.get_ref().as_ref().to_owned(),
            line: section.line_of(name.span().start),
            key: section.read("key", text("whk1...", str::parse)),
            dir: section.read("dir", directory).or_else(|| self.dir.clone()),
            overwrite: section.read("overwrite", yes_or_no).unwrap_or(self.overwrite),
            quota_bytes: section.read("quota", text("100gib", parse_quota)).unwrap_or(self.quota_bytes),
            rate: section.read("rate", text("500mbit", parse_cap)).flatten(),
            max_transfers: section.read("max_transfers", number(1..=MOST_TRANSFERS)),
        }
    }

    /// The key of each peer that has a section; `known` is what `wirehaul key trust` stored for a name.
    ///
    /// # Errors
    /// [`ConfigError::Wrong`]: a peer without a key, with two, or with that of another.
    pub fn peer_keys(
        &self,
        known: impl Fn(&str) -> Option<PublicKey>,
    ) -> Result<Vec<(PublicKey, &PeerConfig)>, ConfigError> {
        let mut mistakes = Vec::new();
        let mut owners: BTreeMap<PublicKey, &PeerConfig> = BTreeMap::new();
        let mut keys = Vec::with_capacity(self.peers.len());
        for peer in &self.peers {
            let name = &peer.name;
            let key = match (peer.key, known(name)) {
                (Some(own), Some(known)) if own != known => {
                    Err(format!("another key is known for {name}; change that line of known_peers, or this one"))
                }
                (Some(key), _) | (None, Some(key)) => Ok(key),
                (None, None) => Err(format!(
                    "no key is known for {name}: add `key = \"whk1...\"` here, or run `wirehaul key trust {name} KEY`"
                )),
            };
            let free = key.and_then(|key| match owners.get(&key) {
                // A key that stands twice in the file was found when it was read.
                Some(other) => Err(format!("{name} has the key of {} (line {})", other.name, other.line)),
                None => Ok(key),
            });
            match free {
                Ok(key) => {
                    owners.insert(key, peer);
                    keys.push((key, peer));
                }
                Err(reason) => mistakes.push(Mistake { line: peer.line, reason }),
            }
        }
        if mistakes.is_empty() { Ok(keys) } else { Err(ConfigError::Wrong { path: self.path.clone(), mistakes }) }
    }

    /// The settings in which this differs from `old` and that are only looked at when the program starts.
    #[must_use]
    pub fn needs_restart(&self, old: &Self) -> Vec<&'static str> {
        let differs = [
            ("listen", self.listen != old.listen),
            ("transport", self.transport != old.transport),
            ("iface", self.iface != old.iface),
            ("io", self.io != old.io),
            ("numa", self.numa != old.numa),
            ("user", self.user != old.user),
            ("metrics", self.metrics != old.metrics),
            ("max_transfers", self.max_transfers != old.max_transfers),
        ];
        differs.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect()
    }
}

fn refuse_twins(peers: &[PeerConfig], sections: &DeTable<'_>, mistakes: &mut Mistakes<'_>) {
    for (number, peer) in peers.iter().enumerate() {
        let Some(twin) = peers[..number].iter().find(|other| peer.key.is_some() && other.key == peer.key) else {
            continue;
        };
        let section = sections.get(peer.name.as_str()).and_then(|section| section.get_ref().as_table());
        let span = section.and_then(|section| section.get("key")).map_or(0..0, Spanned::span);
        mistakes.add(span, format!("key: {} has the same key (line {})", twin.name, twin.line));
    }
}

fn default_listen() -> SocketAddr {
    SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), DEFAULT_PORT)
}

fn default_metrics() -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), DEFAULT_METRICS_PORT)
}

fn read_numa(all: &mut Section<'_, '_, '_>) -> numa::Choice {
    let looks = all.read("numa", yes_or_no).unwrap_or(true);
    let node = all.read("numa_node", number(0..=4095));
    match node {
        None if looks => numa::Choice::Auto,
        Some(node) if looks => numa::Choice::Node(node),
        None => numa::Choice::Off,
        Some(_) => {
            let span = all.find("numa_node").map_or(0..0, Spanned::span);
            all.add(span, "numa_node: nodes are not looked at with `numa = false`".to_owned());
            numa::Choice::Off
        }
    }
}

fn metrics(value: &DeValue<'_>) -> Result<Option<SocketAddr>, String> {
    match value.as_bool() {
        Some(false) => Ok(None),
        Some(true) => Ok(Some(default_metrics())),
        None => text("127.0.0.1:7421", |text| {
            let address = parse_address(text).filter(|address| address.port != Some(0));
            let address = address.ok_or("expected an address and a port, like 127.0.0.1:7421, or false")?;
            Ok::<_, &str>(Some(SocketAddr::new(address.ip, address.port.unwrap_or(DEFAULT_METRICS_PORT))))
        })(value),
    }
}

fn parse_cap(text: &str) -> Result<Option<Rate>, UnitError> {
    parse_rate(text).map(|rate| (rate != Rate::MAX).then_some(rate))
}

fn parse_quota(text: &str) -> Result<Option<u64>, UnitError> {
    if text.trim().eq_ignore_ascii_case("unlimited") {
        return Ok(None);
    }
    match parse_size(text)? {
        0 => Err(UnitError::Zero),
        bytes => Ok(Some(bytes)),
    }
}

fn parse_log(text: &str) -> Result<LogFormat, String> {
    parse_name(&[("text", LogFormat::Text), ("json", LogFormat::Json)], text)
}

#[cfg(target_os = "linux")]
fn parse_user(text: &str) -> Result<String, String> {
    match nix::unistd::User::from_name(text) {
        Ok(Some(_)) => Ok(text.to_owned()),
        Ok(None) => Err(format!("there is no user {text} on this machine")),
        Err(error) => Err(format!("cannot look up the user {text}: {error}")),
    }
}

#[cfg(not(target_os = "linux"))]
fn parse_user(_: &str) -> Result<String, String> {
    Err("this system cannot change the user".to_owned())
}

fn directory(value: &DeValue<'_>) -> Result<PathBuf, String> {
    let path = text("/srv/inbox", |text| Ok::<_, String>(PathBuf::from(text)))(value)?;
    check_directory(&path).map(|()| path)
}

/// Whether files can be made in a directory.
///
/// # Errors
/// Why not, in words.
pub fn check_directory(path: &Path) -> Result<(), String> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(format!("{shown} is no directory")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(format!("there is no directory {shown}; make it first"));
        }
        Err(error) => return Err(format!("cannot look at {shown}: {error}")),
    }
    may_write(path).map_err(|error| format!("cannot write into {shown}: {error}"))
}

#[cfg(unix)]
fn may_write(path: &Path) -> std::io::Result<()> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    Ok(accessat(CWD, path, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
}

/// Elsewhere only the attempt tells.
#[cfg(not(unix))]
fn may_write(_: &Path) -> std::io::Result<()> {
    Ok(())
}
