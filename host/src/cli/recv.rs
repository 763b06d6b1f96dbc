//! `wirehaul recv`.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, RwLock};

use serde_json::json;
use thiserror::Error;
use wirehaul_core::session::{Event, Session};
use wirehaul_core::time::Instant;
use wirehaul_core::wire::RejectCounters;
use wirehaul_core::worker::{Application, SessionId, Worker};

use super::args::{Advertised, Listen, OutputArgs, RecvArgs};
use super::exit::Exit;
use super::output::{ProgressView, Summary, line, remark};
use super::session::{config_for, stop_flag};
use crate::clock::Clock;
use crate::crypto::{HostAcceptor, NoRandomness, NoiseHandshake};
use crate::drive::{HostWorker, Role, drive};
use crate::io::FileEngine;
use crate::io::threads::{ThreadEngine, default_threads};
use crate::memory::{SessionSize, WorkerMemory};
use crate::transfer::failure::{Failure, Incomplete};
use crate::transfer::keys::{KeyError, KeyStore};
use crate::transfer::progress::Progress;
use crate::transfer::receiver::{Received, Receiver, ReceiverOptions, Replies};
use crate::transfer::store::{StoreError, Target};
use crate::transfer::ticket::{NewTicketError, Ticket};
use crate::udp::{BindError, Options, UdpDevice};

/// File jobs under way at once.
const ENGINE_JOBS: usize = 128;
/// Transfers at once.
const MAX_SESSIONS: usize = 16;
/// Addresses that fit into a ticket.
const MAX_TICKET_ADDRESSES: usize = 8;

/// Why receiving did not start.
#[derive(Debug, Error)]
enum StartError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    #[error(transparent)]
    Ticket(#[from] NewTicketError),
    #[error("cannot list this host's addresses: {0}; name one with --advertise")]
    Interfaces(#[source] std::io::Error),
    #[error(transparent)]
    Failure(#[from] Failure),
}

/// Runs `wirehaul recv`.
pub fn run(args: &RecvArgs, output: OutputArgs) -> Exit {
    try_run(args, output).unwrap_or_else(|error| {
        remark(&error.to_string());
        error.exit()
    })
}

fn try_run(args: &RecvArgs, output: OutputArgs) -> Result<Exit, StartError> {
    let store = KeyStore::of_user()?;
    let identity = Arc::new(store.load_or_create_key()?);
    let known = store.load_known_peers()?;
    let target = if args.discard { None } else { Some(Target::open(&args.dir)?) };
    let mut device = bind(args.listen())?;
    let ticket = Ticket::new(identity.public(), ticket_addresses(&args.advertise, device.local_addr())?)?;
    let mut acceptor = HostAcceptor::new(identity)?;
    acceptor.accept_ticket(ticket.secret());
    acceptor.accept_known_peers(Arc::new(RwLock::new(known.keys())));
    let config = config_for(&args.transfer);
    let options = ReceiverOptions {
        target,
        overwrite: args.overwrite,
        once: args.once,
        idle_secs: config.idle_timeout.as_millis() / 1000,
    };
    let engine = ThreadEngine::new(default_threads(), ENGINE_JOBS).map_err(Failure::from)?;
    let io = engine.name();
    let progress = Arc::new(Progress::default());
    let mut memory = WorkerMemory::new(MAX_SESSIONS, SessionSize::RECEIVER);
    let mut streams = Vec::new();
    let mut slots = memory.slots::<NoiseHandshake>(&mut streams);
    let mut worker = Worker::new(config, acceptor, true, &mut slots);
    let stop = stop_flag();
    announce(&ticket, args, output, &device);
    let view = ProgressView::start(output, &progress);
    let transport = device.transport_name();
    let receiver = Receiver::new(options, engine, progress);
    let mut reporting = Reporting { receiver, output, transport, io, last: None };
    drive(Clock::start(), &mut device, &mut worker, &mut reporting, &stop).map_err(Failure::Wait)?;
    drop(view);
    reporting.report(worker.rejects());
    Ok(reporting.last.unwrap_or(Exit::Interrupted))
}

fn bind(listen: Listen) -> Result<UdpDevice, BindError> {
    let options = Options::default();
    let any = || UdpDevice::bind(SocketAddr::new(listen.address.ip(), 0), &options);
    match UdpDevice::bind(listen.address, &options) {
        Err(_) if listen.or_any_port => any(),
        bound => bound,
    }
}

/// The ticket is the first line of stdout, so that a script can read it; what to do with it goes to stderr.
fn announce(ticket: &Ticket, args: &RecvArgs, output: OutputArgs, device: &UdpDevice) {
    let ticket = ticket.to_string();
    if output.json {
        line(&json!({ "type": "ticket", "ticket": ticket }).to_string());
    } else {
        line(&ticket);
    }
    if output.quiet || output.json {
        return;
    }
    let what =
        if args.discard { "throwing away what comes".to_owned() } else { format!("into {}", args.dir.display()) };
    remark(&format!("receiving on {} {what}; on the sending host run:", device.local_addr()));
    let paths = if args.discard { "--generate 10gib" } else { "PATH..." };
    remark(&format!("  wirehaul send {paths} {ticket}"));
    if output.verbose > 0 {
        let buffers = device.buffer_bytes();
        remark(&format!("socket buffers: {} bytes to receive, {} to send", buffers.receive, buffers.send));
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
    fn exit(&self) -> Exit {
        match self {
            Self::Key(error) => super::key::exit_of(error),
            Self::Store(_) | Self::Bind(_) | Self::Randomness(_) | Self::Interfaces(_) => Exit::Device,
            Self::Ticket(_) => Exit::Failed,
            Self::Failure(failure) => Exit::of_code(failure.exit_code()),
        }
    }
}
