//! The kernel's rings.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use caps::{CapSet, Capability};
use io_uring::types::{Fd, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, opcode, squeue};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use wirehaul_core::disk::Setup;

use super::buffers::Region;
use super::refusal::errno_of;
use super::ring::{Call, Completion, Entry, Ring, System, Target};
use crate::numa::threads;

/// This process's kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelSystem;

impl System for KernelSystem {
    type Ring = KernelRing;

    fn set_up(&mut self, setup: Setup, entries: u32, completions: u32) -> Result<KernelRing, Errno> {
        let mut builder = IoUring::builder();
        builder.dontfork();
        if setup.contains(Setup::IOPOLL) {
            builder.setup_iopoll();
        }
        if setup.contains(Setup::CQSIZE) {
            builder.setup_cqsize(completions);
        }
        if setup.contains(Setup::SUBMIT_ALL) {
            builder.setup_submit_all();
        }
        if setup.contains(Setup::COOP_TASKRUN) {
            builder.setup_coop_taskrun();
        }
        if setup.contains(Setup::TASKRUN_FLAG) {
            builder.setup_taskrun_flag();
        }
        if setup.contains(Setup::SINGLE_ISSUER) {
            builder.setup_single_issuer();
        }
        if setup.contains(Setup::DEFER_TASKRUN) {
            builder.setup_defer_taskrun();
        }
        let ring = builder.build(entries).map_err(errno)?;
        stay_with_this_thread(&ring);
        let mut probe = Probe::new();
        // Without an answer it knows none of them (before 5.6).
        let _ = ring.submitter().register_probe(&mut probe);
        let missing = OPERATIONS.iter().find(|(code, _)| !probe.is_supported(*code)).map(|(_, name)| *name);
        Ok(KernelRing { ring, missing })
    }

    fn disabled(&self) -> u8 {
        let setting = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
        setting.trim().parse().unwrap_or(0)
    }

    fn memlock(&self) -> Option<u64> {
        // `__io_account_mem` counts only for who has not this capability.
        let is_free = caps::has_cap(None, CapSet::Effective, Capability::CAP_IPC_LOCK).unwrap_or(false);
        if is_free { None } else { getrlimit(Resource::Memlock).current }
    }
}

/// Keeps the kernel's own threads for this ring, which do what cannot be done at once, on the CPUs of this thread: of
/// themselves they use all of the cpuset (io_uring/io-wq.c, `io_wq_create`). Where that is refused (before 5.14), they do.
fn stay_with_this_thread(ring: &IoUring) {
    // SAFETY: a set of CPUs is words of bits, for which zeros are a value.
    let mut cpus: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for cpu in threads::allowed().iter().filter(|cpu| *cpu < libc::CPU_SETSIZE.cast_unsigned()) {
        // SAFETY: the CPU is one that the set has a bit for.
        unsafe { libc::CPU_SET(cpu as usize, &mut cpus) };
    }
    let _ = ring.submitter().register_iowq_aff(&cpus);
}

/// A year or so.
const LONGEST_WAIT: Duration = Duration::from_secs(1 << 25);

/// Every code that is used, and what it is for.
const OPERATIONS: [(u8, &str); 15] = [
    (opcode::Read::CODE, "read"),
    (opcode::Write::CODE, "write"),
    (opcode::ReadFixed::CODE, "read into registered memory"),
    (opcode::WriteFixed::CODE, "write from registered memory"),
    (opcode::Fsync::CODE, "make files durable"),
    (opcode::Fallocate::CODE, "reserve space"),
    (opcode::PollAdd::CODE, "wait for a file"),
    (opcode::AsyncCancel::CODE, "cancel"),
    (opcode::OpenAt::CODE, "open files"),
    (opcode::Statx::CODE, "look at files"),
    (opcode::RenameAt::CODE, "rename files"),
    (opcode::LinkAt::CODE, "link files"),
    (opcode::UnlinkAt::CODE, "remove files"),
    (opcode::MkDirAt::CODE, "make directories"),
    (opcode::Nop::CODE, "do nothing"),
];

/// A ring of the kernel's. Only the thread that made it may enter it.
pub struct KernelRing {
    ring: IoUring,
    missing: Option<&'static str>,
}

impl Drop for KernelRing {
    fn drop(&mut self) {
        // Closing a ring leaves it to a thread of the kernel to let go of what is registered (`io_ring_exit_work`): for some
        // milliseconds a file system that is to be unmounted would be busy. Where nothing is registered, there is nothing to do.
        let _ = self.ring.submitter().unregister_files();
        let _ = self.ring.submitter().unregister_buffers();
    }
}

impl Ring for KernelRing {
    fn entries(&self) -> u32 {
        self.ring.params().sq_entries()
    }

    fn completions(&self) -> u32 {
        self.ring.params().cq_entries()
    }

    fn missing(&self) -> Option<&'static str> {
        self.missing
    }

    #[inline]
    unsafe fn push(&mut self, entry: &Entry) -> bool {
        let sqe = translate(entry);
        // SAFETY: what the entry points to stays by this function's own contract. The descriptors and places in it are the
        // caller's; one that is not there makes the kernel say EBADF.
        unsafe { self.ring.submission().push(&sqe) }.is_ok()
    }

    #[inline]
    fn enter(&mut self, wait: Option<Duration>) -> Result<u32, Errno> {
        let submitter = self.ring.submitter();
        let taken = match wait {
            None => submitter.submit(),
            Some(Duration::MAX) => submitter.submit_and_wait(1),
            Some(time) => {
                // Beyond what the kernel's clock counts, a time is an error.
                let time = Timespec::from(time.min(LONGEST_WAIT));
                submitter.submit_with_args(1, &SubmitArgs::new().timespec(&time))
            }
        };
        // Never more than there are entries.
        taken.map(|count| count as u32).map_err(errno)
    }

    #[inline]
    fn has_more(&self) -> bool {
        // SAFETY: the queue is dropped before anything else of this ring is called: nothing else has it meanwhile.
        let queue = unsafe { self.ring.submission_shared() };
        queue.taskrun() || queue.cq_overflow()
    }

    fn is_ready(&self) -> bool {
        // SAFETY: as above.
        !unsafe { self.ring.completion_shared() }.is_empty()
    }

    #[inline]
    fn completion(&mut self) -> Option<Completion> {
        let entry = self.ring.completion().next()?;
        Some(Completion { word: entry.user_data(), result: entry.result() })
    }

    fn register_buffers(&mut self, regions: &[Region]) -> Result<(), Errno> {
        let submitter = self.ring.submitter();
        match submitter.unregister_buffers().map_err(errno) {
            // Nothing was registered.
            Ok(()) | Err(Errno::NXIO) => {}
            Err(error) => return Err(error),
        }
        if regions.is_empty() {
            return Ok(());
        }
        let to_iovec =
            |region: &Region| libc::iovec { iov_base: region.start().as_ptr().cast(), iov_len: region.len() };
        let list: Vec<_> = regions.iter().map(to_iovec).collect();
        // SAFETY: a region stays mapped for as long as the process. That the kernel knows it changes nothing in it: it reads
        // and writes there only for entries, by the contract of `push`.
        unsafe { submitter.register_buffers(&list) }.map_err(errno)
    }

    fn register_files(&mut self, places: u32) -> Result<(), Errno> {
        // Sparse tables came with 5.19, tables of empty places long before.
        self.ring.submitter().register_files(&vec![-1; places as usize]).map_err(errno)
    }

    fn set_file(&mut self, place: u32, file: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
        let descriptor = file.map_or(-1, |file| file.as_raw_fd());
        self.ring.submitter().register_files_update(place, &[descriptor]).map(drop).map_err(errno)
    }
}

fn errno(error: io::Error) -> Errno {
    errno_of(error.raw_os_error().unwrap_or(libc::EIO))
}

/// The entry as the kernel reads it.
#[inline]
fn translate(entry: &Entry) -> squeue::Entry {
    let (file, flags) = match entry.target {
        Target::Descriptor(descriptor) => (Fd(descriptor), squeue::Flags::empty()),
        // A place in the table stands where a descriptor would; there are never as many as an i32 counts.
        Target::Registered(place) => (Fd(place.cast_signed()), squeue::Flags::FIXED_FILE),
    };
    let sqe = match entry.call {
        Call::Read { memory, len, offset, region: None } => {
            opcode::Read::new(file, memory.as_ptr(), len).offset(offset).build()
        }
        Call::Read { memory, len, offset, region: Some(region) } => {
            opcode::ReadFixed::new(file, memory.as_ptr(), len, region).offset(offset).build()
        }
        Call::Write { memory, len, offset, region: None } => {
            opcode::Write::new(file, memory.as_ptr(), len).offset(offset).build()
        }
        Call::Write { memory, len, offset, region: Some(region) } => {
            opcode::WriteFixed::new(file, memory.as_ptr(), len, region).offset(offset).build()
        }
        Call::Sync { data_only } => {
            let flags = if data_only { FsyncFlags::DATASYNC } else { FsyncFlags::empty() };
            opcode::Fsync::new(file).flags(flags).build()
        }
        Call::Allocate { mode, offset, len } => opcode::Fallocate::new(file, len).offset(offset).mode(mode).build(),
        Call::Poll => opcode::PollAdd::new(file, libc::POLLIN as u32).build(),
        call => on_name(file, call),
    };
    sqe.flags(flags).user_data(entry.word)
}

/// Calls on names, in an open directory.
fn on_name(directory: Fd, call: Call) -> squeue::Entry {
    match call {
        Call::Open { name, flags, mode } => {
            opcode::OpenAt::new(directory, name.as_ptr()).flags(flags).mode(mode).build()
        }
        Call::Stat { name, flags, mask, answer } => {
            opcode::Statx::new(directory, name.as_ptr(), answer.as_ptr().cast()).flags(flags).mask(mask).build()
        }
        Call::Rename { name, to, new_name, flags } => {
            opcode::RenameAt::new(directory, name.as_ptr(), Fd(to), new_name.as_ptr()).flags(flags).build()
        }
        Call::Link { name, to, new_name, flags } => {
            opcode::LinkAt::new(directory, name.as_ptr(), Fd(to), new_name.as_ptr()).flags(flags).build()
        }
        Call::Unlink { name, flags } => opcode::UnlinkAt::new(directory, name.as_ptr()).flags(flags).build(),
        Call::MakeDir { name, mode } => opcode::MkDirAt::new(directory, name.as_ptr()).mode(mode).build(),
        Call::Cancel { word } => opcode::AsyncCancel::new(word).build(),
        // All others are on open files.
        _ => opcode::Nop::new().build(),
    }
}
