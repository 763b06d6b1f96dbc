//! Plays whole networks at the other end of a link: a thread that answers every probe as the world says, and writes down what it
//! saw.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{ErrorKind, IoSliceMut, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvmsg, send,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeSpec;

use crate::common::machine::Namespace;
use crate::frames::{Mac, RST, What, advertisement, arp_reply, arp_target, ethernet, parse};
use crate::world::{Asked, Conduct, answers, asked};

/// What waits in the socket while this thread does not run.
const BUFFER_BYTES: usize = 256 << 20;
/// Packets between two looks at what else is to be done.
const BATCH: usize = 256;

const ETHER_IPV4: u16 = 0x0800;
const ETHER_ARP: u16 = 0x0806;
const ETHER_IPV6: u16 = 0x86dd;

/// The other side.
#[derive(Clone, Copy)]
pub struct World {
    pub conduct: fn(Asked) -> Conduct,
    /// Who has a link-layer address: which one, where it is not the responder's own.
    pub neighbours: fn(IpAddr) -> Option<Option<Mac>>,
}

/// Everybody is behind this end of the link: whoever is asked for has its address.
pub fn everybody(_: IpAddr) -> Option<Option<Mac>> {
    Some(None)
}

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// For each probe, when it arrived, in nanoseconds of the kernel's clock.
    pub probes: HashMap<Asked, Vec<u64>>,
    /// RST packets.
    pub resets: u64,
    /// Who was asked for by ARP or neighbour solicitation, and how often.
    pub solicited: BTreeMap<IpAddr, u32>,
    /// Probes to a link-layer address that is not the one of their target.
    pub misdirected: u64,
    /// Source ports of probes by TCP and UDP.
    pub ports: BTreeSet<u16>,
    /// The first frames as they came, where they are to be kept.
    pub frames: Vec<Vec<u8>>,
}

impl Log {
    /// All arrivals, in order.
    pub fn times(&self, which: impl Fn(&Asked) -> bool) -> Vec<u64> {
        let chosen = self.probes.iter().filter(|(asked, _)| which(asked));
        let mut times: Vec<u64> = chosen.flat_map(|(_, times)| times.iter().copied()).collect();
        times.sort_unstable();
        times
    }

    /// How many probes arrived.
    pub fn count(&self) -> usize {
        self.probes.values().map(Vec::len).sum()
    }
}

/// The thread that plays the other side; it ends when this is dropped.
pub struct Responder {
    log: Arc<Mutex<Log>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    /// Behind `interface` of `namespace`, whose kernel has no addresses there and stays silent. Of the frames that come, so many
    /// are kept.
    pub fn behind(namespace: &Namespace, interface: &str, world: World, keep: usize) -> Self {
        let end = std::thread::scope(|scope| {
            let open = || {
                namespace.enter();
                PacketEnd::open(interface)
            };
            scope.spawn(open).join().unwrap()
        });
        Self::start(End::Packet(end), world, keep)
    }

    /// At the other end of a tunnel.
    pub fn of_tunnel(tunnel: File, world: World) -> Self {
        Self::start(End::Tunnel(tunnel), world, 0)
    }

    fn start(end: End, world: World, keep: usize) -> Self {
        let (log, stop) = (Arc::<Mutex<Log>>::default(), Arc::<AtomicBool>::default());
        let mut player = Player { end, world, keep, delayed: BTreeMap::new(), number: 0 };
        let (there, told) = (Arc::clone(&log), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                player.turn(&there);
            }
        });
        Self { log, stop, thread: Some(thread) }
    }

    /// What was seen so far.
    pub fn log(&self) -> Log {
        self.log.lock().unwrap().clone()
    }

    /// How many probes arrived so far.
    pub fn count(&self) -> usize {
        self.log.lock().unwrap().count()
    }

    /// Forgets what was seen.
    pub fn forget(&self) {
        *self.log.lock().unwrap() = Log::default();
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        if matches!(ended, Some(Err(_))) && !std::thread::panicking() {
            panic!("the responder failed: its message is above");
        }
    }
}

/// An end of a link.
enum End {
    Packet(PacketEnd),
    /// IP packets as they are.
    Tunnel(File),
}

/// A packet socket: whole Ethernet frames.
struct PacketEnd {
    socket: OwnedFd,
    mac: Mac,
    control: Vec<u8>,
}

impl PacketEnd {
    /// In the namespace of this thread.
    fn open(interface: &str) -> Self {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).unwrap();
        let links = getifaddrs().unwrap().filter(|one| one.interface_name == interface);
        let address: LinkAddr = links.filter_map(|one| one.address?.as_link_addr().copied()).next().unwrap();
        // With the protocol that the socket was made with.
        bind(socket.as_raw_fd(), &address).unwrap();
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES).unwrap();
        setsockopt(&socket, sockopt::SndBufForce, &BUFFER_BYTES).unwrap();
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true).unwrap();
        Self { socket, mac: address.addr().unwrap(), control: nix::cmsg_space!(TimeSpec) }
    }

    /// A frame, and when the kernel had it.
    fn receive(&mut self, buffer: &mut [u8]) -> Option<(usize, u64)> {
        let mut slices = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<LinkAddr>(self.socket.as_raw_fd(), &mut slices, Some(&mut self.control), flags);
        let message = match message {
            Ok(message) => message,
            // A link that is down says so once; it may come back.
            Err(Errno::EAGAIN | Errno::ENETDOWN) => return None,
            Err(error) => panic!("the responder cannot receive: {error}"),
        };
        let time = message.cmsgs().unwrap().find_map(|told| match told {
            ControlMessageOwned::ScmTimestampns(time) => {
                Some(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
            }
            _ => None,
        });
        Some((message.bytes, time.expect("the kernel tells the time")))
    }
}

/// The thread's own.
struct Player {
    end: End,
    world: World,
    keep: usize,
    /// What goes out later: by time, and a number for those of the same time.
    delayed: BTreeMap<(Instant, u64), Vec<u8>>,
    number: u64,
}

impl Player {
    /// Waits a little, takes what came, and sends what is due.
    fn turn(&mut self, log: &Mutex<Log>) {
        let wait = PollTimeout::from(10_u8);
        let descriptor = match &self.end {
            End::Packet(end) => end.socket.as_fd(),
            End::Tunnel(file) => file.as_fd(),
        };
        let _ = poll(&mut [PollFd::new(descriptor, PollFlags::POLLIN)], wait);
        let mut log = log.lock().unwrap();
        let mut buffer = [0; 2048];
        for _ in 0..BATCH {
            match &mut self.end {
                End::Packet(end) => {
                    let Some((len, time)) = end.receive(&mut buffer) else { break };
                    self.take_frame(&buffer[..len], time, &mut log);
                }
                End::Tunnel(file) => match file.read(&mut buffer) {
                    Ok(len) => self.take_packet(&buffer[..len], None, 0, &mut log),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("the responder cannot read from its tunnel: {error}"),
                },
            }
        }
        drop(log);
        self.send_due();
    }

    fn take_frame(&mut self, frame: &[u8], time: u64, log: &mut Log) {
        let End::Packet(end) = &self.end else { return };
        let own = end.mac;
        let (Some(destination), Some(source)) = (frame.first_chunk::<6>(), frame.get(6..12)) else { return };
        let source: Mac = source.try_into().unwrap();
        // What this end sends comes by here, too.
        if source == own || self.is_a_neighbour_of_ours(source) {
            return;
        }
        if log.frames.len() < self.keep {
            log.frames.push(frame.to_vec());
        }
        let payload = &frame[14..];
        match u16::from_be_bytes([frame[12], frame[13]]) {
            ETHER_ARP => {
                let Some(target) = arp_target(payload) else { return };
                *log.solicited.entry(target.into()).or_default() += 1;
                let Some(mac) = (self.world.neighbours)(target.into()) else { return };
                let mac = mac.unwrap_or(own);
                let reply = arp_reply(payload, mac).unwrap();
                self.send(&ethernet(source, mac, ETHER_ARP, &reply));
            }
            ETHER_IPV4 | ETHER_IPV6 => self.take_packet(payload, Some((*destination, source)), time, log),
            _ => {}
        }
    }

    /// Addresses of on-link hosts that the world makes up begin so.
    fn is_a_neighbour_of_ours(&self, mac: Mac) -> bool {
        mac[..2] == [2, 0x74]
    }

    /// `ether` are the destination and the source of the frame.
    fn take_packet(&mut self, ip: &[u8], ether: Option<(Mac, Mac)>, time: u64, log: &mut Log) {
        let Some(packet) = parse(ip) else { return };
        let own = match &self.end {
            End::Packet(end) => end.mac,
            End::Tunnel(_) => [0; 6],
        };
        if let (What::Solicitation(of), Some((_, source))) = (&packet.what, ether) {
            *log.solicited.entry((*of).into()).or_default() += 1;
            let Some(mac) = (self.world.neighbours)((*of).into()) else { return };
            let mac = mac.unwrap_or(own);
            self.send(&ethernet(source, mac, ETHER_IPV6, &advertisement(*of, packet.source, mac)));
            return;
        }
        if let What::Tcp { flags, .. } = packet.what
            && flags & RST != 0
        {
            log.resets += 1;
        }
        let Some(asked) = asked(&packet) else { return };
        log.probes.entry(asked).or_default().push(time);
        if let What::Tcp { source, .. } | What::Udp { source, .. } = packet.what {
            log.ports.insert(source);
        }
        let mut sender = own;
        if let Some((destination, _)) = ether {
            let right = (self.world.neighbours)(asked.target).map(|mac| mac.unwrap_or(own));
            log.misdirected += u64::from(right != Some(destination));
            sender = destination;
        }
        for (delay, answer) in answers((self.world.conduct)(asked), &packet, ip) {
            let ether_type = if packet.target.is_ipv4() { ETHER_IPV4 } else { ETHER_IPV6 };
            let frame = match ether {
                Some((_, source)) => ethernet(source, sender, ether_type, &answer),
                None => answer,
            };
            if delay.is_zero() {
                self.send(&frame);
            } else {
                self.send_later(delay, frame);
            }
        }
    }

    fn send_later(&mut self, delay: Duration, frame: Vec<u8>) {
        self.number += 1;
        self.delayed.insert((Instant::now() + delay, self.number), frame);
    }

    fn send_due(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.delayed.first_entry()
            && entry.key().0 <= now
        {
            let frame = entry.remove();
            self.send(&frame);
        }
    }

    /// A link that is down for the moment takes nothing: as with any other network, what was sent is lost then.
    fn send(&mut self, frame: &[u8]) {
        match &mut self.end {
            End::Packet(end) => drop(send(end.socket.as_raw_fd(), frame, MsgFlags::empty())),
            End::Tunnel(file) => drop(file.write(frame)),
        }
    }
}
