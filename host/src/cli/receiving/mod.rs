//! What `recv` and `serve` have in common: listening, receiving, and a report of each transfer.

mod descriptors;
mod reporting;
mod workers;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::json;
use thiserror::Error;
use wirehaul_core::session::Config;

use super::args::{Advertised, Listen, OutputArgs};
use super::exit::Exit;
use super::output::{line, not_started, remark, say_file_io};
use super::place::Place;
use super::progress::ProgressView;
use super::screen::{self, Shown};
use super::transport::announce;
use crate::clock::Clock;
use crate::crypto::{HostAcceptor, KnownKeys, NoRandomness};
use crate::events::{Bus, Level};
use crate::file_io::{self, NoFileIo};
use crate::handover::ExchangeError;
use crate::notes::note;
#[cfg(target_os = "linux")]
use crate::privileges::{self, Need, StillPrivileged, StillThisUser};
use crate::transfer::failure::Failure;
use crate::transfer::keys::{KeyError, KeyStore};
use crate::transfer::policy::InForce;
use crate::transfer::receiver::ReceiverOptions;
use crate::transfer::store::StoreError;
use crate::transfer::ticket::{NewTicketError, Ticket};
#[cfg(target_os = "linux")]
use crate::transport::Transport;
use crate::transport::{self, Choice, NoTransport, Wish};
use crate::udp::{BindError, Options, UdpDevice};
use descriptors::Chosen;
use reporting::Shared;
use workers::Crew;

/// Addresses that fit into a ticket.
const MAX_TICKET_ADDRESSES: usize = 8;

/// Transfers at once, at most, where nothing else is said.
pub const DEFAULT_TRANSFERS: usize = 1024;

/// Hears where a receiver listens.
pub type OnReady = Box<dyn FnOnce(SocketAddr) + Send>;

/// Opens directories.
pub type OnUnprivileged = Box<dyn FnOnce() -> Result<(), StoreError> + Send>;

/// How a receiver is told what to do while it runs. Copies are the same flags.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// Stop: peers are told, and what arrived is kept.
    pub stop: Arc<AtomicBool>,
    /// Take no new transfers, and leave when the last of those under way is over.
    pub drain: Arc<AtomicBool>,
}

/// What is to be received, and from whom.
pub struct Receiving {
    /// Where to listen.
    pub listen: Listen,
    /// The keys of the peers that are let in without a ticket. They are looked up when a peer comes.
    pub keys: KnownKeys,
    /// What is granted to whom.
    pub policy: InForce,
    /// Transfers at once, at most.
    pub max_transfers: usize,
    /// How it is told what to do while it runs.
    pub control: Control,
    /// Where it says what happens.
    pub events: Bus,
    /// Called once, when privileges were given up: what is to belong to the user that this is by then is opened here.
    pub on_unprivileged: Option<OnUnprivileged>,
    /// Called once, when the port is open and the workers are about to start.
    pub on_ready: Option<OnReady>,
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
    /// How files are read and written.
    pub file_io: file_io::Choice,
    /// On which NUMA node the work is done.
    pub numa: wirehaul_core::numa::Choice,
    /// Run for good, and so with no more privileges than that needs (SEC-7).
    pub is_daemon: bool,
    /// And as this user, once all is set up; `None` stays whoever it is.
    pub user: Option<String>,
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
    /// Files cannot be read and written in the way that was forced.
    #[error(transparent)]
    FileIo(#[from] NoFileIo),
    /// Workers cannot be joined.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// A thread of a worker was not had.
    #[error("cannot start a worker's thread: {0}")]
    Thread(#[source] std::io::Error),
    /// Privileges that are not needed cannot be given up.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Privileges(#[from] StillPrivileged),
    /// The user of the configuration cannot be become.
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    User(#[from] StillThisUser),
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
    pub fn run(mut self, output: OutputArgs) -> Result<Exit, StartError> {
        let identity = Arc::new(KeyStore::of_user()?.load_or_create_key()?);
        let clock = Clock::start();
        let mut wish = Wish { choice: self.transport, interface: self.interface.clone(), ..Wish::default() };
        let udp = bind(self.listen)?;
        let mut place = Place::take(self.numa, &wish, &udp);
        let cpus = place.worker_cpus();
        (wish.workers, wish.memory_node) = (cpus.len(), place.memory_node());
        let opened = transport::open(&wish, Box::new(udp), clock.now())?;
        place.steer(&opened.first);
        let place = Arc::new(place);
        // Before there are other threads: each has privileges of its own.
        #[cfg(target_os = "linux")]
        if self.is_daemon {
            give_up_privileges(&opened.first, self.user.as_deref(), output)?;
        }
        if let Some(on_unprivileged) = self.on_unprivileged.take() {
            on_unprivileged()?;
        }
        let mut acceptor = HostAcceptor::new(Arc::clone(&identity))?;
        acceptor.accept_known_peers(Arc::clone(&self.keys));
        self.make_room_for_files(output);
        self.policy.limit_transfers(self.max_transfers);
        let options = ReceiverOptions {
            policy: self.policy.clone(),
            once: self.once,
            idle_secs: self.config.idle_timeout.as_millis() / 1000,
        };
        let shared = Shared::new(output, opened.first.name(), Arc::clone(&place), self.max_transfers, self.is_daemon)
            .map_err(Failure::from)?;
        // Here, where no thread is kept on a CPU yet: the threads of an engine are to use all of them.
        let blocks = self.policy.current().keeps_files().then_some(shared.blocks);
        let files = file_io::open(&workers::file_io_of(1 + opened.others.len(), self.file_io, blocks))?;
        let command = if self.is_daemon { "serve" } else { "recv" };
        let shown = screen::show(output, command, &self.events, clock, &self.control.stop);
        let local = opened.first.socket();
        if let Some(advertise) = &self.ticket {
            let ticket = Ticket::new(identity.public(), ticket_addresses(advertise, local.local_addr())?)?;
            acceptor.accept_ticket(ticket.secret());
            self.announce_ticket(&ticket, output, local);
        } else {
            self.announce_listening(output, local);
        }
        let listening_on = local.local_addr();
        let (places, steps) = workers::place(opened, &cpus);
        announce(&workers::seen(&places), &steps, output);
        place.announce(output);
        say_file_io(files.refused.as_deref(), output);
        let mut config = self.config;
        let carried = places.iter().map(|place| place.transport.datagram_bytes()).min();
        config.max_datagram_bytes = config.max_datagram_bytes.min(carried.unwrap_or(usize::MAX));
        let (control, events) = (&self.control, &self.events);
        let max_transfers = self.max_transfers;
        let crew = Crew { config, acceptor, options, clock, max_transfers, control, events, shared: &shared };
        if let Some(on_ready) = self.on_ready.take() {
            on_ready(listening_on);
        }
        if let Some(shown) = &shown {
            shown.place(workers::to_be_shown(&places, &place), place.shortfalls());
        }
        let view = ProgressView::start(output, &self.events, shown.as_ref().map(Shown::detached));
        let driven = crew.run(places, files.engines);
        drop((view, shown));
        driven?;
        let idle = || not_started("recv", "stopped before anything was sent here", Exit::Interrupted, output);
        Ok(shared.exit().unwrap_or_else(idle))
    }

    fn make_room_for_files(&self, output: OutputArgs) {
        let chosen = if self.is_daemon { Chosen::InConfiguration } else { Chosen::ByDefault };
        let shortage = descriptors::make_room(self.max_transfers, chosen);
        if let Some(shortage) = shortage.filter(|_| !output.quiet) {
            note(Level::Warning, &shortage);
        }
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
            let paths = if !self.policy.current().keeps_files() { "--generate 10gib" } else { "PATH..." };
            remark(&format!("on the sending host run:  wirehaul send {paths} {ticket}"));
        }
    }

    fn announce_listening(&self, output: OutputArgs, device: &UdpDevice) {
        if output.quiet || output.json {
            return;
        }
        remark(&format!("receiving on {}, {}", device.local_addr(), self.policy.current()));
        if output.verbose > 0 {
            let buffers = device.buffer_bytes();
            remark(&format!("socket buffers: {} bytes to receive, {} to send", buffers.receive, buffers.send));
        }
    }
}

/// Keeps what files and this transport need, and nothing else.
#[cfg(target_os = "linux")]
fn give_up_privileges(transport: &Transport, user: Option<&str>, output: OutputArgs) -> Result<(), StartError> {
    let need = match transport {
        Transport::Udp(_) => Need::Files,
        Transport::Xdp(_) => Need::FilesAndXdp,
    };
    let given_up = match user {
        None => privileges::give_up(need)?,
        Some(user) => privileges::become_user(user, need)?,
    };
    if output.verbose > 0 {
        remark(&format!("gave up {given_up} capabilities that are not needed any more"));
    }
    Ok(())
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

impl StartError {
    /// What the shell sees.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Key(error) => super::key::exit_of(error),
            #[cfg(target_os = "linux")]
            Self::Privileges(_) | Self::User(_) => Exit::Device,
            Self::Store(_)
            | Self::Bind(_)
            | Self::Transport(_)
            | Self::FileIo(_)
            | Self::Exchange(_)
            | Self::Thread(_)
            | Self::Randomness(_)
            | Self::Interfaces(_) => Exit::Device,
            Self::Ticket(_) => Exit::Failed,
            Self::Failure(failure) => Exit::of_code(failure.exit_code()),
        }
    }
}
