//! What `recv` and `serve` have in common: listening, receiving, and a report of each transfer.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use serde_json::json;
use thiserror::Error;
use wirehaul_core::session::{Config, Event, Session};
use wirehaul_core::time::Instant;
use wirehaul_core::wire::RejectCounters;
use wirehaul_core::worker::{Application, SessionId, Worker};

use super::args::{Advertised, Listen, OutputArgs};
use super::exit::Exit;
use super::output::{Pools, ProgressView, Summary, line, not_started, remark};
use super::session::stop_flag;
use super::transport::{announce, remark_on};
use crate::clock::Clock;
use crate::crypto::{HostAcceptor, NoRandomness, NoiseHandshake};
use crate::drive::{HostWorker, Role, drive};
use crate::io::FileEngine;
use crate::io::threads::{ThreadEngine, default_threads};
use crate::memory::{SessionSize, WorkerMemory};
use crate::pools::LastingPool;
use crate::transfer::blocks::receiver_pool;
use crate::transfer::failure::{Failure, Incomplete};
use crate::transfer::keys::{KeyError, KeyStore};
use crate::transfer::progress::Progress;
use crate::transfer::receiver::{Received, Receiver, ReceiverOptions, Replies};
use crate::transfer::store::{StoreError, Target};
use crate::transfer::ticket::{NewTicketError, Ticket};
use crate::transport::{self, Choice, Gauge, NoTransport, Wish};
use crate::udp::{BindError, Options, UdpDevice};

/// File jobs under way at once.
const ENGINE_JOBS: usize = 128;
/// Threads that write at least: a direct write waits for the device, and another chunk can be hashed meanwhile.
const WRITE_THREADS: usize = 4;
/// Transfers at once.
const MAX_SESSIONS: usize = 16;
/// Addresses that fit into a ticket.
const MAX_TICKET_ADDRESSES: usize = 8;

/// What is to be received, and from whom.
pub struct Receiving {
    /// Where to listen.
    pub listen: Listen,
    /// Where files go; `None` throws away what comes.
    pub dir: Option<PathBuf>,
    /// Replace files that differ.
    pub overwrite: bool,
    /// Leave after the first transfer.
    pub once: bool,
    /// Print a ticket, with these addresses in it or those of this host; `None` lets only known peers in.
    pub ticket: Option<Vec<Advertised>>,
    /// Settings of the sessions.
    pub config: Config,
    /// How packets travel.
    pub transport: Choice,
    /// The interface for AF_XDP.
    pub interface: Option<String>,
}

/// Why receiving did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// This host's key, or the known peers, cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The target directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The way that was forced cannot be gone.
    #[error(transparent)]
    Transport(#[from] NoTransport),
    /// No randomness for keys.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// No ticket can be made.
    #[error(transparent)]
    Ticket(#[from] NewTicketError),
    /// This host's addresses cannot be listed.
    #[error("cannot list this host's addresses: {0}; name one with --advertise")]
    Interfaces(#[source] std::io::Error),
    /// Anything else.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl Receiving {
    /// Receives until it is stopped, or until the one transfer is over.
    ///
    /// # Errors
    /// It could not be started.
    pub fn run(self, output: OutputArgs) -> Result<Exit, StartError> {
        let store = KeyStore::of_user()?;
        let identity = Arc::new(store.load_or_create_key()?);
        let known = store.load_known_peers()?;
        let target = self.dir.as_deref().map(Target::open).transpose()?;
        let clock = Clock::start();
        let wish = Wish { choice: self.transport, interface: self.interface.clone(), remote: None };
        let (mut device, steps) = transport::open(&wish, Box::new(bind(self.listen)?), clock.now())?;
        let mut acceptor = HostAcceptor::new(Arc::clone(&identity))?;
        acceptor.accept_known_peers(Arc::new(RwLock::new(known.keys())));
        let options = ReceiverOptions {
            target,
            overwrite: self.overwrite,
            once: self.once,
            idle_secs: self.config.idle_timeout.as_millis() / 1000,
        };
        let engine = ThreadEngine::new(default_threads().max(WRITE_THREADS), ENGINE_JOBS).map_err(Failure::from)?;
        let io = engine.name();
        let blocks = receiver_pool(MAX_SESSIONS as u32).map_err(Failure::from)?;
        let progress = Arc::new(Progress::default());
        let mut memory = WorkerMemory::new(MAX_SESSIONS, SessionSize::RECEIVER);
        let mut streams = Vec::new();
        let mut slots = memory.slots::<NoiseHandshake>(&mut streams);
        // Before the ticket is out: whoever reads it may stop this receiver at once.
        let stop = stop_flag();
        if let Some(advertise) = &self.ticket {
            let ticket = Ticket::new(identity.public(), ticket_addresses(advertise, device.socket().local_addr())?)?;
            acceptor.accept_ticket(ticket.secret());
            self.announce_ticket(&ticket, output, device.socket());
        } else {
            self.announce_listening(output, device.socket());
        }
        announce(&device, &steps, output);
        let mut config = self.config;
        config.max_datagram_bytes = config.max_datagram_bytes.min(device.datagram_bytes());
        let mut worker = Worker::new(config, acceptor, true, &mut slots);
        let view = ProgressView::start(output, &progress);
        let way = device.name();
        let packets = device.gauge();
        let receiver = Receiver::new(options, engine, blocks, progress);
        let mut reporting = Reporting { receiver, output, transport: way, io, packets, blocks, last: None };
        drive(clock, &mut device, &mut worker, &mut reporting, &stop).map_err(Failure::Wait)?;
        drop(view);
        reporting.report(worker.rejects());
        if output.verbose > 0 {
            remark_on(&mut device);
        }
        let idle = || not_started("recv", "stopped before anything was sent here", Exit::Interrupted, output);
        Ok(reporting.last.unwrap_or_else(idle))
    }

    /// The ticket is the first line of stdout, so that a script can read it; what to do with it goes to stderr.
    fn announce_ticket(&self, ticket: &Ticket, output: OutputArgs, device: &UdpDevice) {
        let ticket = ticket.to_string();
        if output.json {
            line(&json!({ "type": "ticket", "ticket": ticket }).to_string());
        } else {
            line(&ticket);
        }
        self.announce_listening(output, device);
        if !output.quiet && !output.json {
            let paths = if self.dir.is_none() { "--generate 10gib" } else { "PATH..." };
            remark(&format!("on the sending host run:  wirehaul send {paths} {ticket}"));
        }
    }

    fn announce_listening(&self, output: OutputArgs, device: &UdpDevice) {
        if output.quiet || output.json {
            return;
        }
        let what = match &self.dir {
            None => "throwing away what comes".to_owned(),
            Some(dir) => format!("into {}", dir.display()),
        };
        remark(&format!("receiving on {}, {what}", device.local_addr()));
        if output.verbose > 0 {
            let buffers = device.buffer_bytes();
            remark(&format!("socket buffers: {} bytes to receive, {} to send", buffers.receive, buffers.send));
        }
    }
}

fn bind(listen: Listen) -> Result<UdpDevice, BindError> {
    let options = Options::default();
    let any = || UdpDevice::bind(SocketAddr::new(listen.address.ip(), 0), &options);
    match UdpDevice::bind(listen.address, &options) {
        Err(_) if listen.or_any_port => any(),
        bound => bound,
    }
}

/// The addresses to put into the ticket: those that the user names, else the one that is listened on, else those of
/// all interfaces, loopback only where there is nothing else.
fn ticket_addresses(advertise: &[Advertised], local: SocketAddr) -> Result<Vec<SocketAddr>, StartError> {
    if !advertise.is_empty() {
        let full = |address: &Advertised| SocketAddr::new(address.ip, address.port.unwrap_or(local.port()));
        return Ok(advertise.iter().map(full).take(MAX_TICKET_ADDRESSES).collect());
    }
    if !local.ip().is_unspecified() {
        return Ok(vec![local]);
    }
    let mut addresses = interface_addresses(local.is_ipv6()).map_err(StartError::Interfaces)?;
    if addresses.iter().any(|address| !address.is_loopback()) {
        addresses.retain(|address| !address.is_loopback());
    }
    Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, local.port())).take(MAX_TICKET_ADDRESSES).collect())
}

fn interface_addresses(with_ipv6: bool) -> std::io::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for interface in nix::ifaddrs::getifaddrs()? {
        let Some(address) = interface.address else { continue };
        if let Some(v4) = address.as_sockaddr_in() {
            addresses.push(IpAddr::V4(v4.ip()));
        } else if let Some(v6) = address.as_sockaddr_in6()
            && with_ipv6
            // A link-local address means nothing without the sender's own interface.
            && !v6.ip().is_unicast_link_local()
        {
            addresses.push(IpAddr::V6(v6.ip()));
        }
    }
    // IPv4 first: where both work, its packets carry 20 bytes more.
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.dedup();
    Ok(addresses)
}

/// The receiver, with a report of each transfer when it ends.
struct Reporting {
    receiver: Receiver,
    output: OutputArgs,
    transport: &'static str,
    io: &'static str,
    packets: Gauge,
    blocks: LastingPool,
    last: Option<Exit>,
}

impl Reporting {
    fn report(&mut self, stray: &RejectCounters) {
        for received in self.receiver.take_finished() {
            self.last = Some(self.report_one(received, stray));
        }
    }

    fn report_one(&self, received: Received, stray: &RejectCounters) -> Exit {
        let (outcome, failure) = match received.outcome {
            Ok(outcome) if outcome.conflicts + outcome.failures > 0 => {
                let incomplete = Incomplete { conflicts: outcome.conflicts, failures: outcome.failures };
                (Some(outcome), Some(Failure::Incomplete(incomplete)))
            }
            Ok(outcome) => (Some(outcome), None),
            Err(failure) => (None, Some(failure)),
        };
        Summary {
            command: "recv",
            bytes: outcome.as_ref().map_or(0, |outcome| outcome.stored_bytes),
            seconds: received.seconds,
            transport: self.transport,
            io: self.io,
            outcome: outcome.as_ref(),
            verified: received.verified && failure.is_none(),
            stats: &received.stats,
            stray,
            pools: Pools { packets: self.packets.stats(), blocks: self.blocks.stats() },
            failure: failure.as_ref(),
        }
        .print(self.output);
        failure.map_or(Exit::Done, |failure| Exit::of_code(failure.exit_code()))
    }
}

impl Application<NoiseHandshake> for Reporting {
    type Source = Replies;

    fn on_event(
        &mut self,
        now: Instant,
        id: SessionId,
        session: &mut Session<'_, NoiseHandshake>,
        event: Event,
        datagram: &[u8],
    ) {
        self.receiver.on_event(now, id, session, event, datagram);
    }

    fn source(&mut self, id: SessionId) -> &mut Replies {
        self.receiver.source(id)
    }
}

impl Role for Reporting {
    fn pump(&mut self, now: Instant, worker: &mut HostWorker<'_>) -> bool {
        let worked = self.receiver.pump(now, worker);
        self.report(worker.rejects());
        worked
    }

    fn prepare_wait(&mut self) -> (bool, BorrowedFd<'_>) {
        self.receiver.prepare_wait()
    }

    fn deadline(&self) -> Option<Instant> {
        self.receiver.deadline()
    }

    fn is_over(&self) -> bool {
        self.receiver.is_over()
    }
}

impl StartError {
    /// What the shell sees.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Key(error) => super::key::exit_of(error),
            Self::Store(_) | Self::Bind(_) | Self::Transport(_) | Self::Randomness(_) | Self::Interfaces(_) => {
                Exit::Device
            }
            Self::Ticket(_) => Exit::Failed,
            Self::Failure(failure) => Exit::of_code(failure.exit_code()),
        }
    }
}
