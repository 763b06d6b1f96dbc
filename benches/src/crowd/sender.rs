//! The senders: the program's own, all on one thread with one socket, as the sessions of one worker, and let go at one moment. Several
//! threads would measure how a machine of few processors shares them, and not what the server does.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration as StdDuration;

use wirehaul::clock::Clock;
use wirehaul::crypto::{HostAcceptor, NoiseHandshake, Psk, PublicKey, StaticKey, local_suites};
use wirehaul::drive::{HostWorker, Role, drive};
use wirehaul::events::Bus;
use wirehaul::io::engine::FileEngine;
use wirehaul::memory::{SessionSize, WorkerMemory};
use wirehaul::pools::lasting;
use wirehaul::transfer::blocks::SLOT_BYTES;
use wirehaul::transfer::sender::{Cargo, Feed, Sender};
use wirehaul::transfer::source::FileSource;
use wirehaul::transfer::walk::walk;
use wirehaul::transfer::watch::Watch;
use wirehaul::udp::{Options, UdpDevice};
use wirehaul_core::pool::{PoolStats, Sizing};
use wirehaul_core::session::{Config, Event, Session};
use wirehaul_core::time::{Duration, Instant};
use wirehaul_core::worker::{Application, MAX_SESSIONS, SessionId, Worker};

use super::CrowdError;

/// The idle time-out, for messages.
const IDLE_SECS: u64 = 15;
/// Blocks of each sender: what it reads ahead, and what is on its way.
const BLOCKS: u32 = 24;
/// A sender gives a crowded receiver this long to answer.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How often blocks that were read are looked for, where nothing else happens.
const LOOK: Duration = Duration::from_millis(5);
/// What a sender may have outstanding.
const SIZE: SessionSize = SessionSize { packets: 4096, gaps: 1024, streams: 4 };

/// What they are to do.
pub struct Crowd<'a> {
    /// Who they are: one peer.
    pub identity: Arc<StaticKey>,
    /// The server.
    pub server: SocketAddr,
    /// Its key.
    pub key: PublicKey,
    /// A file for each.
    pub files: &'a [PathBuf],
    /// When `look` is called, after the start.
    pub look_after: StdDuration,
}

/// What became of one.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Seconds from the moment at which all were let go.
    pub seconds: f64,
    /// Bytes that are at the receiver.
    pub bytes: u64,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Sends all files at once; `look` is called while they are under way. The outcomes are in the order of the files.
///
/// # Errors
/// [`CrowdError`]: not all could be set up.
pub fn crowd(crowd: &Crowd<'_>, look: impl FnOnce() + Send) -> Result<Vec<Outcome>, CrowdError> {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(crowd.look_after);
            look();
        });
        send_all(crowd)
    })
}

fn send_all(crowd: &Crowd<'_>) -> Result<Vec<Outcome>, CrowdError> {
    let files = crowd.files;
    let failed = |error: &dyn std::fmt::Display| CrowdError::Sender(error.to_string());
    let any = SocketAddr::new(crowd.server.ip(), 0);
    let mut device = UdpDevice::bind(any, &Options::default()).map_err(|error| failed(&error))?;
    let acceptor = HostAcceptor::new(Arc::clone(&crowd.identity)).map_err(|error| failed(&error))?;
    let config = Config { suites: local_suites(), handshake_timeout: HANDSHAKE, ..Config::default() };
    let mut memory = WorkerMemory::new(files.len(), SIZE).map_err(|error| failed(&error))?;
    let mut streams = Vec::new();
    let mut slots = memory.slots::<NoiseHandshake>(&mut streams);
    let mut worker = Worker::new(config.clone(), acceptor, false, &mut slots);
    let cargoes: Vec<_> = files.iter().map(|file| cargo(file)).collect::<Result<_, _>>()?;
    let (clock, psk) = (Clock::start(), Psk::of_responder(&crowd.key));
    let began = clock.now();
    let mut many = Many {
        senders: Vec::new(),
        of_session: vec![None; MAX_SESSIONS],
        stirred: Vec::with_capacity(files.len()),
        look_at: began,
    };
    for cargo in cargoes {
        let handshake = NoiseHandshake::initiator(Arc::clone(&crowd.identity), psk.clone(), crowd.key)
            .map_err(|error| CrowdError::Sender(format!("{error:?}")))?;
        let id = worker
            .connect(clock.now(), handshake, psk.id(), crowd.server, config.clone())
            .map_err(|error| CrowdError::Sender(format!("{error:?}")))?;
        let watch = Watch::new(Bus::new(1), Box::new(PoolStats::default), None, began);
        let engine = FileEngine::plain(1, 16).map_err(|error| failed(&error))?;
        many.of_session[id.place()] = Some(many.senders.len());
        many.senders.push((Sender::new(cargo, engine, vec![crowd.server], IDLE_SECS, watch), None));
    }
    drive(clock, &mut device, &mut worker, &mut many, &AtomicBool::new(false))?;
    let end = clock.now();
    let outcome = |(sender, ended): (Sender, Option<Instant>)| {
        let seconds = ended.unwrap_or(end).saturating_since(began).as_nanos() as f64 / 1e9;
        let sent = sender.finish();
        let bytes = sent.outcome.map_or(0, |outcome| outcome.stored_bytes);
        Outcome { seconds, bytes, failure: sent.failure.map(|failure| failure.to_string()) }
    };
    Ok(many.senders.into_iter().map(outcome).collect())
}

fn cargo(file: &Path) -> Result<Cargo, CrowdError> {
    let failed = |error: &dyn std::fmt::Display| CrowdError::Sender(error.to_string());
    let walked = walk(&[file.to_path_buf()]).map_err(|error| failed(&error))?;
    let manifest = Arc::new(walked.manifest);
    let source = Arc::new(FileSource::new(Arc::clone(&manifest), walked.roots));
    let sizing = Sizing { slots_per_session: BLOCKS, slot_bytes: SLOT_BYTES, ..Sizing::new(1, 1) };
    Ok(Cargo::Files { manifest, source, unread: 0, blocks: lasting(&sizing).map_err(|error| failed(&error))? })
}

/// Senders that share a worker.
struct Many {
    /// Each, and when it was over.
    senders: Vec<(Sender, Option<Instant>)>,
    /// Whose session is in each place of the worker.
    of_session: Vec<Option<usize>>,
    /// Those that something came for since they were pumped: to look at a thousand in every turn would be most of the work.
    stirred: Vec<usize>,
    /// When all are looked at, for what was read.
    look_at: Instant,
}

impl Many {
    fn place_of(&self, id: SessionId) -> usize {
        // Sessions are made by `send_all` and by nobody else.
        self.of_session.get(id.place()).copied().flatten().unwrap_or(0)
    }

    fn pump_one(&mut self, place: usize, now: Instant, worker: &mut HostWorker<'_>) -> bool {
        let Some((sender, ended)) = self.senders.get_mut(place).filter(|(_, ended)| ended.is_none()) else {
            return false;
        };
        let worked = sender.pump(now, worker);
        *ended = sender.is_over().then_some(now);
        worked
    }
}

impl Application<NoiseHandshake> for Many {
    type Source = Feed;

    fn on_event(
        &mut self,
        now: Instant,
        id: SessionId,
        session: &mut Session<'_, NoiseHandshake>,
        event: Event,
        datagram: &[u8],
    ) {
        let place = self.place_of(id);
        // Events of one session come together.
        if self.stirred.last() != Some(&place) {
            self.stirred.push(place);
        }
        self.senders[place].0.on_event(now, id, session, event, datagram);
    }

    fn source(&mut self, id: SessionId) -> &mut Feed {
        let place = self.place_of(id);
        self.senders[place].0.source(id)
    }
}

impl Role for Many {
    fn pump(&mut self, now: Instant, worker: &mut HostWorker<'_>) -> bool {
        let mut worked = false;
        while let Some(place) = self.stirred.pop() {
            worked |= self.pump_one(place, now, worker);
        }
        if self.look_at <= now {
            self.look_at = now + LOOK;
            for place in 0..self.senders.len() {
                worked |= self.pump_one(place, now, worker);
            }
        }
        worked
    }

    fn prepare_wait(&mut self) -> (bool, BorrowedFd<'_>) {
        // One descriptor stands for all: the others are looked at every few milliseconds.
        self.senders[0].0.prepare_wait()
    }

    fn deadline(&self) -> Option<Instant> {
        Some(self.look_at)
    }

    fn is_over(&self) -> bool {
        self.senders.iter().all(|(_, ended)| ended.is_some())
    }
}
