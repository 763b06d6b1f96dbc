//! A ring that does what a script says, for tests: it really reads, writes and opens, but less than it was asked for, later,
//! in another order, or not at all.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;
use wirehaul_core::disk::Setup;

use super::buffers::Region;
use super::ring::{Call, Completion, Entry, Ring, System, Target};

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// What is done.
    pub act: Act,
    /// After how many more calls it is done, and the completion comes.
    pub delay: u32,
    /// How often the completion comes once more.
    pub echoes: u32,
}

/// What is done for an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Act {
    /// What it asks for.
    #[default]
    Do,
    /// Of a read or write only so many bytes.
    AtMost(u32),
    /// Nothing.
    Fail(Errno),
}

/// Says what becomes of each entry.
pub type Plan = Box<dyn FnMut(&Entry) -> Behaviour>;

/// How a kernel is, and what its rings do.
pub struct Script {
    /// The set-up flags that it knows.
    pub known: Setup,
    /// What it answers to any set-up.
    pub refusal: Option<Errno>,
    /// kernel.io_uring_disabled
    pub disabled: u8,
    /// Bytes that may be locked.
    pub memlock: Option<u64>,
    /// What it cannot do.
    pub missing: Option<&'static str>,
    /// Places for answers, if not as many as asked for.
    pub completions: Option<u32>,
    /// Whether rings have tables of files.
    pub has_file_tables: bool,
    /// What becomes of each entry.
    pub plan: Plan,
    /// What the next calls of enter say instead of doing anything.
    pub enter_failures: VecDeque<Errno>,
    /// Most entries that one call takes.
    pub takes: u32,
    /// What was seen.
    pub seen: Seen,
}

/// What rings of a script were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Set-ups that were tried.
    pub setups: Vec<Setup>,
    /// Entries whose memory was registered.
    pub fixed: u64,
    /// Entries whose file was registered.
    pub registered: u64,
    /// Syncs that were asked for.
    pub syncs: u64,
    /// Completions that had no place at once.
    pub overflowed: u64,
    /// Calls of enter.
    pub calls: u64,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            known: Setup::all(),
            refusal: None,
            disabled: 0,
            memlock: None,
            missing: None,
            completions: None,
            has_file_tables: true,
            plan: Box::new(|_| Behaviour::default()),
            enter_failures: VecDeque::new(),
            takes: u32::MAX,
            seen: Seen::default(),
        }
    }
}

/// A system that follows a script. Clones share it.
#[derive(Clone)]
pub struct ScriptedSystem(Rc<RefCell<Script>>);

impl ScriptedSystem {
    /// One that follows `script`.
    #[must_use]
    pub fn new(script: Script) -> Self {
        Self(Rc::new(RefCell::new(script)))
    }

    /// Changes the script.
    pub fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.0.borrow_mut());
    }

    /// What its rings were asked for so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.0.borrow().seen.clone()
    }
}

impl System for ScriptedSystem {
    type Ring = ScriptedRing;

    fn set_up(&mut self, setup: Setup, entries: u32, completions: u32) -> Result<ScriptedRing, Errno> {
        let mut script = self.0.borrow_mut();
        script.seen.setups.push(setup);
        if let Some(errno) = script.refusal {
            return Err(errno);
        }
        if !script.known.contains(setup) {
            return Err(Errno::INVAL);
        }
        Ok(ScriptedRing {
            script: self.0.clone(),
            entries,
            completions: script.completions.unwrap_or(completions),
            missing: script.missing,
            queued: VecDeque::new(),
            pending: Vec::new(),
            ready: VecDeque::new(),
            overflow: VecDeque::new(),
            regions: Vec::new(),
            files: Vec::new(),
            now: 0,
        })
    }

    fn disabled(&self) -> u8 {
        self.0.borrow().disabled
    }

    fn memlock(&self) -> Option<u64> {
        self.0.borrow().memlock
    }
}

/// A ring that follows a script.
pub struct ScriptedRing {
    script: Rc<RefCell<Script>>,
    entries: u32,
    completions: u32,
    missing: Option<&'static str>,
    queued: VecDeque<Entry>,
    pending: Vec<Pending>,
    ready: VecDeque<Completion>,
    overflow: VecDeque<Completion>,
    regions: Vec<Region>,
    files: Vec<Option<OwnedFd>>,
    /// Counts calls.
    now: u64,
}

/// An entry that was taken and not done.
struct Pending {
    entry: Entry,
    behaviour: Behaviour,
    due: u64,
}

impl Ring for ScriptedRing {
    fn entries(&self) -> u32 {
        self.entries
    }

    fn completions(&self) -> u32 {
        self.completions
    }

    fn missing(&self) -> Option<&'static str> {
        self.missing
    }

    unsafe fn push(&mut self, entry: &Entry) -> bool {
        let has_room = self.queued.len() < self.entries as usize;
        if has_room {
            self.queued.push_back(*entry);
        }
        has_room
    }

    fn enter(&mut self, wait: Option<Duration>) -> Result<u32, Errno> {
        let failure = {
            let mut script = self.script.borrow_mut();
            script.seen.calls += 1;
            script.enter_failures.pop_front()
        };
        if let Some(errno) = failure {
            return Err(errno);
        }
        let taken = self.take_queued();
        self.now += 1;
        self.do_what_is_due();
        while wait.is_some() && self.ready.is_empty() {
            let is_hopeless = self.pending.iter().all(|pending| matches!(pending.entry.call, Call::Poll));
            if is_hopeless {
                // Who waits without an end would wait for ever.
                return Err(if wait == Some(Duration::MAX) { Errno::DEADLK } else { Errno::TIME });
            }
            self.now += 1;
            self.do_what_is_due();
        }
        Ok(taken)
    }

    fn has_more(&self) -> bool {
        !self.overflow.is_empty() || !self.pending.is_empty()
    }

    fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    fn completion(&mut self) -> Option<Completion> {
        self.ready.pop_front()
    }

    fn register_buffers(&mut self, regions: &[Region]) -> Result<(), Errno> {
        self.regions.clear();
        let bytes: u64 = regions.iter().map(|region| region.len() as u64).sum();
        if self.script.borrow().memlock.is_some_and(|limit| bytes > limit) {
            return Err(Errno::NOMEM);
        }
        self.regions.extend_from_slice(regions);
        Ok(())
    }

    fn register_files(&mut self, places: u32) -> Result<(), Errno> {
        if !self.script.borrow().has_file_tables {
            return Err(Errno::INVAL);
        }
        self.files = (0..places).map(|_| None).collect();
        Ok(())
    }

    fn set_file(&mut self, place: u32, file: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
        // As the kernel does, the table keeps the file open by itself.
        let file = file.map(|file| rustix::io::fcntl_dupfd_cloexec(file, 0)).transpose()?;
        *self.files.get_mut(place as usize).ok_or(Errno::INVAL)? = file;
        Ok(())
    }
}

impl ScriptedRing {
    fn take_queued(&mut self) -> u32 {
        let mut script = self.script.borrow_mut();
        let count = self.queued.len().min(script.takes as usize);
        for entry in self.queued.drain(..count) {
            script.seen.registered += u64::from(matches!(entry.target, Target::Registered(_)));
            script.seen.syncs += u64::from(matches!(entry.call, Call::Sync { .. }));
            let is_fixed =
                matches!(entry.call, Call::Read { region: Some(_), .. } | Call::Write { region: Some(_), .. });
            script.seen.fixed += u64::from(is_fixed);
            let behaviour =
                if matches!(entry.call, Call::Cancel { .. }) { Behaviour::default() } else { (script.plan)(&entry) };
            self.pending.push(Pending { entry, behaviour, due: self.now + u64::from(behaviour.delay) });
        }
        count as u32
    }

    fn do_what_is_due(&mut self) {
        let now = self.now;
        let mut at = 0;
        while let Some(pending) = self.pending.get(at) {
            let is_due = pending.due < now;
            let is_unready = matches!(pending.entry.call, Call::Poll)
                && pending.behaviour.act == Act::Do
                && !is_readable(self.descriptor(pending.entry.target));
            if !is_due || is_unready {
                at += 1;
                continue;
            }
            let Pending { entry, behaviour, .. } = self.pending.remove(at);
            let result = self.outcome(&entry, behaviour.act);
            for _ in 0..=behaviour.echoes {
                self.overflow.push_back(Completion { word: entry.word, result });
            }
        }
        let room = (self.completions as usize).saturating_sub(self.ready.len());
        let moved = room.min(self.overflow.len());
        self.ready.extend(self.overflow.drain(..moved));
        self.script.borrow_mut().seen.overflowed += self.overflow.len() as u64;
    }

    fn outcome(&mut self, entry: &Entry, act: Act) -> i32 {
        match (act, entry.call) {
            (Act::Fail(errno), _) => -errno.raw_os_error(),
            (_, Call::Cancel { word }) => self.cancel(word),
            (Act::AtMost(most), call) => self.perform(entry.target, call, most),
            (Act::Do, call) => self.perform(entry.target, call, u32::MAX),
        }
    }

    fn cancel(&mut self, word: u64) -> i32 {
        let Some(at) = self.pending.iter().position(|pending| pending.entry.word == word) else {
            return -libc::ENOENT;
        };
        self.pending.remove(at);
        self.overflow.push_back(Completion { word, result: -libc::ECANCELED });
        0
    }

    fn descriptor(&self, target: Target) -> RawFd {
        match target {
            Target::Descriptor(descriptor) => descriptor,
            Target::Registered(place) => {
                self.files.get(place as usize).and_then(Option::as_ref).map_or(-1, AsRawFd::as_raw_fd)
            }
        }
    }

    /// Whether memory lies in the registered region that an entry says it does.
    fn is_in(&self, region: Option<u16>, memory: NonNull<u8>, len: u32) -> bool {
        let Some(region) = region else { return true };
        self.regions.get(usize::from(region)).is_some_and(|known| {
            let (begin, at) = (known.start().as_ptr() as usize, memory.as_ptr() as usize);
            at >= begin && at + len as usize <= begin + known.len()
        })
    }

    fn perform(&self, target: Target, call: Call, most: u32) -> i32 {
        let file = self.descriptor(target);
        if let Call::Read { memory, len, region, .. } | Call::Write { memory, len, region, .. } = call
            && !self.is_in(region, memory, len)
        {
            return -libc::EFAULT;
        }
        // SAFETY: by the contract of `push` all pointers are good until the completion, which the caller makes of the result:
        // memory of `len` bytes that nobody else uses, names that end with a zero, and a place for an answer. Descriptors that
        // are not open make an error.
        let result = unsafe {
            match call {
                Call::Read { memory, len, offset, .. } => {
                    libc::pread(file, memory.as_ptr().cast(), len.min(most) as usize, offset.cast_signed()) as i64
                }
                Call::Write { memory, len, offset, .. } => {
                    libc::pwrite(file, memory.as_ptr().cast(), len.min(most) as usize, offset.cast_signed()) as i64
                }
                Call::Sync { data_only: true } => i64::from(libc::fdatasync(file)),
                Call::Sync { data_only: false } => i64::from(libc::fsync(file)),
                Call::Allocate { mode, offset, len } => {
                    i64::from(libc::fallocate(file, mode, offset.cast_signed(), len.cast_signed()))
                }
                Call::Open { name, flags, mode } => i64::from(libc::openat(file, name.as_ptr(), flags, mode)),
                Call::Stat { name, flags, mask, answer } => {
                    i64::from(libc::statx(file, name.as_ptr(), flags, mask, answer.as_ptr().cast()))
                }
                Call::Rename { name, to, new_name, flags } => {
                    i64::from(libc::renameat2(file, name.as_ptr(), to, new_name.as_ptr(), flags))
                }
                Call::Link { name, to, new_name, flags } => {
                    i64::from(libc::linkat(file, name.as_ptr(), to, new_name.as_ptr(), flags))
                }
                Call::Unlink { name, flags } => i64::from(libc::unlinkat(file, name.as_ptr(), flags)),
                Call::MakeDir { name, mode } => i64::from(libc::mkdirat(file, name.as_ptr(), mode)),
                Call::Poll => i64::from(libc::POLLIN),
                Call::Cancel { .. } => 0,
            }
        };
        if result < 0 {
            return -std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        }
        // No longer than the entry's own length.
        result as i32
    }
}

fn is_readable(file: RawFd) -> bool {
    let mut poll = libc::pollfd { fd: file, events: libc::POLLIN, revents: 0 };
    // SAFETY: one structure, which outlives the call.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
}
