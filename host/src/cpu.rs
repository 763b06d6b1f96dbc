//! Which CPUs this process may use, and a thread's own.

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// This thread, to the calls below.
const THIS_THREAD: Pid = Pid::from_raw(0);

/// The CPUs that this thread may run on, in ascending order: what cpusets, `taskset` and service managers leave. Empty where
/// the system does not tell.
#[must_use]
pub fn allowed() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(THIS_THREAD) else { return Vec::new() };
    (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect()
}

/// Keeps this thread on one CPU from now on, and threads that it starts later with it.
///
/// # Errors
/// The system has no such CPU, or does not let this process use it.
pub fn pin(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(THIS_THREAD, &set)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_use_one_cpu_and_others_as_many_as_before() {
        let before = allowed();
        assert!(!before.is_empty());
        for cpu in before.iter().copied() {
            let after = std::thread::spawn(move || pin(cpu).map(|()| allowed())).join().unwrap();
            assert_eq!(after.unwrap(), [cpu]);
        }
        assert_eq!(allowed(), before);
    }

    #[test]
    fn a_cpu_that_is_not_there_is_refused() {
        assert!(std::thread::spawn(|| pin(CpuSet::count() - 1)).join().unwrap().is_err());
        assert!(pin(CpuSet::count()).is_err());
    }
}
