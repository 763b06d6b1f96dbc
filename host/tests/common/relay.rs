//! A bad network: a UDP relay of MTU 1500 that loses, repeats, delays, damages and replays datagrams, all from one seed.

use std::io::{ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::SockRef;

use super::data::Rng;
use super::host::own_loopback_address;

/// How often each fault happens to a datagram, in parts per million.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub drop_ppm: u32,
    pub duplicate_ppm: u32,
    /// Held back behind up to [`MAX_DELAY`] later ones.
    pub reorder_ppm: u32,
    /// Up to four bytes changed.
    pub corrupt_ppm: u32,
    /// Cut to a random length.
    pub truncate_ppm: u32,
    /// An older datagram of the same direction sent once more, unchanged.
    pub replay_ppm: u32,
}

/// What the relay did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub datagrams: u64,
    pub dropped: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub corrupted: u64,
    pub truncated: u64,
    pub replayed: u64,
}

/// What a path of MTU 1500 carries; larger datagrams vanish.
const MTU_DATAGRAM_BYTES: usize = 1472;
/// Datagrams that may overtake one that is held back.
const MAX_DELAY: u64 = 32;
/// Datagrams kept for replaying, from the first of a direction on.
const RECORDED: usize = 512;
/// One in so many is recorded, so that what is replayed is from all over the transfer.
const RECORD_EVERY: u64 = 7;
/// A silence this long lets go what is held back.
const IDLE: Duration = Duration::from_millis(2);
const RECEIVE_BUFFERS: usize = 4;
const MAX_RUN_BYTES: usize = 60_000;
const MAX_RUN_SEGMENTS: usize = 60;

/// A relay in front of one receiver, running until dropped.
pub struct Relay {
    address: SocketAddr,
    receiver: SocketAddr,
    control: Arc<Control>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Control {
    silent: AtomicBool,
    /// How often the senders were to get another port.
    rebound: AtomicU64,
    stop: AtomicBool,
    totals: Mutex<Totals>,
}

impl Relay {
    /// A relay to a receiver that is yet to be started on [`Relay::receiver`].
    pub fn start(seed: u64, faults: Faults) -> Self {
        let receiver = own_loopback_address();
        let front = Port::bind();
        let address = front.socket.local_addr().unwrap();
        let control = Arc::new(Control::default());
        let shared = Arc::clone(&control);
        let thread = std::thread::spawn(move || Work::new(front, receiver, seed, faults, shared).run());
        Self { address, receiver, control, thread: Some(thread) }
    }

    /// Where senders send to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the receiver has to listen.
    pub fn receiver(&self) -> SocketAddr {
        self.receiver
    }

    /// Lets nothing through, or lets it through again.
    pub fn set_silent(&self, silent: bool) {
        self.control.silent.store(silent, Ordering::Relaxed);
    }

    /// Sends on from another port for each sender from now on, as a translator that was started anew; what is under way to
    /// the old ones is lost.
    pub fn rebind(&self) {
        self.control.rebound.fetch_add(1, Ordering::Relaxed);
    }

    /// What it did so far.
    pub fn totals(&self) -> Totals {
        *self.control.totals.lock().unwrap()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.control.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A socket with segmentation and merging, so that gigabytes pass.
struct Port {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Port {
    fn bind() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        // As much as the system grants; what does not fit is one more fault.
        let _ = SockRef::from(&socket).set_recv_buffer_size(4 << 20);
        let _ = SockRef::from(&socket).set_send_buffer_size(4 << 20);
        let state = UdpSocketState::new((&socket).into()).unwrap();
        Self { socket, state }
    }

    fn send(&self, to: SocketAddr, contents: &[u8], segment: usize) {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents,
            segment_size: (contents.len() > segment).then_some(segment),
            src_ip: None,
        };
        for _ in 0..200 {
            match self.state.try_send((&self.socket).into(), &transmit) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_micros(50)),
                // Any other error is a loss, as on a network.
                _ => return,
            }
        }
    }
}

/// A sender as the relay knows it.
struct Client {
    address: SocketAddr,
    /// Stands for the sender towards the receiver.
    back: Port,
    to_receiver: Direction,
    to_sender: Direction,
}

struct Work {
    front: Port,
    receiver: SocketAddr,
    clients: Vec<Client>,
    seed: u64,
    faults: Faults,
    control: Arc<Control>,
    rebound: u64,
    buffers: Vec<u8>,
}

impl Work {
    fn new(front: Port, receiver: SocketAddr, seed: u64, faults: Faults, control: Arc<Control>) -> Self {
        let buffers = vec![0; RECEIVE_BUFFERS << 16];
        Self { front, receiver, clients: Vec::new(), seed, faults, control, rebound: 0, buffers }
    }

    fn run(mut self) {
        while !self.control.stop.load(Ordering::Relaxed) {
            let rebound = self.control.rebound.load(Ordering::Relaxed);
            if std::mem::replace(&mut self.rebound, rebound) != rebound {
                self.clients.iter_mut().for_each(|client| client.back = Port::bind());
            }
            let holding = self.clients.iter().any(|client| client.to_receiver.holds() || client.to_sender.holds());
            if self.wait(if holding { IDLE } else { 20 * IDLE }) {
                while self.pass_on_from_senders() | self.pass_on_from_receiver() {}
            } else {
                self.let_go();
            }
        }
    }

    fn wait(&self, limit: Duration) -> bool {
        let sockets = std::iter::once(&self.front).chain(self.clients.iter().map(|client| &client.back));
        let mut fds: Vec<_> = sockets.map(|port| PollFd::new(port.socket.as_fd(), PollFlags::POLLIN)).collect();
        poll(&mut fds, PollTimeout::try_from(limit).unwrap()).is_ok_and(|ready| ready > 0)
    }

    fn faults(&self) -> Faults {
        let lossy = Faults { drop_ppm: 1_000_000, ..Faults::default() };
        if self.control.silent.load(Ordering::Relaxed) { lossy } else { self.faults }
    }

    fn pass_on_from_senders(&mut self) -> bool {
        let faults = self.faults();
        let Self { front, clients, buffers, seed, receiver, control, .. } = self;
        let mut totals = Totals::default();
        let some = receive(front, buffers, |from, stride, bytes| {
            let known = clients.iter().position(|client| client.address == from);
            let index = known.unwrap_or_else(|| {
                *seed += 2;
                clients.push(Client::new(from, *seed));
                clients.len() - 1
            });
            let client = &mut clients[index];
            client.to_receiver.pass_on(bytes, stride, &faults, &mut totals, &mut |run, segment| {
                client.back.send(*receiver, run, segment);
            });
        });
        control.totals.lock().unwrap().add(&totals);
        some
    }

    fn pass_on_from_receiver(&mut self) -> bool {
        let faults = self.faults();
        let Self { front, clients, buffers, control, .. } = self;
        let (mut totals, mut some) = (Totals::default(), false);
        for client in clients {
            let (direction, to) = (&mut client.to_sender, client.address);
            some |= receive(&client.back, buffers, |_, stride, bytes| {
                direction
                    .pass_on(bytes, stride, &faults, &mut totals, &mut |run, segment| front.send(to, run, segment));
            });
        }
        control.totals.lock().unwrap().add(&totals);
        some
    }

    fn let_go(&mut self) {
        let Self { front, clients, receiver, .. } = self;
        for client in clients {
            client.to_receiver.let_go(&mut |run, segment| client.back.send(*receiver, run, segment));
            client.to_sender.let_go(&mut |run, segment| front.send(client.address, run, segment));
        }
    }
}

impl Client {
    fn new(address: SocketAddr, seed: u64) -> Self {
        Self { address, back: Port::bind(), to_receiver: Direction::new(seed), to_sender: Direction::new(seed + 1) }
    }
}

/// Receives one batch; returns whether there was any.
fn receive(port: &Port, buffers: &mut [u8], mut sink: impl FnMut(SocketAddr, usize, &[u8])) -> bool {
    let mut parts = buffers.chunks_mut(1 << 16);
    let mut slices: [IoSliceMut<'_>; RECEIVE_BUFFERS] =
        std::array::from_fn(|_| IoSliceMut::new(parts.next().unwrap_or_default()));
    let mut metas = [RecvMeta::default(); RECEIVE_BUFFERS];
    let Ok(count) = port.state.recv((&port.socket).into(), &mut slices, &mut metas) else { return false };
    for (slice, meta) in slices.iter().zip(&metas).take(count) {
        if meta.len > 0 {
            sink(meta.addr, meta.stride.max(1), &slice[..meta.len]);
        }
    }
    true
}

/// Datagrams from one end to the other.
struct Direction {
    rng: Rng,
    seen: u64,
    /// Held back until so many were seen.
    held: Vec<(u64, Vec<u8>)>,
    recorded: Vec<Vec<u8>>,
    run: Run,
}

type Send<'a> = &'a mut dyn FnMut(&[u8], usize);

impl Direction {
    fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), seen: 0, held: Vec::new(), recorded: Vec::new(), run: Run::default() }
    }

    fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    fn pass_on(&mut self, bytes: &[u8], stride: usize, faults: &Faults, totals: &mut Totals, send: Send<'_>) {
        for datagram in bytes.chunks(stride) {
            self.pass_on_one(datagram, faults, totals, send);
            let seen = self.seen;
            while let Some(due) = self.held.iter().position(|(until, _)| *until <= seen) {
                let (_, late) = self.held.swap_remove(due);
                self.run.push(&late, send);
            }
        }
        self.run.flush(send);
    }

    fn pass_on_one(&mut self, datagram: &[u8], faults: &Faults, totals: &mut Totals, send: Send<'_>) {
        if datagram.len() > MTU_DATAGRAM_BYTES {
            return;
        }
        self.seen += 1;
        totals.datagrams += 1;
        if self.rng.chance(faults.replay_ppm) && !self.recorded.is_empty() {
            totals.replayed += 1;
            let old = self.rng.below(self.recorded.len() as u64) as usize;
            self.run.push(&self.recorded[old], send);
        }
        if faults.replay_ppm > 0 && self.seen % RECORD_EVERY == 1 && self.recorded.len() < RECORDED {
            self.recorded.push(datagram.to_vec());
        }
        if self.rng.chance(faults.drop_ppm) {
            totals.dropped += 1;
        } else if self.rng.chance(faults.corrupt_ppm) {
            totals.corrupted += 1;
            let damaged = self.damage(datagram);
            self.run.push(&damaged, send);
        } else if self.rng.chance(faults.truncate_ppm) {
            totals.truncated += 1;
            let kept = self.rng.below(datagram.len() as u64) as usize;
            self.run.push(&datagram[..kept], send);
        } else if self.rng.chance(faults.reorder_ppm) {
            totals.reordered += 1;
            let until = self.seen + 1 + self.rng.below(MAX_DELAY);
            self.held.push((until, datagram.to_vec()));
        } else {
            self.run.push(datagram, send);
            if self.rng.chance(faults.duplicate_ppm) {
                totals.duplicated += 1;
                self.run.push(datagram, send);
            }
        }
    }

    fn damage(&mut self, datagram: &[u8]) -> Vec<u8> {
        let mut damaged = datagram.to_vec();
        for _ in 0..=self.rng.below(4) {
            let place = self.rng.below(damaged.len() as u64) as usize;
            damaged[place] ^= 1 + self.rng.below(255) as u8;
        }
        damaged
    }

    fn let_go(&mut self, send: Send<'_>) {
        for (_, late) in std::mem::take(&mut self.held) {
            self.run.push(&late, send);
        }
        self.run.flush(send);
    }
}

/// Datagrams of one length, to be sent with one call.
#[derive(Default)]
struct Run {
    bytes: Vec<u8>,
    segment: usize,
    count: usize,
}

impl Run {
    fn push(&mut self, datagram: &[u8], send: Send<'_>) {
        let fits = datagram.len() <= self.segment
            && self.bytes.len() + datagram.len() <= MAX_RUN_BYTES
            && self.count < MAX_RUN_SEGMENTS;
        if !fits || datagram.is_empty() {
            self.flush(send);
            self.segment = datagram.len();
        }
        self.bytes.extend_from_slice(datagram);
        self.count += 1;
        // Only the last of a run may be shorter.
        if datagram.len() < self.segment {
            self.flush(send);
        }
    }

    fn flush(&mut self, send: Send<'_>) {
        if self.count > 0 {
            send(&self.bytes, self.segment);
        }
        self.bytes.clear();
        self.count = 0;
        self.segment = 0;
    }
}

impl Totals {
    fn add(&mut self, more: &Self) {
        self.datagrams += more.datagrams;
        self.dropped += more.dropped;
        self.duplicated += more.duplicated;
        self.reordered += more.reordered;
        self.corrupted += more.corrupted;
        self.truncated += more.truncated;
        self.replayed += more.replayed;
    }
}
