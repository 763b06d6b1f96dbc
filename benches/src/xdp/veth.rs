//! Packets per second over a veth pair: sending, receiving and forwarding, next to others under the same load.
//!
//! A machine that others use, too, is now fast and now slow, and where memory comes to lie makes some percent of difference.
//! So ours and the rival's processes live side by side, on a pair of interfaces each, and take turns of half a second: those
//! whose turn it is not are stopped. The ratio of two slices that lie side by side is what is told, for many pairs in
//! alternating order, and all processes are started anew every few pairs, first this one and then that one.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::contest::{Comparison, Contestant, Pair, Rate, Scenario};
use super::peer::{self, Doing};
use super::player::Player;
use crate::clock::Stopwatch;
use crate::interrupt;
use crate::netns::{NamespacePair, NetnsError, Side};

/// Where all packets go that nobody is to receive: xdpsock's own choice. The other host's stack drops them at its door, whoever
/// sent them; packets to itself it would answer.
const NOBODY: &str = "3c:fd:fe:9e:7f:71";
/// From when its processes go on until a contestant's packets are counted.
const SETTLE: Duration = Duration::from_millis(150);
/// For what starts to be at work, and for queues of who was there before to be freed.
const START: Duration = Duration::from_millis(500);
/// The part of a slice for which a process may have waited for its CPU: more than the kernel's own threads take.
const MAX_WAITED: f64 = 0.03;
/// Pairs are taken again until there are so many times as many as wanted.
const MAX_ATTEMPTS: usize = 4;

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
    /// Ctrl-C or `kill`.
    #[error("interrupted")]
    Interrupted,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// How often all processes are started anew.
    pub starts: usize,
    /// Pairs of slices between two starts.
    pub pairs: usize,
    /// The length of a slice.
    pub slice: Duration,
}

/// Where the end runs that receives or forwards, and where its frames lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Its CPU.
    pub cpu: u32,
    /// The NUMA node of its frames; `None` leaves it to the system.
    pub memory_node: Option<u32>,
}

impl Seat {
    /// Where nodes make no difference: a CPU beside the sender's.
    pub const BESIDE: Self = Self { cpu: 1, memory_node: None };
}

/// Two hosts with two links between them: ours use the first and the rival's the second, and the other way round.
pub struct Lab {
    is_skb: bool,
    own_program: PathBuf,
    counters: [Counter; 2],
    // Behind those that live in its namespaces.
    pair: NamespacePair,
}

/// A link of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    First,
    Second,
}

impl Link {
    const BOTH: [Self; 2] = [Self::First, Self::Second];

    /// What both its ends are called.
    const fn interface(self) -> &'static str {
        match self {
            Self::First => "veth0",
            Self::Second => "veth1",
        }
    }
}

impl Lab {
    /// Two hosts, with a program at each that reads the counters of its interfaces.
    ///
    /// # Errors
    /// [`VethError`].
    pub fn new(is_skb: bool) -> Result<Self, VethError> {
        let (pair, own_program) = (NamespacePair::create()?, std::env::current_exe()?);
        let second = Link::Second.interface();
        let names = [Side::Source, Side::Destination].map(|side| pair.name(side));
        run(Command::new("ip")
            .args(["link", "add", second, "netns", &names[0], "type", "veth"])
            .args(["peer", "name", second, "netns", &names[1]]))?;
        for (side, name) in [Side::Source, Side::Destination].into_iter().zip(&names) {
            let address = format!("{}/24", address(side, Link::Second));
            run(Command::new("ip").args(["-n", name, "address", "add", &address, "dev", second]))?;
            run(Command::new("ip").args(["-n", name, "link", "set", second, "up"]))?;
        }
        // Sockets send to the hardware address that their host takes for the other's.
        for link in Link::BOTH {
            let (other, interface) = (address(Side::Destination, link), link.interface());
            let neighbour = ["neighbour", "replace", &other, "lladdr", NOBODY, "dev", interface, "nud", "permanent"];
            run(inside(&pair, Side::Source, "ip").args(neighbour))?;
        }
        let counter = |side| Counter::start(inside(&pair, side, &own_program.to_string_lossy()));
        let counters = [counter(Side::Source)?, counter(Side::Destination)?];
        Ok(Self { is_skb, own_program, counters, pair })
    }

    /// Ours beside a rival. Where that is ourselves, it shows how well the method tells equals.
    ///
    /// # Errors
    /// [`VethError`].
    pub fn compare(&mut self, scenario: Scenario, rival: Contestant, extent: Extent) -> Result<Comparison, VethError> {
        self.compare_seats(scenario, rival, [Seat::BESIDE; 2], extent)
    }

    /// The same, where ours has the first of these seats and the rival the second.
    ///
    /// # Errors
    /// [`VethError`].
    pub fn compare_seats(
        &mut self,
        scenario: Scenario,
        rival: Contestant,
        seats: [Seat; 2],
        extent: Extent,
    ) -> Result<Comparison, VethError> {
        let mut comparison = Comparison { scenario, rival, pairs: Vec::new(), disturbed: 0 };
        for start in 0..extent.starts {
            // Each of ours and theirs is first, and on the first link, as often as the other.
            let links = if start % 2 == 0 { Link::BOTH } else { [Link::Second, Link::First] };
            let places = [(links[0], seats[0]), (links[1], seats[1])];
            let mut players = self.start_both(scenario, rival, places, start / 2 % 2 == 0)?;
            let mut attempts = 0;
            let wanted = comparison.pairs.len() + extent.pairs;
            while comparison.pairs.len() < wanted && attempts < extent.pairs * MAX_ATTEMPTS {
                attempts += 1;
                let ours_first = attempts % 2 == 0;
                match self.measure_pair(scenario, &mut players, links, ours_first, extent.slice)? {
                    Some([ours, theirs]) => comparison.pairs.push(Pair { start, ours, theirs }),
                    None => comparison.disturbed += 1,
                }
            }
            players.into_iter().try_for_each(Player::end)?;
        }
        Ok(comparison)
    }

    /// All processes of both, stopped.
    fn start_both(
        &self,
        scenario: Scenario,
        rival: Contestant,
        places: [(Link, Seat); 2],
        ours_first: bool,
    ) -> Result<[Player; 2], VethError> {
        // The kernel frees the queues of who was there before in its own time.
        sleep(START);
        if ours_first {
            let ours = self.start(scenario, Contestant::Wirehaul, places[0])?;
            Ok([ours, self.start(scenario, rival, places[1])?])
        } else {
            let theirs = self.start(scenario, rival, places[1])?;
            Ok([self.start(scenario, Contestant::Wirehaul, places[0])?, theirs])
        }
    }

    /// The processes of a contestant on a link, each on a CPU of its own, stopped.
    fn start(&self, scenario: Scenario, who: Contestant, (link, seat): (Link, Seat)) -> Result<Player, VethError> {
        let mut player = Player::default();
        let is_ours = |who| who != Contestant::Xdpsock;
        let mut start = |side, who, doing, seat| {
            player.start(Contestant::name(who), self.command(side, who, doing, link, seat)?, is_ours(who))
        };
        let sender = Seat { cpu: 0, memory_node: None };
        match scenario {
            Scenario::Send => start(Side::Source, who, Doing::Send, sender)?,
            Scenario::Receive | Scenario::Forward => {
                let doing = if scenario == Scenario::Receive { Doing::Drop } else { Doing::Forward };
                start(Side::Destination, who, doing, seat)?;
                sleep(START);
                start(Side::Source, Contestant::Wirehaul, Doing::Send, sender)?;
            }
        }
        sleep(START);
        player.stop()?;
        Ok(player)
    }

    /// A slice of each, in this order; `None` where somebody was disturbed.
    fn measure_pair(
        &mut self,
        scenario: Scenario,
        players: &mut [Player; 2],
        links: [Link; 2],
        ours_first: bool,
        slice: Duration,
    ) -> Result<Option<[Rate; 2]>, VethError> {
        let mut rates = [Rate::default(); 2];
        let mut was_disturbed = false;
        for place in if ours_first { [0, 1] } else { [1, 0] } {
            if interrupt::raised() {
                return Err(VethError::Interrupted);
            }
            players[place].go_on()?;
            sleep(SETTLE);
            let (before, waited) = (self.look(scenario, links[place])?, players[place].waited()?);
            sleep(slice);
            let (after, waited) = (self.look(scenario, links[place])?, players[place].waited()? - waited);
            players[place].stop()?;
            let seconds = after.at_s - before.at_s;
            was_disturbed |= waited.as_secs_f64() > MAX_WAITED * seconds;
            rates[place] = Rate {
                packets_per_s: (after.packets - before.packets) as f64 / seconds,
                dropped_per_s: (after.dropped - before.dropped) as f64 / seconds,
            };
        }
        Ok((!was_disturbed).then_some(rates))
    }

    /// What the interfaces have counted so far of what the scenario is about.
    fn look(&mut self, scenario: Scenario, link: Link) -> Result<Look, VethError> {
        let [source, destination] = &mut self.counters;
        match scenario {
            Scenario::Send => destination.look(link),
            // What the filter hands on and the socket has no room for, the interface counts as dropped.
            Scenario::Receive => {
                let look = destination.look(link)?;
                Ok(Look { packets: look.packets - look.dropped, ..look })
            }
            Scenario::Forward => {
                let dropped = destination.look(link)?.dropped;
                Ok(Look { dropped, ..source.look(link)? })
            }
        }
    }

    fn command(&self, side: Side, who: Contestant, doing: Doing, link: Link, seat: Seat) -> Result<Command, VethError> {
        let mut command = inside(&self.pair, side, "taskset");
        command.arg("-c").arg(seat.cpu.to_string());
        if who == Contestant::Xdpsock {
            command.arg(peer::xdpsock().ok_or(VethError::NoPeer)?);
            command.args(peer::arguments(doing, link.interface(), self.is_skb));
        } else {
            command.arg(&self.own_program).args(role(side, who, doing, link));
            if self.is_skb {
                command.arg("--skb");
            }
            if let Some(node) = seat.memory_node {
                command.arg("--memory-node").arg(node.to_string());
            }
        }
        Ok(command)
    }
}

/// The arguments of our own program for a role.
fn role(side: Side, who: Contestant, doing: Doing, link: Link) -> Vec<String> {
    let role = match (who, doing) {
        (Contestant::Sendmmsg, _) => "sendmmsg",
        (Contestant::Gso, _) => "gso",
        (_, Doing::Send) => "send",
        (_, Doing::Drop) => "drop",
        (_, Doing::Forward) => "forward",
    };
    let other = if side == Side::Source { Side::Destination } else { Side::Source };
    let (own, other) = (address(side, link), address(other, link));
    let mut arguments = vec!["role", "--role", role, "--iface", link.interface(), "--own", &own, "--other", &other];
    arguments.extend(["--other-mac", NOBODY]);
    if doing == Doing::Send {
        // What a forwarder sends back ends at the sender's socket, which never takes it: the cheapest end there is. The host's
        // stack would look for a route, on the forwarder's CPU, and need as long as the forwarding.
        arguments.extend(["--taken", &other, "--lent", "0"]);
    }
    arguments.into_iter().map(str::to_owned).collect()
}

/// The address of this side on that link.
fn address(side: Side, link: Link) -> String {
    let host = if side == Side::Source { 1 } else { 2 };
    let network = if link == Link::First { 0 } else { 1 };
    format!("10.77.{network}.{host}")
}

fn inside(pair: &NamespacePair, side: Side, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &pair.name(side), program]);
    command
}

fn run(command: &mut Command) -> Result<(), VethError> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(VethError::Failed { who: "ip", output })
}

/// What an interface has counted.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// Seconds since the counting program was started.
    at_s: f64,
    packets: u64,
    dropped: u64,
}

/// A program in a namespace that reads the counters of the links' ends there.
#[derive(Debug)]
struct Counter {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Counter {
    fn start(mut command: Command) -> Result<Self, VethError> {
        let mut child = command.arg("count").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (questions, answers) = (child.stdin.take(), child.stdout.take());
        let (Some(questions), Some(answers)) = (questions, answers) else {
            return Err(VethError::Failed { who: "the counter", output: String::new() });
        };
        Ok(Self { child, questions, answers: BufReader::new(answers) })
    }

    fn look(&mut self, link: Link) -> Result<Look, VethError> {
        writeln!(self.questions, "{}", link.interface())?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let mut look = || {
            let at_s = words.next()?.parse().ok()?;
            Some(Look { at_s, packets: words.next()?.parse().ok()?, dropped: words.next()?.parse().ok()? })
        };
        look().ok_or(VethError::Failed { who: "the counter", output: line })
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The counting program: for each line with the name of an interface, one with seconds, packets received and packets dropped.
///
/// # Errors
/// What reading or printing fails with.
pub fn count() -> std::io::Result<()> {
    let watch = Stopwatch::start();
    for name in std::io::stdin().lines() {
        let name = name?;
        let read = |counter| std::fs::read_to_string(format!("/sys/class/net/{name}/statistics/{counter}"));
        let (packets, dropped, seconds) = (read("rx_packets")?, read("rx_dropped")?, watch.seconds());
        println!("{seconds} {} {}", packets.trim(), dropped.trim());
    }
    Ok(())
}
