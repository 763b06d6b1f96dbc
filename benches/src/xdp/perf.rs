//! How often a process went to the memory of another node, as perf counts it where the machine lets it.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Loads from memory, and those of them that another node had (perf-list(1)).
const EVENTS: &str = "node-loads,node-load-misses";

/// perf, which counts until it is told to stop.
#[derive(Debug)]
pub struct Counting {
    child: Child,
}

impl Counting {
    /// Counts for this process from now on; `None` without perf.
    #[must_use]
    pub fn start(process: u32) -> Option<Self> {
        let child = Command::new("perf")
            .args(["stat", "--no-big-num", "--field-separator", ",", "--event", EVENTS, "--pid", &process.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        Some(Self { child: child.ok()? })
    }

    /// The part of the loads from memory that another node had; `None` where the machine does not count them, as most virtual ones.
    #[must_use]
    pub fn finish(mut self) -> Option<f64> {
        let id = i32::try_from(self.child.id()).ok()?;
        kill(Pid::from_raw(id), Signal::SIGINT).ok()?;
        let mut told = String::new();
        self.child.stderr.take()?.read_to_string(&mut told).ok()?;
        self.child.wait().ok()?;
        remote_share(&told)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines like `12345,,node-loads,...`; where nothing was counted, words stand in place of the number.
fn remote_share(told: &str) -> Option<f64> {
    let count = |event: &str| {
        let line = told.lines().find(|line| line.split(',').nth(2) == Some(event))?;
        line.split(',').next()?.parse::<f64>().ok()
    };
    let (loads, misses) = (count("node-loads")?, count("node-load-misses")?);
    (loads > 0.0).then(|| misses / loads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_perf_says_is_read() {
        assert_eq!(remote_share("200,,node-loads,1000,100.00,,\n50,,node-load-misses,1000,100.00,,\n"), Some(0.25));
        for told in [
            "",
            "<not supported>,,node-loads,0,100.00,,\n<not supported>,,node-load-misses,0,100.00,,\n",
            "0,,node-loads,1,100.00,,\n0,,node-load-misses,1,100.00,,\n",
        ] {
            assert_eq!(remote_share(told), None, "{told}");
        }
    }
}
