//! `wirehaul send`.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::Value;
use thiserror::Error;
use wirehaul_core::crypto::HandshakeError;
use wirehaul_core::limits::{default_datagram_bytes, largest_datagram_bytes};
use wirehaul_core::pool::PoolStats;
use wirehaul_core::session::Config;
use wirehaul_core::wire::RejectCounters;
use wirehaul_core::worker::Worker;

use super::args::{Destination, OutputArgs, SendArgs, SendError, Sending, Source};
use super::exit::Exit;
use super::output::{Pools, Summary, not_started, remark, say_file_io};
use super::place::Place;
use super::progress::ProgressView;
use super::screen::{self, Shown};
use super::session::config_for;
use super::stop::stop_on_signals;
use super::transport::{Seen, announce, remark_on};
use crate::clock::Clock;
use crate::crypto::{HostAcceptor, NoiseHandshake, Psk, PublicKey, StaticKey};
use crate::drive::{Precision, drive};
use crate::events::{Bus, Event, WorkerPlace};
use crate::file_io::{self, NoFileIo};
use crate::io::engine::{FileEngine, default_threads};
use crate::memory::{SessionSize, WorkerMemory};
use crate::pools::LastingPool;
use crate::transfer::blocks::sender_pool;
use crate::transfer::failure::{Addresses, Failure};
use crate::transfer::job::TransferJob;
use crate::transfer::keys::{KeyError, KeyStore};
use crate::transfer::sender::{Cargo, Sender, Sent};
use crate::transfer::source::FileSource;
use crate::transfer::walk::{Skipped, walk};
use crate::transfer::watch::Watch;
use crate::transport::{self, NoTransport, Opened, Transport, Wish};
#[cfg(target_os = "linux")]
use crate::udp::HORIZON;
use crate::udp::{Options, UdpDevice};

/// File jobs under way at once.
const ENGINE_JOBS: usize = 64;
/// Addresses of one receiver that are tried at once.
const MAX_ADDRESSES: usize = 8;

/// Why sending did not start.
#[derive(Debug, Error)]
enum StartError {
    #[error(transparent)]
    Usage(#[from] SendError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(
        "`{0}` is not among the known peers: run `wirehaul key trust {0} KEY` with the key that `wirehaul key show` prints there, or send with a ticket"
    )]
    UnknownHost(String),
    #[error("cannot find the address of `{host}`: {source}")]
    Resolve { host: String, source: std::io::Error },
    #[error(transparent)]
    Transport(#[from] NoTransport),
    #[error(transparent)]
    FileIo(#[from] NoFileIo),
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// Who is called, and how they know this end.
struct Callee {
    /// What they are called here, where they have a name.
    name: Option<Arc<str>>,
    addresses: Vec<SocketAddr>,
    psk: Psk,
    key: PublicKey,
}

/// Runs `wirehaul send`.
pub fn run(args: &SendArgs, output: OutputArgs) -> Exit {
    match try_run(args, output) {
        Ok(exit) => exit,
        Err(error) => not_started("send", &error.to_string(), error.exit(), output),
    }
}

fn try_run(args: &SendArgs, output: OutputArgs) -> Result<Exit, StartError> {
    let Sending { source, destination } = args.sending()?;
    let store = KeyStore::of_user()?;
    let identity = Arc::new(store.load_or_create_key()?);
    let callee = callee_of(destination, &store)?;
    let local = if callee.addresses.iter().any(SocketAddr::is_ipv6) { "[::]:0" } else { "0.0.0.0:0" };
    let local = local.parse().map_err(|_| StartError::Failure(Failure::Rule("no local address")))?;
    let udp = UdpDevice::bind(local, &Options::default()).map_err(Failure::from)?;
    let mut wish = Wish {
        choice: args.transfer.transport,
        interface: args.transfer.iface.clone(),
        remote: callee.addresses.first().copied(),
        // One session goes through, whichever queues its packets come by.
        workers: 1,
        memory_node: None,
    };
    let mut place = Place::take(args.transfer.numa.choice(), &wish, &udp);
    wish.memory_node = place.memory_node();
    let clock = Clock::start();
    let events = Bus::default();
    let stop = Arc::new(AtomicBool::new(false));
    if output.tui {
        // A screen is to go before the process does. Without one, a signal ends the look at files at once.
        stop_on_signals(&stop);
    }
    let shown = screen::show(output, "send", &events, clock, &stop);
    let view = ProgressView::start(output, &events, shown.as_ref().map(Shown::detached));
    let cargo = load(source, args.transfer.seed, output, &events)?;
    let blocks = match &cargo {
        Cargo::Files { blocks, .. } => Some(*blocks),
        Cargo::Generated { .. } => None,
    };
    let engine = open_files(args.transfer.io, blocks, output)?;
    let mut config = config_for(&args.transfer);
    config.rate_cap = args.transfer.rate_cap();
    let Opened { first: mut device, steps, .. } = transport::open(&wish, Box::new(udp), clock.now())?;
    place.steer(&device);
    announce(&[Seen { transport: &device, cpu: None }], &steps, output);
    place.announce(output);
    if let Some(shown) = &shown {
        let worker = WorkerPlace { number: 0, cpu: None, node: place.node(), queues: device.queues().to_vec() };
        shown.place(vec![worker], place.shortfalls());
    }
    config.max_datagram_bytes = config.max_datagram_bytes.min(device.datagram_bytes());
    let pacing = schedule_departures(&mut device, clock, &callee.addresses, &mut config);
    if output.verbose > 0 {
        remark(&format!("pacing: {pacing}"));
    }
    let packets = device.gauge();
    let way = device.name();
    let watch = Watch::new(events, device.gauge().into_fn(), callee.name.clone(), clock.now());
    if !output.tui {
        stop_on_signals(&stop);
    }
    let (sent, stray, io) = transfer(&config, clock, (cargo, engine), &callee, identity, (&mut device, &stop), watch)?;
    drop((view, shown));
    place.put_back();
    let pools =
        Pools { packets: packets.stats(), blocks: blocks.map_or_else(PoolStats::default, |blocks| blocks.stats()) };
    if output.verbose > 0 {
        remark_on(&mut device);
    }
    let numa = place.to_json(blocks);
    Ok(report(sent, &stray, (way, io), (pools, numa), output, args.generate))
}

fn open_files(
    choice: file_io::Choice,
    blocks: Option<LastingPool>,
    output: OutputArgs,
) -> Result<FileEngine<TransferJob>, NoFileIo> {
    let wish = file_io::Wish { choice, engines: 1, threads: default_threads(), jobs: ENGINE_JOBS, blocks };
    let mut files = file_io::open(&wish)?;
    say_file_io(files.refused.as_deref(), output);
    match files.engines.pop() {
        Some(engine) => Ok(engine),
        None => Ok(FileEngine::plain(wish.threads, wish.jobs)?),
    }
}

/// Leaves the departure of packets to the kernel where it can hold them, and says in words what is done.
#[cfg(target_os = "linux")]
fn schedule_departures(device: &mut Transport, clock: Clock, remotes: &[SocketAddr], config: &mut Config) -> String {
    let Some(udp) = device.as_udp() else { return Precision::of_environment().describe().to_owned() };
    match udp.schedule_departures(clock, remotes) {
        Ok(()) => {
            config.transmit_horizon = HORIZON;
            "the kernel holds packets until their departure (fq)".to_owned()
        }
        Err(reason) => format!("{} ({reason})", Precision::of_environment().describe()),
    }
}

#[cfg(not(target_os = "linux"))]
fn schedule_departures(_: &mut Transport, _: Clock, _: &[SocketAddr], _: &mut Config) -> String {
    Precision::of_environment().describe().to_owned()
}

fn transfer(
    config: &Config,
    clock: Clock,
    (cargo, engine): (Cargo, FileEngine<TransferJob>),
    callee: &Callee,
    identity: Arc<StaticKey>,
    (device, stop): (&mut Transport, &AtomicBool),
    watch: Watch,
) -> Result<(Sent, RejectCounters, &'static str), Failure> {
    let io = engine.name();
    let acceptor = HostAcceptor::new(Arc::clone(&identity))?;
    let mut memory = WorkerMemory::new(callee.addresses.len(), SessionSize::SENDER)?;
    let mut streams = Vec::new();
    let mut slots = memory.slots::<NoiseHandshake>(&mut streams);
    let mut worker = Worker::new(config.clone(), acceptor, false, &mut slots);
    for address in &callee.addresses {
        let handshake = NoiseHandshake::initiator(Arc::clone(&identity), callee.psk.clone(), callee.key)
            .map_err(Failure::Handshake)?;
        let mut config = config.clone();
        config.datagram_bytes = default_datagram_bytes(address.ip());
        config.max_datagram_bytes = config.max_datagram_bytes.min(largest_datagram_bytes(address.ip()));
        worker
            .connect(clock.now(), handshake, callee.psk.id(), *address, config)
            .map_err(|_| Failure::Handshake(HandshakeError::Library))?;
    }
    let idle_secs = config.idle_timeout.as_millis() / 1000;
    let mut sender = Sender::new(cargo, engine, callee.addresses.clone(), idle_secs, watch);
    drive(clock, device, &mut worker, &mut sender, stop).map_err(Failure::Wait)?;
    Ok((sender.finish(), worker.rejects().clone(), io))
}

fn callee_of(destination: Destination, store: &KeyStore) -> Result<Callee, StartError> {
    match destination {
        Destination::Ticket(ticket) => Ok(Callee {
            name: None,
            addresses: ticket.addresses().iter().copied().take(MAX_ADDRESSES).collect(),
            psk: ticket.psk(),
            key: ticket.responder(),
        }),
        Destination::Host { host, port } => {
            let known = store.load_known_peers()?;
            let key = known.by_name(&host).ok_or_else(|| StartError::UnknownHost(host.clone()))?.key;
            let addresses: Vec<_> = (host.as_str(), port)
                .to_socket_addrs()
                .map_err(|source| StartError::Resolve { host: host.clone(), source })?
                .take(MAX_ADDRESSES)
                .collect();
            if addresses.is_empty() {
                return Err(Failure::Unreachable(Addresses(addresses)).into());
            }
            Ok(Callee { name: Some(host.into()), addresses, psk: Psk::of_responder(&key), key })
        }
    }
}

fn load(source: Source, seed: u64, output: OutputArgs, events: &Bus) -> Result<Cargo, Failure> {
    match source {
        Source::Generated(bytes) => Ok(Cargo::Generated { bytes, seed }),
        Source::Paths(paths) => load_files(&paths, output, events),
    }
}

fn load_files(paths: &[PathBuf], output: OutputArgs, events: &Bus) -> Result<Cargo, Failure> {
    events.send(Event::Transfer(Watch::listing()));
    let walked = walk(paths)?;
    let named = |skipped: &&Skipped| skipped.is_failure() || output.verbose > 0;
    walked.skipped.iter().filter(named).for_each(|skipped| remark(&skipped.to_string()));
    let unnamed = walked.skipped.len() - walked.skipped.iter().filter(named).count();
    if unnamed > 0 && !output.quiet {
        remark(&format!("{unnamed} sockets, devices or links that lead out of the tree are not sent; -v names them"));
    }
    let manifest = Arc::new(walked.manifest);
    let source = Arc::new(FileSource::new(Arc::clone(&manifest), walked.roots));
    let unread = walked.skipped.iter().filter(|skipped| skipped.is_failure()).count() as u64;
    Ok(Cargo::Files { manifest, source, unread, blocks: sender_pool()? })
}

fn report(
    sent: Sent,
    stray: &RejectCounters,
    (transport, io): (&'static str, &'static str),
    (pools, numa): (Pools, Option<Value>),
    output: OutputArgs,
    generated: Option<u64>,
) -> Exit {
    let Sent { outcome, failure, stats, took } = sent;
    let summary = Summary {
        command: "send",
        bytes: outcome.as_ref().map_or(0, |outcome| outcome.stored_bytes),
        took,
        transport,
        io,
        outcome: outcome.as_ref(),
        verified: failure.is_none() && generated.is_none(),
        stats: &stats,
        stray,
        pools,
        numa,
        failure: failure.as_ref(),
        is_logged: false,
    };
    summary.print(output);
    failure.map_or(Exit::Done, |failure| Exit::of_code(failure.exit_code()))
}

impl StartError {
    fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Key(error) => super::key::exit_of(error),
            Self::UnknownHost(_) => Exit::Refused,
            Self::Resolve { .. } => Exit::Failed,
            Self::Transport(_) | Self::FileIo(_) => Exit::Device,
            Self::Failure(failure) => Exit::of_code(failure.exit_code()),
        }
    }
}
