//! A session that does nothing but ask for an answer, once a millisecond.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use wirehaul::clock::Clock;
use wirehaul::crypto::{HostAcceptor, NoiseHandshake, StaticKey, local_suites};
use wirehaul::drive::{HostWorker, Role, drive};
use wirehaul::io::wake::Alarm;
use wirehaul::memory::{SessionSize, WorkerMemory};
use wirehaul::transfer::ticket::Ticket;
use wirehaul::udp::{Options, UdpDevice};
use wirehaul_core::session::{CloseCode, Config, Event, Session, Source};
use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::wire::StreamId;
use wirehaul_core::worker::{Application, SessionId, Worker};

use super::RigError;

/// Time between two questions.
const INTERVAL: Duration = Duration::from_millis(1);

/// The answers of one run.
#[derive(Debug, Default)]
pub struct Pings {
    /// Round trips in nanoseconds, ascending.
    round_trips: Vec<u64>,
}

impl Pings {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.round_trips.len()
    }

    /// The round trip, in microseconds, that this part of all (per mille) does not exceed.
    #[must_use]
    pub fn quantile(&self, per_mille: usize) -> Option<f64> {
        let last = self.round_trips.len().checked_sub(1)?;
        self.round_trips.get(last * per_mille / 1000).map(|nanos| *nanos as f64 / 1e3)
    }
}

/// Asks whoever made `ticket`, for so long.
///
/// # Errors
/// There is no socket, or nobody answers.
pub fn ping(ticket: &Ticket, time: Duration) -> Result<Pings, RigError> {
    let failed = |what: &'static str| move |error: String| RigError::Ping { what, error };
    let local = "127.0.0.1:0".parse().map_err(|_| failed("address")(String::new()))?;
    let mut device =
        UdpDevice::bind(local, &Options::default()).map_err(|error| failed("open a socket")(error.to_string()))?;
    let identity = Arc::new(StaticKey::generate().map_err(|error| failed("make a key")(error.to_string()))?);
    let acceptor = HostAcceptor::new(Arc::clone(&identity)).map_err(|error| failed("make a key")(error.to_string()))?;
    let config = Config { suites: local_suites(), ..Config::default() };
    let mut memory =
        WorkerMemory::new(1, SessionSize::SENDER).map_err(|error| failed("have memory")(error.to_string()))?;
    let mut streams = Vec::new();
    let mut slots = memory.slots::<NoiseHandshake>(&mut streams);
    let mut worker = Worker::new(config.clone(), acceptor, false, &mut slots);
    let (clock, psk) = (Clock::start(), ticket.psk());
    let handshake = NoiseHandshake::initiator(identity, psk.clone(), ticket.responder())
        .map_err(|error| failed("start a handshake")(format!("{error:?}")))?;
    let remote = ticket.addresses().first().copied().ok_or_else(|| failed("find an address")(String::new()))?;
    worker
        .connect(clock.now(), handshake, psk.id(), remote, config)
        .map_err(|error| failed("connect")(format!("{error:?}")))?;
    let alarm = Alarm::new().map_err(|error| failed("make an event descriptor")(error.to_string()))?;
    let mut pinger =
        Pinger { alarm, next: None, end: None, time, pings: Pings::default(), nothing: Nothing, over: false };
    drive(clock, &mut device, &mut worker, &mut pinger, &AtomicBool::new(false))
        .map_err(|error| failed("wait for packets")(error.to_string()))?;
    if pinger.pings.count() == 0 {
        return Err(failed("get an answer")(String::new()));
    }
    pinger.pings.round_trips.sort_unstable();
    Ok(pinger.pings)
}

struct Pinger {
    /// Never rung: there are no files here.
    alarm: Alarm,
    next: Option<Instant>,
    end: Option<Instant>,
    time: Duration,
    pings: Pings,
    nothing: Nothing,
    over: bool,
}

/// No stream has bytes.
struct Nothing;

impl Source for Nothing {
    fn fill(&mut self, _: StreamId, _: u64, _: &mut [u8]) {}
}

impl Application<NoiseHandshake> for Pinger {
    type Source = Nothing;

    fn on_event(&mut self, now: Instant, _: SessionId, _: &mut Session<'_, NoiseHandshake>, event: Event, _: &[u8]) {
        match event {
            Event::Connected => {
                self.next = Some(now);
                self.end = Some(now + self.time);
            }
            Event::Pong { round_trip } => self.pings.round_trips.push(round_trip.as_nanos()),
            Event::Closed(_) => self.over = true,
            _ => {}
        }
    }

    fn source(&mut self, _: SessionId) -> &mut Nothing {
        &mut self.nothing
    }
}

impl Role for Pinger {
    fn pump(&mut self, now: Instant, worker: &mut HostWorker<'_>) -> bool {
        if self.end.is_some_and(|end| end <= now) {
            self.end = None;
            self.next = None;
            worker.sessions().for_each(|(_, session)| session.close(now, CloseCode::DONE, ""));
            return true;
        }
        let due = self.next.is_some_and(|next| next <= now);
        if due {
            self.next = Some(now + INTERVAL);
            worker.sessions().for_each(|(_, session)| session.ping());
        }
        due
    }

    fn prepare_wait(&mut self) -> (bool, BorrowedFd<'_>) {
        self.alarm.arm();
        (false, self.alarm.fd())
    }

    fn deadline(&self) -> Option<Instant> {
        self.next
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
