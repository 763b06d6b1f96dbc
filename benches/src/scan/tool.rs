//! The contestants: how each is told to scan, and what it says it sent and heard.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::rig::Rig;
use super::{FIRST_TARGET, INTERFACE, MOST_TARGETS, PORT};
use crate::netns::Side;
use crate::process::{Finished, Process, ProcessError, Program};

/// How long everybody listens after the last probe.
pub const COOLDOWN: Duration = Duration::from_secs(2);
/// Where the others send from, as their manuals advise: an address that the kernel has not, so that it does not look at each answer
/// and reset it, on the time of those who scan.
const SPARE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 77);
/// What is said where there is to be no limit: no contestant comes near it.
const NO_LIMIT: u32 = 20_000_000;

/// Who scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Ours, by this transport.
    Wirehaul(&'static str),
    /// masscan of Robert Graham.
    Masscan,
    /// ZMap of the University of Michigan.
    Zmap,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// So many addresses, each asked once; a power of two, at most [`MOST_TARGETS`].
    pub targets: u32,
    /// Packets per second; `None` as many as go.
    pub rate: Option<u32>,
}

impl Order {
    /// The targets as a network.
    #[must_use]
    pub fn network(&self) -> String {
        let bits = 32 - self.targets.clamp(1, MOST_TARGETS).ilog2();
        format!("{FIRST_TARGET}/{bits}")
    }
}

/// What a tool says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Probes that it says it sent; `None` where it does not say.
    pub sent: Option<u64>,
    /// Addresses in its output that were found open, each counted once.
    pub open: u64,
}

/// Why a run of a tool counts for nothing.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It was not there, or did not end well.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Its output could not be read.
    #[error("cannot read the output {}: {error}", .path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        error: std::io::Error,
    },
}

impl Tool {
    /// All of them, in the order of the report. Ours comes first: the others are told as ratios to it.
    pub const ALL: [Self; 6] = [
        Self::Wirehaul("auto"),
        Self::Masscan,
        Self::Zmap,
        Self::Wirehaul("xdp-copy"),
        Self::Wirehaul("xdp-skb"),
        Self::Wirehaul("packet"),
    ];

    /// For people, and for `--only`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Wirehaul("xdp-copy") => "wirehaul-xdp-copy",
            Self::Wirehaul("xdp-skb") => "wirehaul-xdp-skb",
            Self::Wirehaul("packet") => "wirehaul-packet",
            Self::Wirehaul(_) => "wirehaul",
            Self::Masscan => "masscan",
            Self::Zmap => "zmap",
        }
    }

    /// Starts it on the scanning host, on these CPUs alone; what it finds goes to a file in `dir`.
    ///
    /// # Errors
    /// [`ProcessError`].
    pub fn start(
        self,
        rig: &Rig,
        order: &Order,
        wirehaul: &Path,
        cpus: &str,
        dir: &Path,
    ) -> Result<Process, ProcessError> {
        let path = match self {
            Self::Wirehaul(_) => wirehaul.to_path_buf(),
            Self::Masscan => find("masscan"),
            Self::Zmap => find("zmap"),
        };
        if !crate::process::is_installed(path.as_os_str()) {
            return Err(ProcessError::NotInstalled(path.to_string_lossy().into_owned()));
        }
        let program = Program::new("taskset").args(["-c", cpus]).arg(path).args(self.arguments(rig, order, dir));
        program.env("HOME", dir).env("XDG_CONFIG_HOME", dir).start(rig.bed(), Side::Source, None, dir)
    }

    fn arguments(self, rig: &Rig, order: &Order, dir: &Path) -> Vec<String> {
        let [own_mac, way_mac] = &rig.macs;
        let own = SPARE_ADDRESS.to_string();
        let (output, network) = (text(&self.output(dir)), order.network());
        let (port, seconds) = (PORT.to_string(), COOLDOWN.as_secs().to_string());
        let rate = order.rate.unwrap_or(NO_LIMIT).to_string();
        let line: Vec<&str> = match self {
            Self::Wirehaul(transport) => vec![
                "scan",
                &network,
                "-p",
                &port,
                "--iface",
                INTERFACE,
                "--transport",
                transport,
                "--rate",
                &rate,
                "--subnet-rate",
                "unlimited",
                "--cooldown",
                COOLDOWN_TEXT,
                "--seed",
                "1",
                "--format",
                "csv",
                "--output",
                &output,
                "--json",
                "--quiet",
            ],
            Self::Masscan => vec![
                &network,
                "-p",
                &port,
                "--rate",
                &rate,
                "--adapter",
                INTERFACE,
                "--adapter-ip",
                &own,
                "--adapter-mac",
                own_mac,
                "--router-mac",
                way_mac,
                "--wait",
                &seconds,
                "-oL",
                &output,
            ],
            Self::Zmap => {
                // Zero is no limit.
                let rate = order.rate.map_or("0".to_owned(), |rate| rate.to_string());
                let fixed = [
                    "--target-port",
                    &port,
                    "--interface",
                    INTERFACE,
                    "--source-ip",
                    &own,
                    "--gateway-mac",
                    way_mac,
                    "--rate",
                    &rate,
                    "--cooldown-time",
                    &seconds,
                    "--blacklist-file",
                    "/dev/null",
                    "--output-file",
                    &output,
                    "--quiet",
                    "--disable-syslog",
                    "--verbosity",
                    "1",
                    "--metadata-file",
                    &text(&metadata(dir)),
                    &network,
                ];
                return fixed.into_iter().map(str::to_owned).collect();
            }
        };
        line.into_iter().map(str::to_owned).collect()
    }

    fn output(self, dir: &Path) -> PathBuf {
        dir.join(match self {
            Self::Wirehaul(_) => "found.csv",
            Self::Masscan | Self::Zmap => "found.txt",
        })
    }

    /// What it said, now that it has ended.
    ///
    /// # Errors
    /// [`ToolError::Output`].
    pub fn told(self, finished: &Finished, dir: &Path) -> Result<Told, ToolError> {
        let path = self.output(dir);
        let failed = |error| ToolError::Output { path: path.clone(), error };
        let open = count_open(self, BufReader::new(File::open(&path).map_err(failed)?)).map_err(failed)?;
        let sent = match self {
            Self::Wirehaul(_) => {
                let last = finished.stdout.iter().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
                last.and_then(|summary| summary.get("sent")?.as_u64())
            }
            Self::Masscan => None,
            Self::Zmap => {
                let text = std::fs::read_to_string(metadata(dir)).unwrap_or_default();
                serde_json::from_str::<Value>(&text).ok().and_then(|value| value.get("total_sent")?.as_u64())
            }
        };
        Ok(Told { sent, open })
    }
}

/// [`COOLDOWN`] with its unit.
const COOLDOWN_TEXT: &str = "2s";

fn metadata(dir: &Path) -> PathBuf {
    dir.join("metadata.json")
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Where a program of the system is: zmap is among those for administrators, which not every search path has.
fn find(name: &str) -> PathBuf {
    let places = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
    places.into_iter().map(|place| Path::new(place).join(name)).find(|path| path.is_file()).unwrap_or(name.into())
}

/// Distinct addresses of lines that say "open".
fn count_open(tool: Tool, mut lines: impl BufRead) -> std::io::Result<u64> {
    let (mut line, mut columns, mut found) = (String::new(), None, Vec::<u32>::new());
    while lines.read_line(&mut line)? > 0 {
        let address = match tool {
            Tool::Wirehaul(_) => match columns {
                None => {
                    columns = Columns::of(&line);
                    None
                }
                Some(columns) => columns.open(&line),
            },
            // "open tcp 80 10.128.0.1 1700000000"
            Tool::Masscan => line.strip_prefix("open ").and_then(|rest| rest.split(' ').nth(2)),
            Tool::Zmap => Some(line.trim()),
        };
        found.extend(address.and_then(|address| address.parse::<Ipv4Addr>().ok()).map(u32::from));
        line.clear();
    }
    found.sort_unstable();
    found.dedup();
    Ok(found.len() as u64)
}

/// Where our own rows have what is counted.
#[derive(Clone, Copy, Debug)]
struct Columns {
    address: usize,
    class: usize,
}

impl Columns {
    fn of(header: &str) -> Option<Self> {
        let at = |name| header.trim().split(',').position(|column| column == name);
        Some(Self { address: at("saddr")?, class: at("class").or_else(|| at("classification"))? })
    }

    /// The address of a row that says "open". No column up to these can hold a comma.
    fn open<'a>(&self, row: &'a str) -> Option<&'a str> {
        let column = |number| row.trim_end().split(',').nth(number);
        (column(self.class)? == "open").then(|| column(self.address))?
    }
}

#[cfg(test)]
mod tests {
    use super::{Order, Tool, count_open};

    #[test]
    fn addresses_are_counted_once_and_only_where_open() {
        let masscan =
            "#masscan\nopen tcp 80 10.128.0.1 17\nopen tcp 80 10.128.0.1 18\nclosed tcp 80 10.128.0.2 17\n# end\n";
        assert_eq!(count_open(Tool::Masscan, masscan.as_bytes()).expect("readable"), 1);
        let zmap = "saddr\n10.128.0.1\n10.128.0.9\n";
        assert_eq!(count_open(Tool::Zmap, zmap.as_bytes()).expect("readable"), 2);
        let ours = "scan_id,saddr,sport,class\nx,10.128.0.1,80,open\nx,10.128.0.2,80,closed\nx,10.128.0.3,80,open\n";
        assert_eq!(count_open(Tool::Wirehaul("auto"), ours.as_bytes()).expect("readable"), 2);
    }

    #[test]
    fn targets_are_a_network() {
        assert_eq!(Order { targets: 1 << 22, rate: None }.network(), "10.128.0.0/10");
        assert_eq!(Order { targets: 1 << 23, rate: None }.network(), "10.128.0.0/9");
        assert_eq!(Order { targets: 1 << 8, rate: None }.network(), "10.128.0.0/24");
    }
}
