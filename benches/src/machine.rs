//! What a figure was measured on: said in every report, because no figure means anything without it.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// The machine, as far as it bears on a transfer.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The processor's own name.
    pub cpu: String,
    /// How many threads may run at once.
    pub cpus: usize,
    /// Physical memory in MiB.
    pub memory_mib: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The file system that files were received on.
    pub file_system: String,
}

impl Machine {
    /// Looks at this machine; `directory` is where files are received.
    pub fn look(directory: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or("unknown").to_owned(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory_mib(&read("/proc/meminfo")).unwrap_or(0),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            file_system: file_system_of(&read("/proc/self/mounts"), directory).unwrap_or("unknown").to_owned(),
        }
    }

    /// One line for the report.
    pub fn describe(&self) -> String {
        let Self { cpu, cpus, memory_mib, kernel, file_system } = self;
        format!("{cpu}, {cpus} CPUs, {memory_mib} MiB, Linux {kernel}, files on {file_system}")
    }
}

/// The value of the first `name : value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let values = text.lines().filter_map(|line| line.split_once(':'));
    values.into_iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

fn memory_mib(meminfo: &str) -> Option<u64> {
    let kib: u64 = field(meminfo, "MemTotal")?.strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024)
}

/// The type of the file system with the longest mount point above the directory.
fn file_system_of<'a>(mounts: &'a str, directory: &Path) -> Option<&'a str> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    mounts.filter(|(path, _)| directory.starts_with(path)).max_by_key(|(path, _)| path.len()).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::{file_system_of, memory_mib};
    use std::path::Path;

    #[test]
    fn the_innermost_mount_counts() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n";
        assert_eq!(file_system_of(mounts, Path::new("/tmp/x")), Some("tmpfs"));
        assert_eq!(file_system_of(mounts, Path::new("/tmpfoo")), Some("ext4"));
    }

    #[test]
    fn memory_is_read_in_mib() {
        assert_eq!(memory_mib("MemTotal:        2048 kB\nMemFree: 1 kB\n"), Some(2));
    }
}
