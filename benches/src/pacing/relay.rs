//! A path with a delay: datagrams leave as long after they arrived as they should, and the kernel's receive timestamps of
//! the sender's are kept.
//!
//! The timestamp is taken as the packet comes off the wire, so how soon this process gets to it does not matter to the
//! record; it is also what the delay counts from. A segmented send crosses a veth pair in one piece and is received in one.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, IoSliceMut, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};

use super::arrivals::Arrival;
use crate::clock::{Stopwatch, since_epoch};
use crate::{interrupt, udp};

/// The longest run that comes in one piece.
const RUN_BYTES: usize = 65_536;
/// The longest sleep: how late an interruption is noticed.
const MAX_SLEEP: Duration = Duration::from_millis(100);
/// A datagram of the sender's below this carries no data: an acknowledgement, a sign of life.
const MIN_DATA_BYTES: usize = 200;

/// One of the two sides of the relay, and what waits to leave through it.
struct Port {
    socket: UdpSocket,
    state: UdpSocketState,
    /// Where to send to, once it is known.
    peer: Option<SocketAddr>,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    due: Duration,
    bytes: Vec<u8>,
    stride: usize,
}

impl Port {
    fn open(address: SocketAddr, peer: Option<SocketAddr>) -> io::Result<Self> {
        let socket = udp::bind(address)?;
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { socket, state, peer, waiting: VecDeque::new() })
    }

    /// Sends what is due; what the kernel has no room for is lost, as on any path.
    fn send_due(&mut self, now: Duration) {
        while self.waiting.front().is_some_and(|run| run.due <= now) {
            let Some(run) = self.waiting.pop_front() else { return };
            let Some(destination) = self.peer else { continue };
            for contents in run.bytes.chunks(run.stride * self.state.max_gso_segments().max(1)) {
                let segment_size = (contents.len() > run.stride).then_some(run.stride);
                let transmit = Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
                let _ = self.state.try_send((&self.socket).into(), &transmit);
            }
        }
    }
}

/// Runs until a signal comes (see [`interrupt`]), then writes what it saw of the sender to `record`. `ready` is called once
/// datagrams are taken.
///
/// # Errors
/// What the operating system says.
pub fn run(
    listen: SocketAddr,
    forward: SocketAddr,
    delay: Duration,
    record: &Path,
    ready: impl FnOnce(),
) -> io::Result<()> {
    // Sleeps end when they should; without it the relay is a little slower.
    let _ = nix::sys::prctl::set_timerslack(1);
    let any = SocketAddr::new(if forward.is_ipv4() { [0; 4].into() } else { [0; 16].into() }, 0);
    let (mut front, mut back) = (Port::open(listen, None)?, Port::open(any, Some(forward))?);
    let stopwatch = Stopwatch::start();
    let mut arrivals = Vec::with_capacity(1 << 20);
    let mut buffer = vec![0; RUN_BYTES];
    ready();
    while !interrupt::raised() {
        while let Some(meta) = receive(&front, &mut buffer)? {
            front.peer = Some(meta.addr);
            if meta.stride.min(meta.len) >= MIN_DATA_BYTES {
                let at_ns = meta.timestamp.unwrap_or_default().as_nanos() as u64;
                arrivals.push(Arrival { at_ns, bytes: meta.len as u64 });
            }
            back.waiting.push_back(waiting(&meta, &buffer, delay, stopwatch));
        }
        while let Some(meta) = receive(&back, &mut buffer)? {
            front.waiting.push_back(waiting(&meta, &buffer, delay, stopwatch));
        }
        let now = stopwatch.elapsed();
        front.send_due(now);
        back.send_due(now);
        sleep(&front, &back, stopwatch)?;
    }
    let mut file = BufWriter::new(File::create(record)?);
    for arrival in arrivals {
        writeln!(file, "{} {}", arrival.at_ns, arrival.bytes)?;
    }
    file.flush()
}

/// Reads what [`run`] wrote.
///
/// # Errors
/// What the operating system says, or `InvalidData`.
pub fn read_record(path: &Path) -> io::Result<Vec<Arrival>> {
    let parse = |line: &str| {
        let (at_ns, bytes) = line.split_once(' ')?;
        Some(Arrival { at_ns: at_ns.parse().ok()?, bytes: bytes.parse().ok()? })
    };
    let text = std::fs::read_to_string(path)?;
    text.lines().map(|line| parse(line).ok_or_else(|| io::ErrorKind::InvalidData.into())).collect()
}

fn receive(port: &Port, buffer: &mut [u8]) -> io::Result<Option<RecvMeta>> {
    let mut metas = [RecvMeta::default()];
    match port.state.recv((&port.socket).into(), &mut [IoSliceMut::new(buffer)], &mut metas) {
        Ok(_) => Ok(metas.into_iter().next()),
        // A peer that is gone already says so by an ICMP message: nothing to the relay.
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The run in the buffer, due `delay` after the kernel had it.
fn waiting(meta: &RecvMeta, buffer: &[u8], delay: Duration, stopwatch: Stopwatch) -> Waiting {
    let age = meta.timestamp.map_or(Duration::ZERO, |arrived| since_epoch().saturating_sub(arrived));
    let bytes = buffer.get(..meta.len).unwrap_or_default().to_vec();
    Waiting { due: (stopwatch.elapsed() + delay).saturating_sub(age), bytes, stride: meta.stride.max(1) }
}

fn sleep(front: &Port, back: &Port, stopwatch: Stopwatch) -> io::Result<()> {
    let due = [front, back].into_iter().filter_map(|port| port.waiting.front()).map(|run| run.due).min();
    let span = due.map_or(MAX_SLEEP, |due| due.saturating_sub(stopwatch.elapsed()).min(MAX_SLEEP));
    let mut sockets = [front, back].map(|port| PollFd::new(port.socket.as_fd(), PollFlags::POLLIN));
    match ppoll(&mut sockets, Some(TimeSpec::from(span)), None) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_pass_after_the_delay_and_answers_come_back() {
        let local: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let receiver = UdpSocket::bind(local).expect("a socket");
        let forward = receiver.local_addr().expect("an address");
        let mut back = Port::open(local, Some(forward)).expect("a port");
        let buffer = vec![7; 3000];
        let mut meta = RecvMeta::default();
        (meta.len, meta.stride) = (3000, 1400);
        let stopwatch = Stopwatch::start();
        back.waiting.push_back(waiting(&meta, &buffer, Duration::from_secs(3600), stopwatch));
        let due = back.waiting.front().expect("it waits").due;
        back.send_due(due - Duration::from_nanos(1));
        assert_eq!(back.waiting.len(), 1);
        back.send_due(due);
        assert!(back.waiting.is_empty());
        let mut datagram = [0; 2000];
        let lengths = [0; 3].map(|_| receiver.recv(&mut datagram).expect("a datagram"));
        assert_eq!(lengths, [1400, 1400, 200]);
    }
}
