//! The workers of a receiver: a thread for each share of the queues (XDP-7).

use std::iter;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};

use wirehaul_core::session::Config;
use wirehaul_core::worker::{Worker, WorkerNumber};

use super::super::output::remark;
use super::super::place::stay_on;
use super::super::transport::{Seen, remark_on};
use super::reporting::{Reporting, Shared};
use super::{Control, StartError};
use crate::clock::Clock;
use crate::crypto::{HostAcceptor, NoiseHandshake};
use crate::drive::drive;
use crate::events::{Bus, WorkerPlace};
use crate::file_io;
use crate::handover::{Exchange, Handover};
use crate::io::engine::{FileEngine, default_threads};
use crate::memory::{SessionSize, WorkerMemory};
use crate::pools::LastingPool;
use crate::transfer::failure::Failure;
use crate::transfer::jobs::TaggedJob;
use crate::transfer::receiver::{Receiver, ReceiverOptions};
use crate::transfer::telling::Teller;
use crate::transport::{Opened, Step, Transport};

/// Sessions beside those that carry transfers.
const SESSIONS_TO_REFUSE: usize = 16;
/// File jobs of one worker under way at once.
const ENGINE_JOBS: usize = 128;
/// Threads that write at least, of all workers: a direct write waits for the device, and another chunk can be hashed meanwhile.
const WRITE_THREADS: usize = 4;
/// And of one worker.
const WRITE_THREADS_PER_WORKER: usize = 2;

/// A worker before it starts.
pub(super) struct Place {
    number: WorkerNumber,
    /// Where it stays; `None` leaves it to the system.
    cpu: Option<u32>,
    pub(super) transport: Transport,
}

/// Gives each device a worker and, where it has queues of its own, each worker a CPU: the first one the first, and so on.
pub(super) fn place(opened: Opened, cpus: &[u32]) -> (Vec<Place>, Vec<Step>) {
    let Opened { first, others, steps } = opened;
    let has_queues = !first.queues().is_empty();
    let cpus = cpus.iter().copied().map(|cpu| has_queues.then_some(cpu)).chain(iter::repeat(None));
    let numbers = (0..).map_while(WorkerNumber::new);
    let devices = iter::once(first).chain(others).zip(numbers).zip(cpus);
    (devices.map(|((transport, number), cpu)| Place { number, cpu, transport }).collect(), steps)
}

/// The same, to be shown.
pub(super) fn seen(places: &[Place]) -> Vec<Seen<'_>> {
    places.iter().map(|place| Seen { transport: &place.transport, cpu: place.cpu }).collect()
}

/// The same, for a screen.
pub(super) fn to_be_shown(places: &[Place], process: &super::super::place::Place) -> Vec<WorkerPlace> {
    let shown = |place: &Place| WorkerPlace {
        number: place.number.get(),
        cpu: place.cpu,
        node: process.node(),
        queues: place.transport.queues().to_vec(),
    };
    places.iter().map(shown).collect()
}

/// What every worker of a receiver is given.
pub(super) struct Crew<'a> {
    /// Settings of the sessions.
    pub(super) config: Config,
    /// All have the same key for cookies: one that was made at one worker is good at every other.
    pub(super) acceptor: HostAcceptor,
    pub(super) options: ReceiverOptions,
    pub(super) clock: Clock,
    /// Transfers at once.
    pub(super) max_transfers: usize,
    pub(super) control: &'a Control,
    /// Where watchers hear how it goes.
    pub(super) events: &'a Bus,
    pub(super) shared: &'a Shared,
}

impl Crew<'_> {
    /// Runs all workers until they are over.
    ///
    /// # Errors
    /// The first thing that a worker could not do without. The others were stopped, and have told their peers.
    pub(super) fn run(&self, places: Vec<Place>, engines: Vec<FileEngine<TaggedJob>>) -> Result<(), StartError> {
        let exchange = Exchange::new(places.len())?;
        let mut manned = places.into_iter().zip(engines);
        let Some((first, engine)) = manned.next() else { return Ok(()) };
        let devices: Vec<_> = thread::scope(|scope| {
            let start = |(place, engine): (Place, FileEngine<TaggedJob>)| {
                let name = format!("worker-{}", place.number.get());
                let work = || self.work_or_stop(place, engine, &exchange);
                thread::Builder::new().name(name).spawn_scoped(scope, work).map_err(|error| {
                    self.control.stop.store(true, Ordering::Relaxed);
                    StartError::Thread(error)
                })
            };
            let others: Vec<_> = manned.map(start).collect();
            // This thread is the one that signals interrupt.
            let first = self.work_or_stop(first, engine, &exchange);
            let join = |thread: ScopedJoinHandle<'_, _>| thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            iter::once(first).chain(others.into_iter().map(|thread| join(thread?))).collect::<Result<_, StartError>>()
        })?;
        self.shared.put_back();
        if self.shared.output.verbose > 0 {
            devices.into_iter().for_each(|device| summarise(&exchange, device));
        }
        Ok(())
    }

    /// As [`Self::work`]. Where that fails, or panics, the other workers are stopped.
    fn work_or_stop(
        &self,
        place: Place,
        engine: FileEngine<TaggedJob>,
        exchange: &Arc<Exchange>,
    ) -> Result<Worked, StartError> {
        let _stop = StopOnPanic { stop: &self.control.stop };
        self.work(place, engine, exchange).map_err(|failure| {
            self.control.stop.store(true, Ordering::Relaxed);
            failure.into()
        })
    }

    fn work(&self, place: Place, engine: FileEngine<TaggedJob>, exchange: &Arc<Exchange>) -> Result<Worked, Failure> {
        let Place { number, cpu, transport } = place;
        if let Some(cpu) = cpu {
            stay_on(cpu, number.get());
        }
        // Behind that, so that its pages are the worker's own CPU's.
        let mut memory = WorkerMemory::new(sessions_of(self.max_transfers), SessionSize::RECEIVER)?;
        let mut streams = Vec::new();
        let mut slots = memory.slots::<NoiseHandshake>(&mut streams);
        let acceptor = self.acceptor.clone();
        let mut worker = Worker::new(self.config.clone(), acceptor, true, &mut slots).numbered(number);
        let (io, packets, shared) = (engine.name(), transport.gauge(), self.shared);
        let teller = Teller::new(self.events.clone(), number.get(), transport.gauge().into_fn());
        let receiver = Receiver::new(self.options.clone(), engine, shared.blocks, teller);
        let (control, policy) = (self.control, &self.options.policy);
        let mut reporting = Reporting { receiver, io, packets, shared, control, policy, exchange, counted: 0 };
        let mut device = exchange.device(number, transport);
        let driven = drive(self.clock, &mut device, &mut worker, &mut reporting, &self.control.stop);
        reporting.report(worker.rejects());
        driven.map_err(Failure::Wait)?;
        Ok((number, device))
    }
}

/// A worker that is over, and its device.
type Worked = (WorkerNumber, Handover<Transport>);

/// Stops the workers beside one that panics.
struct StopOnPanic<'a> {
    stop: &'a AtomicBool,
}

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// Sessions of a worker that may have so many transfers: whoever is one too many is to hear that it is.
fn sessions_of(transfers: usize) -> usize {
    transfers.saturating_add(SESSIONS_TO_REFUSE).min(wirehaul_core::worker::MAX_SESSIONS)
}

/// What so many workers need to write the files that come; `blocks` is where these lie.
pub(super) fn file_io_of(workers: usize, choice: file_io::Choice, blocks: Option<LastingPool>) -> file_io::Wish {
    let all = default_threads().max(WRITE_THREADS);
    let threads = all.div_ceil(workers.max(1)).max(WRITE_THREADS_PER_WORKER);
    file_io::Wish { choice, engines: workers, threads, jobs: ENGINE_JOBS, blocks }
}

/// Says what became of a worker's packets.
fn summarise(exchange: &Exchange, (number, mut device): Worked) {
    let found = exchange.counters(number);
    if exchange.workers() > 1 {
        remark(&format!(
            "worker {}: {} datagrams handed over by other workers, {} lost for a full mailbox",
            number.get(),
            found.handed_over,
            found.dropped
        ));
    }
    remark_on(device.device());
}
