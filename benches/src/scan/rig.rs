//! Two hosts: on one the contestants scan, on the other an XDP program plays all targets.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;
use wirehaul::interface::Interface;
use wirehaul::xdp::attach::{AttachError, AttachMode};
use wirehaul::xdp::bpf::{FilterError, FrameProgram};

use super::answer::{Manner, program};
use super::series::{Sample, Series};
use super::{FIRST_TARGET, INTERFACE};
use crate::netns::{NamespacePair, NetnsError, Side};
use crate::testbed::Testbed;

/// How often the counter is looked at.
const EVERY: Duration = Duration::from_millis(10);
/// All hosts of the link.
const EVERYBODY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 255);
/// After so much silence the other host says something.
const SILENCE: Duration = Duration::from_secs(1);

/// Why there is no rig.
#[derive(Debug, thiserror::Error)]
pub enum RigError {
    /// No namespaces.
    #[error(transparent)]
    Namespaces(#[from] NetnsError),
    /// A command said no.
    #[error("`{command}` failed: {message}")]
    Command {
        /// The command.
        command: String,
        /// What it wrote to its standard error.
        message: String,
    },
    /// A command printed something else than expected.
    #[error("`{command}` printed no {what}")]
    Output {
        /// The command.
        command: String,
        /// What was looked for.
        what: &'static str,
    },
    /// The other host's program ended.
    #[error("the program that answers did not start")]
    NoAnswer,
    /// A process could not be started, or not be read from.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The two hosts, and who answers on the other.
#[derive(Debug)]
pub struct Rig {
    responder: Option<(Manner, Helper)>,
    own_program: PathBuf,
    /// The hardware addresses of both ends: of who scans, and of the way to the targets.
    pub macs: [String; 2],
    // Behind those that live in its namespaces.
    bed: Testbed,
}

/// What interfaces and the answering program have counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Probes that reached the other host: those that it answered, or tried to, or, where it only counts, dropped.
    pub probes: u64,
    /// Answers for which the scanner's interface had no room.
    pub answers_lost: u64,
    /// Answers that came back over the veth pair.
    pub answers: u64,
}

impl Counters {
    /// What came since then.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            probes: self.probes.saturating_sub(before.probes),
            answers_lost: self.answers_lost.saturating_sub(before.answers_lost),
            answers: self.answers.saturating_sub(before.answers),
        }
    }
}

impl Rig {
    /// Both hosts, with a route to the targets, and so many queues in each direction.
    ///
    /// # Errors
    /// [`RigError`].
    pub fn new(queues: u32) -> Result<Self, RigError> {
        let (pair, own_program) = (NamespacePair::create()?, std::env::current_exe()?);
        let bed = Testbed::Namespaces(pair);
        let way = bed.address(Side::Destination).to_string();
        let targets = format!("{FIRST_TARGET}/9");
        run(&bed, Side::Source, "ip", &["route", "add", &targets, "via", &way])?;
        for side in [Side::Source, Side::Destination] {
            let queues = queues.to_string();
            run(&bed, side, "ethtool", &["--set-channels", INTERFACE, "rx", &queues, "tx", &queues])?;
            // Frames of XDP programs are taken only by an end that polls: one with a program of its own, or with GRO.
            run(&bed, side, "ethtool", &["--offload", INTERFACE, "gro", "on"])?;
            // An end that knows no IPv6 says nothing by itself.
            let quiet = format!("echo 1 > /proc/sys/net/ipv6/conf/{INTERFACE}/disable_ipv6");
            run(&bed, side, "sh", &["-c", &quiet])?;
        }
        let mac = |side| -> Result<String, RigError> {
            let address = run(&bed, side, "cat", &[&format!("/sys/class/net/{INTERFACE}/address")])?;
            Ok(address.trim().to_owned())
        };
        let macs = [mac(Side::Source)?, mac(Side::Destination)?];
        Ok(Self { responder: None, own_program, macs, bed })
    }

    /// Where programs run.
    #[must_use]
    pub const fn bed(&self) -> &Testbed {
        &self.bed
    }

    /// Has the other host do so from now on.
    ///
    /// # Errors
    /// [`RigError::NoAnswer`] where it cannot; it has said why.
    pub fn respond(&mut self, manner: Manner) -> Result<(), RigError> {
        if self.responder.as_ref().is_some_and(|(now, _)| *now == manner) {
            return Ok(());
        }
        self.responder = None;
        let manner_name = if manner == Manner::Answer { "answer" } else { "count" };
        let helper = self.help(&["respond", "--manner", manner_name])?;
        if helper.lines.recv_timeout(Duration::from_secs(10)).is_err() {
            return Err(RigError::NoAnswer);
        }
        // The hosts have to know each other's hardware addresses before anything is counted.
        let way = self.bed.address(Side::Destination).to_string();
        let greeting = format!("ping -c 1 -W 2 {way} >/dev/null 2>&1 || true");
        run(&self.bed, Side::Source, "sh", &["-c", &greeting])?;
        helper.lines.try_iter().for_each(drop);
        self.responder = Some((manner, helper));
        Ok(())
    }

    /// Begins to look at what arrives at the other host.
    ///
    /// Where it answers, and speed is what counts, its answers are counted: what arrives there is also the RSTs to them. A cap is on
    /// all packets.
    ///
    /// # Errors
    /// [`RigError::Io`].
    pub fn watch(&self, manner: Manner, is_capped: bool) -> Result<Watch, RigError> {
        let counter = if manner == Manner::Answer && !is_capped { "tx_packets" } else { "rx_packets" };
        let every = EVERY.as_millis().to_string();
        Ok(Watch(self.help(&["sample", "--counter", counter, "--every", &every])?))
    }

    /// What was counted so far.
    ///
    /// # Errors
    /// [`RigError`] where a command fails or prints something else.
    pub fn counters(&self) -> Result<Counters, RigError> {
        let text = run(&self.bed, Side::Destination, "ethtool", &["--statistics", INTERFACE])?;
        let sum = |queues: &str, name: &str| -> u64 {
            let of_queue = |line: &str| {
                let (key, value) = line.trim().split_once(": ")?;
                (key.starts_with(queues) && key.ends_with(name)).then(|| value.parse::<u64>().ok())?
            };
            text.lines().filter_map(of_queue).sum()
        };
        let probes = match self.responder {
            Some((Manner::Count, _)) => sum("rx_queue_", "_xdp_drops"),
            _ => sum("rx_queue_", "_xdp_redirect"),
        };
        Ok(Counters { probes, answers_lost: sum("tx_queue_", "_xdp_xmit_errors"), answers: self.came_back()? })
    }

    /// Packets that the scanner's interface received.
    fn came_back(&self) -> Result<u64, RigError> {
        let arguments = ["-statistics", "-json", "link", "show", "dev", INTERFACE];
        let text = run(&self.bed, Side::Source, "ip", &arguments)?;
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        let count = value.pointer("/0/stats64/rx/packets").and_then(Value::as_u64);
        count.ok_or(RigError::Output { command: "ip -statistics".to_owned(), what: "count of packets" })
    }

    /// This program, on the other host, in one of its other parts.
    fn help(&self, arguments: &[&str]) -> Result<Helper, RigError> {
        let mut command = self.bed.command(Side::Destination, &self.own_program);
        command.arg("role").args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
            });
        }
        Ok(Helper { stdin: child.stdin.take(), child, lines })
    }
}

/// Packets that arrive while it is there.
#[derive(Debug)]
pub struct Watch(Helper);

impl Watch {
    /// Ends it, and tells what was seen.
    #[must_use]
    pub fn end(mut self) -> Series {
        self.0.end();
        Series(self.0.lines.iter().filter_map(|line| Sample::parse(&line)).collect())
    }
}

/// A part of this program that runs on the other host until this value is dropped.
#[derive(Debug)]
struct Helper {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Helper {
    fn end(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.end();
    }
}

/// The part of the other host: the program is on the interface until standard input ends.
///
/// # Errors
/// A line for people, where the program cannot be put there.
pub fn respond(manner: Manner) -> Result<(), String> {
    let interface = Interface::by_name(INTERFACE).map_err(|error| error.to_string())?.index;
    let program =
        program(manner, interface).map_err(|error| format!("the answering program cannot be built: {error:?}"))?;
    let program = FrameProgram::load(c"bench_answer", &program).map_err(|error: FilterError| error.to_string())?;
    let _link = program.attach(interface, AttachMode::Native).map_err(|error: AttachError| error.to_string())?;
    std::thread::spawn(say_something);
    println!("ready");
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()).map_err(|error| error.to_string())?;
    Ok(())
}

/// masscan waits for a packet before it looks whether it is time to end: where nothing comes any more, somebody has to say something.
fn say_something() -> std::io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_broadcast(true)?;
    let arrived = || std::fs::read_to_string(format!("/sys/class/net/{INTERFACE}/statistics/rx_packets"));
    let (mut last, mut still) = (arrived()?, 0);
    loop {
        std::thread::sleep(SILENCE / 4);
        let now = arrived()?;
        still = if now == last { still + 1 } else { 0 };
        last = now;
        if still >= 4 {
            // Nobody listens there, and nobody complains of what is sent to everybody.
            socket.send_to(b"still here", (EVERYBODY, 9))?;
        }
    }
}

/// Runs a command on one side, and gives its standard output.
fn run(bed: &Testbed, side: Side, program: &str, arguments: &[&str]) -> Result<String, RigError> {
    let output = bed.command(side, program).args(arguments).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(RigError::Command { command: format!("{program} {}", arguments.join(" ")), message })
}
