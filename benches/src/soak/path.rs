//! A path that loses and delays, for kernels without netem: a process that forwards datagrams between a port and one receiver, as a
//! translator of addresses does. Each caller gets a socket of its own on the other side, so that a caller who moves is seen to move.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};

use super::draw::Draw;
use crate::clock::Stopwatch;
use crate::{interrupt, udp};

/// The longest run that comes in one piece.
const RUN_BYTES: usize = 65_536;
/// The longest sleep: how late an interruption is noticed.
const MAX_SLEEP: Duration = Duration::from_millis(100);
/// How long a caller that says nothing is remembered.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// Runs taken from one socket before the others have their turn.
const BATCH: usize = 32;

/// What happens to datagrams, in both directions alike.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// How long each takes.
    pub delay: Duration,
    /// How many of a million are lost.
    pub loss_ppm: u32,
}

struct Port {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Port {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = udp::bind(address)?;
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { socket, state })
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<RecvMeta>> {
        let mut metas = [RecvMeta::default()];
        match self.state.recv((&self.socket).into(), &mut [IoSliceMut::new(buffer)], &mut metas) {
            Ok(_) => Ok(metas.into_iter().next()),
            // A receiver that was killed says so by an ICMP message: nothing to a path.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// What the kernel has no room for is lost, as on any path.
    fn send(&self, run: &Run, destination: SocketAddr) {
        for contents in run.bytes.chunks(run.stride * self.state.max_gso_segments().max(1)) {
            let segment_size = (contents.len() > run.stride).then_some(run.stride);
            let transmit = Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
            let _ = self.state.try_send((&self.socket).into(), &transmit);
        }
    }
}

/// Where a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Out,
    Back,
}

/// Datagrams of one length, the last of which may be shorter.
struct Run {
    due: Duration,
    way: Way,
    caller: SocketAddr,
    bytes: Vec<u8>,
    stride: usize,
}

struct Caller {
    port: Port,
    heard: Duration,
}

struct Path {
    front: Port,
    forward: SocketAddr,
    weather: Weather,
    callers: HashMap<SocketAddr, Caller>,
    /// All take as long, so the first is the first to leave.
    under_way: VecDeque<Run>,
    draw: Draw,
    clock: Stopwatch,
    buffer: Vec<u8>,
}

/// Forwards what comes to `listen` to `forward`, and answers back, until a signal comes (see [`interrupt`]). `ready` is called once
/// datagrams are taken.
///
/// # Errors
/// What the operating system says.
pub fn run(
    listen: SocketAddr,
    forward: SocketAddr,
    weather: Weather,
    seed: u64,
    ready: impl FnOnce(),
) -> io::Result<()> {
    let mut path = Path {
        front: Port::open(listen)?,
        forward,
        weather,
        callers: HashMap::new(),
        under_way: VecDeque::new(),
        draw: Draw::new(seed),
        clock: Stopwatch::start(),
        buffer: vec![0; RUN_BYTES],
    };
    ready();
    while !interrupt::raised() {
        path.receive()?;
        path.send_due();
        path.sleep()?;
    }
    Ok(())
}

impl Path {
    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let now = self.clock.elapsed();
        for _ in 0..BATCH {
            let Some(meta) = self.front.receive(&mut buffer)? else { break };
            if !self.callers.contains_key(&meta.addr) {
                // The address is left open: what is forwarded comes from the one that the host has by then.
                let any = match self.forward {
                    SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                };
                let port = Port::open(SocketAddr::new(any, 0))?;
                self.callers.insert(meta.addr, Caller { port, heard: now });
            }
            if let Some(caller) = self.callers.get_mut(&meta.addr) {
                caller.heard = now;
            }
            self.take(&meta, &buffer, Way::Out, meta.addr);
        }
        let mut answers = Vec::new();
        for (address, caller) in &self.callers {
            for _ in 0..BATCH {
                let Some(meta) = caller.port.receive(&mut buffer)? else { break };
                answers.push((meta, buffer.get(..meta.len).unwrap_or_default().to_vec(), *address));
            }
        }
        for (meta, bytes, address) in answers {
            self.take(&meta, &bytes, Way::Back, address);
        }
        self.buffer = buffer;
        self.callers.retain(|_, caller| now.saturating_sub(caller.heard) < FORGET_AFTER);
        Ok(())
    }

    /// Puts the datagrams of a run under way, but for those that are lost.
    fn take(&mut self, meta: &RecvMeta, buffer: &[u8], way: Way, caller: SocketAddr) {
        let stride = meta.stride.max(1);
        let mut bytes = Vec::with_capacity(meta.len);
        for datagram in buffer.get(..meta.len).unwrap_or_default().chunks(stride) {
            if !self.draw.chance(self.weather.loss_ppm) {
                bytes.extend_from_slice(datagram);
            }
        }
        if !bytes.is_empty() {
            self.under_way.push_back(Run {
                due: self.clock.elapsed() + self.weather.delay,
                way,
                caller,
                bytes,
                stride,
            });
        }
    }

    fn send_due(&mut self) {
        let now = self.clock.elapsed();
        while self.under_way.front().is_some_and(|run| run.due <= now) {
            let Some(run) = self.under_way.pop_front() else { return };
            match (run.way, self.callers.get(&run.caller)) {
                (Way::Out, Some(caller)) => caller.port.send(&run, self.forward),
                (Way::Out, None) => {}
                (Way::Back, _) => self.front.send(&run, run.caller),
            }
        }
    }

    fn sleep(&self) -> io::Result<()> {
        let due = self.under_way.front().map(|run| run.due);
        let span = due.map_or(MAX_SLEEP, |due| due.saturating_sub(self.clock.elapsed()).min(MAX_SLEEP));
        let sockets = std::iter::once(&self.front).chain(self.callers.values().map(|caller| &caller.port));
        let mut sockets: Vec<_> = sockets.map(|port| PollFd::new(port.socket.as_fd(), PollFlags::POLLIN)).collect();
        match ppoll(&mut sockets, Some(TimeSpec::from(span)), None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path from some port to `receiver`, which it begins with nothing under way.
    fn path_to(receiver: &UdpSocket, weather: Weather) -> Path {
        Path {
            front: Port::open("127.0.0.1:0".parse().expect("an address")).expect("a port"),
            forward: receiver.local_addr().expect("an address"),
            weather,
            callers: HashMap::new(),
            under_way: VecDeque::new(),
            draw: Draw::new(1),
            clock: Stopwatch::start(),
            buffer: vec![0; RUN_BYTES],
        }
    }

    fn turn(path: &mut Path) {
        path.receive().expect("received");
        path.send_due();
        path.sleep().expect("slept");
    }

    #[test]
    fn datagrams_pass_and_answers_find_who_asked() {
        let socket = || UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let (receiver, one, two) = (socket(), socket(), socket());
        for socket in [&receiver, &one, &two] {
            socket.set_nonblocking(true).expect("a flag");
        }
        let mut path = path_to(&receiver, Weather { delay: Duration::from_millis(1), loss_ppm: 0 });
        let front = path.front.socket.local_addr().expect("an address");
        one.send_to(b"one", front).expect("sent");
        two.send_to(b"two", front).expect("sent");
        let (mut answered, mut heard, mut datagram) = (0, Vec::new(), [0; 16]);
        while heard.len() < 2 {
            turn(&mut path);
            while let Ok((length, from)) = receiver.recv_from(&mut datagram) {
                receiver.send_to(&datagram[..length], from).expect("answered");
                answered += 1;
            }
            for (socket, expected) in [(&one, b"one"), (&two, b"two")] {
                if let Ok((length, from)) = socket.recv_from(&mut datagram) {
                    assert_eq!((&datagram[..length], from), (&expected[..], front));
                    heard.push(from);
                }
            }
        }
        assert_eq!((answered, path.callers.len()), (2, 2));
    }

    #[test]
    fn as_many_are_lost_as_should_be() {
        let receiver = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let mut path = path_to(&receiver, Weather { delay: Duration::ZERO, loss_ppm: 250_000 });
        let (mut meta, buffer) = (RecvMeta::default(), vec![7; 40_000]);
        (meta.len, meta.stride) = (40_000, 10);
        let caller = receiver.local_addr().expect("an address");
        path.take(&meta, &buffer, Way::Out, caller);
        let kept = path.under_way.front().expect("most are under way").bytes.len() / 10;
        assert!((2_850..=3_150).contains(&kept), "{kept} of 4000");
    }
}
