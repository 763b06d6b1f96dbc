//! The CPUs of a thread, and where its memory comes from.
//!
//! Threads that are started later have what their starter has, of both (sched_setaffinity(2), set_mempolicy(2)): so a process
//! that settles before it starts threads is settled as a whole.

use std::io;

use libc::c_int;
use wirehaul_core::numa::{CpuSet, MAX_CPUS, MAX_NODES};

/// Allocate on this node, and elsewhere where it has none left (include/uapi/linux/mempolicy.h).
const MPOL_PREFERRED: c_int = 1;
/// A mask of CPUs as the kernel takes it.
type Mask = [u64; MAX_CPUS as usize / 64];

/// The CPUs that this thread may run on: what cpusets, `taskset` and service managers leave. Empty where the system does not
/// tell.
#[must_use]
pub fn allowed() -> CpuSet {
    let mut mask: Mask = [0; _];
    // SAFETY: sched_getaffinity(2) writes at most as many bytes as the mask has, which it is told. The libc's own function knows
    // no more than 1024 CPUs.
    let written = unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, size_of::<Mask>(), mask.as_mut_ptr()) };
    if written <= 0 {
        return CpuSet::EMPTY;
    }
    (0..MAX_CPUS).filter(|cpu| mask[*cpu as usize / 64] >> (cpu % 64) & 1 == 1).collect()
}

/// Keeps this thread on these CPUs from now on, and threads that it starts later with it. Those that it may not use are left
/// out by the system.
///
/// # Errors
/// The system has none of them, or lets this process use none.
pub fn bind(cpus: &CpuSet) -> io::Result<()> {
    let mut mask: Mask = [0; _];
    for cpu in cpus.iter() {
        mask[cpu as usize / 64] |= 1 << (cpu % 64);
    }
    // SAFETY: sched_setaffinity(2) reads as many bytes as the mask has.
    let status = unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of::<Mask>(), mask.as_ptr()) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Keeps this thread on one CPU from now on, and threads that it starts later with it.
///
/// # Errors
/// The system has no such CPU, or does not let this process use it.
pub fn pin(cpu: u32) -> io::Result<()> {
    bind(&[cpu].into_iter().collect())
}

/// Has memory that this thread is the first to touch come from a node where that has some left, and what threads touch that it
/// starts later.
///
/// # Errors
/// The system has no such node, or does not let this process use it.
pub fn prefer(node: u32) -> io::Result<()> {
    let mask: u64 = if (node as usize) < MAX_NODES { 1 << node } else { 0 };
    if mask == 0 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: set_mempolicy(2) reads one word (`maxnode - 1` bits of it), which outlives the call. A policy decides where pages
    // come from and nothing about what is in them.
    let status = unsafe { libc::syscall(libc::SYS_set_mempolicy, MPOL_PREFERRED, &raw const mask, MAX_NODES + 1) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The CPU that this thread runs on just now.
#[must_use]
pub fn current_cpu() -> Option<u32> {
    // SAFETY: getcpu(2) tells, and changes nothing.
    u32::try_from(unsafe { libc::sched_getcpu() }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_pinned_thread_may_use_one_cpu_and_others_as_many_as_before() {
        let before = allowed();
        assert!(!before.is_empty());
        for cpu in before.iter() {
            let (own, started) = thread::spawn(move || {
                pin(cpu).unwrap();
                (allowed(), thread::spawn(allowed).join().unwrap())
            })
            .join()
            .unwrap();
            assert_eq!((own.iter().collect::<Vec<_>>(), own), (vec![cpu], started));
        }
        assert_eq!(allowed(), before);
    }

    #[test]
    fn cpus_that_are_not_there_are_refused_or_left_out() {
        let refused = |cpus: CpuSet| thread::spawn(move || bind(&cpus).is_err()).join().unwrap();
        assert!(refused([MAX_CPUS - 1].into_iter().collect()) && refused(CpuSet::EMPTY));
        let kept = thread::spawn(|| {
            let first = allowed().iter().next().unwrap();
            bind(&[first, MAX_CPUS - 1].into_iter().collect()).unwrap();
            (allowed(), first)
        });
        let (kept, first) = kept.join().unwrap();
        assert_eq!(kept.iter().collect::<Vec<_>>(), [first]);
    }

    #[test]
    fn a_node_that_is_not_there_is_refused() {
        let refused = |node| thread::spawn(move || prefer(node).is_err()).join().unwrap();
        assert!(refused(63) && refused(64) && refused(u32::MAX));
    }
}
