//! Two hosts, the path between them, and the server that has to last.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::path::Weather;
use super::sample::{self, Sample};
use super::{Options, SoakError, Transport};
use crate::clock::Stopwatch;
use crate::contestants::{ContestantError, Lab, with_home};
use crate::interrupt;
use crate::netns::{NamespacePair, Side};
use crate::process::{Finished, Process, ProcessError, Program};
use crate::scratch::Scratch;
use crate::testbed::Testbed;

/// How long a program may take to start, or to end.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The name by which the server knows the sender.
const SENDER: &str = "workstation";
/// Where the server's own metrics are, if it has any.
const METRICS: &str = "127.0.0.1:7421";
/// What its metrics call slots that are lent, of all its pools.
const SLOTS: &[&str] = &["wirehaul_pool_slots_in_use"];
/// What they call frames of AF_XDP, and those of them that neither are free nor wait for packets to come: the program's own, and those
/// that the kernel has not sent yet.
const FRAMES: &str = "wirehaul_xdp_frames";
const FRAMES_HELD: [&str; 2] = ["held", "transmit"];
/// Ports of the receivers, and of the paths to them: where nothing is in between they are the same.
const SERVER_PORT: u16 = 7420;
const RECEIVER_PORT: u16 = 7440;
const PATH_PORTS: u16 = 100;
/// What the sender's host is called, by turns.
const ADDRESSES: [&str; 2] = ["10.77.0.1/24", "10.77.0.11/24"];

/// All that goes with the soak. In the order in which it has to go.
pub struct Rig {
    server: Process,
    /// Processes that are the path, where there are any.
    _paths: Vec<Process>,
    layout: Layout,
    moved: bool,
    /// Files to send, what the server received, what other receivers received.
    pub outbox: PathBuf,
    /// See `outbox`.
    pub inbox: PathBuf,
    /// See `outbox`.
    pub other_inbox: PathBuf,
    lab: Lab,
    _scratch: Scratch,
}

impl Rig {
    /// Makes namespaces and the path between them, and starts the server.
    ///
    /// # Errors
    /// [`SoakError`]; nothing is left behind then.
    pub fn set_up(options: &Options) -> Result<Self, SoakError> {
        let scratch = Scratch::create(&options.dir, "soak").map_err(ContestantError::files("work in", &options.dir))?;
        let dir = |name| scratch.fresh_dir(name).map_err(ContestantError::files("make", scratch.path()));
        let (outbox, inbox, other_inbox) = (dir("outbox")?, dir("inbox")?, dir("other-inbox")?);
        let wirehaul = &options.wirehaul;
        let lab = Lab {
            bed: Testbed::Namespaces(NamespacePair::create()?),
            config_dir: dir("config")?,
            own_programs: PathBuf::new(),
            wirehaul: wirehaul.canonicalize().map_err(ContestantError::files("find the binary", wirehaul))?,
        };
        let weather = Weather { delay: options.delay, loss_ppm: options.loss_ppm };
        let layout = match options.transport {
            // What AF_XDP sends passes no queueing discipline, and so no netem.
            Transport::Xdp => Layout::BesideSender,
            Transport::Udp if lay_netem(&lab, weather)? => Layout::Netem,
            Transport::Udp => Layout::BesideServer,
        };
        let paths = layout.start_paths(&lab, weather, options.seed)?;
        trust_each_other(&lab, layout)?;
        let server = start_server(&lab, &inbox, options.transport)?;
        Ok(Self { server, _paths: paths, layout, moved: false, outbox, inbox, other_inbox, lab, _scratch: scratch })
    }

    /// How the path is made, for the report.
    pub fn path(&self) -> &'static str {
        self.layout.describe()
    }

    /// Where senders send to.
    pub fn server_address(&self) -> SocketAddr {
        self.on_the_way(SERVER_PORT)
    }

    /// Where another receiver listens, and where senders send to.
    pub fn receiver_addresses(&self) -> [SocketAddr; 2] {
        [SocketAddr::new(receiving_host(&self.lab), RECEIVER_PORT), self.on_the_way(RECEIVER_PORT)]
    }

    fn on_the_way(&self, port: u16) -> SocketAddr {
        self.layout.on_the_way(&self.lab, port)
    }

    /// Starts the program on one side, with keys of that side's own.
    ///
    /// # Errors
    /// [`ProcessError`].
    pub fn start<A: AsRef<std::ffi::OsStr>>(
        &self,
        side: Side,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Process, ProcessError> {
        wirehaul(&self.lab, side, arguments)
    }

    /// Gives the sender's host another address, in place of the one that it has.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn move_sender(&mut self) -> Result<(), SoakError> {
        let Testbed::Namespaces(pair) = &self.lab.bed else { return Ok(()) };
        let [old, new] = if self.moved { [ADDRESSES[1], ADDRESSES[0]] } else { ADDRESSES };
        pair.ip(Side::Source, &["address", "del", old, "dev", NamespacePair::INTERFACE])?;
        pair.ip(Side::Source, &["address", "add", new, "dev", NamespacePair::INTERFACE])?;
        self.moved = !self.moved;
        Ok(())
    }

    /// Has the server read its configuration again. Gives whether it can.
    pub fn reload(&self) -> bool {
        let can = sample::catches_hangup(self.server.id());
        if can {
            self.server.signal(Signal::SIGHUP);
        }
        can
    }

    /// What the server has said since this was asked last.
    ///
    /// # Errors
    /// [`SoakError::ServerEnded`].
    pub fn hear_server(&mut self) -> Result<Vec<String>, SoakError> {
        let lines = self.server.new_lines();
        match self.server.poll()? {
            None => Ok(lines),
            Some(finished) => Err(ended(&self.server, &finished)),
        }
    }

    /// What the server holds.
    ///
    /// # Errors
    /// When it is gone.
    pub fn sample(&self, at_s: u64, idle: bool) -> Result<Sample, SoakError> {
        let process = sample::of_process(self.server.id());
        let (resident_bytes, descriptors, threads) =
            process.map_err(|error| SoakError::ServerEnded(error.to_string()))?;
        let metrics = if idle { self.metrics() } else { String::new() };
        let slots_in_use = sample::sum_of(&metrics, SLOTS);
        let frames_held = sample::sum_by_label(&metrics, FRAMES, "place", &FRAMES_HELD);
        Ok(Sample { at_s, idle, resident_bytes, descriptors, threads, slots_in_use, frames_held })
    }

    /// The server's metrics; nothing where it has none.
    fn metrics(&self) -> String {
        let asked =
            helper(&self.lab, Side::Destination, ["metrics", METRICS]).and_then(|mut process| process.wait(PATIENCE));
        asked.map(|finished| finished.stdout.join("\n")).unwrap_or_default()
    }

    /// Ends the server in order.
    ///
    /// # Errors
    /// When it does not end, or not with success.
    pub fn stop(&mut self) -> Result<(), SoakError> {
        let finished = self.server.stop(PATIENCE)?;
        if finished.status.success() { Ok(()) } else { Err(ended(&self.server, &finished)) }
    }
}

fn ended(server: &Process, finished: &Finished) -> SoakError {
    SoakError::ServerEnded(format!("{}: {}", finished.status, server.stderr_tail()))
}

fn receiving_host(lab: &Lab) -> IpAddr {
    lab.bed.address(Side::Destination)
}

fn wirehaul<A: AsRef<std::ffi::OsStr>>(
    lab: &Lab,
    side: Side,
    arguments: impl IntoIterator<Item = A>,
) -> Result<Process, ProcessError> {
    with_home(lab, side, Program::new(&lab.wirehaul)).args(arguments).start(&lab.bed, side, None, &lab.config_dir)
}

/// This program itself, on one side.
fn helper<const N: usize>(lab: &Lab, side: Side, arguments: [&str; N]) -> Result<Process, ProcessError> {
    let own = std::env::current_exe().unwrap_or_else(|_| Path::new("soak").to_owned());
    Program::new(own).args(arguments).start(&lab.bed, side, None, &lab.config_dir)
}

/// What loses and delays packets, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// The kernel.
    Netem,
    /// Processes at the server's address: a sender that moves is seen by them, and has another port of theirs.
    BesideServer,
    /// Processes on the sender's host, at an address that stays: what they forward comes from whichever address the host has, through
    /// its interface, and so through the server's.
    BesideSender,
}

impl Layout {
    fn describe(self) -> &'static str {
        match self {
            Self::Netem => "netem",
            Self::BesideServer => "a process in between, for want of netem",
            Self::BesideSender => "a process beside the sender",
        }
    }

    /// Where senders send to, for it to arrive at this port of the receiving host.
    fn on_the_way(self, lab: &Lab, port: u16) -> SocketAddr {
        match self {
            Self::Netem => SocketAddr::new(receiving_host(lab), port),
            Self::BesideServer => SocketAddr::new(receiving_host(lab), port + PATH_PORTS),
            Self::BesideSender => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port + PATH_PORTS),
        }
    }

    fn start_paths(self, lab: &Lab, weather: Weather, seed: u64) -> Result<Vec<Process>, SoakError> {
        let side = match self {
            Self::Netem => return Ok(Vec::new()),
            Self::BesideServer => Side::Destination,
            Self::BesideSender => Side::Source,
        };
        let start = |port: u16| {
            let (listen, forward) = (self.on_the_way(lab, port), SocketAddr::new(receiving_host(lab), port));
            let numbers =
                [weather.delay.as_micros() as u64, u64::from(weather.loss_ppm), seed].map(|number| number.to_string());
            let [delay_us, loss_ppm, seed] = &numbers;
            let mut path =
                helper(lab, side, ["path", &listen.to_string(), &forward.to_string(), delay_us, loss_ppm, seed])?;
            path.next_line(PATIENCE)?;
            Ok(path)
        };
        [SERVER_PORT, RECEIVER_PORT].into_iter().map(start).collect()
    }
}

/// Has the kernel lose and delay what leaves either end. False where it cannot.
fn lay_netem(lab: &Lab, weather: Weather) -> Result<bool, SoakError> {
    let (delay, loss) = (format!("{}us", weather.delay.as_micros()), f64::from(weather.loss_ppm) / 1e4);
    for side in [Side::Source, Side::Destination] {
        let arguments = ["qdisc", "add", "dev", NamespacePair::INTERFACE, "root", "netem", "limit", "100000"];
        let program = Program::new("tc").args(arguments).args(["delay", &delay, "loss", &format!("{loss}%")]);
        match program.start(&lab.bed, side, None, &lab.config_dir).and_then(|mut tc| tc.wait_for_success(PATIENCE)) {
            Ok(_) => {}
            Err(error @ ProcessError::Interrupted) => return Err(error.into()),
            Err(_) => return Ok(false),
        }
    }
    Ok(true)
}

fn trust_each_other(lab: &Lab, layout: Layout) -> Result<(), SoakError> {
    let key = |side| {
        let shown = wirehaul(lab, side, ["key", "show"])?.wait_for_success(PATIENCE)?;
        Ok::<_, ProcessError>(shown.stdout.first().cloned().unwrap_or_default())
    };
    let server = layout.on_the_way(lab, SERVER_PORT).ip().to_string();
    for (side, name, key) in
        [(Side::Source, server.as_str(), key(Side::Destination)?), (Side::Destination, SENDER, key(Side::Source)?)]
    {
        wirehaul(lab, side, ["key", "trust", name, &key])?.wait_for_success(PATIENCE)?;
    }
    Ok(())
}

fn start_server(lab: &Lab, inbox: &Path, transport: Transport) -> Result<Process, SoakError> {
    let config = lab.config_dir.join("serve.toml");
    let listen = SocketAddr::new(receiving_host(lab), SERVER_PORT).to_string();
    let interface = NamespacePair::INTERFACE;
    let text = match transport {
        Transport::Udp => format!("dir = {inbox:?}\nlisten = {listen:?}\n"),
        Transport::Xdp => {
            format!("dir = {inbox:?}\nlisten = {listen:?}\ntransport = \"xdp-copy\"\niface = {interface:?}\n")
        }
    };
    fs::write(&config, text).map_err(ContestantError::files("write", &config))?;
    let mut server =
        wirehaul(lab, Side::Destination, ["serve".as_ref(), "--json".as_ref(), "--config".as_ref(), config.as_path()])?;
    let clock = Stopwatch::start();
    let table = format!("/proc/{}/net/udp", server.id());
    let port = format!(":{SERVER_PORT:04X} ");
    while !fs::read_to_string(&table).is_ok_and(|table| table.contains(&port)) {
        if let Some(finished) = server.poll()? {
            return Err(ended(&server, &finished));
        }
        if interrupt::raised() {
            return Err(ProcessError::Interrupted.into());
        }
        if clock.elapsed() > PATIENCE {
            return Err(SoakError::NotListening);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(server)
}
