//! A ring and what is under way in it.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use smallvec::SmallVec;
use wirehaul_core::disk::{
    Attempts, Batch, Direction, Flight, Ladder, Landing, Next, Place, Progress, Setup, Step, Strays, Token,
};

use super::buffers::{Region, Regions};
use super::files::Files;
use super::kernel::{KernelRing, KernelSystem};
use super::operation::{Finished, Operation, Output};
use super::refusal::{NotRegistered, Refused, errno_of};
use super::ring::{Call, Completion, Entry, Ring, System, Target};
use crate::clock::Clock;
use crate::io::file::File;

/// How a queue is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueOptions {
    /// Most operations under way at once: 1 to 16384.
    pub entries: u32,
    /// Most files that the kernel knows beforehand; 0 for none.
    pub files: u32,
    /// Poll the device for completions of reads and writes instead of waiting for its interrupts. Only for files that are open
    /// for direct transfers, on devices whose driver has queues for that (`nvme.poll_queues`). What cannot be polled goes
    /// the other way; see [`Queue::polling_refused`].
    pub iopoll: bool,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self { entries: 128, files: 64, iopoll: false }
    }
}

/// How long [`Queue::enter`] stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    No,
    /// Until something is finished.
    One,
    /// Until something is finished, but no longer than this.
    AtMost(Duration),
}

/// What a queue did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Operations that are finished.
    pub finished: u64,
    /// Entries that went to the kernel.
    pub entries: u64,
    /// System calls for them and for completions.
    pub calls: u64,
    /// Operations that had to be continued or begun again.
    pub repeated: u64,
    /// Completions that belonged to nothing under way.
    pub strays: Strays,
}

/// Operations under way in the kernel, for one thread: the one that opened it.
///
/// [`Queue::submit`] puts operations in; [`Queue::enter`] shows those to the kernel that it has not seen yet, and waits;
/// [`Queue::poll`] takes out what is finished. What the kernel touches stays in here until then, also when the queue is dropped:
/// that waits for everything that is under way.
pub struct Queue<R: Ring = KernelRing> {
    /// One, or behind it another that polls.
    rings: SmallVec<[R; 2]>,
    /// Left as it is where operations are under way that no completion can be had for.
    flight: ManuallyDrop<Flight<UnderWay, Box<[Place<UnderWay>]>>>,
    files: Files,
    regions: Regions,
    batches: [Batch; 2],
    /// Transfers under way in the ring that polls.
    polled: u32,
    /// Finished without the kernel.
    spoilt: VecDeque<Finished>,
    /// Of those under way, how many only wait for a file.
    watching: u32,
    polling_refused: Option<Errno>,
    statistics: Statistics,
    memlock: Option<u64>,
    /// A ring belongs to its thread (IORING_SETUP_SINGLE_ISSUER).
    not_send: PhantomData<*const ()>,
}

/// The ring for everything, and the one for transfers that are polled.
const PLAIN: usize = 0;
const POLLED: usize = 1;

/// An operation and how it stands.
struct UnderWay {
    operation: Operation,
    tag: u64,
    state: State,
    target: Target,
    /// The ring that it is in.
    ring: u8,
}

enum State {
    Transfer(Progress),
    Other(Attempts),
}

impl Queue<KernelRing> {
    /// Opens a queue for this thread.
    ///
    /// # Errors
    /// [`Refused`] says why the kernel gives none.
    pub fn open(options: &QueueOptions) -> Result<Self, Refused> {
        Self::open_on(&mut KernelSystem, options)
    }
}

impl<R: Ring> Queue<R> {
    /// Opens a queue on rings of `system`.
    ///
    /// # Errors
    /// [`Refused`] says why it gives none.
    pub fn open_on(system: &mut impl System<Ring = R>, options: &QueueOptions) -> Result<Self, Refused> {
        let entries = options.entries.clamp(1, 16384);
        let mut rings = SmallVec::new();
        rings.push(set_up(system, Setup::empty(), entries)?);
        let mut polling_refused = None;
        if options.iopoll {
            match set_up(system, Setup::IOPOLL, entries) {
                Ok(ring) => rings.push(ring),
                Err(_) => polling_refused = Some(Errno::INVAL),
            }
        }
        let answers = rings.iter().map(|ring: &R| ring.completions()).min().unwrap_or(0);
        let places: Box<[_]> = (0..entries).map(|_| Place::default()).collect();
        let has_table = |ring: &mut R| options.files > 0 && ring.register_files(options.files).is_ok();
        let files = if rings.iter_mut().all(has_table) { options.files } else { 0 };
        Ok(Self {
            rings,
            flight: ManuallyDrop::new(Flight::new(places, answers)),
            files: Files::new(files),
            regions: Regions::default(),
            batches: [Batch::new(); 2],
            polled: 0,
            spoilt: VecDeque::new(),
            watching: 0,
            polling_refused,
            statistics: Statistics::default(),
            memlock: system.memlock(),
            not_send: PhantomData,
        })
    }

    /// Most operations under way at once.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.flight.capacity() as usize
    }

    /// Operations submitted and not yet polled.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.flight.count() as usize + self.spoilt.len()
    }

    /// What it did so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics { strays: self.flight.strays(), ..self.statistics }
    }

    /// Why transfers are not polled though [`QueueOptions::iopoll`] asks for it.
    #[must_use]
    pub const fn polling_refused(&self) -> Option<Errno> {
        self.polling_refused
    }

    /// Makes memory known to the kernel: transfers to and from it cost less from now on. Takes the place of what was registered
    /// before. Its pages are backed and pinned, and count against the limit of locked memory (RLIMIT_MEMLOCK).
    ///
    /// # Errors
    /// [`NotRegistered`]; then nothing is registered, and everything works as before.
    pub fn register_buffers(&mut self, regions: &[Region]) -> Result<(), NotRegistered> {
        if self.flight.count() > 0 {
            return Err(NotRegistered::Busy);
        }
        let regions = Regions::new(regions);
        self.regions = Regions::default();
        for ring in 0..self.rings.len() {
            if let Err(errno) = self.rings[ring].register_buffers(regions.all()) {
                for ring in &mut self.rings {
                    let _ = ring.register_buffers(&[]);
                }
                return Err(NotRegistered::new(errno, regions.bytes(), self.memlock));
            }
        }
        self.regions = regions;
        Ok(())
    }

    /// `file` is about to be closed. Without this the kernel keeps a file that was used more than once open for a few more
    /// operations; what counts on it being closed (running it, unmounting) has to wait for that.
    pub fn forget(&mut self, file: &File) {
        self.files.forget(file, &mut self.rings);
    }

    /// Whether the kernel knows `file` beforehand.
    #[must_use]
    pub fn knows(&self, file: &File) -> bool {
        self.files.knows(file)
    }

    #[cfg(test)]
    pub(super) fn ring_mut(&mut self) -> &mut R {
        &mut self.rings[PLAIN]
    }

    /// Begins an operation. The kernel sees it with the next [`Queue::enter`] at the latest, or now, where enough are waiting.
    ///
    /// # Errors
    /// Gives the operation back where [`Queue::capacity`] of them are under way.
    #[inline]
    pub fn submit(&mut self, mut operation: Operation, tag: u64) -> Result<(), Operation> {
        if self.flight.count() >= self.flight.capacity() {
            return Err(operation);
        }
        let Some(state) = State::new(&mut operation) else {
            self.spoilt.push_back(Finished { tag, operation, result: Err(Errno::INVAL) });
            return Ok(());
        };
        let target = match operation.file() {
            Some(file) => self.files.hold(file, &mut self.rings),
            None => Target::Descriptor(operation.descriptor()),
        };
        let is_polled = self.rings.len() > POLLED && self.polling_refused.is_none() && operation.transfer().is_some();
        let ring = if is_polled { POLLED } else { PLAIN };
        self.watching += u32::from(operation.is_watch());
        self.polled += u32::from(is_polled);
        let under_way = UnderWay { operation, tag, state, target, ring: ring as u8 };
        let (token, under_way) = self.flight.begin(under_way).map_err(|under_way| under_way.operation)?;
        let is_queued = under_way.entry(token, &self.regions).is_some_and(|entry| {
            // SAFETY: what the entry points to belongs to the operation (memory, names, the answer's place; the descriptors are
            // those of files that it holds), on the heap or in a slot, so that it stays where it is while the operation moves.
            // The operation lies in the table and leaves it in `land` alone, with the completion of this token, or never
            // (`drop`). Nobody gets a reference to it meanwhile: `land` looks at it after the completion only.
            unsafe { self.rings[ring].push(&entry) }
        });
        if !is_queued {
            // A ring has as many places as there are operations, and each operation is one entry.
            self.withdraw(token);
            return Ok(());
        }
        if self.batches[ring].queue(self.flight.count()) {
            let _ = self.show(ring, None);
        }
        Ok(())
    }

    /// The next operation that is finished. Does not enter the kernel; [`Queue::enter`] does.
    #[inline]
    pub fn poll(&mut self) -> Option<Finished> {
        if let Some(finished) = self.spoilt.pop_front() {
            return Some(finished);
        }
        for ring in 0..self.rings.len() {
            while let Some(completion) = self.rings[ring].completion() {
                if let Some(finished) = self.land(ring, completion) {
                    return Some(finished);
                }
            }
        }
        None
    }

    /// Shows the kernel what is queued, takes over what it has finished, and waits as asked for, unless nothing is under way or
    /// something is finished already. May come back early.
    ///
    /// # Errors
    /// The ring is of no more use. What is under way stays so.
    pub fn enter(&mut self, wait: Wait) -> Result<(), Errno> {
        let is_idle = self.flight.count() == self.watching;
        self.files.sweep(is_idle && wait != Wait::No, &mut self.rings);
        let time = match wait {
            Wait::One if self.flight.count() > 0 && self.spoilt.is_empty() => Some(Duration::MAX),
            Wait::AtMost(time) if self.flight.count() > 0 && self.spoilt.is_empty() => Some(time),
            _ => None,
        };
        if self.polled > 0 { self.spin(time) } else { self.show(PLAIN, time) }
    }
}

impl<R: Ring> Queue<R> {
    /// Enters a ring; not without need.
    fn show(&mut self, ring: usize, wait: Option<Duration>) -> Result<(), Errno> {
        let queued = self.batches[ring].queued();
        let is_needed =
            queued > 0 || wait.is_some() || ring == POLLED && self.polled > 0 || self.rings[ring].has_more();
        if !is_needed {
            return Ok(());
        }
        self.statistics.calls += 1;
        match self.rings[ring].enter(wait) {
            Ok(taken) => {
                self.statistics.entries += u64::from(taken);
                self.batches[ring].taken(taken);
                Ok(())
            }
            // Nothing is lost: what was queued still is. A signal; no memory for requests just now; completions to be taken
            // out first; the time is over.
            Err(Errno::INTR | Errno::AGAIN | Errno::BUSY | Errno::TIME) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Takes back what the kernel was not told of.
    #[cold]
    fn withdraw(&mut self, token: Token) {
        if let Some(over) = self.flight.withdraw(token) {
            let finished = self.finished(over, Err(Errno::INVAL));
            self.spoilt.push_back(finished);
        }
    }

    /// An operation that has left the table.
    #[inline]
    fn finished(&mut self, over: UnderWay, result: Result<Output, Errno>) -> Finished {
        let UnderWay { operation, tag, target, ring, .. } = over;
        self.files.release(target, &mut self.rings);
        self.watching -= u32::from(operation.is_watch());
        self.polled -= u32::from(usize::from(ring) == POLLED);
        Finished { tag, operation, result }
    }

    /// Enters both rings in turn until one has something, or the time is over.
    fn spin(&mut self, wait: Option<Duration>) -> Result<(), Errno> {
        let clock = Clock::start();
        let is_over =
            |wait: Option<Duration>| wait.is_none_or(|time| u128::from(clock.now().as_nanos()) >= time.as_nanos());
        loop {
            self.show(PLAIN, None)?;
            self.show(POLLED, None)?;
            if is_over(wait) || self.rings.iter().any(Ring::is_ready) {
                return Ok(());
            }
        }
    }

    /// Whatever a completion means: an operation that is finished, or one that goes on.
    #[inline]
    fn land(&mut self, ring: usize, completion: Completion) -> Option<Finished> {
        let Completion { word, result } = completion;
        if word == Token::NOBODY {
            return None;
        }
        let Self { flight, rings, regions, batches, polling_refused, polled, .. } = self;
        let mut outcome = Err(Errno::IO);
        let landing = flight.land(Token::from_word(word), |under_way, next| {
            if ring == POLLED && result == -libc::EOPNOTSUPP {
                // Not this file, or not this device: from now on none of them.
                *polling_refused = Some(Errno::OPNOTSUPP);
                *polled -= 1;
                under_way.ring = PLAIN as u8;
            } else if let Some(over) = under_way.completed(result) {
                outcome = over;
                return true;
            }
            let ring = usize::from(under_way.ring);
            let is_queued = under_way.entry(next, regions).is_some_and(|entry| {
                // SAFETY: as in `submit`, with another token: the completion of the one before has come.
                unsafe { rings[ring].push(&entry) }
            });
            if is_queued {
                let _ = batches[ring].queue(u32::MAX);
            }
            !is_queued
        });
        match landing {
            Landing::Ended(over) => {
                self.statistics.finished += 1;
                Some(self.finished(over, outcome))
            }
            Landing::Again => {
                self.statistics.repeated += 1;
                None
            }
            Landing::Stray => None,
        }
    }
}

/// The best ring that `system` gives.
fn set_up<S: System>(system: &mut S, wish: Setup, entries: u32) -> Result<S::Ring, Refused> {
    let mut ladder = Ladder::new(wish);
    let mut setup = ladder.first();
    // As many answers again: entries that cancel others have one too.
    let ring = loop {
        match system.set_up(setup, entries, entries * 2) {
            Ok(ring) => break ring,
            Err(errno) => match ladder.failed(errno.raw_os_error(), system.disabled()) {
                Step::Try(next) => setup = next,
                Step::Refused(refusal) => {
                    return Err(Refused::new(refusal, entries, wish.contains(Setup::IOPOLL), system.memlock()));
                }
            },
        }
    };
    match ring.missing() {
        Some(missing) => Err(Refused::Old { missing }),
        None => Ok(ring),
    }
}

impl State {
    /// Where an operation begins; `None` where it cannot be.
    #[inline]
    fn new(operation: &mut Operation) -> Option<Self> {
        let Some((direction, offset)) = operation.transfer() else { return Some(Self::Other(Attempts::new())) };
        let memory = operation.memory()?;
        let len = u32::try_from(memory.len()).ok()?;
        Progress::new(direction, offset, len, memory.addr().get()).map(Self::Transfer)
    }
}

impl UnderWay {
    /// What the kernel is to do now.
    #[inline]
    fn entry(&mut self, token: Token, regions: &Regions) -> Option<Entry> {
        let call = match &self.state {
            State::Transfer(progress) => transfer(&mut self.operation, progress, regions)?,
            State::Other(_) => self.operation.call()?,
        };
        Some(Entry { word: token.to_word(), target: self.target, call })
    }

    /// What the kernel's answer means; `None` if it is to be asked again.
    #[inline]
    fn completed(&mut self, result: i32) -> Option<Result<Output, Errno>> {
        match &mut self.state {
            State::Transfer(progress) => match progress.completed(result) {
                Next::Done(bytes) => Some(Ok(Output::Bytes(u64::from(bytes)))),
                Next::Again => None,
                Next::Failed(errno) => Some(Err(errno_of(errno))),
            },
            State::Other(attempts) if result < 0 => {
                let errno = result.saturating_neg();
                let again = self.operation.is_repeatable() && attempts.after(errno);
                (!again).then(|| Err(errno_of(errno)))
            }
            State::Other(_) => Some(Ok(self.operation.output(|| {
                // SAFETY: the kernel has just opened it for this operation, of which this is the only completion; nobody else
                // knows it.
                unsafe { OwnedFd::from_raw_fd(result) }
            }))),
        }
    }
}

/// The part of a read or write that is to be asked for.
#[inline]
fn transfer(operation: &mut Operation, progress: &Progress, regions: &Regions) -> Option<Call> {
    let memory = operation.memory()?;
    let piece = progress.piece();
    // SAFETY: a piece lies inside of its operation's memory, whose length it was made with.
    let memory = unsafe { memory.cast::<u8>().add(piece.from as usize) };
    let region = regions.of_piece(memory, &piece);
    let (len, offset) = (piece.len, piece.offset);
    Some(match progress.direction() {
        Direction::Read => Call::Read { memory, len, offset, region },
        Direction::Write => Call::Write { memory, len, offset, region },
    })
}

impl<R: Ring> Drop for Queue<R> {
    fn drop(&mut self) {
        self.finish();
        if self.flight.count() == 0 {
            // SAFETY: once, here; nothing uses it afterwards.
            unsafe { ManuallyDrop::drop(&mut self.flight) };
        }
    }
}

impl<R: Ring> Queue<R> {
    /// Waits for everything that is under way. What would have to go on is left as it is.
    fn finish(&mut self) {
        self.stop_watching();
        while self.flight.count() > 0 {
            if self.enter(Wait::One).is_err() {
                return;
            }
            for ring in &mut self.rings {
                while let Some(Completion { word, result }) = ring.completion() {
                    let _ = self.flight.land(Token::from_word(word), |under_way, _| {
                        // A file that was opened meanwhile is closed with this.
                        let _ = under_way.completed(result);
                        true
                    });
                }
            }
        }
    }

    /// Cancels what may never finish.
    fn stop_watching(&mut self) {
        let watches = self.flight.iter().filter(|(_, under_way)| under_way.operation.is_watch());
        let words: SmallVec<[u64; 4]> = watches.map(|(token, _)| token.to_word()).collect();
        for word in words {
            let cancel = Entry { word: Token::NOBODY, target: Target::Descriptor(-1), call: Call::Cancel { word } };
            // SAFETY: it points to nothing.
            while !unsafe { self.rings[PLAIN].push(&cancel) } {
                if self.show(PLAIN, None).is_err() {
                    return;
                }
            }
            let _ = self.batches[PLAIN].queue(u32::MAX);
        }
    }
}

impl<R: Ring> fmt::Debug for Queue<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("flight", &*self.flight).field("statistics", &self.statistics).finish()
    }
}
