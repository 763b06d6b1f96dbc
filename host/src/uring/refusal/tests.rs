//! Kernels that refuse, in earnest (URING-2).

use std::ptr::NonNull;
use std::sync::Arc;

use caps::{CapSet, Capability};
use rustix::process::{Resource, getrlimit};
use tempfile::tempfile;
use wirehaul_core::pool::Sizing;

use super::*;
use crate::io::buffer::Buffer;
use crate::io::file::File;
use crate::pools::lasting;
use crate::uring::{Operation, Output, Queue, QueueOptions, Region, Wait};

/// Forbids io_uring_setup(2) to this thread, as the profiles of containers do.
fn forbid_rings() {
    let instruction = |code: u32, jt, k| libc::sock_filter { code: code as u16, jt, jf: 0, k };
    let mut filter = [
        // The number of the call is the first word of struct seccomp_data.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        libc::sock_filter { jf: 1, ..instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, SETUP) },
        instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    const SETUP: u32 = libc::SYS_io_uring_setup as u32;
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    nix::sys::prctl::set_no_new_privs().unwrap();
    // SAFETY: the kernel copies a program of four instructions, which outlives the call.
    let status = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
}

/// URING-2: a filter of system calls is told from a setting of the kernel.
#[test]
fn a_filter_of_system_calls_is_named() {
    let opened = || Queue::open(&QueueOptions::default()).map(drop);
    // Where it is refused anyway there is nothing to be seen here.
    if opened().is_ok() {
        // Filters belong to their thread.
        let refused = std::thread::spawn(move || {
            forbid_rings();
            opened().unwrap_err()
        });
        let refused = refused.join().unwrap();
        assert_eq!(refused, Refused::Forbidden);
        assert!(refused.to_string().contains("seccomp"), "{refused}");
    }
}

/// URING-1: memory beyond the limit of locked memory is refused with the numbers, and everything works without.
#[test]
fn the_limit_of_locked_memory_is_named() {
    if Queue::open(&QueueOptions::default()).is_err() {
        return;
    }
    let Some(limit) = getrlimit(Resource::Memlock).current.filter(|limit| *limit < 1 << 30) else {
        eprintln!("skipped: this process may lock any amount of memory");
        return;
    };
    let slot_bytes = 1 << 20;
    let slots = u32::try_from(limit >> 20).unwrap() + 1;
    let pool = lasting(&Sizing { slots_per_session: slots, slot_bytes, ..Sizing::new(1, 1) }).unwrap();
    let wanted_bytes = u64::from(slots) << 20;
    let thread = std::thread::spawn(move || {
        // Capabilities belong to their thread too.
        caps::drop(None, CapSet::Effective, Capability::CAP_IPC_LOCK).unwrap();
        let mut queue = Queue::open(&QueueOptions::default()).unwrap();
        let refused = queue.register_buffers(&[Region::of(pool, usize::MAX)]).unwrap_err();
        assert_eq!(refused, NotRegistered::Limit { wanted_bytes, limit_bytes: Some(limit) });
        let text = refused.to_string();
        assert!(text.contains(&format!("{wanted_bytes} bytes")) && text.contains(&format!("{limit} may be")), "{text}");
        let file = Arc::new(File::new(tempfile().unwrap().into()));
        let mut buffer = Buffer::in_slot(pool.take().unwrap());
        buffer.resize(4096);
        queue.submit(Operation::Write { file, buffer, range: 0..4096, offset: 0 }, 0).unwrap();
        queue.enter(Wait::One).unwrap();
        assert!(matches!(queue.poll().unwrap().result, Ok(Output::Bytes(4096))));
    });
    thread.join().unwrap();
}

/// URING-1: memory that cannot be pinned is an error, and no more.
#[test]
fn memory_that_is_not_there_is_refused() {
    let Ok(mut queue) = Queue::open(&QueueOptions::default()) else { return };
    // SAFETY: not mapped at all, so that the promise holds for what is.
    let region = unsafe { Region::of_memory(NonNull::slice_from_raw_parts(NonNull::dangling(), 4096)) };
    let refused = queue.register_buffers(&[region]).unwrap_err();
    assert!(matches!(refused, NotRegistered::Other { wanted_bytes: 4096, source: Errno::FAULT }), "{refused}");
}
