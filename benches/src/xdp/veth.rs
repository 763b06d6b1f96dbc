//! Packets per second over a veth pair: sending, receiving and forwarding, each contestant in turn under the same load.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::peer::{self, Doing};
use crate::clock::Stopwatch;
use crate::netns::{NamespacePair, NetnsError, Side};
use crate::stats::median;

/// Before a rate is taken: every process is at work by then.
const WARM_UP: Duration = Duration::from_millis(1500);
/// Where all packets go that nobody is to receive: xdpsock's own choice. The other host's stack drops them at its door, whoever
/// sent them; packets to itself it would answer.
const NOBODY: &str = "3c:fd:fe:9e:7f:71";
/// What the processes run on for afterwards.
const COOL_DOWN: u64 = 1;

/// Who sends, receives or forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Contestant {
    /// Ours.
    Wirehaul,
    /// The example of bpf-examples.
    Xdpsock,
    /// UDP sockets, many datagrams per call.
    Sendmmsg,
    /// UDP sockets, the kernel cuts segments.
    Gso,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Packets that leave.
    Send,
    /// Packets that arrive, while as many come as can be sent.
    Receive,
    /// Packets that come back, while as many come as can be sent.
    Forward,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Send, Self::Receive, Self::Forward];

    /// Those who can do it, ours first.
    #[must_use]
    pub const fn contestants(self) -> &'static [Contestant] {
        match self {
            Self::Send => &[Contestant::Wirehaul, Contestant::Xdpsock, Contestant::Sendmmsg, Contestant::Gso],
            Self::Receive | Self::Forward => &[Contestant::Wirehaul, Contestant::Xdpsock],
        }
    }

    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive and drop",
            Self::Forward => "forward",
        }
    }
}

impl Contestant {
    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wirehaul => "wirehaul",
            Self::Xdpsock => "xdpsock",
            Self::Sendmmsg => "sendmmsg",
            Self::Gso => "GSO",
        }
    }
}

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum VethError {
    /// No namespaces.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A process was not started, or not read from.
    #[error("{0}")]
    Os(#[from] std::io::Error),
    /// xdpsock is not installed.
    #[error("xdpsock is not installed (WIREHAUL_XDPSOCK names it)")]
    NoPeer,
    /// A process did not say what it did.
    #[error("{who} failed: {output}")]
    Failed {
        /// Whose.
        who: &'static str,
        /// What it said.
        output: String,
    },
}

/// The pair of hosts, and how they are used.
pub struct Lab {
    pair: NamespacePair,
    is_skb: bool,
    seconds: u64,
    own_program: PathBuf,
}

impl Lab {
    /// Two hosts for measurements of so many seconds.
    ///
    /// # Errors
    /// [`VethError`].
    pub fn new(is_skb: bool, seconds: u64) -> Result<Self, VethError> {
        let lab = Self { pair: NamespacePair::create()?, is_skb, seconds, own_program: std::env::current_exe()? };
        // Sockets send to the hardware address that their host takes for the other's.
        let other = lab.pair.address(Side::Destination).to_string();
        let neighbour = ["neighbour", "replace", &other, "lladdr", NOBODY, "dev", "veth0", "nud", "permanent"];
        let output = lab.inside(Side::Source, "ip").args(neighbour).output()?;
        if output.status.success() {
            return Ok(lab);
        }
        let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(VethError::Failed { who: "ip neighbour", output })
    }

    /// Packets per second.
    ///
    /// # Errors
    /// [`VethError`].
    pub fn measure(&self, scenario: Scenario, who: Contestant) -> Result<f64, VethError> {
        // The kernel frees the queue of who was there before in its own time.
        sleep(WARM_UP / 3);
        match scenario {
            Scenario::Send => {
                let sender = self.start(Side::Source, who, Doing::Send, 0)?;
                let rate = self.arriving(Side::Destination);
                finish(sender, who.name())?;
                rate
            }
            Scenario::Receive => {
                let load = self.start(Side::Source, Contestant::Wirehaul, Doing::Send, 0)?;
                sleep(WARM_UP / 2);
                let receiver = self.start(Side::Destination, who, Doing::Drop, 1)?;
                let output = finish(receiver, who.name());
                finish(load, "the load")?;
                received(who, &output?)
            }
            Scenario::Forward => {
                let forwarder = self.start(Side::Destination, who, Doing::Forward, 1)?;
                sleep(WARM_UP / 2);
                let load = self.start(Side::Source, Contestant::Wirehaul, Doing::Send, 0)?;
                let rate = self.arriving(Side::Source);
                finish(load, "the load")?;
                finish(forwarder, who.name())?;
                rate
            }
        }
    }

    /// Packets per second that arrive at this side, as its interface counts them.
    fn arriving(&self, side: Side) -> Result<f64, VethError> {
        sleep(WARM_UP);
        let (watch, before) = (Stopwatch::start(), self.counted(side)?);
        sleep(Duration::from_secs(self.seconds));
        let (after, seconds) = (self.counted(side)?, watch.seconds());
        Ok((after - before) as f64 / seconds)
    }

    fn counted(&self, side: Side) -> Result<u64, VethError> {
        let output = self.inside(side, "cat").arg("/sys/class/net/veth0/statistics/rx_packets").output()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        text.parse().map_err(|_| VethError::Failed { who: "the interface", output: text })
    }

    /// Starts a contestant on a CPU of its own.
    fn start(&self, side: Side, who: Contestant, doing: Doing, cpu: usize) -> Result<Child, VethError> {
        // Longer than what is measured: the load runs on beside it.
        let seconds = self.seconds + 2 * WARM_UP.as_secs() + 3 + COOL_DOWN;
        let mut command = self.inside(side, "taskset");
        command.arg("--cpu-list").arg(cpu.to_string());
        if who == Contestant::Xdpsock {
            command.arg(peer::xdpsock().ok_or(VethError::NoPeer)?);
            let seconds = if doing == Doing::Drop { self.seconds + 2 } else { seconds };
            command.args(peer::arguments(doing, self.is_skb, seconds));
        } else {
            let seconds = if doing == Doing::Drop { self.seconds + 2 } else { seconds };
            command.arg(&self.own_program).args(self.role(side, who, doing)).arg("--seconds").arg(seconds.to_string());
            if self.is_skb {
                command.arg("--skb");
            }
        }
        Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
    }

    fn role(&self, side: Side, who: Contestant, doing: Doing) -> Vec<String> {
        let role = match (who, doing) {
            (Contestant::Sendmmsg, _) => "sendmmsg",
            (Contestant::Gso, _) => "gso",
            (_, Doing::Send) => "send",
            (_, Doing::Drop) => "drop",
            (_, Doing::Forward) => "forward",
        };
        let other = if side == Side::Source { Side::Destination } else { Side::Source };
        let (own, other) = (self.pair.address(side).to_string(), self.pair.address(other).to_string());
        let arguments =
            ["role", "--role", role, "--iface", "veth0", "--own", &own, "--other", &other, "--other-mac", NOBODY];
        arguments.map(str::to_owned).to_vec()
    }

    fn inside(&self, side: Side, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.pair.name(side), program]);
        command
    }
}

/// What a receiver says that it got per second: the median of what it prints every second, without the first and the last.
fn received(who: Contestant, output: &str) -> Result<f64, VethError> {
    let rates: Vec<f64> = if who == Contestant::Xdpsock {
        peer::rates(output, "rx")
    } else {
        let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|line| line["packets_per_s"].as_f64()).collect()
    };
    let inner = rates.get(1..rates.len().saturating_sub(1)).unwrap_or(&[]);
    median(inner).ok_or_else(|| VethError::Failed { who: who.name(), output: output.to_owned() })
}

/// Waits for a process; what it printed.
fn finish(mut child: Child, who: &'static str) -> Result<String, VethError> {
    let mut output = String::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            output.push_str(&line);
            output.push('\n');
        }
    }
    let mut errors = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut errors)?;
    }
    let status = child.wait()?;
    if status.success() { Ok(output) } else { Err(VethError::Failed { who, output: format!("{status}: {errors}") }) }
}
