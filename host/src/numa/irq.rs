//! A card's interrupts on the CPUs of its workers for as long as a process runs (NUMA-5).
//!
//! ```text
//! card      which interrupts are those of queues        kernel    reads and moves them
//! journal   what each process did, and who lives        warning   what did not go as it should
//! ```
//!
//! Each process notes what it is about to do in a journal, locks it, and only then moves anything. Who comes next puts back what
//! the dead have left, and leaves alone what the living hold. Who takes what, and who puts it back, is decided in
//! [`wirehaul_core::numa`].

mod card;
#[cfg(test)]
mod card_tests;
mod journal;
mod kernel;
#[cfg(test)]
mod tests;
mod warning;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wirehaul_core::numa::{Claim, CpuSet, Return, Steering, give_back, steer};

use crate::interface::Interface;
use crate::kernel_files::Files;
use journal::{Claimed, Folder, Found, Journal, Locked, Record};
use kernel::Interrupts;

pub use journal::JournalError;
pub use warning::{Named, Warning};

/// Where journals lie, unless the service manager has given this process a directory: the file system there is empty after each
/// start of the machine, as interrupts are where the kernel puts them.
const RUNTIME: &str = "/run/wirehaul";
const FOLDER: &str = "interrupts";
/// How long it may take until moves show: 50 ms for all interrupts together.
const PAUSE: Duration = Duration::from_millis(5);
const MOST_PAUSES: u32 = 10;

/// Interrupts that are where they should be. They go back when this is dropped, or with [`Steered::put_back`], which says what
/// did not.
pub struct Steered {
    kernel: Box<dyn Interrupts>,
    folder: PathBuf,
    journal: Option<Journal>,
    claims: Vec<Claimed>,
    moved: Vec<u32>,
    recovered: Vec<u32>,
    warnings: Vec<Warning>,
}

impl Steered {
    /// No interrupts.
    #[must_use]
    pub fn nothing() -> Self {
        Self::none(Box::new(Files::of_machine()), folder())
    }

    /// Moves the interrupts of an interface's queues to these CPUs, and puts back before that what processes that died have left
    /// elsewhere. Those that are within are left alone. What does not work is in [`Steered::warnings`].
    ///
    /// A driver may make its interrupts anew when XDP is attached or detached: this belongs behind the opening of sockets, and its end
    /// before they are closed.
    #[must_use]
    pub fn steer(interface: &Interface, cpus: &CpuSet) -> Self {
        let kernel = Box::new(Files::of_machine());
        let interrupts = card::queue_interrupts(interface, &*kernel);
        Self::at(kernel, folder(), &interface.name, &interrupts, cpus)
    }

    /// Those that were moved, in ascending order: not those that were where they should be.
    #[must_use]
    pub fn moved(&self) -> &[u32] {
        &self.moved
    }

    /// Those that a process that died had left elsewhere, and that were put back.
    #[must_use]
    pub fn recovered(&self) -> &[u32] {
        &self.recovered
    }

    /// What did not go as it should.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Puts them back. Those that others hold, or have moved since, stay where they are. Returns what could not be put back.
    #[must_use]
    pub fn put_back(mut self) -> Vec<Warning> {
        self.leave()
    }

    fn none(kernel: Box<dyn Interrupts>, folder: PathBuf) -> Self {
        let (claims, moved, recovered, warnings) = Default::default();
        Self { kernel, folder, journal: None, claims, moved, recovered, warnings }
    }

    fn at(kernel: Box<dyn Interrupts>, path: PathBuf, interface: &str, interrupts: &[u32], cpus: &CpuSet) -> Self {
        let mut steered = Self::none(kernel, path.clone());
        if interrupts.is_empty() {
            return steered;
        }
        let folder = match Folder::make(&path) {
            Ok(folder) => folder,
            Err(error) => {
                steered.go_without(interface, interrupts, cpus, error);
                return steered;
            }
        };
        match folder.lock() {
            Some(locked) => steered.take(&locked, interface, interrupts, cpus),
            None => steered.warnings.push(Warning::Locked { folder: path }),
        }
        steered
    }

    /// Without journals nothing is moved. Where nothing would have been, there is nothing to be said.
    fn go_without(&mut self, interface: &str, interrupts: &[u32], cpus: &CpuSet, error: JournalError) {
        let now = self.read(interface, interrupts);
        let is_elsewhere =
            |(interrupt, now): &&(u32, CpuSet)| matches!(steer(*interrupt, now, cpus, []), Steering::Move(_));
        let elsewhere: Vec<_> = now.iter().filter(is_elsewhere).map(|(interrupt, _)| self.named(*interrupt)).collect();
        if elsewhere.is_empty() {
            return;
        }
        let interface = interface.to_owned();
        self.warnings.push(match error {
            JournalError::Folder { source, .. } if is_not_allowed(&source) => {
                Warning::NotAllowed { interface, interrupts: elsewhere, cpus: *cpus, why: source.to_string() }
            }
            source => Warning::NoJournal { interface, source },
        });
    }

    fn take(&mut self, locked: &Locked<'_>, interface: &str, interrupts: &[u32], cpus: &CpuSet) {
        let Recovered { put_back, mut warnings, living, has_unknown } =
            put_back_for_the_dead(&*self.kernel, locked, None);
        self.recovered = put_back;
        self.warnings.append(&mut warnings);
        if has_unknown {
            return;
        }
        let claims = || claims_of(&living);
        let (mut held, mut to_move, mut taken) = (Vec::new(), Vec::new(), Vec::new());
        for (interrupt, now) in self.read(interface, interrupts) {
            match steer(interrupt, &now, cpus, claims()) {
                Steering::Leave => {}
                Steering::Hold(claim) => held.push(claim),
                Steering::Move(claim) => to_move.push(claim),
                Steering::Taken => taken.push(interrupt),
            }
        }
        self.say_taken(interface, &taken, &living);
        let planned = held.iter().chain(&to_move).map(|claim| (*claim, self.kernel.name(claim.interrupt)));
        let planned: Vec<_> = planned.collect();
        if planned.is_empty() {
            return;
        }
        let (boot, process) = (self.kernel.boot(), std::process::id());
        match locked.write(&Record { boot, process, interface: interface.to_owned(), claims: planned.clone() }) {
            Ok(journal) => self.journal = Some(journal),
            Err(source) => {
                // Nothing is lost where nothing had to be moved.
                if !to_move.is_empty() {
                    self.warnings.push(Warning::NoJournal { interface: interface.to_owned(), source });
                }
                return;
            }
        }
        let not_moved = self.move_all(interface, &to_move);
        self.claims = planned.into_iter().filter(|(claim, _)| !not_moved.contains(&claim.interrupt)).collect();
        if self.claims.is_empty()
            && let Some(journal) = self.journal.take()
        {
            locked.remove(&journal.file);
        }
        self.say_balanced();
    }

    /// Returns those that stay where they are.
    fn move_all(&mut self, interface: &str, claims: &[Claim]) -> BTreeSet<u32> {
        let mut refused: Vec<(String, Vec<Named>)> = Vec::new();
        let mut claims_left = claims.iter();
        for claim in claims_left.by_ref() {
            match move_one(&*self.kernel, claim) {
                Ok(()) => self.moved.push(claim.interrupt),
                Err(error) if is_not_allowed(&error) => {
                    // What holds for one holds for those behind it.
                    let rest = std::iter::once(claim).chain(claims_left.as_slice());
                    let interrupts = rest.map(|claim| self.named(claim.interrupt)).collect();
                    let (interface, cpus, why) = (interface.to_owned(), claim.set, error.to_string());
                    self.warnings.push(Warning::NotAllowed { interface, interrupts, cpus, why });
                    break;
                }
                Err(error) => {
                    let (why, interrupt) = (error.to_string(), self.named(claim.interrupt));
                    match refused.iter_mut().find(|(known, _)| *known == why) {
                        Some((_, interrupts)) => interrupts.push(interrupt),
                        None => refused.push((why, vec![interrupt])),
                    }
                }
            }
        }
        let of_interface = |(why, interrupts)| Warning::Refused { interface: interface.to_owned(), interrupts, why };
        self.warnings.extend(refused.into_iter().map(of_interface));
        claims.iter().map(|claim| claim.interrupt).filter(|interrupt| !self.moved.contains(interrupt)).collect()
    }

    fn say_taken(&mut self, interface: &str, taken: &[u32], living: &[Record]) {
        if taken.is_empty() {
            return;
        }
        let holds = |record: &&Record| record.claims().any(|claim| taken.contains(&claim.interrupt));
        let processes = living.iter().filter(holds).map(|record| record.process).collect();
        let interrupts = taken.iter().map(|interrupt| self.named(*interrupt)).collect();
        self.warnings.push(Warning::Taken { interface: interface.to_owned(), interrupts, processes });
    }

    fn say_balanced(&mut self) {
        if !self.moved.is_empty() && self.kernel.has_irqbalance() {
            let interrupts = self.claims.iter().map(|(claim, _)| claim.interrupt).collect();
            self.warnings.push(Warning::Balanced { interrupts });
        }
    }

    /// Where they are now. Those that cannot be read are left out; that none can is said.
    fn read(&mut self, interface: &str, interrupts: &[u32]) -> Vec<(u32, CpuSet)> {
        let (mut found, mut failure) = (Vec::new(), None);
        for interrupt in interrupts {
            match self.kernel.cpus(*interrupt) {
                Ok(cpus) if !cpus.is_empty() => found.push((*interrupt, cpus)),
                Ok(_) => failure = Some("they have no CPUs".to_owned()),
                Err(error) => failure = Some(error.to_string()),
            }
        }
        if let (true, Some(why)) = (found.is_empty(), failure) {
            self.warnings.push(Warning::Unreadable { interface: interface.to_owned(), why });
        }
        found
    }

    fn named(&self, number: u32) -> Named {
        Named { number, name: self.kernel.name(number) }
    }

    /// The journal stays where it is if somebody holds the folder, or where not all could be put back: then the next start does it.
    fn leave(&mut self) -> Vec<Warning> {
        let Some(journal) = self.journal.take() else { return Vec::new() };
        let folder = match Folder::existing(&self.folder) {
            Ok(Some(folder)) => folder,
            // Somebody has removed it: what was written down is in memory, too.
            Ok(None) => return self.leave_alone(&[]).0,
            Err(error) => return vec![Warning::NoFolder(error)],
        };
        let Some(locked) = folder.lock() else {
            return vec![Warning::Locked { folder: self.folder.clone() }];
        };
        // Theirs may be newer than ours.
        let dead = put_back_for_the_dead(&*self.kernel, &locked, Some((&journal.file, &self.claims)));
        let (warnings, is_done) = self.leave_alone(&dead.living);
        if is_done {
            locked.remove(&journal.file);
        }
        dead.warnings.into_iter().chain(warnings).collect()
    }

    fn leave_alone(&mut self, living: &[Record]) -> (Vec<Warning>, bool) {
        let mut returns = Returns::default();
        std::mem::take(&mut self.claims).iter().for_each(|claim| returns.one(&*self.kernel, claim, living, &[]));
        (returns.warnings, !returns.has_to_wait)
    }
}

impl Drop for Steered {
    fn drop(&mut self) {
        // Whoever wants to know asks for it.
        let _ = self.leave();
    }
}

impl fmt::Debug for Steered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel: _, folder, journal, claims, moved, recovered, warnings } = self;
        let mut debug = f.debug_struct("Steered");
        debug.field("folder", folder).field("journal", journal).field("claims", claims).field("moved", moved);
        debug.field("recovered", recovered).field("warnings", warnings).finish()
    }
}

/// The name of this process's journal, and what is in it.
type Own<'a> = (&'a str, &'a [Claimed]);

/// What was put back for processes that have died.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The interrupts, in ascending order.
    pub put_back: Vec<u32>,
    /// What did not go as it should.
    pub warnings: Vec<Warning>,
    living: Vec<Record>,
    /// A process lives of which it is not known what it holds.
    has_unknown: bool,
}

/// Puts back what processes that died have left elsewhere: for the start of a process that moves no interrupts itself.
#[must_use]
pub fn recover() -> Recovered {
    recover_at(&Files::of_machine(), &folder())
}

fn recover_at(kernel: &dyn Interrupts, path: &Path) -> Recovered {
    let warned = |warning| Recovered { warnings: vec![warning], ..Recovered::default() };
    match Folder::existing(path) {
        Ok(None) => Recovered::default(),
        // Somebody else's: that is not our business.
        Err(JournalError::Folder { source, .. }) if is_not_allowed(&source) => Recovered::default(),
        Err(error) => warned(Warning::NoFolder(error)),
        Ok(Some(folder)) => match folder.lock() {
            Some(locked) => put_back_for_the_dead(kernel, &locked, None),
            None => warned(Warning::Locked { folder: path.to_owned() }),
        },
    }
}

fn put_back_for_the_dead(kernel: &dyn Interrupts, locked: &Locked<'_>, own: Option<Own<'_>>) -> Recovered {
    locked.remove_unfinished();
    let Found { living, dead, unknown, damaged } = locked.look(own.map(|(file, _)| file));
    let mut returns = Returns::default();
    for (file, why) in damaged {
        locked.set_aside(&file);
        returns.warnings.push(Warning::SetAside { file, why });
    }
    let has_unknown = !unknown.is_empty();
    returns.warnings.extend(unknown.into_iter().map(|(file, why)| Warning::Unknown { file, why }));
    // Of another boot: nothing is where it was put.
    let boot = kernel.boot();
    let (dead, past): (Vec<_>, Vec<_>) = dead.into_iter().partition(|dead| dead.record.boot == boot);
    past.iter().for_each(|dead| locked.remove(&dead.file));
    let mut claims: Vec<_> = dead.iter().flat_map(|dead| &dead.record.claims).collect();
    // The newest first, as the core wants it.
    claims.sort_by_key(|(claim, _)| Reverse(claim.round));
    let own = own.map_or(&[][..], |(_, claims)| claims);
    claims.into_iter().for_each(|claim| returns.one(kernel, claim, &living, own));
    if !returns.has_to_wait {
        dead.iter().for_each(|dead| locked.remove(&dead.file));
    }
    let Returns { mut put_back, warnings, .. } = returns;
    put_back.sort_unstable();
    put_back.dedup();
    Recovered { put_back, warnings, living, has_unknown }
}

/// What a process that died has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    /// Its journal.
    pub file: PathBuf,
    /// Its number.
    pub process: u32,
    /// The interface whose interrupts it had moved.
    pub interface: String,
    /// Those interrupts.
    pub interrupts: Vec<u32>,
}

/// What processes that died have left elsewhere in this boot, without putting anything back: for those who only look. Nothing where
/// the journals are not for this user to see.
#[must_use]
pub fn left_behind() -> Vec<LeftBehind> {
    left_behind_at(&Files::of_machine(), &folder())
}

fn left_behind_at(kernel: &dyn Interrupts, path: &Path) -> Vec<LeftBehind> {
    let Ok(Some(folder)) = Folder::existing(path) else { return Vec::new() };
    let Some(locked) = folder.lock() else { return Vec::new() };
    let boot = kernel.boot();
    let dead = locked.look(None).dead.into_iter().filter(|dead| dead.record.boot == boot);
    dead.map(|dead| LeftBehind {
        file: folder.path().join(&dead.file),
        process: dead.record.process,
        interrupts: dead.record.claims().map(|claim| claim.interrupt).collect(),
        interface: dead.record.interface,
    })
    .collect()
}

/// Claims that are given back, one after the other.
#[derive(Debug, Default)]
struct Returns {
    put_back: Vec<u32>,
    warnings: Vec<Warning>,
    /// Something could not be put back that another process may be able to.
    has_to_wait: bool,
    /// Pauses for moves that the kernel had not finished.
    pauses: u32,
}

impl Returns {
    /// `others` are claims of this process that are not given back yet.
    fn one(&mut self, kernel: &dyn Interrupts, (claim, name): &Claimed, living: &[Record], others: &[Claimed]) {
        let now_called = kernel.name(claim.interrupt);
        if !now_called.is_empty() && now_called != *name {
            // The number has been given to something else since.
            return;
        }
        let returned = match settled(kernel, claim, &mut self.pauses) {
            Ok(now) => match give_back(claim, &now, claims_of(living).chain(others.iter().map(|(claim, _)| claim))) {
                Return::PutBack if claim.before == claim.set => Ok(false),
                Return::PutBack => kernel.set_cpus(claim.interrupt, &claim.before).map(|()| true),
                Return::LeftToOthers | Return::MovedSince => Ok(false),
            },
            // There is no such interrupt any more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        };
        match returned {
            Ok(true) => self.put_back.push(claim.interrupt),
            Ok(false) => {}
            Err(error) => {
                self.has_to_wait |= is_not_allowed(&error);
                let interrupt = Named { number: claim.interrupt, name: name.clone() };
                self.warnings.push(Warning::NotPutBack { interrupt, before: claim.before, why: error.to_string() });
            }
        }
    }
}

fn claims_of(records: &[Record]) -> impl Iterator<Item = &Claim> {
    records.iter().flat_map(Record::claims)
}

/// The CPUs of an interrupt, as soon as they are those that the claim has set, or else after a while. A move may have to wait for
/// the next interrupt, and while the kernel carries it out, it shows the old CPUs or none (kernel/irq/migration.c, `irq_move_masked_irq`).
fn settled(kernel: &dyn Interrupts, claim: &Claim, pauses: &mut u32) -> io::Result<CpuSet> {
    loop {
        let now = kernel.cpus(claim.interrupt)?;
        if now == claim.set || *pauses >= MOST_PAUSES {
            return Ok(now);
        }
        *pauses += 1;
        std::thread::sleep(PAUSE);
    }
}

fn move_one(kernel: &dyn Interrupts, claim: &Claim) -> io::Result<()> {
    kernel.set_cpus(claim.interrupt, &claim.set)?;
    if settled(kernel, claim, &mut 0)? == claim.set {
        return Ok(());
    }
    // It could not be told from one that somebody else has moved.
    kernel.set_cpus(claim.interrupt, &claim.before)?;
    Err(io::Error::other("it does not stay there"))
}

/// Whether this is about who asks, and not about what is asked for. Of an interrupt that it manages the kernel says EPERM
/// (kernel/irq/proc.c, `write_irq_affinity`), of a file that is somebody else's EACCES.
fn is_not_allowed(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EACCES | libc::EROFS))
}

/// Where the journals of this machine lie.
fn folder() -> PathBuf {
    folder_in(std::env::var_os("RUNTIME_DIRECTORY").as_deref())
}

/// Of several directories of a service, the first (systemd.exec(5), RuntimeDirectory=).
fn folder_in(given: Option<&OsStr>) -> PathBuf {
    let first = given.and_then(|given| given.as_bytes().split(|byte| *byte == b':').next());
    let first = first.map(|bytes| Path::new(OsStr::from_bytes(bytes)));
    first.filter(|path| path.is_absolute()).unwrap_or(Path::new(RUNTIME)).join(FOLDER)
}
