//! What the system says of this process.

use crate::clock::unix_seconds;

/// This process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    /// When it began to serve, in seconds since 1970.
    pub(super) started_seconds: u64,
    /// In place of what the system says, in tests.
    #[cfg(test)]
    pub(super) pretend: Option<Look>,
}

/// How a process stands. Zero where the system does not tell.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    /// `None` for a process that may not look at itself, such as one that changed its user.
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: u64,
    pub(super) threads: u64,
}

impl Process {
    /// This process, which begins now.
    pub(super) fn begin() -> Self {
        Self {
            started_seconds: unix_seconds(),
            #[cfg(test)]
            pretend: None,
        }
    }

    pub(super) fn look(&self) -> Look {
        #[cfg(test)]
        if let Some(pretend) = &self.pretend {
            return pretend.clone();
        }
        look()
    }
}

#[cfg(unix)]
fn look() -> Look {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike as _;
    use rustix::process::{Resource, getrlimit};
    // proc_pid_status(5), on Linux.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let number = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    let micros = getrusage(UsageWho::RUSAGE_SELF)
        .map_or(0, |usage| usage.user_time().num_microseconds() + usage.system_time().num_microseconds());
    Look {
        cpu_seconds: micros as f64 / 1e6,
        resident_bytes: number("VmRSS") * 1024,
        // The one that reads the directory is among them.
        open_fds: std::fs::read_dir("/proc/self/fd").map(|entries| entries.count().saturating_sub(1) as u64).ok(),
        // Of nix the type differs from system to system. None is as many as one likes.
        max_fds: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        threads: number("Threads"),
    }
}

#[cfg(not(unix))]
fn look() -> Look {
    Look::default()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_how_this_process_stands() {
        let look = Process::begin().look();
        assert!(
            look.resident_bytes > 1 << 20 && look.open_fds.is_some_and(|open| (3..=look.max_fds).contains(&open)),
            "{look:?}"
        );
        assert!(look.threads >= 1 && look.cpu_seconds >= 0.0, "{look:?}");
    }
}
