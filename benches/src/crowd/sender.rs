//! The senders: the program's own, each with a socket, a session and threads for its file, all in this process and let go at one moment.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use wirehaul::clock::Clock;
use wirehaul::crypto::{HostAcceptor, NoiseHandshake, Psk, PublicKey, StaticKey, local_suites};
use wirehaul::drive::drive;
use wirehaul::events::Bus;
use wirehaul::io::engine::FileEngine;
use wirehaul::memory::{SessionSize, WorkerMemory};
use wirehaul::pools::{LastingPool, lasting};
use wirehaul::transfer::blocks::SLOT_BYTES;
use wirehaul::transfer::sender::{Cargo, Sender};
use wirehaul::transfer::source::FileSource;
use wirehaul::transfer::walk::walk;
use wirehaul::transfer::watch::Watch;
use wirehaul::udp::{Options, UdpDevice};
use wirehaul_core::pool::{PoolStats, Sizing};
use wirehaul_core::session::Config;
use wirehaul_core::worker::Worker;

use super::CrowdError;

/// The idle time-out, for messages.
const IDLE_SECS: u64 = 15;
/// Blocks of each sender: what it reads ahead, and what is on its way.
const BLOCKS: u32 = 24;
/// A sender gives a crowded receiver this long to answer.
const HANDSHAKE: wirehaul_core::time::Duration = wirehaul_core::time::Duration::from_secs(30);
/// Enough for the loop of a worker, many times over.
const STACK_BYTES: usize = 512 << 10;

/// What they are to do.
pub struct Crowd<'a> {
    /// Who they are: one peer.
    pub identity: Arc<StaticKey>,
    /// The server.
    pub server: SocketAddr,
    /// Its key.
    pub key: PublicKey,
    /// A file for each.
    pub files: &'a [std::path::PathBuf],
    /// Called once while all are under way, so long after the start.
    pub look_after: Duration,
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
/// [`CrowdError`]: not all could be set up. None was started then.
pub fn crowd(crowd: &Crowd<'_>, look: impl FnOnce()) -> Result<Vec<Outcome>, CrowdError> {
    let (gate, stop) = (Barrier::new(crowd.files.len() + 1), AtomicBool::new(false));
    let ready: Vec<_> = crowd.files.iter().map(|file| Ready::new(crowd, file)).collect::<Result<_, _>>()?;
    let clock = Clock::start();
    thread::scope(|scope| {
        let mut senders = Vec::with_capacity(ready.len());
        for one in ready {
            let (gate, stop) = (&gate, &stop);
            let builder = thread::Builder::new().name("sender".to_owned()).stack_size(STACK_BYTES);
            let sender = builder.spawn_scoped(scope, move || {
                gate.wait();
                one.send(clock, stop)
            });
            match sender {
                Ok(sender) => senders.push(sender),
                Err(error) => {
                    // Those that wait at the gate would wait for ever.
                    eprintln!("crowd: cannot start sender {}: {error}", senders.len());
                    std::process::exit(1);
                }
            }
        }
        gate.wait();
        thread::sleep(crowd.look_after);
        look();
        let broken = || Outcome { seconds: 0.0, bytes: 0, failure: Some("its thread panicked".to_owned()) };
        let outcomes = senders.into_iter().map(|sender| sender.join().unwrap_or_else(|_| broken())).collect();
        stop.store(true, Ordering::Relaxed);
        Ok(outcomes)
    })
}

/// A sender that is set up.
struct Ready {
    identity: Arc<StaticKey>,
    server: SocketAddr,
    key: PublicKey,
    device: UdpDevice,
    cargo: Cargo,
    engine: FileEngine<wirehaul::transfer::job::TransferJob>,
}

impl Ready {
    fn new(crowd: &Crowd<'_>, file: &Path) -> Result<Self, CrowdError> {
        let failed = |error: &dyn std::fmt::Display| CrowdError::Sender(error.to_string());
        let walked = walk(&[file.to_path_buf()]).map_err(|error| failed(&error))?;
        let manifest = Arc::new(walked.manifest);
        let source = Arc::new(FileSource::new(Arc::clone(&manifest), walked.roots));
        let blocks = pool()?;
        let any = SocketAddr::new(crowd.server.ip(), 0);
        Ok(Self {
            identity: Arc::clone(&crowd.identity),
            server: crowd.server,
            key: crowd.key,
            device: UdpDevice::bind(any, &Options::default()).map_err(|error| failed(&error))?,
            cargo: Cargo::Files { manifest, source, unread: 0, blocks },
            engine: FileEngine::plain(1, 16).map_err(|error| failed(&error))?,
        })
    }

    fn send(self, clock: Clock, stop: &AtomicBool) -> Outcome {
        let Self { identity, server, key, mut device, cargo, engine } = self;
        let began = clock.now();
        let run = || -> Result<_, String> {
            let acceptor = HostAcceptor::new(Arc::clone(&identity)).map_err(|error| error.to_string())?;
            let config = Config { suites: local_suites(), handshake_timeout: HANDSHAKE, ..Config::default() };
            let mut memory = WorkerMemory::new(1, SessionSize { packets: 4096, gaps: 1024, streams: 4 })
                .map_err(|error| error.to_string())?;
            let mut streams = Vec::new();
            let mut slots = memory.slots::<NoiseHandshake>(&mut streams);
            let mut worker = Worker::new(config.clone(), acceptor, false, &mut slots);
            let psk = Psk::of_responder(&key);
            let handshake =
                NoiseHandshake::initiator(identity, psk.clone(), key).map_err(|error| format!("{error:?}"))?;
            worker.connect(clock.now(), handshake, psk.id(), server, config).map_err(|error| format!("{error:?}"))?;
            let watch = Watch::new(Bus::new(1), Box::new(PoolStats::default), None, clock.now());
            let mut sender = Sender::new(cargo, engine, vec![server], IDLE_SECS, watch);
            drive(clock, &mut device, &mut worker, &mut sender, stop).map_err(|error| error.to_string())?;
            Ok(sender.finish())
        };
        let outcome = run();
        let seconds = clock.now().saturating_since(began).as_nanos() as f64 / 1e9;
        match outcome {
            Ok(sent) => Outcome {
                seconds,
                bytes: sent.outcome.map_or(0, |outcome| outcome.stored_bytes),
                failure: sent.failure.map(|failure| failure.to_string()),
            },
            Err(error) => Outcome { seconds, bytes: 0, failure: Some(error) },
        }
    }
}

fn pool() -> Result<LastingPool, CrowdError> {
    lasting(&Sizing { slots_per_session: BLOCKS, slot_bytes: SLOT_BYTES, ..Sizing::new(1, 1) })
        .map_err(|error| CrowdError::Sender(error.to_string()))
}
