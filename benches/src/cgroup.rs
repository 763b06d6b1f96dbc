//! CPU time of a whole run: every process of both ends in one control group (version 2), whose `cpu.stat` counts
//! the dead and the descendants too. Where no group can be made the caller adds up what wait4 tells instead.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// A control group for the processes of one run; they are killed and it is removed on drop.
#[derive(Debug)]
pub struct CpuGroup {
    path: PathBuf,
}

impl CpuGroup {
    /// Makes a group below the caller's own.
    ///
    /// # Errors
    /// `NotFound` where no version 2 hierarchy is mounted, else what the operating system says: mostly that it
    /// needs root.
    pub fn create() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let membership = fs::read_to_string("/proc/self/cgroup")?;
        let own = own_group(&mounts, &membership)
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no cgroup v2 hierarchy is mounted"))?;
        let name = format!("wirehaul-bench-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = own.join(name);
        fs::create_dir(&path)?;
        let group = Self { path };
        // Only a group that can be joined and read is of use.
        fs::OpenOptions::new().write(true).open(group.procs_file())?;
        group.cpu_seconds()?;
        Ok(group)
    }

    /// The file into which a process writes its id to join.
    pub fn procs_file(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// CPU time used so far by all its processes, living or dead, in seconds.
    ///
    /// # Errors
    /// What the operating system says, or `InvalidData` when the file does not have the expected form.
    pub fn cpu_seconds(&self) -> io::Result<f64> {
        let stat = fs::read_to_string(self.path.join("cpu.stat"))?;
        let usage_us = usage_us(&stat).ok_or(io::ErrorKind::InvalidData)?;
        Ok(usage_us as f64 / 1e6)
    }
}

impl Drop for CpuGroup {
    fn drop(&mut self) {
        // Daemons may have left sessions behind; a kernel without cgroup.kill (before 5.14) leaves them to end alone.
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
        for _ in 0..200 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        eprintln!("could not remove the control group {}; `rmdir` does once it is empty", self.path.display());
    }
}

/// The directory of the calling process's own version 2 group, from the texts of `/proc/self/{mounts,cgroup}`.
fn own_group(mounts: &str, membership: &str) -> Option<PathBuf> {
    let mount_point = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (path, kind) = (fields.nth(1)?, fields.next()?);
        (kind == "cgroup2").then_some(path)
    })?;
    let group = membership.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(Path::new(mount_point).join(group.trim_start_matches('/')))
}

/// The `usage_usec` of a `cpu.stat`.
fn usage_us(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{own_group, usage_us};
    use std::path::Path;

    #[test]
    fn own_group_is_found_on_pure_and_on_hybrid_hierarchies() {
        let hybrid = "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let found = own_group(hybrid, "2:cpuacct:/\n0::/\n");
        assert_eq!(found.as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
        let pure = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
        let found = own_group(pure, "0::/user.slice/session-1.scope\n");
        assert_eq!(found.as_deref(), Some(Path::new("/sys/fs/cgroup/user.slice/session-1.scope")));
        assert_eq!(own_group("tmpfs /tmp tmpfs rw 0 0\n", "0::/\n"), None);
    }

    #[test]
    fn usage_is_read_in_microseconds() {
        assert_eq!(usage_us("usage_usec 1500\nuser_usec 1000\n"), Some(1500));
        assert_eq!(usage_us("user_usec 1000\n"), None);
    }
}
