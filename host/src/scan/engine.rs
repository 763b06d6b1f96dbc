//! A survey under way: its threads, what they share, and how it stands (SCAN-1, SCAN-9).

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::Receiver;
use wirehaul_core::numa::{self, Partition};
use wirehaul_core::scan::{Cap, Course, HeardCounters, Key, Pace, PortWindow, Probe, Sender, SentCounters, Subnets};
use wirehaul_core::time::Duration;
use wirehaul_core::wire::net::MacAddress;
use wirehaul_core::worker::MAX_WORKERS;

use super::Choice;
use super::addresses::{Addresses, TargetRuns};
use super::collect::Found;
use super::counters::{Drops, Progress};
use super::devices::{self, Device, NoTransport, Step, Wanted, link_of};
use super::excluded::{Excluded, ExcludedHere};
use super::results::Results;
use super::routes::{RouteError, RouteTable, Targets as Span};
use super::tap::{Tap, Watch};
use super::window::{self, WindowError};
use super::worker::Worker;
use crate::clock::{Clock, unix_nanos};
use crate::interface::Interface;
use crate::numa::Home;
use crate::packet::{Listen, Listener, PacketError};

/// Batches that wait for whoever takes them, for each thread.
const BATCHES: usize = 64;
/// Neighbours that wait for a worker.
const NEIGHBOURS: usize = 4096;
/// There are no more workers than one for so many packets a second of the cap: a part of a cap is a whole number.
const PACKETS_PER_WORKER: u64 = 1000;

/// What is asked of whom, how fast.
#[derive(Clone, Debug)]
pub struct Work {
    /// Who is asked.
    pub targets: Addresses,
    /// What each is asked: sorted, without duplicates, not empty.
    pub probes: Vec<Probe>,
    /// The order, of `targets.addresses() * probes.len()` elements.
    pub course: Course,
    /// The step to begin with: 0, or what [`Progress::done_before`] was.
    pub from: u64,
    /// The most that may be sent in any second, by all workers together.
    pub cap: Cap,
    /// The most packets a second to one /24 or /48; `None` for no cap.
    pub subnet_pps: Option<u64>,
    /// Time between two attempts, where all of one are made before the next begins.
    pub retry_after: Duration,
    /// The secret of this run.
    pub key: Key,
    /// Whom to ask about it, for payloads; may be empty.
    pub contact: Vec<u8>,
}

/// How it is done.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The interface; `None` finds it by the targets' route.
    pub interface: Option<String>,
    /// How packets travel.
    pub transport: Choice,
    /// How many workers at most; `None` for one a queue.
    pub workers: Option<usize>,
    /// On which NUMA node the work is done.
    pub numa: numa::Choice,
    /// The clock of times in results.
    pub clock: Clock,
    /// What is not probed, although it is a target.
    pub excluded: Excluded,
}

/// Why a survey did not start. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Not all targets can be reached through one interface.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// There are no source ports.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// The contact is too long for a payload.
    #[error("--contact: {0} bytes are too many, {max} is the most", max = wirehaul_core::scan::MAX_CONTACT_BYTES)]
    Contact(usize),
    /// The way that was asked for cannot be gone.
    #[error(transparent)]
    Transport(#[from] NoTransport),
    /// ICMP, ARP and neighbour discovery cannot be heard.
    #[error(transparent)]
    Tap(#[from] PacketError),
    /// The link cannot be watched.
    #[error("the kernel does not tell how {interface} stands: {source}")]
    Watch {
        /// The interface.
        interface: String,
        /// What the system said.
        source: io::Error,
    },
    /// No thread.
    #[error("cannot start a thread of the survey: {0}")]
    Thread(#[source] io::Error),
    /// The ways make no sense. No input leads here.
    #[error("the routes cannot be put in order: please report this")]
    Order,
}

/// Why a survey ended before it was done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The interface was set down.
    #[error("{0} went down during the survey")]
    Down(String),
    /// The interface was deleted, or moved to another namespace.
    #[error("{0} disappeared during the survey")]
    Gone(String),
    /// The other end is not there.
    #[error("{0} has had no link for two seconds")]
    NoCarrier(String),
    /// The system does not let us wait.
    #[error("cannot wait for packets: {0}")]
    Wait(#[source] io::Error),
    /// A thread of ours failed. No input leads here.
    #[error("a thread of the survey ended by itself: please report this")]
    Thread,
}

/// A host on the link that said its address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    pub(super) ip: IpAddr,
    pub(super) mac: MacAddress,
}

/// What all threads of a survey read.
pub(super) struct Task {
    pub(super) runs: TargetRuns,
    pub(super) probes: Vec<Probe>,
    pub(super) routes: RouteTable,
    pub(super) sender: Sender,
    pub(super) course: Course,
    pub(super) partition: Partition,
    pub(super) from: u64,
}

impl Task {
    /// Whether frames begin with an Ethernet header.
    pub(super) fn is_ethernet(&self) -> bool {
        link_of(self.routes.interface()).has_ethernet
    }
}

/// How one thread stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Part {
    pub(super) sent: SentCounters,
    pub(super) heard: HeardCounters,
    pub(super) drops: Drops,
    pub(super) done_before: u64,
    pub(super) begun_before: u64,
    pub(super) waiting: u64,
    pub(super) is_done: bool,
}

/// What all threads of a survey change.
pub(super) struct Shared {
    pub(super) clock: Clock,
    /// The interface's name.
    pub(super) interface: String,
    pub(super) is_stopped: AtomicBool,
    pub(super) is_ended: AtomicBool,
    failure: Mutex<Option<Failure>>,
    /// Of each worker, and last of the tap.
    parts: Vec<Mutex<Part>>,
}

impl Shared {
    pub(super) fn report(&self, worker: usize, part: Part) {
        if let Some(place) = self.parts.get(worker) {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = part;
        }
    }

    pub(super) fn report_of_tap(&self, part: Part) {
        self.report(self.parts.len().saturating_sub(1), part);
    }

    /// Ends the survey for this reason, unless it has ended already.
    pub(super) fn fail(&self, failure: Failure) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    fn progress(&self) -> Progress {
        let none = u64::MAX;
        let mut progress = Progress { done_before: none, begun_before: none, is_done: true, ..Progress::default() };
        for part in &self.parts {
            let part = *part.lock().unwrap_or_else(PoisonError::into_inner);
            progress.sent = progress.sent.plus(&part.sent);
            progress.heard = progress.heard.plus(&part.heard);
            progress.drops = progress.drops.plus(&part.drops);
            progress.done_before = progress.done_before.min(part.done_before);
            progress.begun_before = progress.begun_before.min(part.begun_before);
            progress.waiting += part.waiting;
            progress.is_done &= part.is_done;
        }
        progress.has_failed = self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        progress.is_done |= progress.has_failed;
        progress
    }
}

/// How a survey is done, for whoever is told.
#[derive(Clone, Debug)]
pub struct About {
    /// The interface.
    pub interface: String,
    /// How packets travel: a name of [`Choice::ALL`].
    pub transport: &'static str,
    /// Why so.
    pub steps: Vec<Step>,
    /// The workers' CPUs and queues.
    pub workers: Vec<Place>,
    /// The NUMA node of the workers, where one was chosen.
    pub node: Option<u32>,
    /// The source ports of probes.
    pub window: PortWindow,
    /// Our addresses that probes come from.
    pub sources: Vec<IpAddr>,
    /// Targets that are not probed, because they are this host or a whole network.
    pub left_out: Vec<Span>,
    /// What is not as it would be best: a line each.
    pub remarks: Vec<String>,
}

/// Where a worker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The CPU that it stays on.
    pub cpu: Option<u32>,
    /// Its queues; with packet sockets, its number.
    pub queues: Vec<u32>,
}

/// A survey under way. Dropping it ends it, and releases everything.
pub struct Running {
    results: Receiver<Vec<Found>>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    about: About,
}

/// Starts a survey: finds the way, opens devices, and has probes leave at once.
///
/// # Errors
/// [`StartError`]: nothing was sent.
pub fn start(work: Work, setup: &Setup) -> Result<Running, StartError> {
    let routes = RouteTable::find(setup.interface.as_deref(), work.targets.v4(), work.targets.v6())?;
    let window = window::choose()?;
    let contact_bytes = work.contact.len();
    let sender = Sender::new(work.key, window, &work.contact).ok_or(StartError::Contact(contact_bytes))?;
    let interface = routes.interface().clone();
    let mut home = Home::find(setup.numa, setup.transport != Choice::Packet, || interface.numa_node);
    home.settle();
    let cpus = home.worker_cpus();
    let sources = routes.sources();
    let opened = devices::open(&Wanted {
        interface: &interface,
        choice: setup.transport,
        workers: worker_count(setup.workers, &interface, cpus.len(), work.cap, work.subnet_pps),
        window,
        sources: &sources,
        memory_node: home.memory_node(),
    })?;
    let listener = Listener::open(&link_of(&interface), &Listen::Tap)?;
    let watch = Watch::start(interface.index, setup.clock.now())
        .map_err(|source| StartError::Watch { interface: interface.name.clone(), source })?
        .ok_or_else(|| RouteError::Down(interface.name.clone()))?;
    let about = About {
        interface: interface.name.clone(),
        transport: opened.way,
        steps: opened.steps,
        workers: places(&opened.devices, &cpus),
        node: home.cpu_node(),
        window,
        sources,
        left_out: routes.left_out().to_vec(),
        remarks: remarks(&home, &routes),
    };
    let count = opened.devices.len();
    let partition = Partition::new((0..count).map(|_| 1)).ok_or(StartError::Order)?;
    let runs = TargetRuns::of(&work.targets);
    let Work { probes, course, from, cap, subnet_pps, retry_after, .. } = work;
    let task = Task { runs, probes, routes, sender, course, partition, from };
    task.routes.routes().ok_or(StartError::Order)?;
    let pace = Pace { retry_after, ..pace(cap, subnet_pps, count) };
    Crew { task, pace, about, devices: opened.devices, listener, watch }.start(setup)
}

/// How many workers there are to be.
fn worker_count(wished: Option<usize>, interface: &Interface, cpus: usize, cap: Cap, subnet_pps: Option<u64>) -> usize {
    let by_queues = interface.usable_queues().max(1) as usize;
    let for_cap = match cap {
        Cap::Packets(pps) => pps / PACKETS_PER_WORKER,
        Cap::Bits(_) | Cap::Unlimited => u64::MAX,
    };
    let most = usize::try_from(for_cap.min(subnet_pps.unwrap_or(u64::MAX)).max(1)).unwrap_or(usize::MAX);
    wished.unwrap_or_else(|| by_queues.min(cpus.max(1))).clamp(1, MAX_WORKERS).min(most)
}

/// A worker's part of the caps, where there are so many.
fn pace(cap: Cap, subnet_pps: Option<u64>, workers: usize) -> Pace {
    let count = u32::try_from(workers).unwrap_or(u32::MAX);
    // Each worker counts by itself, and there are no more of them than a subnet may get packets in a second.
    let interval = |pps: u64| Subnets::interval_of(pps / u64::from(count.max(1)));
    let subnet_interval = subnet_pps.map(interval);
    Pace { cap: cap.share(1, count), subnet_interval, subnet_burst: 1, retry_after: Duration::ZERO }
}

fn places(devices: &[Device], cpus: &[u32]) -> Vec<Place> {
    let cpu = |number: usize| cpus.get(number).copied().filter(|_| devices.len() <= cpus.len());
    devices.iter().enumerate().map(|(number, device)| Place { cpu: cpu(number), queues: device.queues() }).collect()
}

fn remarks(home: &Home, routes: &RouteTable) -> Vec<String> {
    let mut remarks = home.remarks().to_vec();
    let ipv4_on_loopback = routes.interface().is_loopback && routes.sources().iter().any(IpAddr::is_ipv4);
    let setting = |name: &str| {
        let path = format!("proc/sys/net/ipv4/conf/{name}");
        crate::kernel_files::Files::of_machine().number::<u8>(path) == Some(1)
    };
    let accepts = |name: &str| ["lo", "all"].iter().any(|interface| setting(&format!("{interface}/{name}")));
    if ipv4_on_loopback && !(accepts("route_localnet") && accepts("accept_local")) {
        remarks.push(
            "the kernel drops IPv4 packets on lo that it did not send itself, so nothing will answer: \
             `sysctl -w net.ipv4.conf.lo.route_localnet=1 net.ipv4.conf.lo.accept_local=1`"
                .to_owned(),
        );
    }
    remarks
}

/// All that is needed to start threads.
struct Crew {
    task: Task,
    pace: Pace,
    about: About,
    devices: Vec<Device>,
    listener: Listener,
    watch: Watch,
}

impl Crew {
    fn start(self, setup: &Setup) -> Result<Running, StartError> {
        let Self { task, pace, about, devices, listener, watch } = self;
        let count = devices.len();
        let (sender, results) = crossbeam_channel::bounded(BATCHES * (count + 1));
        let epoch_ns = unix_nanos().saturating_sub(setup.clock.now().as_nanos());
        let results_of = |queue| {
            let excluded = ExcludedHere::new(setup.excluded.clone());
            Results::new(sender.clone(), excluded, epoch_ns, queue, about.node)
        };
        let shared = Arc::new(Shared {
            clock: setup.clock,
            interface: about.interface.clone(),
            is_stopped: AtomicBool::new(false),
            is_ended: AtomicBool::new(false),
            failure: Mutex::new(None),
            parts: (0..=count).map(|_| Mutex::default()).collect(),
        });
        let task = Arc::new(task);
        let mut running = Running { results, shared: Arc::clone(&shared), threads: Vec::new(), about: about.clone() };
        let (inboxes, neighbours): (Vec<_>, Vec<_>) =
            (0..count).map(|_| crossbeam_channel::bounded(NEIGHBOURS)).unzip();
        let tap = Tap { listener, results: results_of(0), neighbours: inboxes, watch };
        {
            let (task, shared) = (Arc::clone(&task), Arc::clone(&shared));
            running.spawn("scan-tap", move || tap.run(&task, &shared))?;
        }
        for (number, (device, neighbours)) in devices.into_iter().zip(neighbours).enumerate() {
            let cpu = about.workers.get(number).and_then(|place| place.cpu);
            let results = results_of(device.queue());
            let worker = Worker { number, device, results, neighbours, pace, cpu };
            let (task, shared) = (Arc::clone(&task), Arc::clone(&shared));
            // A thread that was not had drops `running`, and that ends the others.
            running.spawn(&format!("scan-{number}"), move || worker.run(&task, &shared))?;
        }
        Ok(running)
    }
}

impl Running {
    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(StartError::Thread)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Where replies come out, in batches, duplicates among them. It is at its end when the survey was ended and all were taken.
    /// Whoever does not take them stops sending.
    #[must_use]
    pub fn results(&self) -> Receiver<Vec<Found>> {
        self.results.clone()
    }

    /// How it is done.
    #[must_use]
    pub const fn about(&self) -> &About {
        &self.about
    }

    /// How it stands; up to 20 ms old.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.shared.progress()
    }

    /// Sends no more probes. Replies still come in.
    pub fn stop(&self) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Why it ended before it was done, if so: then nothing more comes.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.as_ref().map(ToString::to_string)
    }

    /// Ends it: no probe is sent and no reply received any more. Returns when devices are released and how it stood last. Replies
    /// that came before are still in [`Running::results`], so these are to be taken meanwhile, or afterwards.
    pub fn end(&mut self) -> Progress {
        self.stop();
        self.shared.is_ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.shared.fail(Failure::Thread);
            }
        }
        self.progress()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("about", &self.about).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use wirehaul_core::rate::Rate;

    use super::*;

    /// SCAN-4: shares of a cap are whole numbers, and all of them together are the cap but for a thousandth.
    #[test]
    fn there_are_no_more_workers_than_the_cap_is_good_for() {
        let interface = Interface { rx_queues: 8, ..Interface::default() };
        let count = |wished, cap| worker_count(wished, &interface, 4, cap, None);
        assert_eq!(count(None, Cap::Unlimited), 4, "as many as there are CPUs");
        assert_eq!(count(Some(6), Cap::Unlimited), 6);
        assert_eq!(count(Some(0), Cap::Unlimited), 1);
        assert_eq!(count(None, Cap::Bits(Rate::from_bits_per_sec(1))), 4);
        assert_eq!([1, 999, 1000, 2500, 1 << 40].map(|pps| count(None, Cap::Packets(pps))), [1, 1, 1, 2, 4]);
        for pps in [1, 3, 1000, 2001, 9999, 10_000, 1_234_567] {
            let workers = worker_count(None, &interface, 64, Cap::Packets(pps), None);
            let Pace { cap: Cap::Packets(each), .. } = pace(Cap::Packets(pps), None, workers) else { panic!("{pps}") };
            let all = each * workers as u64;
            assert!(all <= pps && (pps - all) * 1000 <= pps, "{pps}: {workers} times {each}");
        }
    }

    #[test]
    fn the_cap_of_a_subnet_is_shared_as_well() {
        let interface = Interface { rx_queues: 8, ..Interface::default() };
        assert_eq!(pace(Cap::Unlimited, None, 4).subnet_interval, None);
        for pps in [1, 3, 4, 1000, 1001] {
            let workers = worker_count(None, &interface, 4, Cap::Unlimited, Some(pps));
            let each = pps / workers as u64;
            assert!(each > 0 && each * workers as u64 <= pps, "{pps}: {workers}");
            let interval = pace(Cap::Unlimited, Some(pps), workers).subnet_interval;
            assert_eq!(interval, Some(Subnets::interval_of(each)));
        }
    }
}
